"""One job as it is handed to a process, executed there, and answered: all of it plain data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from runbook.batch import evidence
from runbook.batch.record import State
from runbook.execute import Execution, execute, leave_evidence
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
    outcome = outcome_of(execution)
    _write(spec.folder, outcome)
    if spec.copy_to:
        try:
            evidence.copy(spec.folder, spec.copy_to)
        except Exception as error:  # noqa: BLE001 (told as the job's; what is not there is no evidence)
            said = redact(f"Its evidence cannot be copied to {spec.copy_to}: {error}")
            outcome = Outcome("failed", outcome.seconds, outcome.cell, "\n".join(filter(None, [outcome.error, said])))
            _write(spec.folder, outcome)
    return outcome


KILLED = "The process that executed the notebook was killed."


def outcome_left(folder: Path, begun: float, error: str = KILLED) -> Outcome:
    """What became of a job that nobody heard of again, because its process or the whole batch was killed.

    `begun` is when it was begun, as `time.time()` has it. Puts its evidence in order if nobody has, with `error`.
    """
    file = folder / OUTCOME
    if file.exists():
        left = json.loads(file.read_text(encoding="utf-8"))
        assert left["state"] in get_args(State)
        return Outcome(**left)
    files = [each.stat().st_mtime for each in folder.glob("*")] if folder.exists() else []
    outcome = Outcome(
        "crashed", max([0.0, *(changed - begun for changed in files)]), leave_evidence(folder, error), error
    )
    if folder.exists():
        _write(folder, outcome)
    return outcome


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


def _write(folder: Path, outcome: Outcome) -> None:
    part = folder / f"{OUTCOME}.part"
    part.write_text(json.dumps(asdict(outcome), ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(folder / OUTCOME)
