"""What became of a batch and of each of its jobs, as plain data."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

State = Literal["waiting", "running", "done", "failed", "timed-out", "crashed", "interrupted", "not-started"]
"""`failed`: a cell raised, because checks failed or a verification did, for example. `timed-out`: a cell took longer
than it may. `crashed`: the kernel died, or the process that looked after it. `interrupted`: somebody stopped it.
`not-started`: something that it needs has not succeeded, or the batch was stopped before its turn came."""

STATES: tuple[State, ...] = get_args(State)

ENDED_BADLY: tuple[State, ...] = ("failed", "timed-out", "crashed", "interrupted")
"""The states of jobs that were begun and not done: what `--only failed` runs again."""


@dataclass(frozen=True)
class JobRecord:
    """One job: which it is, and how it stands.

    `name` is its own in the fleet, such as `connect[222222222222]`; `account` the id of the account that it is about,
    empty when it is about none in particular. `cell` is the id of the cell in which it ended badly, `error` what was
    said there, both empty otherwise. `result` is the job's `result.json`, empty when there is none; `folder` its run
    folder, from the batch's folder; `seconds` and `attempts` count the attempts of all resumptions.
    """

    name: str
    notebook: str
    scenario: str
    account: str
    state: State
    seconds: float
    cell: str
    error: str
    result: Mapping[str, Any]
    folder: str
    attempts: int

    @property
    def succeeded(self) -> bool:
        """Whether everything asked for was done."""
        return self.state == "done"

    @property
    def earlier(self) -> tuple[str, ...]:
        """The run folders of the attempts before the last: `jobs/NAME`, `jobs/NAME.2`, and so on."""
        first = self.folder.removesuffix(f".{self.attempts}")
        return tuple(first if number == 1 else f"{first}.{number}" for number in range(1, self.attempts))


@dataclass(frozen=True)
class Batch:
    """A batch as it stands: `fleet` is the name of the fleet file, `started` a time in UTC as ISO 8601 has it.

    `seconds` is the time that somebody spent on it, resumptions included and pauses between them not.
    """

    fleet: str
    folder: str
    apply: bool
    workers: int
    started: str
    seconds: float
    jobs: tuple[JobRecord, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every job is done."""
        return all(job.succeeded for job in self.jobs)

    @property
    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state, in the order of the states, without those that no job is in."""
        found = Counter(job.state for job in self.jobs)
        return {state: found[state] for state in STATES if found[state]}
