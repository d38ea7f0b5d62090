"""Thousands of kills, short writes and full disks at random moments, in process: the journal never lies.

Each trial applies a plan in memory while the disk below the journal fails at one moment, then gives one more command
that may meet the same, then one that meets nothing. After each, the journal is held against the world.
"""

import errno
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from unittest.mock import patch

import pytest

from runbook import run as runs
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.journal import Journal
from runbook.plan import Change, Plan, Resource
from runbook.result import record
from runbook.run import undo
from tests.memory import NO_ENVIRONMENT, Memory, a_plan, in_memory, seed

TRIALS = 5_000 if os.environ.get("RUNBOOK_FAULTS") == "all" else 300

Fault = Literal["killed", "power cut", "short write", "full", "error once", "no truncation"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class Killed(BaseException):
    """`kill -9`: nothing that comes afterwards is carried out."""


class Disk:
    """The `os` of the journal and the files; from the `moment`-th write, sync or cut on, something goes wrong."""

    def __init__(self, fault: Fault, moment: int, chance: random.Random, synced: dict[int, int]) -> None:
        self.fault, self.moment, self.reached = fault, moment, 0
        self.dead = False
        self._chance = chance
        self._synced = synced  # by inode, the size that a power cut leaves: also of what was synced by commands before

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @property
    def failing(self) -> bool:
        """Return whether the moment has come, and for how long it lasts."""
        once = self.fault in ("short write", "error once")
        return self.reached == self.moment if once else self.reached >= self.moment

    def step(self) -> None:
        """Come to the next moment; nobody who is dead does."""
        if self.dead:
            raise Killed
        self.reached += 1

    def die(self) -> None:
        self.dead = True
        raise Killed

    def write(self, descriptor: int, content: memoryview) -> int:
        self.step()
        if not self.failing:
            return os.write(descriptor, content)
        some = content[: self._chance.randrange(len(content) + 1)]
        written = os.write(descriptor, some) if len(some) else 0
        if self.fault in ("killed", "power cut"):
            if self.fault == "power cut":
                synced = self._synced.get(os.fstat(descriptor).st_ino, 0)
                os.ftruncate(descriptor, self._chance.randint(synced, os.fstat(descriptor).st_size))
            self.die()
        if self.fault == "short write" and written:
            return written
        raise OSError(self._chance.choice([errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]), "the disk fails")

    def fsync(self, descriptor: int) -> None:
        """The size that is on disk is noted; waiting for it would take hours."""
        self.step()
        if self.failing and self.fault in ("killed", "power cut"):
            if self.fault == "power cut":
                synced = self._synced.get(os.fstat(descriptor).st_ino, 0)
                if os.fstat(descriptor).st_size > synced and os.path.isfile(f"/proc/self/fd/{descriptor}"):  # noqa: PTH113
                    os.ftruncate(descriptor, self._chance.randint(synced, os.fstat(descriptor).st_size))
            self.die()
        if self.failing and self.fault != "short write":
            raise OSError(errno.EIO, "the disk fails")
        self._synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def ftruncate(self, descriptor: int, size: int) -> None:
        self.step()
        if self.failing and self.fault in ("killed", "power cut"):
            self.die()
        if self.failing and self.fault == "no truncation":
            raise OSError(errno.EIO, "the disk fails")
        os.ftruncate(descriptor, size)


class Mortal(Memory):
    """A memory whose calls a dead process does not make; one may also die right before or after a call."""

    def __init__(self) -> None:
        super().__init__()
        self.disk: Disk | None = None

    def read(self, environment: Environment, resource: Resource) -> str | None:
        self._step()
        return super().read(environment, resource)

    def write(self, environment: Environment, change: Change, report: Any) -> tuple[str, ...]:
        self._step()
        told = super().write(environment, change, report)
        self._step()
        return told

    def _step(self) -> None:
        if self.disk:
            self.disk.step()
            if self.disk.failing and self.disk.fault in ("killed", "power cut"):
                self.disk.die()


@contextmanager
def on(memory: Mortal, disk: Disk) -> Iterator[None]:
    memory.disk = disk
    try:
        with patch("runbook.journal.os", disk), patch("runbook.files.os", disk):
            yield
    finally:
        memory.disk = None


def apply(plan: Plan, folder: Path) -> str:
    """Apply as `Procedure` does, result included; what is said."""
    try:
        run = runs.apply(plan, NO_ENVIRONMENT, folder)
    except RunbookError as error:
        record(folder, {"mode": "apply", "status": "apply-failed"})
        return str(error)
    record(folder, {"mode": "apply", "status": "applied"})
    return repr(run)


def take_back(_: Plan, folder: Path) -> str:
    return repr(undo(folder, NO_ENVIRONMENT))


def contradictions(memory: Mortal, plan: Plan, folder: Path) -> list[str]:
    """Where the world is otherwise than the journal says, or than it lets one expect."""
    last = {index: entry["event"] for index, entry in Journal(folder).last_events().items()}
    found = []
    for index, change in enumerate(plan.changes):
        present, event = memory.values[change.resource.arn], last.get(index, "not announced")
        allowed = {
            "not announced": [change.before],
            "undone": [change.before],
            "done": [change.after],
            "started": [change.before, change.after],
            "undo-started": [change.before, change.after],
        }[event]
        if present not in allowed:
            found.append(f"{change.name}: {event}, but {present!r}")
    return found


def a_trial(memory: Mortal, chance: random.Random, folder: Path, met: Counter[Fault]) -> str:
    """One plan, two commands that meet a fault, and one that does not; why it failed, empty when all was right."""
    values = [None, "{}", '{"a":"\u2028"}', '{"a":"b\u0085\\n"}', '{"long":"%s"}' % ("x" * 3000)]
    plan = a_plan(*(tuple(chance.sample(values, 2)) for _ in range(chance.randint(1, 4))))  # type: ignore[arg-type]
    seed(memory, plan)
    said, story, synced = "", [], dict[int, int]()
    for command in (apply, chance.choice([apply, take_back])):
        disk = Disk(chance.choice(FAULTS), chance.randint(1, 60), chance, synced)
        there = (folder / "journal.jsonl").exists()
        try:
            with on(memory, disk):
                said = command(plan, folder) if command is apply or there else ""
        except Killed:
            said = ""
        except RunbookError as error:
            said = str(error)
        met[disk.fault] += disk.reached >= disk.moment
        story.append(f"{command.__name__} {disk.fault} at {disk.moment}: {said}")
        if wrong := contradictions(memory, plan, folder):
            return "\n".join([*story, *wrong])
        stands = any(memory.values[change.resource.arn] != change.before for change in plan.changes)
        if stands and "nothing to take back" in said:
            return "\n".join([*story, "It was said that there is nothing to take back."])
    wants = chance.choice(["after", "before"])
    try:
        if wants == "after":
            said = apply(plan, folder)
        elif (folder / "journal.jsonl").exists():
            said = take_back(plan, folder)
    except RunbookError as error:
        said = str(error)
    story.append(f"at last, {wants}: {said}")
    wrong = [
        f"{change.name}: {memory.values[change.resource.arn]!r}"
        for change in plan.changes
        if memory.values[change.resource.arn] != getattr(change, wants)
    ]
    return "\n".join([*story, *wrong]) if wrong or contradictions(memory, plan, folder) else ""


@pytest.mark.parametrize("workers", [1, 3])
def test_no_change_without_its_announcement_and_never_a_false_nothing_to_undo(workers: int, tmp_path: Path) -> None:
    failures, memory, met = [], Mortal(), Counter[Fault]()
    with in_memory(memory, workers):
        for number in range(TRIALS // 2):
            folder = tmp_path / "run"
            if wrong := a_trial(memory, random.Random(number), folder, met):
                failures.append(f"trial {number}:\n{wrong}")
            shutil.rmtree(folder, ignore_errors=True)
    assert min(met[fault] for fault in FAULTS) > TRIALS // 40, f"too few faults were met to say something: {met}"
    assert not failures, f"{len(failures)} of {TRIALS // 2}\n" + "\n\n".join(failures[:5])
