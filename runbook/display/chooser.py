"""The first cell of every notebook: parameters and scenario become a form, and the form is the step that runs."""

from collections.abc import Mapping
from typing import Any

from runbook import markdown
from runbook.display import chosen, formatters
from runbook.display.address import from_address
from runbook.display.frontend import shows_widgets
from runbook.display.panel import Panel
from runbook.display.progress import NotebookProgress
from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, quoted
from runbook.procedure import Procedure
from runbook.steps.scenarios import make_step
from runbook.steps.step import Step
from runbook.untrusted import code


def choose(
    step_class: type[Step],
    *,
    environment: str,
    scenario: str = "",
    apply: object = False,
    run_folder: str = "",
    **given: Any,
) -> "Choice":
    """Start a step from a notebook's parameters. Raises ParameterError when they cannot be used.

    An empty value means "from the scenario". In JupyterLab the answer shows a form that starts from the parameters;
    what is chosen in it is what the next cells use. Headless, it shows what was chosen.
    """
    if not isinstance(apply, bool):
        # papermill's -p makes a boolean of True and False only: `-p apply false` is a text, and true like any other.
        raise ParameterError([f"`apply` is {quoted(apply)}, not True or False. With papermill write -p apply True."])
    formatters.register()
    addressed = from_address(step_class)
    environment, scenario = addressed.pop("environment", environment), addressed.pop("scenario", scenario)
    step = make_step(step_class, scenario, given | addressed)
    loaded = load_environment(environment)
    step.examine(loaded)
    return Choice(step, loaded, scenario, apply, run_folder)


class Choice(Procedure):
    """The step being chosen, and the way through it: in cells, or with the buttons below the form.

    Form and buttons are made when somebody is there to see them.
    """

    def __init__(self, step: Step, environment: Environment, scenario: str, apply: bool, folder: str) -> None:
        super().__init__(step, environment, scenario=scenario, apply=apply, folder=folder, progress=NotebookProgress())
        self._panel: Panel | None = None

    @property
    def step(self) -> Step:
        """The current, frozen step. Raises ParameterError while the form holds something that cannot be used."""
        return self._panel.form.step if self._panel else super().step

    @property
    def scenario(self) -> str:
        """The scenario that is chosen in the form; empty for none."""
        return self._panel.form.scenario if self._panel else super().scenario

    @property
    def panel(self) -> Panel:
        """The form and the buttons."""
        if self._panel is None:
            self._panel = Panel(super().step, self.environment, super().scenario, self.folder)
        return self._panel

    def __repr__(self) -> str:
        return "\n".join([f"{self.step.title}, {self._where()}", *chosen.lines(self.step)])

    def to_markdown(self) -> str:
        """What was chosen, as a table."""
        table = chosen.table(self.step, ("Parameter", "Value", "Meaning"))
        return f"**{self.step.title}**, {self._where()}\n\n{table}"

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        """The form where widgets run; what was chosen where they do not."""
        static = {"text/plain": repr(self), "text/markdown": markdown.gate(self.to_markdown())}
        return {**self.panel.view(), **static} if shows_widgets() else static

    def _where(self) -> str:
        how = "applying" if self.applies else "preview only"
        scenario = f"scenario {code(self.scenario)}" if self.scenario else "no scenario"
        return f"environment {code(self.environment.name)}, {scenario}, {how}"
