"""Which notebooks to run with which parameters, validated before the first one starts; run in order, and summed up."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.environment import Environment, load_environment
from runbook.execute import Execution, execute, notebook_path
from runbook.parameters import ParameterError, shown
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import Progress
from runbook.report import show, told, write_report
from runbook.run import new_folder, removed_if_empty
from runbook.steps import STEPS, asked_class, step_class
from runbook.steps.scenarios import examine_file, make_step, read_parameter_file, scenario_in, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.step import Asked
from runbook.terminal import echo
from runbook.untrusted import code

DEFAULT_ENVIRONMENT = "sandbox"
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
        first = _job(StartHere.notebook, {"scenario": _first_scenario(environment)}, environment)
        return [first, *(job for name in STEPS for job in _every_scenario(name, environment))]
    name = Path(notebook).name.removesuffix(".ipynb")
    asked_class(name)
    if not (scenario or params or given):
        return _every_scenario(name, environment)
    if params:
        file = read_parameter_file(params)
        named = environment or str(file.values.get("environment") or DEFAULT_ENVIRONMENT)
        examine_file(asked_class(name), file, load_environment(named))
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


def run_all(jobs: Sequence[Job], *, apply: bool, runs: Path | None) -> bool:
    """Run the jobs one after the other, print how each went, and say whether all succeeded.

    Ctrl-C ends the run that is on and starts no other; the report tells of all that were started.
    """
    executions: list[Execution] = []
    sandbox_stays = bool(os.environ.get(SANDBOX_VARIABLE))
    echo(f"{markdown.count(len(jobs), 'run')}, {'changes are made' if apply else 'a preview: nothing is changed'}.")
    with shared_sandbox(any(job.environment.file.sandbox for job in jobs)):
        for number, job in enumerate(jobs, start=1):
            echo(f"[{number}/{len(jobs)}] {job.notebook} {job.scenario} ({job.environment.name})")
            folder = new_folder(job.notebook, job.scenario, runs)
            parameters = {**job.parameters, "apply": apply}
            with removed_if_empty(folder):
                execution = execute(notebook_path(job.notebook), parameters, folder, progress=sys.stderr.isatty())
            executions.append(execution)
            echo("\n".join(f"      {line}" for line in told(execution)))
            if execution.ended == "interrupted":
                kept = apply and (sandbox_stays or not job.environment.file.sandbox)
                echo(_stopped(execution, kept=kept, not_started=len(jobs) - number), err=True)
                break
    show(executions, write_report(executions, runs))
    return all(execution.succeeded for execution in executions)


def _stopped(execution: Execution, *, kept: bool, not_started: int) -> str:
    """Where Ctrl-C hit and, when changes may have been made and are kept, how to go on."""
    folder = shown(execution.folder)
    left = folder if execution.folder.exists() else "nothing was begun"
    said = f"Stopped in {' '.join([execution.notebook, execution.scenario]).strip()}: {left}."
    if kept and (execution.folder / "plan.json").exists():
        said += f" `runbook apply {folder}` goes on there; `runbook undo {folder}` takes back what was changed."
    return said + (f" Not started: {markdown.count(not_started, 'run')}." if not_started else "")


def _every_scenario(notebook: str, environment: str | None) -> list[Job]:
    loaded = load_environment(environment or DEFAULT_ENVIRONMENT)
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
    return scenario_in(StartHere, StartHere.default_scenario, load_environment(environment or DEFAULT_ENVIRONMENT))


def _job(notebook: str, values: Mapping[str, Any], environment: str | None) -> Job:
    loaded = load_environment(environment or str(values.get("environment") or DEFAULT_ENVIRONMENT))
    scenario = str(values.get("scenario", ""))
    own = {name: value for name, value in values.items() if name not in ("environment", "scenario")}
    asked = make_step(asked_class(notebook), scenario, own, environment=loaded)
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
