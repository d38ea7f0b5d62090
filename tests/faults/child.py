"""A process of its own that goes a way and is killed on it: `kill -9`, at exactly the moment that is meant."""

import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from unittest.mock import patch

from botocore.httpsession import URLLib3Session

from runbook import procedure
from tests.faults.ways import WAYS, Left, Trip, left, no_waiting, through

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Event = Literal["call", "journal"]

PROCESSES = multiprocessing.get_context("forkserver")
"""Processes that begin with everything imported, and without the threads of the one that tests."""
PROCESSES.set_forkserver_preload(["pytest", "tests.faults.child", "tests.faults.warm"])


@dataclass(frozen=True)
class Moment:
    """Right before, or right after, the `number`-th call (from 1), or the `number`-th line that the journal syncs."""

    when: Literal["before", "after"]
    event: Event
    number: int

    def __str__(self) -> str:
        return f"{self.when} {self.event} {self.number}"


class Traveler:
    """A process of its own that has come to a point of a way; copies of it go on from there, and are killed.

    It has one thread, so that it can be copied. `way` is the way's index, `before` the phases that lead to the point.
    """

    def __init__(self, way: int, folder: Path, url: str, before: tuple[str, ...]) -> None:
        self._orders, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_travel, args=(way, folder, url, before, theirs))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        self._process.join(60)
        self._process.close()

    def killed(self, folder: Path, moment: Moment, *phases: str) -> bool:
        """Go on with these phases in a copy that kills itself at the moment; whether it came to that."""
        self._orders.send((folder, moment, phases))
        assert self._orders.poll(60), "it neither ends nor kills itself"
        code = self._orders.recv()
        assert code in (0, -signal.SIGKILL), code
        return bool(code)


def moments(trip: Trip, *phases: str) -> list[tuple[Moment, Left]]:
    """Go on with a trip, in this process: every moment at which `killed` can kill, and what would be left.

    Of moments that leave the same, one after the other, only the last is told: a process that is killed leaves nothing
    else, so that nothing that comes afterwards can tell them apart.
    """
    found: list[tuple[Moment, Left]] = []

    def note(moment: Moment) -> None:
        there = left(trip.folder)
        if found and found[-1][1] == there:
            found.pop()
        found.append((moment, there))

    _go(trip, phases, note)
    return found


def _travel(way: int, folder: Path, url: str, before: tuple[str, ...], orders: "Connection") -> None:
    """Come to the point, and send a copy on its way with each order, until there are no more."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RUNBOOK_SANDBOX": url}
    procedure.FRESH_SECONDS = 0  # as in the process that tests
    trip = Trip(WAYS[way], through(url), folder)
    with no_waiting(), _closing_connections():
        for phase in before:
            trip.go(phase)
    gc.freeze()
    with suppress(EOFError):
        while True:
            there, moment, phases = orders.recv()
            orders.send(_status_of_a_copy(trip.goes_on(there), moment, phases))


def _status_of_a_copy(trip: Trip, moment: Moment, phases: tuple[str, ...]) -> int:
    """Go on in a copy of this process: its exit status, negative for the signal that ended it."""
    copy = os.fork()
    if copy:
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])

    def kill(reached: Moment) -> None:
        if reached == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        _go(trip, phases, kill)
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


@contextmanager
def _closing_connections() -> Iterator[None]:
    """Leave no connection open at the end that copies of this process would share."""
    used, send = set[URLLib3Session](), URLLib3Session.send

    def remembered(self: URLLib3Session, request: Any) -> Any:
        used.add(self)
        return send(self, request)

    with patch.object(URLLib3Session, "send", remembered):
        yield
    for session in used:
        session.close()


def _go(trip: Trip, phases: tuple[str, ...], at: Callable[[Moment], None]) -> None:
    """Go on with a trip, and do something at every moment."""
    send, sync = _with_moments(URLLib3Session.send, "call", at), _of_the_journal(trip.folder, at)
    with no_waiting(), patch.object(URLLib3Session, "send", send), patch.object(os, "fsync", sync):
        trip.go(*phases)


def _of_the_journal(folder: Path, at: Callable[[Moment], None]) -> Callable[[int], None]:
    """`os.fsync`, counted for the journal; with RUNBOOK_FAULTS=all for every file and folder that is synced."""
    counted, sync = _with_moments(os.fsync, "journal", at), os.fsync

    def choose(descriptor: int) -> None:
        journal = folder / "journal.jsonl"
        counts = os.environ.get("RUNBOOK_FAULTS") == "all" or (
            journal.exists() and os.path.samestat(os.fstat(descriptor), journal.stat())
        )
        (counted if counts else sync)(descriptor)

    return choose


def _with_moments(function: Callable[..., Any], event: Event, at: Callable[[Moment], None]) -> Callable[..., Any]:
    """`function`, counted."""
    numbers = count(1)

    def counted(*arguments: Any) -> Any:
        number = next(numbers)
        at(Moment("before", event, number))
        answer = function(*arguments)
        at(Moment("after", event, number))
        return answer

    return counted
