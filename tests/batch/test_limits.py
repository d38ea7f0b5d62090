"""Limits that a whole batch keeps to: jobs about an account at a time, and calls to it a second."""

import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from runbook import call_limit
from runbook.batch.fleet import FleetJob
from runbook.batch.schedule import Schedule, not_begun
from runbook.environment import Environment

CALLER = """
import sys, time
from runbook.call_limit import wait_for_turn
for _ in range(5):
    wait_for_turn("222222222222")
    print(time.monotonic())
"""


def jobs(**accounts: str) -> list[FleetJob]:
    return [FleetJob(name, "x.ipynb", "", {}, {}, (), (account,)) for name, account in accounts.items()]


def test_no_more_jobs_are_about_one_account_at_a_time_than_may_be() -> None:
    schedule = Schedule(jobs(a="1", b="1", c="2"), wanted={"a", "b", "c"}, jobs_at_a_time=1)
    taken = [schedule.take() for _ in range(3)]
    assert [job.name if job else None for job in taken] == ["a", "c", None]
    schedule.over("a", succeeded=False)
    after = schedule.take()
    assert after
    assert after.name == "b"


def test_in_a_preview_nobody_has_to_wait_for_what_is_not_changed_anyway() -> None:
    [first, second] = jobs(a="1", b="2")
    second = FleetJob(second.name, second.notebook, "", {}, {}, ("a",), second.accounts)
    for preview in (False, True):
        schedule = Schedule([first, second], wanted={"a", "b"}, preview=preview)
        assert schedule.take() == first
        assert schedule.take() is None
        schedule.over("a", succeeded=False)
        assert schedule.take() == (second if preview else None)
    assert not_begun([first, second], {"a": False}) == {"b": "It needs `a`, which did not succeed."}
    assert not_begun([first, second], {}) == {
        "a": "The batch ended before its turn came.",
        "b": "It needs `a`, which was not run.",
    }


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_job_that_comes_after_another_waits_for_it_whether_that_succeeds_or_not(succeeded: bool) -> None:
    [first, second] = jobs(a="1", b="2")
    second = replace(second, after=("a",))
    schedule = Schedule([first, second], wanted={"a", "b"})
    assert schedule.take() == first
    assert schedule.take() is None
    schedule.over("a", succeeded=succeeded)
    assert schedule.take() == second
    assert Schedule([first, second], wanted={"b"}).take() == second, "nobody waits for what is not run"


def test_calls_of_several_processes_to_an_account_keep_their_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(call_limit.VARIABLE, f"50 {tmp_path}")
    callers = [subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    moments = sorted(float(line) for caller in callers for line in caller.communicate()[0].splitlines())
    assert len(moments) == 10
    assert moments[-1] - moments[0] >= 9 * 0.02 - 0.01
    assert all(later > earlier for earlier, later in pairwise(moments))


def test_every_call_of_a_client_waits_for_its_turn_and_accounts_do_not_wait_for_each_other(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [environment.client("sts", account) for account in ("222222222222", "333333333333")]
    for client in clients:
        client.get_caller_identity()
    monkeypatch.setenv(call_limit.VARIABLE, f"4 {tmp_path}")
    for client, at_least, at_most in zip(clients, (0.5, 0.0), (9.0, 0.25), strict=True):
        before = time.monotonic()
        for _ in range(3 if at_least else 1):
            client.get_caller_identity()
        assert at_least <= time.monotonic() - before <= at_most
