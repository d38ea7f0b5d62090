"""A process of its own that goes a way and is killed on it: `kill -9`, at exactly the moment that is meant."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from botocore.httpsession import URLLib3Session

from tests.faults.ways import PHASES, WAYS, Left, Trip, left, no_waiting, through

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


def killed(way: int, folder: Path, url: str, moment: Moment, phases: tuple[str, ...] = PHASES) -> bool:
    """Go a way, by its index, in a process that kills itself at the moment; whether it came to that."""
    process = PROCESSES.Process(target=_travel, args=(way, folder, url, moment, phases))
    process.start()
    process.join(60)
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL), code
    return code == -signal.SIGKILL


def moments(way: int, folder: Path, url: str, phases: tuple[str, ...] = PHASES) -> list[tuple[Moment, Left]]:
    """Go a way, in this process and to its end: every moment at which `killed` can kill, and what would be left.

    Of moments that leave the same, one after the other, only the last is told: a process that is killed leaves nothing
    else, so that nothing that comes afterwards can tell them apart.
    """
    found: list[tuple[Moment, Left]] = []

    def note(moment: Moment) -> None:
        there = left(folder)
        if found and found[-1][1] == there:
            found.pop()
        found.append((moment, there))

    _go(way, folder, url, phases, note)
    return found


def _travel(way: int, folder: Path, url: str, moment: Moment, phases: tuple[str, ...]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RUNBOOK_SANDBOX": url}

    def kill(reached: Moment) -> None:
        if reached == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    _go(way, folder, url, phases, kill)


def _go(way: int, folder: Path, url: str, phases: tuple[str, ...], at: Callable[[Moment], None]) -> None:
    """Go a way with a new environment, and do something at every moment."""
    send, sync = _with_moments(URLLib3Session.send, "call", at), _of_the_journal(folder, at)
    with no_waiting(), patch.object(URLLib3Session, "send", send), patch.object(os, "fsync", sync):
        Trip(WAYS[way], through(url), folder).go(*phases)


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
