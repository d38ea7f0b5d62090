"""Ctrl-C at any call: the journal stays true, the person is told how to go on, and the next command does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from runbook.sandbox.server import VARIABLE, Sandbox
from tests.faults.rules import At, Call
from tests.faults.ways import WAYS, Bystander, Trip, Undisturbed, Way

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware


def interrupt() -> None:
    """Ctrl-C: the signal goes to the thread that waits for an answer."""
    main = threading.main_thread().ident
    assert main
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ctrl_c_at_any_call_leaves_a_true_journal_and_a_run_that_goes_on(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    fresh: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    subtests: pytest.Subtests,
) -> None:
    """Before a call: it is not made. After one: it was carried out, and nobody hears of it."""
    normal = undisturbed(way)
    planned: list[Trip] = []
    for number, (phase, call, rule) in enumerate(_moments(way, normal)):
        with subtests.test(f"Ctrl-C in {phase}, {'after' if rule.after else 'before'} {call}"):
            if not planned:
                planned.append(set_out(way))
                planned[0].go("check", "plan")
            trip = set_out(way, planned[0].environment)
            trip.results |= planned[0].results
            if phase == "verify":
                trip.go("apply")
            with faults.watching(rule), pytest.raises(KeyboardInterrupt):
                trip.go(phase)
            assert bystander.contradictions(trip) == []
            assert trip.status in ({"applied"} if phase == "verify" else {"", "checked", "interrupted"})
            if number % 2:
                trip.go("apply", "verify")
                assert bystander.look() == normal.after
                assert trip.status == "done"
            if trip.journal:
                trip.go("undo")
            assert bystander.look() == normal.before
            continue
        fresh()
        planned.clear()


def _moments(way: Way, normal: Undisturbed) -> list[tuple[str, Call, At]]:
    """Every call of an apply, those that write on both sides; and of a proof, unless another way has the same."""
    moments = []
    for phase in ("apply",) if way.looks_like else ("apply", "verify"):
        for call in normal.calls[phase]:
            moments.append((phase, call, At(call, before=interrupt, lost=True)))
            if call.writes:
                moments.append((phase, call, At(call, after=interrupt, lost=True)))
    return moments


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
