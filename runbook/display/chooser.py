"""The first cell of every notebook: parameters and scenario become a form, and the form is the step that runs."""

from collections.abc import Mapping
from typing import Any

from runbook import markdown
from runbook.display import chosen, formatters
from runbook.display.address import from_address
from runbook.display.band import band
from runbook.display.frontend import shows_widgets
from runbook.display.halted import halts
from runbook.display.panel import Panel
from runbook.display.progress import NotebookProgress
from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, quoted
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.run import Run
from runbook.steps.scenarios import make_step, merge_values, scenario_in
from runbook.steps.step import Step
from runbook.untrusted import code, printable


@halts
def choose(
    step_class: type[Step],
    *,
    environment: str,
    scenario: str = "",
    apply: object = False,
    run_folder: str = "",
    **given: Any,
) -> Any:
    """Start a step from a notebook's parameters. Headless, raises ParameterError when they cannot be used.

    An empty value means "from the scenario". In JupyterLab the answer shows a form that starts from the parameters;
    what is chosen in it is what the next cells use, and what is wrong or missing stands beside its field. Headless, it
    shows what was chosen.
    """
    if not isinstance(apply, bool):
        # papermill's -p makes a boolean of True and False only: `-p apply false` is a text, and true like any other.
        raise ParameterError([f"`apply` is {quoted(apply)}, not True or False. With papermill write -p apply True."])
    formatters.register()
    addressed = from_address(step_class)
    environment, scenario = addressed.pop("environment", environment), addressed.pop("scenario", scenario)
    loaded = load_environment(environment)
    scenario = scenario_in(step_class, scenario, loaded)
    values = merge_values(step_class, scenario, given | addressed, loaded)
    try:
        step = make_step(step_class, scenario, given | addressed, environment=loaded)
        step.examine(loaded)
    except ParameterError as error:
        if not shows_widgets():
            raise
        return Choice(step_class, values, error, loaded, scenario, apply, run_folder)
    return Choice(step_class, values, step, loaded, scenario, apply, run_folder)


class Choice(Procedure):
    """The step being chosen, and the way through it: in cells, or with the buttons below the form.

    Form and buttons are made when somebody is there to see them.
    """

    def __init__(
        self,
        step_class: type[Step],
        values: Mapping[str, Any],
        step: Step | ParameterError,
        environment: Environment,
        scenario: str,
        apply: bool,
        folder: str,
    ) -> None:
        self._class = step_class
        self._values = values
        self._given = step
        self._panel: Panel | None = None
        made = step if isinstance(step, Step) else step_class.model_construct()  # never used: see `step`
        super().__init__(made, environment, scenario=scenario, apply=apply, folder=folder, progress=NotebookProgress())

    @property
    def step(self) -> Step:
        """The current, frozen step. Raises ParameterError while the form holds something that cannot be used."""
        if self._panel:
            return self._panel.form.step
        if isinstance(self._given, ParameterError):
            raise self._given
        return self._given

    @property
    def scenario(self) -> str:
        """The scenario that is chosen in the form; empty for none."""
        return self._panel.form.scenario if self._panel else super().scenario

    @property
    def panel(self) -> Panel:
        """The form and the buttons."""
        if self._panel is None:
            self._panel = Panel(self._class, self._values, self.environment, super().scenario, self.folder)
        return self._panel

    # --- the cells: in front of people, what is missing or refused is said instead of raised ---

    @halts
    def check(self) -> Any:
        return super().check()

    @halts
    def plan(self) -> Any:
        return super().plan()

    @halts
    def preview(self, plan: Plan) -> Any:
        return super().preview(plan)

    @halts
    def apply(self, plan: Plan) -> Any:
        return super().apply(plan)

    @halts
    def verify(self, run: Run) -> Any:
        return super().verify(run)

    def __repr__(self) -> str:
        if not self._usable:
            return self._headline()
        return "\n".join([self._headline(), printable(self._band()), *chosen.lines(self.step)])

    def to_markdown(self) -> str:
        """Return the chosen values as a table; only the headline while something is missing or wrong."""
        if not self._usable:
            return f"{self._band()}\n\n**{self._class.title}**, {self._where()}"
        table = chosen.table(self.step, ("Parameter", "Value", "Meaning"))
        return f"{self._band()}\n\n**{self._class.title}**, {self._where()}\n\n{table}"

    @property
    def _usable(self) -> bool:
        return self._panel.form.usable if self._panel else isinstance(self._given, Step)

    def _band(self) -> str:
        return band(self.environment, ask=not shows_widgets())

    def _headline(self) -> str:
        return f"{self._class.title}, {self._where()}"

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        """The form where widgets run; what was chosen where they do not."""
        static = {"text/plain": repr(self), "text/markdown": markdown.gate(self.to_markdown())}
        return {**self.panel.view(), **static} if shows_widgets() else static

    def _where(self) -> str:
        how = "applying" if self.applies else "preview only"
        scenario = f"scenario {code(self.scenario)}" if self.scenario else "no scenario"
        return f"environment {code(self.environment.name)}, {scenario}, {how}"
