"""A form made from a step's parameter model: one field for each parameter, and a scenario to start from."""

import html
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import ipywidgets
from pydantic.fields import FieldInfo

from runbook.environment import Environment
from runbook.parameters import build
from runbook.steps.scenarios import load_scenario, make_step, scenario_names
from runbook.steps.step import Step

_FIELD = {"width": "24em", "flex": "0 0 auto"}
_NO_SCENARIO = "(none)"


class Form:
    """The widgets of a step. `step` is what they describe now; `scenario` the one that they started from."""

    def __init__(self, step: Step, environment: Environment, scenario: str) -> None:
        self._class = type(step)
        self._environment = environment
        self._step = step
        self._problem: Exception | None = None
        self._filling = False
        self._fields = {name: _field(field) for name, field in self._class.model_fields.items()}
        self._scenarios = ipywidgets.Dropdown(
            options=[_NO_SCENARIO, *scenario_names(step.notebook)], value=scenario or _NO_SCENARIO, layout=_FIELD
        )
        self._about = ipywidgets.HTML()
        self._message = ipywidgets.HTML()
        self._fill(step)
        self._tell()
        self._scenarios.observe(self._on_scenario, "value")
        for field in self._fields.values():
            field.observe(self._on_field, "value")
        self._widget = ipywidgets.VBox(
            [
                _row("scenario", self._scenarios, self._about),
                *(
                    _row(name, widget, ipywidgets.HTML(html.escape(self._class.model_fields[name].description or "")))
                    for name, widget in self._fields.items()
                ),
                self._message,
            ]
        )

    @property
    def step(self) -> Step:
        """The step that the fields describe. Raises what is wrong with them instead of giving an older one."""
        if self._problem:
            raise self._problem
        return self._step

    @property
    def scenario(self) -> str:
        """The scenario that is chosen; empty for none."""
        return "" if self._scenarios.value == _NO_SCENARIO else str(self._scenarios.value)

    def view(self) -> Mapping[str, Any] | None:
        """The form for a notebook's front end."""
        bundle: Mapping[str, Any] | None = self._widget._repr_mimebundle_()
        return bundle

    # --- what happens when something is chosen: an error is shown, and kept for the next cell ---

    def _on_scenario(self, _: Any) -> None:
        if self.scenario:
            try:
                self._accept(make_step(self._class, self.scenario, {}))
                self._fill(self._step)
            except Exception as error:  # noqa: BLE001 (shown in the form, and raised by the next cell)
                self._problem = error
        self._tell()

    def _on_field(self, _: Any) -> None:
        if self._filling:
            return
        try:
            self._accept(build(self._class, self._given(), "the form"))
        except Exception as error:  # noqa: BLE001 (as above)
            self._problem = error
        self._tell()

    def _given(self) -> dict[str, Any]:
        values = {name: _value(field) for name, field in self._fields.items()}
        return {name: value for name, value in values.items() if value not in ("", [], {})}

    def _accept(self, step: Step) -> None:
        step.examine(self._environment)
        self._step, self._problem = step, None

    def _fill(self, step: Step) -> None:
        self._filling = True
        try:
            for name, field in self._fields.items():
                field.value = _text(getattr(step, name))
        finally:
            self._filling = False

    def _tell(self) -> None:
        about = load_scenario(self._class.notebook, self.scenario).description if self.scenario else ""
        self._about.value = html.escape(about)
        text = html.escape(str(self._problem)) if self._problem else "✓ These values can be used."
        self._message.value = f"<b>✗</b> {text}" if self._problem else text


def _field(field: FieldInfo) -> Any:
    """The widget that fits a parameter's type."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ipywidgets.Dropdown(options=list(get_args(annotation)), layout=_FIELD)
    if annotation is bool:
        return ipywidgets.Checkbox(indent=False, layout=_FIELD)
    if get_origin(annotation) is dict:
        return _Pairs(placeholder="name=value, one a line", rows=3, layout=_FIELD)
    if get_origin(annotation) is tuple:
        return ipywidgets.Textarea(placeholder="one a line", rows=3, layout=_FIELD)
    return ipywidgets.Text(layout=_FIELD, continuous_update=False)


class _Pairs(ipywidgets.Textarea):  # type: ignore[misc]
    """A field for a mapping."""


def _text(value: Any) -> Any:
    """A parameter as its widget holds it."""
    if isinstance(value, dict):
        return "\n".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, tuple):
        return "\n".join(value)
    return value if isinstance(value, bool) else str(value)


def _value(widget: Any) -> Any:
    """What a widget holds, as a scenario file would have it."""
    if isinstance(widget, ipywidgets.Checkbox):
        return widget.value
    if isinstance(widget, _Pairs):
        pairs = (line.partition("=") for line in widget.value.splitlines() if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    if isinstance(widget, ipywidgets.Textarea):
        return [line.strip() for line in widget.value.splitlines() if line.strip()]
    return widget.value.strip()


def _row(name: str, widget: Any, help_text: ipywidgets.HTML) -> ipywidgets.HBox:
    label = ipywidgets.Label(name, layout=ipywidgets.Layout(width="12em"))
    help_text.layout = ipywidgets.Layout(flex="1 1 10em", margin="0 0 0 1em")
    return ipywidgets.HBox([label, widget, help_text])
