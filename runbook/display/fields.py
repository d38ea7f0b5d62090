"""What the parameters of a step are typed into or chosen from: for each type of parameter the input that fits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import ipywidgets
from pydantic.fields import FieldInfo

from runbook.display import candidates
from runbook.display.candidates import Candidate
from runbook.display.picker import Picker, lines_of
from runbook.display.style import INDENT, INPUT, LABEL, problem
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.steps.scenarios import save_table


class Input:
    """One parameter's input. `box` is what is shown, `control` what is typed into or chosen from."""

    def __init__(self, control: Any, *below: Any) -> None:
        self.control = self.box = control
        if below:
            control.layout = {"width": "auto"}
            self.box = ipywidgets.VBox([control, *below], layout=INPUT)

    @property
    def given(self) -> Any:
        """What a scenario file would hold; empty for what is not given."""
        return self.control.value.strip()

    def show(self, value: Any) -> None:
        """Show a parameter of a step."""
        self.control.value = str(value)

    def watch(self, changed: Callable[[], None]) -> None:
        """Have somebody told of every change."""
        self.control.observe(lambda _: changed(), "value")


def input_for(name: str, field: FieldInfo, notebook: str, environment: Environment) -> Input:
    """The input that fits a parameter's type."""
    look = {"description": label(name), "style": LABEL, "layout": INPUT}
    offer, known = candidates.offer_of(field), candidates.known(field, environment)
    if get_origin(field.annotation) is Literal:
        return _Choice(get_args(field.annotation), look)
    if field.annotation is bool:
        return _Switch(look)
    if field.annotation is int:
        return _Number(look)
    if get_origin(field.annotation) is dict:
        return _Pairs(look)
    if get_origin(field.annotation) is tuple:
        return _Lines(look, offer, known, environment)
    if offer == "table file":
        return _TableFile(look, notebook, environment)
    if known:
        return _OneOf(known, look)
    return Input(ipywidgets.Text(**look))


def label(name: str) -> str:
    """What people read for a parameter's name."""
    return name.replace("_", " ").capitalize().replace(" url", " URL").replace("dd ons", "dd-ons")


class _Choice(Input):
    def __init__(self, values: Sequence[str], look: Mapping[str, Any]) -> None:
        super().__init__(ipywidgets.Dropdown(options=[(value or "(not given)", value) for value in values], **look))


class _Switch(Input):
    def __init__(self, look: Mapping[str, Any]) -> None:
        super().__init__(ipywidgets.Checkbox(**look))

    @property
    def given(self) -> Any:
        return self.control.value

    def show(self, value: Any) -> None:
        self.control.value = bool(value)


class _Number(Input):
    def __init__(self, look: Mapping[str, Any]) -> None:
        super().__init__(ipywidgets.IntText(continuous_update=True, **look))

    @property
    def given(self) -> Any:
        return self.control.value

    def show(self, value: Any) -> None:
        self.control.value = value


class _Pairs(Input):
    def __init__(self, look: Mapping[str, Any]) -> None:
        super().__init__(ipywidgets.Textarea(placeholder="name=value, one a line", rows=3, **look))

    @property
    def given(self) -> Any:
        pairs = (line.partition("=") for line in self.control.value.splitlines() if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def show(self, value: Any) -> None:
        self.control.value = "\n".join(f"{name}={each}" for name, each in value.items())


class _Lines(Input):
    """A list, an item a line: typed, pasted, or ticked below."""

    def __init__(
        self, look: Mapping[str, Any], offer: str, known: Sequence[Candidate], environment: Environment
    ) -> None:
        control = ipywidgets.Textarea(placeholder="one a line", rows=2, **look)
        super().__init__(control, *([Picker(offer, known, environment, control).box] if offer or known else []))
        control.observe(self._make_room, "value")

    @property
    def given(self) -> Any:
        return lines_of(self.control.value)

    def show(self, value: Any) -> None:
        self.control.value = "\n".join([value] if isinstance(value, str) else map(str, value))

    def _make_room(self, _: Any) -> None:
        self.control.rows = min(max(2, len(self.control.value.splitlines()) + 1), 10)


class _OneOf(Input):
    """A text with suggestions, which may also be something else."""

    def __init__(self, known: Sequence[Candidate], look: Mapping[str, Any]) -> None:
        self._known = {each.label: each.value for each in known}
        super().__init__(ipywidgets.Combobox(options=list(self._known), **look))

    @property
    def given(self) -> Any:
        typed = self.control.value.strip()
        return self._known.get(typed, typed)

    def show(self, value: Any) -> None:
        self.control.value = next((each for each, known in self._known.items() if known == value), value)


class _TableFile(Input):
    """The path of a CSV file, or a file of the person in front of the screen, which is kept in `params/`."""

    def __init__(self, look: Mapping[str, Any], notebook: str, environment: Environment) -> None:
        self._notebook = notebook
        self._environment = environment
        self._upload = ipywidgets.FileUpload(accept=".csv", description="Upload a CSV file", layout={"width": "auto"})
        self._told = ipywidgets.HTML()
        below = ipywidgets.HBox([self._upload, self._told], layout=INDENT)
        super().__init__(ipywidgets.Text(**look), below)
        self._upload.observe(self._on_upload, "value")

    def _on_upload(self, _: Any) -> None:
        for file in self._upload.value:
            try:
                content = bytes(file["content"])
                self.control.value = save_table(self._notebook, file["name"], content, self._environment)
                self._told.value = "Kept; its path is above."
            except (RunbookError, OSError) as error:
                self._told.value = problem(str(error))
