"""Work on many things at a time: bounded, in order, and stopping at the first failure without dropping what runs."""

import threading
import time
from typing import Any

import pytest

from runbook.progress import MANY, WORKERS, Pace, in_parallel
from runbook.terminal import TerminalProgress


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

    def tell(done: int, of: int, what: str) -> None:
        told.append((done, of, what, threading.current_thread()))

    in_parallel(str, range(40), what="buckets", progress=tell)
    assert told[-1] == (40, 40, "buckets", threading.main_thread())
    assert [each[0] for each in told] == sorted(each[0] for each in told)


def test_one_item_needs_no_thread() -> None:
    assert in_parallel(lambda _: threading.current_thread(), [0]) == [threading.main_thread()]


# --- what is said of it ----------------------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a pace goes by."""
    at = [100.0]
    monkeypatch.setattr("runbook.progress.time.monotonic", lambda: at[0])
    return at


def test_many_things_are_counted_with_the_time_that_is_left(now: list[float]) -> None:
    pace = Pace(1)
    assert pace.line(1, 1000, "buckets looked at") == "░░░░░░░░░░░░░░░░░░░░ 1 of 1,000 buckets looked at"
    now[0] += 10
    assert (
        pace.line(101, 1000, "buckets looked at")
        == "██░░░░░░░░░░░░░░░░░░ 101 of 1,000 buckets looked at, about 1 min 29 s left"
    )
    now[0] += 0.5
    assert pace.line(110, 1000, "buckets looked at") is None, "not so soon"
    now[0] += 80
    assert pace.line(1000, 1000, "buckets looked at") == "1,000 buckets looked at in 1 min 30 s."
    assert pace.line(1, 2000, "changes made") == "░░░░░░░░░░░░░░░░░░░░ 1 of 2,000 changes made", (
        "the next work has a time of its own"
    )


def test_few_things_are_not_worth_a_line(now: list[float]) -> None:
    pace = Pace(1)
    assert [pace.line(done, MANY - 1, "buckets looked at") for done in range(MANY)] == [None] * MANY


def test_what_goes_on_is_said_once_and_ends_with_the_work(now: list[float]) -> None:
    pace = Pace(1)
    assert pace.line(0, 0, "the stack is in UPDATE_IN_PROGRESS") == "the stack is in UPDATE_IN_PROGRESS"
    assert pace.line(0, 0, "the stack is in UPDATE_IN_PROGRESS") is None
    assert pace.line(0, 0, "the stack is in UPDATE_COMPLETE") == "the stack is in UPDATE_COMPLETE"
    assert pace.line(1, 1, "changes made") == ""
    assert pace.line(1, 1, "changes made") is None


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [
        (True, "\r\x1b[K░░░░░░░░░░░░░░░░░░░░ 1 of 60 x\r\x1b[K60 x in 5 s.\n\r\x1b[Kwaiting\r\x1b[K"),
        (False, "░░░░░░░░░░░░░░░░░░░░ 1 of 60 x\n60 x in 5 s.\nwaiting\n"),
    ],
)
def test_a_terminal_is_written_over_and_a_log_is_not(
    terminal: bool, expected: str, now: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    shown = TerminalProgress()
    for seconds, done, of, what in ((0, 1, 60, "x"), (0.1, 2, 60, "x"), (4.9, 60, 60, "x"), (0, 0, 0, "waiting")):
        now[0] += seconds
        shown(done, of, what)
    shown(1, 1, "changes made")
    assert capsys.readouterr().err == expected
