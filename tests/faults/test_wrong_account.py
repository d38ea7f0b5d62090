"""Somebody else's credentials behind an account: no call is made with them but the one that asks whose they are.

Every call of every way is walked through: with the wrong account behind each account from the start, and with
credentials that become another account's at each call. `RUNBOOK_FAULTS=all` lets them change at every single call,
otherwise at each that writes and at some of the others.
"""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook import run as runs
from runbook.aws.kinds import kind_of
from runbook.batch.job import JobSpec, run_job
from runbook.display import choose
from runbook.environment import AccountError, load_environment
from runbook.errors import RunbookError
from runbook.execute import notebook_path
from runbook.journal import Journal
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import in_parallel
from runbook.steps import findings_reading
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_state import observe
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step
from tests.display.test_buttons import press
from tests.faults.rules import At, Call
from tests.faults.wallet import HARMLESS, NAMES, OTHER, PILOT, A, B, C, Wallet, held
from tests.faults.ways import WAYS, Bystander, Trip, Way, left

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
EVERY = 1 if os.environ.get("RUNBOOK_FAULTS") == "all" else 67
"""At every so manieth of the calls that only read do credentials change."""


@pytest.fixture
def wallet(fresh: Callable[[], None], bystander: Bystander, sandbox: object, tmp_path: Path,
           monkeypatch: pytest.MonkeyPatch) -> Wallet:  # fmt: skip
    fresh()
    made = Wallet(tmp_path / "wallet", sandbox.endpoint_url, bystander.url)  # type: ignore[attr-defined]
    monkeypatch.setenv("AWS_CONFIG_FILE", str(made.folder / "config"))
    return made


@pytest.fixture
def trip(way: Way, wallet: Wallet, tmp_path: Path) -> Callable[[], Trip]:
    """Set out in a folder of its own, with an environment that knows nothing yet."""
    return lambda: Trip(way, wallet.environment(), tmp_path / f"run-{len(list(tmp_path.iterdir()))}")


def concerned(plan: Plan) -> set[str]:
    """The accounts without which the plan cannot be applied."""
    return {account for change in plan.changes for account in kind_of(change.resource).accounts(change)}


# --- the defect that this began with ---------------------------------------------------------------------------------


def test_undoing_bs_run_with_fs_credentials_in_the_shell_does_not_touch_fs_connection(
    wallet: Wallet, bystander: Bystander, faults: "Middleware", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both accounts have a connection stack of the same name."""
    file = str(wallet.by_the_shell("b"))
    wallet.in_the_shell(monkeypatch, B)
    for account, environment in ((OTHER, bystander.environment), (B, load_environment(file))):
        plan = Procedure(make_step(IamRole, "", {"accounts": [account]}), environment).plan()
        assert concerned(plan) == {account}
        runs.apply(plan, environment, tmp_path / account)
    before, journal = bystander.look(), (tmp_path / B / "journal.jsonl").read_text()

    wallet.in_the_shell(monkeypatch, OTHER)
    with held(faults) as seen, pytest.raises(AccountError) as error:
        runs.undo(tmp_path / B, load_environment(file))
    told = str(error.value)
    assert told.startswith("Nothing was changed.")
    for part in (f"account {B} (b)", f"belong to account {OTHER}", f"arn:aws:sts::{OTHER}:assumed-role/", file,
                 "AWS_ACCESS_KEY_ID", "`profile` or `role_arn`"):  # fmt: skip
        assert part in told, part
    assert not seen.changed
    assert bystander.look() == before
    assert (tmp_path / B / "journal.jsonl").read_text() == journal

    wallet.in_the_shell(monkeypatch, B)
    assert len(runs.undo(tmp_path / B, load_environment(file)).restored) == 1


# --- the walk --------------------------------------------------------------------------------------------------------


@every_way
def test_with_the_wrong_account_from_the_start_nothing_is_read_or_written_in_it(
    way: Way, wallet: Wallet, trip: Callable[[], Trip], bystander: Bystander, faults: "Middleware",
    subtests: pytest.Subtests, record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Check, plan, apply, resume, verify and undo, each with another account behind each account of the way."""
    normal = trip()
    with faults.watching() as usual:
        normal.go("check", "plan")
    seeded = bystander.look()
    accounts = {call.account for call in usual.calls} | concerned(normal.plan)
    begun = trip()
    begun.results |= normal.results
    _interrupt(begun)
    after_begin = left(begun.folder)
    with faults.watching() as usual:
        normal.go("apply", "verify")
    done = left(normal.folder)
    accounts |= {call.account for call in usual.calls}
    changed = bystander.look()
    names, walked = [name for name, account in NAMES.items() if account in accounts], 0
    assert {NAMES[name] for name in names} >= concerned(normal.plan)
    for name in names:
        wallet.put(name, OTHER)
        for what, changes in PARTS.items():
            if changes and NAMES[name] not in concerned(normal.plan):
                continue
            with subtests.test(f"{what} with another account behind {name}"):
                wrong = Trip(way, wallet.environment(), begun.folder if what == "resume" else normal.folder)
                wrong.results |= normal.results
                with held(faults) as seen:
                    failure = _failure(what, wrong)
                walked += len(seen.calls)
                assert not seen.changed
                assert bystander.look() == changed
                if changes:
                    assert isinstance(failure, AccountError)
                    assert str(failure).startswith("Nothing was changed.")
        wallet.put(name, NAMES[name])
    assert not normal.folder.with_name("nothing").exists()
    assert left(normal.folder).files["journal.jsonl"] == done.files["journal.jsonl"]
    assert left(begun.folder).files == after_begin.files
    Trip(way, wallet.environment(), normal.folder).go("undo")
    assert bystander.look() == seeded
    record_property("calls walked", walked)


PARTS = {"check": False, "plan": False, "apply": True, "resume": True, "verify": False, "undo": True}
"""The commands, and whether each makes changes."""


def _failure(what: str, trip: Trip) -> RunbookError | None:
    """Do it; how it failed."""
    try:
        match what:
            case "apply":
                runs.apply(trip.plan, trip.environment, trip.folder.with_name("nothing"))
            case "resume":
                runs.apply(trip.plan, trip.environment, trip.folder)
            case "verify":
                trip.go("verify")
                runs.in_place(trip.plan, trip.environment, {})
            case _:
                trip.go(what)
    except RunbookError as error:
        return error
    return None


def _interrupt(trip: Trip) -> None:
    """Leave a run as one that was killed right after it had begun its first change."""
    runs.save_plan(trip.plan, trip.folder)
    journal, change = Journal(trip.folder), trip.plan.changes[0]
    journal.write("run-started", fingerprint=trip.plan.fingerprint, changes=len(trip.plan.changes), resumed=False)
    journal.write("started", index=0, resource=change.resource.model_dump(), before=change.before, after=change.after)


@every_way
def test_credentials_that_become_another_accounts_at_any_call_make_no_further_one(
    way: Way, wallet: Wallet, trip: Callable[[], Trip], bystander: Bystander, faults: "Middleware",
    subtests: pytest.Subtests, fresh: Callable[[], None], record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """A renewed login, a process that answers something else: in the middle of a run, and of a single change."""
    there = trip()
    calls: list[Call] = []
    with faults.watching() as usual:
        there.go()
        there.go("undo")
    calls = [call for call in usual.calls if call.account in NAMES.values()]
    chosen = [call for number, call in enumerate(calls) if call.writes or number % EVERY == 0]
    switched = walked = 0
    for call in chosen:
        fresh()
        wallet.refill()
        before, one = bystander.look(), trip()
        (name,) = (name for name, account in NAMES.items() if account == call.account)
        with subtests.test(f"{name} is another account after {call}"):

            def switch(name: str = name) -> None:
                wallet.put(name, OTHER)

            # A look that can do without an account goes on; what needs it ends.
            with held(faults, At(call, before=switch)) as seen, suppress(RunbookError):
                one.go()
                one.go("undo")
            switched += any((each.account, each.operation) == (OTHER, "GetCallerIdentity") for each in seen.calls)
            walked += len(seen.calls)
            wallet.put(name, NAMES[name])
            if (one.folder / "journal.jsonl").exists():
                Trip(way, wallet.environment(), one.folder).go("undo")
            assert bystander.look() == before
    fresh()
    assert switched >= len(chosen) * 2 // 3, "credentials that nobody used any more prove nothing"
    record_property("calls walked", walked)


# --- other ways in ---------------------------------------------------------------------------------------------------


def test_the_buttons_stop_when_credentials_are_anothers(
    wallet: Wallet, bystander: Bystander, faults: "Middleware", tmp_path: Path
) -> None:
    before = bystander.look()
    panel = choose(
        BucketPolicy, environment=str(wallet.file), buckets=["b/uploads-b"], run_folder=str(tmp_path / "run")
    ).panel
    buttons = panel.buttons
    press(buttons, "Plan")
    press(buttons, "Apply")
    wallet.put("b", OTHER)
    with held(faults) as seen:
        assert f"belong to account {OTHER}" in press(buttons, "Apply")
    assert not seen.changed
    assert bystander.look() == before
    wallet.put("b", B)
    press(buttons, "Plan")
    press(buttons, "Apply")
    press(buttons, "Apply")
    changed = bystander.look()
    assert changed != before
    wallet.put("b", OTHER)
    with held(faults) as seen:
        for button in ("Verify", "Undo"):
            assert f"belong to account {OTHER}" in press(buttons, button)
    assert not seen.changed
    assert bystander.look() == changed
    wallet.put("b", B)
    assert "Put this resource back?" in press(buttons, "Undo")
    assert "put back" in press(buttons, "Undo")  # the click that confirms it
    assert bystander.look() == before


def test_findings_are_not_read_in_another_account(wallet: Wallet, faults: "Middleware") -> None:
    environment = wallet.environment()
    sources = findings_reading.sources_of(observe(environment, make_step(FindingsTopic, "read-findings", {})))
    assert [source.arn.split(":")[4] for source in sources] == [PILOT]
    wallet.put("pilot", OTHER)
    for asking in (environment, wallet.environment()):
        with held(faults), pytest.raises(AccountError, match=f"belong to account {OTHER}"):
            findings_reading.read(asking, sources, acknowledge=True)


def test_a_batch_job_in_another_account_fails_without_a_call_in_it(
    wallet: Wallet, bystander: Bystander, faults: "Middleware", tmp_path: Path
) -> None:
    before = bystander.look()
    wallet.put("b", OTHER)
    (tmp_path / "run").mkdir()
    parameters = {"environment": str(wallet.file), "buckets": ["b/uploads-b"], "apply": True}
    with held(faults) as seen:
        outcome = run_job(JobSpec(notebook_path("05-bucket-policy"), parameters, tmp_path / "run"))
    assert outcome.state == "failed"
    assert f"belong to account {OTHER}" in (tmp_path / "run" / "notebook.ipynb").read_text() + outcome.error
    assert any(call.account == OTHER for call in seen.calls)
    assert not seen.changed
    assert bystander.look() == before


def test_a_role_assumed_for_a_probe_is_the_one_asked_for(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = wallet.environment()
    sts, role = environment.client("sts", A), f"arn:aws:iam::{A}:role/path/Asked"
    answer = {"Credentials": {"AccessKeyId": "AKIA", "SecretAccessKey": "x", "SessionToken": "x"}}
    for found in (f"arn:aws:sts::{B}:assumed-role/Asked/runbook-probe", f"arn:aws:sts::{A}:assumed-role/Else/x"):
        monkeypatch.setattr(sts, "assume_role", lambda **_: {**answer, "AssumedRoleUser": {"Arn": found}})  # noqa: B023
        with pytest.raises(AccountError, match=f"{role} was to be assumed.*but the session is {found}"):
            environment.assume(role, A)
    with pytest.raises(AccountError, match="no role's that was assumed here"):
        environment.client_as({"aws_access_key_id": "AKIA"}, "s3", "eu-west-1")


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_sts_is_asked_once_for_each_set_of_credentials_however_many_threads_want_clients(
    wallet: Wallet, faults: "Middleware"
) -> None:
    environment = wallet.environment()

    def call(number: int) -> None:
        account = list(NAMES.values())[number % len(NAMES)]
        environment.client("s3", account, ("eu-west-1", "eu-central-1")[number % 2]).list_buckets()

    with faults.watching() as seen:
        in_parallel(call, range(100))
    asked = Counter(each.account for each in seen.calls if (each.service, each.operation) in HARMLESS)
    assert asked == dict.fromkeys(NAMES.values(), 1)
    assert len(seen.calls) == 100 + len(NAMES)
    wallet.refill()
    with faults.watching() as seen:
        in_parallel(call, range(100))
    asked = Counter(each.account for each in seen.calls if (each.service, each.operation) in HARMLESS)
    assert asked == {account: 1 for name, account in NAMES.items() if name != "management"}, "new keys, asked once"


def test_all_accounts_of_a_plan_are_verified_before_the_first_change(
    wallet: Wallet, bystander: Bystander, faults: "Middleware", tmp_path: Path
) -> None:
    """And all that are wrong are named."""
    environment, before = wallet.environment(), bystander.look()
    plan = Procedure(make_step(BucketPolicy, "", {"buckets": ["b/uploads-b", "c/archive-c"]}), environment).plan()
    assert concerned(plan) == {B, C}
    wallet.put("b", OTHER)
    wallet.put("c", OTHER)
    with held(faults) as seen, pytest.raises(AccountError) as error:
        runs.apply(plan, wallet.environment(), tmp_path / "run")
    assert str(error.value).count(f"belong to account {OTHER}") == 2
    assert {(call.service, call.operation) for call in seen.calls} == HARMLESS
    assert not (tmp_path / "run").exists()
    assert bystander.look() == before
