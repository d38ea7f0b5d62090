"""Work on many things at a time: bounded, in order, and stopping at the first failure without dropping what runs."""

import threading
import time
from typing import Any

import pytest

from runbook.progress import WORKERS, in_parallel


def test_results_come_in_the_order_of_the_items() -> None:
    def last_first(item: int) -> int:
        time.sleep((5 - item) / 200)
        return item * 2

    assert in_parallel(last_first, range(6)) == [0, 2, 4, 6, 8, 10]
    assert in_parallel(str, []) == []


def test_no_more_work_is_under_way_than_there_are_workers() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    in_parallel(work, range(5 * WORKERS))
    assert 1 < most[0] <= WORKERS


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_failure_begins_nothing_more_and_lets_what_runs_finish(failure: BaseException) -> None:
    begun: list[int] = []
    finished: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            raise failure
        time.sleep(0.05)
        finished.append(item)

    with pytest.raises(type(failure)):
        in_parallel(work, range(10 * WORKERS))
    assert len(begun) <= WORKERS
    assert sorted([*finished, 3]) == sorted(begun)


def test_progress_counts_every_item_and_is_told_by_the_waiting_thread() -> None:
    told: list[Any] = []

    def progress(done: int, of: int, what: str) -> None:
        told.append((done, of, what, threading.current_thread()))

    in_parallel(str, range(40), what="buckets", progress=progress)
    assert told[-1] == (40, 40, "buckets", threading.main_thread())
    assert [each[0] for each in told] == sorted(each[0] for each in told)


def test_one_item_needs_no_thread() -> None:
    assert in_parallel(lambda _: threading.current_thread(), [0]) == [threading.main_thread()]
