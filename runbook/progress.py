"""Many calls at a time, but not too many: bounded, in order, with progress, and stopping at the first failure."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what) as work goes on: 512, 10000, "buckets looked at". `of` is 0 where there is nothing to
count, and `what` then says by itself what goes on. Several threads may call it."""

WORKERS = 16
"""Calls under way at a time; a connection pool of a client has to hold as many.

`python -m tests.bench.spread` on two busy cores, with answers that take 30 ms: 1 thread makes 30 calls a second, 8 make
220, 16 make 400, 32 make 680, for much the same CPU time a call; two processes of 16 make 610. Where answers come at
once, threads wait for Python's lock instead of AWS: `make bench` then takes 1.2 times the CPU time of a bare boto3 loop
with 8 or 16 of them, and 1.35 times with 32. Processes would bring half as much again, but accounts, sessions and the
journal would have to be divided among them: one process it is.
"""

TELLING_SECONDS = 0.1
"""How long to wait before telling again how far the work has come."""

Item = TypeVar("Item")
Result = TypeVar("Result")


MANY = 50
"""From how many things on it is worth showing how far the work has come."""


class Pace:
    """What there is to say of work as it goes on, and not too often."""

    def __init__(self, seconds: float) -> None:
        self._between = seconds
        self._lock = threading.Lock()
        self._what = ""
        self._began = self._said = 0.0

    def line(self, done: int, of: int, what: str) -> str | None:
        """The line to show now. None when there is nothing new, or it is too early to say something again; empty when
        what was said last is over.
        """
        with self._lock:
            now = time.monotonic()
            new, before = what != self._what, self._what
            if new:
                self._what, self._began, self._said = what, now, 0.0
            if not of:
                return what if new else None
            if of < MANY:
                self._what = ""
                return "" if before else None
            if done < of and now - self._said < self._between:
                return None
            self._said = now
            if done == of:
                self._what = ""
                return f"{of:,} {what} in {duration(now - self._began)}."
            left = (now - self._began) / done * (of - done) if done else 0
            return f"{_bar(done, of)} {done:,} of {of:,} {what}" + (f", about {duration(left)} left" if left else "")


def _bar(done: int, of: int, width: int = 20) -> str:
    filled = width * done // of
    return "█" * filled + "░" * (width - filled)


def duration(seconds: float) -> str:
    """`42 s` or `3 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def silent(_done: int, _of: int, _what: str) -> None:
    """Progress that nobody wants to see."""


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], *, what: str = "", progress: Progress = silent
) -> list[Result]:
    """`function` of every item, in the order of the items, for functions that wait for AWS.

    At the first exception, and at Ctrl-C, no further item is begun; what is under way is waited for, and then it is
    raised. A single item is worked on by the calling thread.
    """
    if len(items) < 2:
        return list(_one_by_one(function, items, what, progress))
    work = _Work(function, items)
    try:
        work.start()
        while not work.over.wait(TELLING_SECONDS):
            progress(len(work.results), len(items), what)
    finally:
        work.stop()
    if work.failures:
        raise work.failures[0]
    progress(len(items), len(items), what)
    return [work.results[index] for index in range(len(items))]


class _Work(Generic[Item, Result]):
    """Threads that take item after item; whoever waits is not woken for each, which costs CPU time for nothing."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self.results: dict[int, Result] = {}
        self.failures: list[BaseException] = []
        self.over = threading.Event()
        self._function = function
        self._waiting = iter(enumerate(items))
        self._lock = threading.Lock()
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._at_work = self._number = min(WORKERS, len(items))

    def start(self) -> None:
        """Begin."""
        for _ in range(self._number):
            thread = threading.Thread(target=self._take_all)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def _take_all(self) -> None:
        try:
            while not self._stopped:
                with self._lock:
                    following = next(self._waiting, None)
                if following is None:
                    break
                index, item = following
                self.results[index] = self._function(item)
        except BaseException as failure:  # noqa: BLE001 (raised by the thread that waits)
            self.failures.append(failure)
            self._stopped = True
        finally:
            with self._lock:
                self._at_work -= 1
                if not self._at_work:
                    self.over.set()


def _one_by_one(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, progress: Progress
) -> Iterator[Result]:
    for done, item in enumerate(items, start=1):
        yield function(item)
        progress(done, len(items), what)
