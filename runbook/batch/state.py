"""A batch on disk: its jobs in `fleet.json`, what became of them in `batch.jsonl`, a run folder for each attempt."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from runbook.batch import evidence
from runbook.batch.fleet import Fleet, FleetJob, folder_name
from runbook.batch.job import Outcome, outcome_from, outcome_left
from runbook.batch.record import Batch, JobRecord, State
from runbook.errors import RunbookError
from runbook.files import FileError, make_folder, read_json, write_text
from runbook.journal import Journal, JournalDamaged
from runbook.parameters import ParameterError, resolve_path, shown
from runbook.result import NAME as RESULT
from runbook.result import read_result
from runbook.run import new_folder, removed_if_empty

FLEET, JOURNAL, JOBS = "fleet.json", "batch.jsonl", "jobs"

_REMEDY = (
    "Nothing was resumed. Put the file back from a copy, or start a new batch: what is in place already is not changed "
    "again. Each run in `jobs/` has a journal of its own, and can be undone."
)

WAITING_SECONDS = 30.0
"""How long to wait for the processes of a batch that was killed: they put their evidence in order before they end."""


@dataclass
class Standing:
    """How a job stands, over all its attempts; `begun` is when the last of them was, as `time.time()` has it."""

    state: State = "waiting"
    seconds: float = 0.0
    cell: str = ""
    error: str = ""
    folder: str = ""
    attempts: int = 0
    begun: float = 0.0


class _Mode(BaseModel):
    """The rest of `fleet.json`: the mode the fleet runs in, and the address its evidence is copied to."""

    apply: bool
    copy_to: str


def _folder(name: str, attempt: int) -> str:
    """Return the run folder of an attempt, from the batch's folder.

    A folder with a journal is the evidence of one attempt. A dot stands in no name but within its brackets.
    """
    return f"{JOBS}/{folder_name(name)}" + (f".{attempt}" if attempt > 1 else "")


@dataclass
class BatchFolder:
    """The folder of a batch. `copy_to` is the address that evidence is copied to, empty when it stays here."""

    path: Path
    fleet: Fleet
    apply: bool
    copy_to: str
    standings: dict[str, Standing] = field(default_factory=dict)

    @classmethod
    def new(cls, fleet: Fleet, *, apply: bool, runs: Path | None, copy_to: str) -> "BatchFolder":
        """Make `runs/<time>-batch-<fleet>/`. Raises ParameterError when evidence cannot be copied where it is to go."""
        path = new_folder("batch", fleet.name, runs)
        address = f"{copy_to.rstrip('/')}/{path.name}" if copy_to else ""
        said = {"apply": apply, "copy_to": address, **asdict(fleet)}
        with removed_if_empty(path):
            write_text(path / FLEET, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
            try:
                if address:
                    evidence.refuse_unless_writable(path / FLEET, address)
            except BaseException:
                (path / FLEET).unlink()
                raise
        return cls(path, fleet, apply, address, {job.name: Standing() for job in fleet.jobs})

    @classmethod
    def found(cls, path: Path) -> "BatchFolder":
        """The batch in a folder. Raises ParameterError when there is none."""
        file = path / FLEET
        try:
            said = json.dumps(read_json(file))
            mode = _Mode.model_validate_json(said, strict=True)
            fleet = TypeAdapter(Fleet).validate_json(said, strict=True)
        except OSError as error:
            raise ParameterError(
                [f"{shown(path)}: is not the folder of a batch; {FLEET} cannot be read ({error.strerror})."]
            ) from None
        except FileError as error:
            raise ParameterError([f"{shown(file)}: {error.why}"]) from None
        except ValidationError as error:
            keys = sorted({".".join(map(str, problem["loc"])) for problem in error.errors()})
            raise ParameterError([f"{shown(file)}: is damaged; see {', '.join(keys[:3])}. Was it edited?"]) from None
        folder = cls(path, fleet, mode.apply, mode.copy_to, {job.name: Standing() for job in fleet.jobs})
        folder._replay()
        return folder

    @property
    def fleet_is_known(self) -> bool:
        """Return whether the fleet is one of `params/fleets` and named by the folder, so that nobody names it again."""
        named = re.search(r"-batch-(.+?)(-\d+)?$", self.path.name)
        file = resolve_path(self.fleet.file)
        return file.parent == resolve_path("params/fleets") and bool(named and file.stem in (named[1], named[0][7:]))

    @cached_property
    def journal(self) -> Journal:
        """What happened, an event a line."""
        return Journal(self.path, JOURNAL, _REMEDY)

    @contextmanager
    def exclusively(self) -> Iterator[int]:
        """Keep every other command from this batch, and learn what became of jobs that were under way when it ended.

        Yields the file descriptor that does it. Raises RunbookError when another command is at it.
        """
        deadline = time.monotonic() + WAITING_SECONDS
        while True:
            held = self.journal.exclusively()
            try:
                descriptor = held.__enter__()
                break
            except RunbookError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        try:
            self.standings = {job.name: Standing() for job in self.fleet.jobs}
            self._replay()
            self._settle()
            yield descriptor
        finally:
            held.__exit__(None, None, None)

    def begins(self, name: str) -> Path:
        """Note that another attempt of a job begins; its new run folder."""
        standing = self.standings[name]
        attempt = standing.attempts + 1
        folder = _folder(name, attempt)
        self.journal.write("started", job=name, attempt=attempt, folder=folder)
        self._make(folder)
        self._started(name, attempt, folder, time.time())
        return self.path / folder

    def _make(self, folder: str) -> None:
        """Make the run folder of an attempt. Raises RunbookError where a symbolic link leads somewhere else."""
        for path in (self.path / JOBS, self.path / folder):
            try:
                make_folder(path)
            except FileExistsError:
                if path.is_symlink() or not path.is_dir():
                    raise RunbookError(f"{shown(path)}: is not a folder, or a symbolic link to one.") from None

    def ended(self, name: str, outcome: Outcome) -> None:
        """Note how the attempt ended."""
        self.journal.write("ended", job=name, **asdict(outcome))
        self._ended(name, outcome)

    def copies(self, name: str) -> str:
        """Where the evidence of a job's last attempt is copied to."""
        return f"{self.copy_to}/{self.standings[name].folder}" if self.copy_to else ""

    def batch(self, why_not: Mapping[str, str]) -> Batch:
        """The batch as it stands now; `why_not` says why a job that was not begun was not."""
        events = self.journal.read()
        starts = [event for event in events if event["event"] == "batch-started"]
        return Batch(
            fleet=self.fleet.name,
            folder=str(self.path),
            apply=self.apply,
            workers=starts[-1]["workers"] if starts else 0,
            started=starts[0]["time"] if starts else "",
            seconds=_seconds(events),
            jobs=tuple(self._record(job, why_not.get(job.name)) for job in self.fleet.jobs),
        )

    def _record(self, job: FleetJob, why_not: str | None) -> JobRecord:
        standing = self.standings[job.name]
        result, damaged = self._result(standing)
        state, error = standing.state, standing.error if standing.attempts else why_not or ""
        if damaged:
            state, error = "failed" if state == "done" else state, "\n".join(filter(None, [error, damaged]))
        return JobRecord(
            name=job.name,
            notebook=Path(job.notebook).stem,
            scenario=job.scenario,
            account=job.account,
            state="not-started" if why_not and state == "waiting" else state,
            seconds=standing.seconds,
            cell=standing.cell,
            error=error,
            result=result,
            folder=standing.folder,
            attempts=standing.attempts,
        )

    def _result(self, standing: Standing) -> tuple[Mapping[str, Any], str]:
        """Return the `result.json` of a job, and why it cannot be trusted; it is there when the job is done."""
        if not standing.folder:
            return {}, ""
        folder = self.path / standing.folder
        try:
            result = read_result(folder)
        except RunbookError as error:
            return {}, f"Nobody knows what the job changed. {error}"
        missing = standing.state == "done" and not result
        return result, f"Nobody knows what the job changed: {shown(folder / RESULT)} is missing." if missing else ""

    def _replay(self) -> None:
        for event in self.journal.read():
            try:
                if event["event"] == "started":
                    name, attempt = event["job"], self.standings[event["job"]].attempts + 1
                    if (event["attempt"], event["folder"]) != (attempt, _folder(name, attempt)):
                        raise ValueError("it names another attempt or folder than follows")
                    self._started(name, attempt, event["folder"], datetime.fromisoformat(event["time"]).timestamp())
                elif event["event"] == "ended":
                    self._ended(event["job"], outcome_from(event))
                elif event["event"] == "batch-started" and type(event["workers"]) is not int:
                    raise ValueError("it does not say how many workers there are")
            except (KeyError, TypeError, ValueError) as error:
                raise JournalDamaged(
                    f"{shown(self.journal.path)}, line {event['number']}: does not fit {FLEET} and the lines before "
                    f"it ({error}). {_REMEDY}"
                ) from None
        for name, standing in self.standings.items():
            following = _folder(name, standing.attempts + 1)
            if os.path.lexists(self.path / following):
                raise JournalDamaged(
                    f"{shown(self.journal.path)}: was cut, or deleted: there is {following}, which it says nothing of. "
                    f"{_REMEDY}"
                )

    def _settle(self) -> None:
        """Jobs that are running although nobody runs them: their process, or the whole batch, was killed."""
        for name, standing in self.standings.items():
            if standing.state == "running":
                folder = self.path / standing.folder
                self.ended(name, outcome_left(folder, standing.begun))
                if self.copy_to and folder.exists():
                    evidence.copy(folder, self.copies(name))

    def _started(self, name: str, attempt: int, folder: str, begun: float) -> None:
        standing = self.standings[name]
        standing.state, standing.folder, standing.attempts, standing.begun = "running", folder, attempt, begun
        standing.cell = standing.error = ""

    def _ended(self, name: str, outcome: Outcome) -> None:
        standing = self.standings[name]
        standing.state, standing.cell, standing.error = outcome.state, outcome.cell, outcome.error
        standing.seconds += outcome.seconds


def differences(then: Fleet, now: Fleet) -> list[str]:
    """What is not the same any more about the jobs of a fleet; limits may change."""
    found = [] if then.environment == now.environment else ["the environment is described otherwise"]
    before, after = ({job.name: job for job in fleet.jobs} for fleet in (then, now))
    found += [f"job `{name}` is gone" for name in before if name not in after]
    found += [f"job `{name}` is new" for name in after if name not in before]
    for name in before:
        if name in after:
            old, new = (_plain(job) for job in (before[name], after[name]))
            found += [
                f"job `{name}`: `{key}` was {old[key]!r} and is {new[key]!r}" for key in old if old[key] != new[key]
            ]
    return found


def _plain(job: FleetJob) -> dict[str, Any]:
    """A job as it is read from JSON."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    return values


def _seconds(events: list[dict[str, Any]]) -> float:
    """The time from every start of the batch to the last that happened before the next one."""
    total, first, last = 0.0, None, None
    for event in events:
        now = datetime.fromisoformat(event["time"])
        if event["event"] == "batch-started":
            total += (last - first).total_seconds() if first and last else 0.0
            first = now
        last = now
    return total + ((last - first).total_seconds() if first and last else 0.0)
