"""`kill -9` between any two calls, and between any two lines of the journal: the next command finishes or undoes it."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest

from runbook import run as runs
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Plan
from runbook.progress import silent
from runbook.sandbox.server import Sandbox
from tests.faults.child import Moment, killed
from tests.faults.ways import PHASES, WAYS, Bystander, Trip, Undisturbed, Way, through

WAYS_OUT = ("runbook apply FOLDER", "runbook undo FOLDER", "runbook run --apply")


class Operator:
    """Whoever finds what a killed process has left, and gives the next command."""

    def __init__(self, way: Way, environment: Environment, set_out: Callable[..., Trip]) -> None:
        self.way, self.environment, self._set_out = way, environment, set_out

    def gives(self, command: str, folder: Path) -> list[Path]:
        """Give the command; the folders of the runs that stand afterwards, the last one first."""
        match command:
            case "runbook apply FOLDER":
                self.resume(folder)
                return [folder]
            case "runbook undo FOLDER":
                self.undo(folder)
                return []
            case _:
                again = self.sets_out()
                again.go()
                return [again.folder, folder]

    def sets_out(self) -> Trip:
        trip: Trip = self._set_out(self.way, self.environment)
        return trip

    def resume(self, folder: Path) -> None:
        plan = Plan.load(folder)
        with patch("runbook.jobs.load_environment", lambda _: self.environment):
            procedure = procedure_of(plan, folder, silent)
        procedure.verify(procedure.apply(plan))

    def undo(self, folder: Path) -> None:
        """Take a run back; one that was killed before it had a journal did nothing, and there is nothing to undo."""
        if (folder / "journal.jsonl").exists():
            runs.undo(folder, self.environment)


@pytest.fixture
def operator(way: Way, sandbox: Sandbox, fresh: Callable[[], None], set_out: Callable[..., Trip]) -> Operator:
    return Operator(way, through(sandbox.endpoint_url), set_out)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_run_that_is_killed_is_finished_or_undone_by_the_next_command(
    way: Way,
    operator: Operator,
    undisturbed: Callable[[Way], Undisturbed],
    bystander: Bystander,
    sandbox: Sandbox,
    fresh: Callable[[], None],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    normal = undisturbed(way)
    for moment, commands in _moments(way, normal, _lines(operator, tmp_path / "counted")):
        for command in commands:
            with subtests.test(f"killed {moment}, then {command}"):
                folder = tmp_path / f"killed-{len(list(tmp_path.iterdir()))}"
                assert killed(WAYS.index(way), folder, sandbox.endpoint_url, moment), "it was through before that"
                if not command:
                    assert not (folder / "journal.jsonl").exists()
                    assert bystander.look() == normal.before
                    continue
                standing = operator.gives(command, folder)
                assert bystander.look() == (normal.after if standing else normal.before)
                for run in standing:
                    operator.undo(run)
                assert bystander.look() == normal.before
                continue
            fresh()
            operator.environment = through(sandbox.endpoint_url)


def _moments(way: Way, normal: Undisturbed, lines: int) -> Iterator[tuple[Moment, tuple[str, ...]]]:
    """When to kill, and what to try afterwards.

    Before there is a journal, nothing is there for a next command to find. Around calls that write, everything is
    tried; elsewhere the ways out take turns.
    """
    number = 0
    for phase in PHASES:
        for call in normal.calls[phase]:
            number += 1
            before, after = Moment("before", "call", number), Moment("after", "call", number)
            if call.writes and phase == "apply":
                yield before, WAYS_OUT
                yield after, WAYS_OUT
            elif phase == "apply":
                yield after, _turn(number)
            elif way.thorough and not way.looks_like:
                yield before, ("",) if phase in ("check", "plan") else _turn(number)
    for line in range(1, lines + 1):
        yield Moment("before", "journal", line), _turn(line)
        yield Moment("after", "journal", line), _turn(line + 1)


def _turn(number: int) -> tuple[str, ...]:
    return (WAYS_OUT[number % len(WAYS_OUT)],)


def _lines(operator: Operator, folder: Path) -> int:
    """How many lines the journal of an undisturbed run syncs."""
    counted, sync = 0, os.fsync

    def counting(descriptor: int) -> None:
        nonlocal counted
        counted += 1
        sync(descriptor)

    with patch.object(os, "fsync", counting):
        Trip(operator.way, operator.environment, folder).go()
    operator.undo(folder)
    return counted


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_undo_that_is_killed_is_finished_by_the_next_one_or_the_run_made_again(
    way: Way,
    operator: Operator,
    undisturbed: Callable[[Way], Undisturbed],
    bystander: Bystander,
    sandbox: Sandbox,
    fresh: Callable[[], None],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    normal, through_it = undisturbed(way), False
    for number in count(1):
        for when in ("before", "after"):
            with subtests.test(f"undo killed {when} call {number}"):
                trip = operator.sets_out()
                trip.go()
                moment = Moment("before" if when == "before" else "after", "call", number)
                through_it = not killed(WAYS.index(way), trip.folder, sandbox.endpoint_url, moment, ("undo",))
                if (number + (when == "after")) % 2:
                    operator.resume(trip.folder)
                    assert bystander.look() == normal.after
                operator.undo(trip.folder)
                assert bystander.look() == normal.before
                continue
            fresh()
            operator.environment = through(sandbox.endpoint_url)
        if through_it:
            break
    assert number > len([call for call in normal.calls["undo"] if call.service != "sts"])
