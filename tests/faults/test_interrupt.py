"""Ctrl-C at any call: the journal stays true, the person is told how to go on, and the next command does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from runbook.sandbox.server import VARIABLE, Sandbox
from tests.faults.rules import At, Call
from tests.faults.ways import WAYS, Bystander, Left, Trip, Undisturbed, Way, left

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Also where all tests were started in the background, by a shell that lets those programs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    """Ctrl-C: the signal goes to the thread that waits for an answer."""
    main = threading.main_thread().ident
    assert main
    signal.pthread_kill(main, signal.SIGINT)


WAYS_OUT = ("goes on", "is taken back")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ctrl_c_at_any_call_leaves_a_true_journal_and_a_run_that_goes_on(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    put_back: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    subtests: pytest.Subtests,
) -> None:
    """Before a call: it is not made. After one: it was carried out, and nobody hears of it.

    What comes afterwards depends on what was left, and is tried once for everything that is: most calls only read.
    """
    normal = undisturbed(way)
    planned: list[Trip] = []
    known: list[tuple[str, Left]] = []
    for call, when in _moments(normal.calls["apply"]):
        for way_out in WAYS_OUT:
            with subtests.test(f"Ctrl-C {when} {call}, then it {way_out}"):
                if not planned:
                    planned.append(set_out(way))
                    planned[0].go("check", "plan")
                trip = set_out(way, planned[0].environment)
                trip.results |= planned[0].results
                with faults.watching(_interrupted(call, when)), pytest.raises(KeyboardInterrupt):
                    trip.go("apply")
                assert bystander.contradictions(trip) == []
                assert trip.status in {"", "checked", "interrupted"}
                found = (way_out, left(trip.folder))
                if found in known:
                    put_back()
                    break
                known.append(found)
                if way_out == "goes on":
                    trip.go("apply", "verify")
                    assert bystander.look() == normal.after
                    assert trip.status == "done"
                if trip.journal:
                    trip.go("undo")
                assert bystander.look() == normal.before
                continue
            put_back()


@pytest.mark.parametrize("way", [way for way in WAYS if not way.looks_like], ids=str)
def test_ctrl_c_at_any_call_of_a_proof_leaves_everything_as_it_was(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    subtests: pytest.Subtests,
) -> None:
    """So the same run can be proved, and taken back, as if nothing had happened."""
    normal, trip = undisturbed(way), set_out(way)
    trip.go("check", "plan", "apply")
    before = left(trip.folder)
    for call in normal.calls["verify"]:
        with subtests.test(f"Ctrl-C before {call}"):
            with faults.watching(_interrupted(call, "before")), pytest.raises(KeyboardInterrupt):
                trip.go("verify")
            assert left(trip.folder) == before
    assert trip.status == "applied"
    assert bystander.contradictions(trip) == []
    trip.go("apply", "verify")
    assert bystander.look() == normal.after
    assert trip.status == "done"
    trip.go("undo")
    assert bystander.look() == normal.before


def _moments(calls: tuple[Call, ...]) -> list[tuple[Call, str]]:
    """Every call; those that write on both sides."""
    return [(call, when) for call in calls for when in (("before", "after") if call.writes else ("before",))]


def _interrupted(call: Call, when: str) -> At:
    return At(call, before=interrupt, lost=True) if when == "before" else At(call, after=interrupt, lost=True)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ctrl_c_in_the_command_says_how_to_go_on_and_that_works(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    fresh: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    sandbox: Sandbox,
) -> None:
    normal = undisturbed(way)
    trip = set_out(way)
    trip.go("check", "plan")
    started: list[subprocess.Popen[str]] = []

    def command(name: str) -> tuple[int, str, str]:
        """The real command, in a process of its own; exit status and what it says."""
        program = [sys.executable, "-c", "from runbook.cli import main; main()", name, str(trip.folder)]
        variables = os.environ | {VARIABLE: sandbox.endpoint_url}
        with subprocess.Popen(
            program, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            started.append(process)
            said, complained = process.communicate(timeout=60)
        return process.returncode, said, complained

    write = next(call for call in normal.calls["apply"] if call.changes)
    with faults.watching(At(write, after=lambda: started[-1].send_signal(signal.SIGINT), lost=True)):
        status, _, complained = command("apply")
    assert status == 1
    assert "Traceback" not in complained
    assert f"`runbook apply {trip.folder}` goes on" in complained
    assert f"`runbook undo {trip.folder}` takes back" in complained
    assert bystander.contradictions(trip) == []
    assert command("apply")[0] == 0
    assert bystander.look() == normal.after
    assert command("undo")[0] == 0
    assert bystander.look() == normal.before
