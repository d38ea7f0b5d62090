"""A process of its own that goes a way and is killed on it: `kill -9`, at exactly the moment that is meant."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from botocore.httpsession import URLLib3Session

from tests.faults.ways import PHASES, WAYS, Trip, no_waiting, through

Event = Literal["call", "journal"]

PROCESSES = multiprocessing.get_context("forkserver")
"""Processes that begin with everything imported, and without the threads of the one that tests."""
PROCESSES.set_forkserver_preload(["pytest", "tests.faults.child"])


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


def _travel(way: int, folder: Path, url: str, moment: Moment, phases: tuple[str, ...]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RUNBOOK_SANDBOX": url}
    send = _killing(URLLib3Session.send, moment, "call")
    sync = _killing(os.fsync, moment, "journal")
    with no_waiting(), patch.object(URLLib3Session, "send", send), patch.object(os, "fsync", sync):
        Trip(WAYS[way], through(url), folder).go(*phases)


def _killing(function: Callable[..., Any], moment: Moment, event: Event) -> Callable[..., Any]:
    """`function`, counted."""
    count = 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        hit = (moment.event, moment.number) == (event, count)
        if hit and moment.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*arguments)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return counted
