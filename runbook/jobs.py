"""The notebooks to run and their parameters, validated before the first one starts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook import commands, running_sandbox
from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, Written, shown
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import Progress
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox, SandboxError
from runbook.steps import STEPS, asked_class, step_class
from runbook.steps.scenarios import examine_file, make_step, read_parameter_file, scenario_in, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.step import Asked
from runbook.terminal import echo
from runbook.untrusted import code

DEFAULT_ENVIRONMENT = "sandbox"
ENVIRONMENT_VARIABLE = "RUNBOOK_ENVIRONMENT"
"""Names the environment of all commands that name none themselves, nor in their parameters."""


KEEP_ONE_RUNNING = (
    f"To apply and undo in the sandbox, keep one running: {commands.span('sandbox')} in another terminal. Commands and "
    "notebooks of this project find it. Then plan again."
)


IN_THE_SANDBOX = "All of this was in the sandbox, a simulation on this machine: no AWS account was read or changed."


@dataclass(frozen=True)
class Job:
    """One notebook with the parameters that it gets, and what they were found to ask for.

    `named` says that somebody has named the environment: it is not the sandbox for want of another.
    """

    notebook: str
    scenario: str
    environment: Environment
    asked: Asked
    parameters: Mapping[str, Any]
    named: bool = True

    def procedure(self, folder: Path, progress: Progress) -> Procedure:
        """The way through the step without its notebook. Raises ParameterError for a notebook that changes nothing."""
        if self.notebook not in STEPS:
            raise ParameterError(
                [f"{self.notebook} changes nothing: there is no plan to make. {code(self._command)} runs it."]
            )
        step = make_step(step_class(self.notebook), "", self.asked.as_given())
        return Procedure(step, self.environment, scenario=self.scenario, folder=str(folder), progress=progress)

    @property
    def _command(self) -> str:
        """The line that runs the notebook with the same parameters."""
        own = {name: value for name, value in self.parameters.items() if name not in ("environment", "scenario")}
        environment = self.parameters["environment"]
        return commands.for_notebook("run", self.notebook, environment, scenario=self.scenario, values=own)


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
        first = _job(StartHere.notebook, {"scenario": _first_scenario(environment)}, environment)
        return [first, *(job for name in STEPS for job in _every_scenario(name, environment))]
    name = Path(notebook).name.removesuffix(".ipynb")
    asked_class(name)
    if not (scenario or params or given):
        return _every_scenario(name, environment)
    if params:
        file = read_parameter_file(params)
        named = environment or str(file.values.get("environment") or "")
        examine_file(asked_class(name), file, environment_of(named))
        values = dict(file.values)
        if "apply" in values:
            raise ParameterError([f"{shown(params)}: `apply` does not belong in a file; say --apply."])
    else:
        values = {"scenario": scenario} if scenario else {}
    if "apply" in given:
        raise ParameterError(["-p apply: to make the changes, say --apply."])
    return [_job(name, values | dict(given), environment)]


def procedure_of(plan: Plan, folder: Path, progress: Progress) -> Procedure:
    """The way through for a plan that was saved, with the step and the environment that it was made for.

    Nothing else of the plan is used: what it says is to be changed is worked out again.
    """
    environment = load_environment(plan.environment)
    step = make_step(step_class(plan.step), "", plan.parameters, "the parameters in plan.json", Written.FILE)
    return Procedure(step, environment, scenario=plan.scenario, folder=str(folder), progress=progress)


def _every_scenario(notebook: str, environment: str | None) -> list[Job]:
    loaded = environment_of(environment or "")
    names = scenario_names(notebook, loaded)
    if not names and asked_class(notebook) is not StartHere:
        raise ParameterError(
            [
                f"{notebook}: environment {code(loaded.name)} has no saved scenarios, and the samples are for the "
                "sandbox. Give values with `-p NAME VALUE` or `--params FILE`, or save a scenario in the form."
            ]
        )
    return [_job(notebook, {"scenario": scenario}, environment) for scenario in names or [""]]


def _first_scenario(environment: str | None) -> str:
    """Return the sample that 00-start-here begins with: its others are other answers to the same questions."""
    return scenario_in(StartHere, StartHere.default_scenario, environment_of(environment or ""))


def _job(notebook: str, values: Mapping[str, Any], environment: str | None) -> Job:
    given = environment or str(values.get("environment") or "")
    named, loaded = environment_named(given), environment_of(given)
    scenario = str(values.get("scenario", ""))
    own = {name: value for name, value in values.items() if name not in ("environment", "scenario")}
    asked = make_step(asked_class(notebook), scenario, own, written=Written.COMMAND, environment=loaded)
    asked.examine(loaded)
    parameters = {**own, "environment": named or DEFAULT_ENVIRONMENT, "scenario": scenario}
    return Job(notebook, scenario, loaded, asked, parameters, bool(named))


def environment_of(given: str) -> Environment:
    """Return the environment that was given with the command, else that of RUNBOOK_ENVIRONMENT, else the sandbox.

    Raises ParameterError, which names the variable where nobody has typed the name.
    """
    name = environment_named(given)
    try:
        return load_environment(name or DEFAULT_ENVIRONMENT)
    except ParameterError as error:
        if given or not name:
            raise
        raise ParameterError([f"{ENVIRONMENT_VARIABLE}: {problem}" for problem in error.problems]) from None


def environment_named(given: str = "") -> str:
    """Return the environment that was given with the command, or else by RUNBOOK_ENVIRONMENT; empty for neither."""
    return given or os.environ.get(ENVIRONMENT_VARIABLE, "")


def in_a_sandbox_of_its_own(*, sandbox: bool) -> bool:
    """Return whether an environment, which is a sandbox or not, is one that ends with this command.

    Raises ParameterError when the shared sandbox that is named does not answer.
    """
    return sandbox and _running_sandbox() is None


def tell_of_sandbox(*, sandbox: bool) -> None:
    """Print, as the last line of a command, that it worked in the sandbox; nothing on real accounts."""
    if in_a_sandbox_of_its_own(sandbox=sandbox):
        echo(f"{IN_THE_SANDBOX} Its sandbox is gone now. {KEEP_ONE_RUNNING}")
    elif sandbox:
        echo(IN_THE_SANDBOX)


@contextmanager
def shared_sandbox(wanted: bool = True, *, announced: bool = False) -> Iterator[None]:
    """One sandbox for all the kernels that are started inside: the one that is running, or else a new one.

    With `announced`, commands in other shells find the new one as well. Raises ParameterError.
    """
    if not wanted or _running_sandbox():
        yield
        return
    before = os.environ.get(server.VARIABLE)
    try:
        sandbox = server.start()
        os.environ[server.VARIABLE] = sandbox.endpoint_url
    except SandboxError as error:
        raise ParameterError([str(error)]) from None
    try:
        with running_sandbox.announced(sandbox) if announced and before != server.PRIVATE else nullcontext():
            yield
    finally:
        os.environ.pop(server.VARIABLE)
        os.environ.update({server.VARIABLE: before} if before is not None else {})
        server.stop()


def _running_sandbox() -> Sandbox | None:
    try:
        return running_sandbox.find()
    except SandboxError as error:
        raise ParameterError([str(error)]) from None
