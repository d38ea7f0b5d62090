"""The notebooks to run and their parameters, validated before the first one starts."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, shown
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import Progress
from runbook.steps import STEPS, asked_class, step_class
from runbook.steps.scenarios import examine_file, make_step, read_parameter_file, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.step import Asked

DEFAULT_ENVIRONMENT = "sandbox"
FIRST_SCENARIO = "few-accounts"
"""The one that 00-start-here begins with; its others are other answers to the same questions."""

SANDBOX_VARIABLE = "RUNBOOK_SANDBOX"

KEEP_ONE_RUNNING = (
    "To apply and undo in the sandbox, keep one running: `runbook sandbox` in another terminal; set what it prints, "
    "and plan there."
)


@dataclass(frozen=True)
class Job:
    """One notebook with the parameters that it gets, and what they were found to ask for."""

    notebook: str
    scenario: str
    environment: Environment
    asked: Asked
    parameters: Mapping[str, Any]

    def procedure(self, folder: Path, progress: Progress) -> Procedure:
        """The way through the step without its notebook. Raises ParameterError for a notebook that changes nothing."""
        step = make_step(step_class(self.notebook), "", self.asked.as_given())
        return Procedure(step, self.environment, scenario=self.scenario, folder=str(folder), progress=progress)


def prepare(
    notebook: str,
    *,
    scenario: str | None,
    params: Path | None,
    given: Mapping[str, Any],
    environment: str | None,
) -> list[Job]:
    """The jobs that a command line describes. Raises ParameterError for anything that is not known or cannot be used.

    Without scenario, file or values, every scenario of the notebook is a job.
    """
    if notebook == "all":
        if scenario or params or given:
            raise ParameterError(
                ["`all` runs every scenario of every notebook; name one notebook to choose its parameters."]
            )
        first = _job(StartHere.notebook, {"scenario": FIRST_SCENARIO}, environment)
        return [first, *(job for name in STEPS for job in _every_scenario(name, environment))]
    name = Path(notebook).name.removesuffix(".ipynb")
    asked_class(name)
    if not (scenario or params or given):
        return _every_scenario(name, environment)
    if params:
        file = read_parameter_file(params)
        examine_file(asked_class(name), file)
        values = dict(file.values)
        if "apply" in values:
            raise ParameterError([f"{shown(params)}: `apply` does not belong in a file; say --apply."])
    else:
        values = {"scenario": scenario} if scenario else {}
    return [_job(name, values | dict(given), environment)]


def procedure_of(plan: Plan, folder: Path, progress: Progress) -> Procedure:
    """The way through for a plan that was saved, with the step and the environment that it was made for.

    Nothing else of the plan is used: what it says is to be changed is worked out again.
    """
    environment = load_environment(plan.environment)
    step = make_step(step_class(plan.step), "", plan.parameters, "the parameters in plan.json")
    return Procedure(step, environment, scenario=plan.scenario, folder=str(folder), progress=progress)


def log_in(environments: Iterable[Environment]) -> None:
    """Ask for the MFA codes that environments take, here: notebooks run where nobody can be asked."""
    for environment in {each.where: each for each in environments}.values():
        environment.log_in()


def _every_scenario(notebook: str, environment: str | None) -> list[Job]:
    return [_job(notebook, {"scenario": scenario}, environment) for scenario in scenario_names(notebook)]


def _job(notebook: str, values: Mapping[str, Any], environment: str | None) -> Job:
    loaded = load_environment(environment or str(values.get("environment") or DEFAULT_ENVIRONMENT))
    scenario = str(values.get("scenario", ""))
    own = {name: value for name, value in values.items() if name not in ("environment", "scenario")}
    asked = make_step(asked_class(notebook), scenario, own)
    asked.examine(loaded)
    named = environment or str(values.get("environment") or DEFAULT_ENVIRONMENT)
    return Job(notebook, scenario, loaded, asked, {**own, "environment": named, "scenario": scenario})


def in_a_sandbox_of_its_own(*, sandbox: bool) -> bool:
    """Whether an environment, which is a sandbox or not, is one that ends with this command."""
    return sandbox and not os.environ.get(SANDBOX_VARIABLE)


@contextmanager
def shared_sandbox(wanted: bool = True) -> Iterator[None]:
    """One sandbox for all the kernels that are started inside, found by them through one environment variable."""
    if os.environ.get(SANDBOX_VARIABLE) or not wanted:
        yield
        return
    from runbook.sandbox import server

    try:
        os.environ[SANDBOX_VARIABLE] = server.start().endpoint_url
    except server.SandboxError as error:
        raise ParameterError([str(error)]) from None
    try:
        yield
    finally:
        del os.environ[SANDBOX_VARIABLE]
        server.stop()
