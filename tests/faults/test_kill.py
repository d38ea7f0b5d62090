"""`kill -9` at any moment that leaves something else than the one before: the next command finishes or undoes it."""

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import pytest

from runbook import run as runs
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Plan
from runbook.progress import silent
from runbook.sandbox.server import Sandbox
from tests.faults.child import Traveler, moments
from tests.faults.ways import WAYS, Bystander, Left, Trip, Undisturbed, Way, through

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

    @cached_property
    def planned(self) -> Trip:
        """A trip that stands before its apply."""
        trip = self.sets_out()
        trip.go("check", "plan")
        return trip

    def sets_out_planned(self) -> Trip:
        """Set out with the answers of the trip that was planned once."""
        trip = self.sets_out()
        trip.results |= self.planned.results
        return trip

    def resume(self, folder: Path) -> None:
        plan = Plan.load(folder)
        with patch("runbook.jobs.load_environment", lambda _: self.environment):
            procedure = procedure_of(plan, folder, silent)
        procedure.verify(procedure.apply_saved(plan, lambda _: None))

    def undo(self, folder: Path) -> None:
        """Take a run back; one that was killed before it had a journal did nothing, and there is nothing to undo."""
        if (folder / "journal.jsonl").exists():
            runs.undo(folder, self.environment)


@pytest.fixture
def operator(way: Way, sandbox: Sandbox, put_back: object, set_out: Callable[..., Trip]) -> Operator:
    return Operator(way, through(sandbox.endpoint_url), set_out)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_run_that_is_killed_is_finished_or_undone_by_the_next_command(
    way: Way,
    operator: Operator,
    undisturbed: Callable[[Way], Undisturbed],
    bystander: Bystander,
    sandbox: Sandbox,
    put_back: Callable[[], None],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    normal = undisturbed(way)
    for begins, phases in (((), ("check", "plan")), (("check", "plan"), ("apply", "verify"))):
        point = Trip(way, through(sandbox.endpoint_url), tmp_path / f"point-{len(begins)}")
        for phase in begins:
            point.go(phase)
        found = moments(point.goes_on(tmp_path / f"alive-{len(begins)}"), *phases)
        put_back()
        with Traveler(WAYS.index(way), tmp_path / "point", sandbox.endpoint_url, begins) as traveler:
            for number, (moment, left) in enumerate(found):
                for command in _ways_out(number, left):
                    with subtests.test(f"killed {moment} of {phases[0]}, then {command}"):
                        folder = tmp_path / f"killed-{len(list(tmp_path.iterdir()))}"
                        assert traveler.killed(folder, moment, *phases), "it was through before that"
                        assert {file.name for file in folder.glob("*")} == set(left.files)
                        if not command:
                            assert bystander.look() == normal.before
                            continue
                        standing = operator.gives(command, folder)
                        assert bystander.look() == (normal.after if standing else normal.before)
                        for run in standing:
                            operator.undo(run)
                        assert bystander.look() == normal.before
                        continue
                    put_back()


def _ways_out(number: int, left: Left) -> tuple[str, ...]:
    """What to try afterwards. Before there is a plan, nothing is there for a next command to find; when nobody knows
    whether a change was made, everything is tried; elsewhere the ways out take turns."""
    if "plan.json" not in left.files:
        return ("",)
    events = [json.loads(line)["event"] for line in left.files.get("journal.jsonl", "").splitlines()]
    return WAYS_OUT if events[-1:] == ["started"] else (WAYS_OUT[number % len(WAYS_OUT)],)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_undo_that_is_killed_is_finished_by_the_next_one_or_the_run_made_again(
    way: Way,
    operator: Operator,
    undisturbed: Callable[[Way], Undisturbed],
    bystander: Bystander,
    sandbox: Sandbox,
    put_back: Callable[[], None],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    normal, alive = undisturbed(way), operator.sets_out_planned()
    alive.go("apply", "verify")
    found = moments(alive, "undo")
    with Traveler(WAYS.index(way), tmp_path / "point", sandbox.endpoint_url, ("check", "plan")) as traveler:
        for moment, _ in found:
            for next_one in ("undo", "apply"):
                with subtests.test(f"undo killed {moment}, then {next_one}"):
                    trip = operator.sets_out_planned()
                    trip.go("apply")
                    assert traveler.killed(trip.folder, moment, "undo")
                    if next_one == "apply":
                        operator.resume(trip.folder)
                        assert bystander.look() == normal.after
                    operator.undo(trip.folder)
                    assert bystander.look() == normal.before
                    continue
                put_back()
