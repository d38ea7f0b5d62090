"""Many calls at a time, but not too many: bounded, in order, with progress, and stopping at the first failure."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what) as work goes on: 512, 10000, "buckets looked at". `of` is 0 where there is nothing to
count, and `what` then says by itself what goes on. Several threads may call it."""

WORKERS = 16
"""Calls under way at a time. Enough to be bound by AWS's own limits and not by the way there; a connection pool of a
client has to hold as many."""

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
                return f"{of:,} {what} in {_duration(now - self._began)}."
            left = (now - self._began) / done * (of - done) if done else 0
            return f"{_bar(done, of)} {done:,} of {of:,} {what}" + (f", about {_duration(left)} left" if left else "")


def _bar(done: int, of: int, width: int = 20) -> str:
    filled = width * done // of
    return "█" * filled + "░" * (width - filled)


def _duration(seconds: float) -> str:
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
    results: dict[int, Result] = {}
    waiting = iter(enumerate(items))
    with ThreadPoolExecutor(min(WORKERS, len(items))) as pool:
        under_way: dict[Future[Result], int] = {}
        try:
            while True:
                # Only as many as can run: what has not been begun can still be left out.
                for index, item in waiting:
                    under_way[pool.submit(function, item)] = index
                    if len(under_way) >= WORKERS:
                        break
                if not under_way:
                    return [results[index] for index in range(len(items))]
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    results[under_way.pop(future)] = future.result()
                progress(len(results), len(items), what)
        finally:
            for future in under_way:
                with suppress(BaseException):  # the first failure is the one that is told
                    future.result()


def _one_by_one(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, progress: Progress
) -> Iterator[Result]:
    for done, item in enumerate(items, start=1):
        yield function(item)
        progress(done, len(items), what)
