"""One job as it is handed to a process, executed there, and answered: all of it plain data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from runbook.batch import evidence
from runbook.batch.record import State
from runbook.errors import RunbookError
from runbook.execute import Execution, execute, leave_evidence
from runbook.files import FileError, read_json, write_text
from runbook.parameters import shown
from runbook.secrets import redact

OUTCOME = "outcome.json"
"""Written into the run folder when the notebook has ended, before anybody else is told."""


@dataclass(frozen=True)
class JobSpec:
    """Which notebook to execute with which parameters into which folder, and how.

    `engine` is papermill's, None its own; `copy_to` an address (`s3://…`) that gets the evidence as well, or empty.
    """

    notebook: Path
    parameters: Mapping[str, Any]
    folder: Path
    engine: str | None = None
    cell_seconds: int | None = None
    copy_to: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: the fields are those of JobRecord."""

    state: State
    seconds: float
    cell: str
    error: str


def run_job(spec: JobSpec) -> Outcome:
    """Execute the job's notebook here, leave its evidence, and say how it ended."""
    execution = execute(
        spec.notebook,
        spec.parameters,
        spec.folder,
        progress=False,
        engine=spec.engine,
        cell_seconds=spec.cell_seconds,
    )
    outcome = _written(spec.folder, outcome_of(execution))
    if spec.copy_to:
        try:
            evidence.copy(spec.folder, spec.copy_to)
        except Exception as error:  # noqa: BLE001 (told as the job's; what is not there is no evidence)
            said = redact(f"Its evidence cannot be copied to {spec.copy_to}: {error}")
            outcome = Outcome("failed", outcome.seconds, outcome.cell, "\n".join(filter(None, [outcome.error, said])))
            outcome = _written(spec.folder, outcome)
    return outcome


KILLED = "The process that executed the notebook was killed."


def outcome_left(folder: Path, begun: float, error: str = KILLED) -> Outcome:
    """What became of a job that nobody heard of again, because its process or the whole batch was killed.

    `begun` is when it was begun, as `time.time()` has it. Puts its evidence in order if nobody has, with `error`.
    """
    try:
        return _read(folder)
    except FileNotFoundError:
        pass
    except RunbookError as damaged:
        error = f"{error} How the notebook ended is not known: {damaged}"
    files = [each.lstat().st_mtime for each in folder.glob("*")] if folder.exists() else []
    outcome = Outcome(
        "crashed", max([0.0, *(changed - begun for changed in files)]), leave_evidence(folder, error), error
    )
    return _written(folder, outcome) if folder.exists() else outcome


def outcome_of(execution: Execution) -> Outcome:
    """How a notebook that was executed has ended."""
    if execution.succeeded:
        return Outcome("done", execution.seconds, "", "")
    if execution.ended == "through":
        return Outcome("failed", execution.seconds, "", _failed_checks(execution.result))
    return Outcome(execution.ended, execution.seconds, execution.cell, execution.error)


def _failed_checks(result: Mapping[str, Any]) -> str:
    """Why a notebook that went through has not succeeded: a preview whose checks failed, as a rule."""
    checks = [check for check in result.get("checks", []) if check["status"] == "failed"]
    told = [f"{check['title']}: {check['found']} {check['remedy']}".strip() for check in checks]
    return "\n".join(told) or f"The run's status is {result.get('status', 'unknown: it left no result.json')}."


def outcome_from(values: Mapping[str, Any]) -> Outcome:
    """Return the outcome that was written down as these values. Raises ValueError for anything else."""
    types = {"state": str, "seconds": int | float, "cell": str, "error": str}
    if not all(isinstance(values.get(name), type_) for name, type_ in types.items()):
        raise ValueError("it lacks state, seconds, cell or error, or one of them is of another type")
    if values["state"] not in get_args(State):
        raise ValueError(f"it has the state {values['state']!r}")
    return Outcome(**{name: values[name] for name in types})


def _read(folder: Path) -> Outcome:
    """Return the outcome in a run folder. Raises FileNotFoundError where there is none, and RunbookError."""
    file = folder / OUTCOME
    try:
        return outcome_from(read_json(file))
    except FileError as error:
        raise RunbookError(f"{shown(file)}: {error.why}") from None
    except ValueError as error:
        raise RunbookError(f"{shown(file)}: is damaged; {error}. Was it edited?") from None


def _written(folder: Path, outcome: Outcome) -> Outcome:
    """Write the outcome into a run folder and return it; where that fails, as one that has failed and says why."""
    try:
        write_text(folder / OUTCOME, json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
    except RunbookError as error:
        said = "\n".join(filter(None, [outcome.error, str(error)]))
        return replace(outcome, state="failed" if outcome.state == "done" else outcome.state, error=said)
    return outcome
