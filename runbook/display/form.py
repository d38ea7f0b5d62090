"""A form made from a step's parameter model: one field for each parameter, and a scenario to start from."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic

import ipywidgets
from traitlets import TraitError

from runbook.display import mfa_field
from runbook.display.band import Band
from runbook.display.fields import Input, input_for
from runbook.display.rich_text import inline
from runbook.display.sharing import Sharing
from runbook.display.style import INDENT, problem, sheet
from runbook.environment import Environment
from runbook.parameters import ParameterError, build
from runbook.steps.scenarios import AnyStep, load_scenario, make_step, scenario_names
from runbook.steps.step import Asked

_FORM = "the form"


class Form(Generic[AnyStep]):
    """The widgets of a step. `step` is what they describe now; `scenario` the one that they started from.

    It starts from `values`, as a scenario file would hold them. None are needed, and they may be wrong.
    """

    def __init__(
        self, step_class: type[AnyStep], values: Mapping[str, Any], environment: Environment, scenario: str
    ) -> None:
        self._class = step_class
        self._environment = environment
        self._step: AnyStep | None = None
        self._problem: Exception | None = None
        self._band = Band(environment)
        self._filling = False
        self._changed: Callable[[], None] = lambda: None
        self._fields = {name: _Field(name, self._class, environment) for name in self._class.model_fields}
        options = self._options()
        known = scenario if scenario in [name for _, name in options] else ""
        self._scenarios = ipywidgets.RadioButtons(options=options, value=known, layout={"width": "auto"})
        self._scenarios.add_class("rb-scenarios")
        self._message = ipywidgets.HTML()
        self._sharing = Sharing(self._on_saved, environment)
        self._start_from(values)
        self._tell()
        self._scenarios.observe(self._on_scenario, "value")
        for field in self._fields.values():
            field.input.watch(self._on_field)
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<style>{sheet()}</style>"),
                self._band.box,
                ipywidgets.HTML("<b>Start from a scenario</b>, or from your own values:"),
                self._scenarios,
                *(field.box for field in self._fields.values()),
                self._message,
                mfa_field.field().box,
                self._sharing.box,
            ]
        )
        self.box.add_class("rb-panel")
        self.box.add_class("rb-form")

    @property
    def step(self) -> AnyStep:
        """The step that the fields describe. Raises what is wrong with them instead of giving an older one."""
        if self._step is None or self._problem:
            raise self._problem or ParameterError([f"{_FORM}: nothing is given."])
        return self._step

    @property
    def scenario(self) -> str:
        """The scenario that is chosen; empty for none."""
        return str(self._scenarios.value)

    @property
    def usable(self) -> bool:
        """Whether the fields describe a step."""
        return self._problem is None

    def look_up_identity(self) -> None:
        """Have the band name the identity, once somebody sees it."""
        self._band.follow()

    def watch(self, changed: Callable[[], None]) -> None:
        """Have somebody told whenever something else is chosen."""
        self._changed = changed

    # --- what happens when something is chosen: an error is shown, and kept for the next cell ---

    def _on_scenario(self, _: Any) -> None:
        if self._filling:
            return
        if self.scenario:
            try:
                step = make_step(self._class, self.scenario, {}, environment=self._environment)
                self._accept(step)
                self._fill(step)
            except Exception as error:  # noqa: BLE001 (shown in the form, and raised by the next cell)
                self._problem = error
        self._tell()

    def _on_field(self) -> None:
        if self._filling:
            return
        try:
            given = {name: value for name, value in self._given().items() if value not in ("", [], {})}
            self._accept(build(self._class, given, _FORM))
        except Exception as error:  # noqa: BLE001 (as above)
            self._problem = error
        self._tell()

    def _start_from(self, values: Mapping[str, Any]) -> None:
        """Fill in what is given; what no field can hold is a problem that is told like any other."""
        try:
            step = build(self._class, values, _FORM)
            self._fill(step)
            self._accept(step)
        except Exception as error:  # noqa: BLE001 (as above)
            self._problem = error
            if self._step is None:
                self._fill_as_given(values)

    def _fill_as_given(self, values: Mapping[str, Any]) -> None:
        self._filling = True
        try:
            for name, field in self._fields.items():
                definition = self._class.model_fields[name]
                if not definition.is_required():
                    field.input.show(definition.get_default(call_default_factory=True))
                if name in values:
                    with suppress(TraitError, TypeError, ValueError, AttributeError):
                        field.input.show(values[name])
        finally:
            self._filling = False

    def _on_saved(self, name: str) -> None:
        """A scenario that was saved is the one that the values come from now."""
        self._filling = True
        try:
            self._scenarios.options = self._options()
            self._scenarios.value = name
        finally:
            self._filling = False
        self._tell()

    def _given(self) -> dict[str, Any]:
        return {name: field.input.given for name, field in self._fields.items()}

    def _accept(self, step: AnyStep) -> None:
        step.examine(self._environment)
        self._step, self._problem = step, None

    def _fill(self, step: AnyStep) -> None:
        self._filling = True
        try:
            for name, field in self._fields.items():
                field.input.show(getattr(step, name))
        finally:
            self._filling = False

    def _tell(self) -> None:
        """Show each problem beside the field that it names, and what names none below all of them."""
        found = _problems(self._problem)
        by_field: dict[str, list[str]] = {}
        for text in found:
            by_field.setdefault(_field_of(text, self._given()), []).append(text)
        for name, field in self._fields.items():
            field.tell(by_field.pop(name, []))
        elsewhere = [text for texts in by_field.values() for text in texts]
        if elsewhere:
            self._message.value = problem("\n".join(elsewhere))
        elif found:
            self._message.value = problem("Correct what is marked above.")
        else:
            self._message.value = "✓ These values can be used."
        self._sharing.show(None if found else self._step, self.scenario)
        self._changed()

    def _options(self) -> list[tuple[str, str]]:
        """The scenarios with what their files say of them."""
        notebook, environment = self._class.notebook, self._environment
        named = [(name, load_scenario(notebook, name, environment)) for name in scenario_names(notebook, environment)]
        return [*((f"{name}: {each.description}".rstrip(": "), name) for name, each in named), ("my own values", "")]


class _Field:
    """An input with what it is for and what is wrong with what it holds."""

    def __init__(self, name: str, step_class: type[Asked], environment: Environment) -> None:
        field = step_class.model_fields[name]
        self.input: Input = input_for(name, field, step_class.notebook, environment)
        self._problem = ipywidgets.HTML(layout=INDENT)
        about = ipywidgets.HTML(inline(field.description or ""), layout={"flex": "1 1 16em", "margin": "0 0 0 1em"})
        about.add_class("rb-help")
        row = ipywidgets.HBox([self.input.box, about], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self._problem])
        self.box.add_class("rb-field")
        self.tell([])

    def tell(self, problems: list[str]) -> None:
        """Say what is wrong, or that nothing is."""
        self._problem.value = problem("\n".join(problems)) if problems else ""
        self._problem.layout.display = None if problems else "none"


def _problems(error: Exception | None) -> list[str]:
    """What is wrong, one text for each; without where it was found, which is here."""
    if error is None:
        return []
    texts = error.problems if isinstance(error, ParameterError) else (f"{type(error).__name__}: {error}",)
    return [text.removeprefix(f"{_FORM}: ") for text in texts]


def _field_of(text: str, given: Mapping[str, Any]) -> str:
    """The parameter that a message is about: the one whose file it begins with, or else the one that it names first,
    `accounts` or an item of it, `accounts.0`. Empty when it names none.
    """
    files = [
        name for name, value in given.items() if isinstance(value, str) and "/" in value and text.startswith(value)
    ]
    named = [word.partition(".")[0] for word in re.findall(r"`([\w.]+)`", text)]
    return next((name for name in [*files, *named] if name in given), "")
