"""What is worked out once for buckets that are alike is what would be worked out for each of them."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.aws.cloudformation import Stack
from runbook.aws.iam import Role
from runbook.aws.kms import Key
from runbook.aws.s3 import Bucket, PublicAccessBlock
from runbook.checks import Checks
from runbook.plan import Plan
from runbook.run import Run
from runbook.steps import bucket_checks, bucket_look, bucket_policy, merging, openings
from runbook.steps.alike import Alike
from runbook.steps.bucket_access import Caller
from runbook.steps.inventory import Target
from runbook.steps.openings import Opening, State
from tests.policy.drawn import NAMES, of_bucket, statements

ROLE = "arn:aws:iam::111111111111:role/scan"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
KEY = Key("arn:aws:kms:eu-west-1:222222222222:key/1", "222222222222", "eu-west-1", False, True, json.dumps(ALLOW_ALL))


def a_state(openings: tuple[Opening, ...], own: Mapping[str, Any] = ALLOW_ALL) -> State:
    stack = Stack("bucketav", "CREATE_COMPLETE", "arn:aws:cloudformation:x", {}, {"ScanRoleArn": ROLE})
    caller = Caller(Role(ROLE, (own,), None, {}), "111111111111", "o-1", (), {}, ())
    return State(stack, caller, "literal", openings, ())


def an_opening(name: str, policy: str | None, key: Key | None = None, account: str = "222222222222") -> Opening:
    return Opening(
        target=Target(account=account, bucket=name, key_policy="check"),
        bucket=Bucket(account, name, "eu-west-1", f"arn:aws:s3:::{name}", policy, "AES256", None, True, False),
        key=key,
        key_problem="",
        delete=True,
        tag=False,
    )


def tls(name: str) -> str:
    statement = {
        "Sid": "Tls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def counted(alike: Alike) -> list[Opening]:
    """The openings that are really worked out, one for each kind."""
    asked: list[Opening] = []

    def question(state: State, opening: Opening) -> tuple[()]:
        asked.append(opening)
        return ()

    for opening in alike.state.openings:
        alike.once(question, alike.model(opening))
    return asked


def test_buckets_that_differ_in_their_name_only_are_worked_out_once() -> None:
    openings = tuple(an_opening(f"data-{n:03}", tls(f"data-{n:03}") if n % 2 else None) for n in range(100))
    assert len(counted(Alike(a_state(openings)))) == 2


@pytest.mark.parametrize(
    "others",
    [
        {"policy": tls("data-1").replace("Tls", "Other")},
        {"account": "333333333333"},
        {"key": KEY},
    ],
    ids=["policy", "account", "key"],
)
def test_buckets_that_differ_in_anything_else_are_not(others: dict[str, Any]) -> None:
    openings = (an_opening("data-0", tls("data-0")), an_opening("data-1", **{"policy": tls("data-1"), **others}))
    assert len(counted(Alike(a_state(openings)))) == 2


def test_a_bucket_that_the_scan_role_s_policy_singles_out_is_worked_out_by_itself() -> None:
    own = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::data-1*"}}
    openings = tuple(an_opening(f"data-{n}", None) for n in range(20))
    named = [opening.bucket.name for opening in counted(Alike(a_state(openings, own)))]
    assert sorted(named) == sorted(["~~~~~~", "data-1", *(f"data-{n}" for n in range(10, 20))])


def test_two_states_of_a_bucket_go_by_one_name() -> None:
    """One of them could be put down to a model, the other not: both are worked out as they are."""
    now = an_opening("data-1", None)
    then = replace(now, bucket=replace(now.bucket, policy=tls("data*")))
    alike = Alike(a_state((now,)))
    assert alike.models(now, then) == (now, then)
    assert alike.models(now, now)[0] is not now


@settings(max_examples=50, deadline=None)  # a busy machine is no failure
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.one_of(st.none(), st.lists(statements(), min_size=1, max_size=2)),
            st.sampled_from([None, KEY]),
        ),
        min_size=2,
        max_size=4,
        unique_by=lambda each: each[0],
    ),
    own=st.one_of(st.none(), st.lists(statements(principal=False), min_size=1, max_size=2)),
)
def test_every_answer_is_the_one_that_is_worked_out_directly(
    drawn: list[tuple[str, list[dict[str, Any]] | None, Key | None]], own: list[dict[str, Any]] | None
) -> None:
    texts = {
        name: None if bodies is None else of_bucket({"Version": "2012-10-17", "Statement": bodies}, name)
        for name, bodies, _ in drawn
    }
    openings = tuple(an_opening(name, texts[name], key) for name, _, key in drawn)
    role = ALLOW_ALL if own is None else json.loads(of_bucket({"Version": "2012-10-17", "Statement": own}, NAMES[0]))
    state = a_state(openings, role)
    alike = Alike(state)
    proved = partial(bucket_policy._proved, True)
    for opening in openings:
        model = alike.model(opening)
        names = model.bucket.name, opening.bucket.name
        assert tuple(alike.checks(bucket_checks._bucket_checks, opening, model)) == bucket_checks._bucket_checks(
            state, opening
        )
        difference = alike.once(bucket_policy._bucket_difference, model)
        renamed = difference and tuple(text.replace(*names) for text in difference)
        assert renamed == bucket_policy._bucket_difference(state, opening)
        before = opening.with_policies({opening.bucket.arn: None})
        models = alike.models(before, opening)
        names = models[0].bucket.name, opening.bucket.name
        rows, told = alike.once(proved, *models)
        direct = proved(state, before, opening)
        assert (tuple(row.renamed(*names) for row in rows), tuple(check.renamed(*names) for check in told)) == direct


# --- ten times the buckets, ten times the work -----------------------------------------------------------------------


def calls_of(function: Callable[[], object]) -> int:
    """How many Python functions are called, which does not depend on how busy the machine is."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


def check_plan_and_prove(number: int, *, kinds: int) -> int:
    """The calls that it takes to work out everything about so many buckets, of so many kinds."""
    key_policy = json.dumps(ALLOW_ALL)
    openings: list[Opening] = []
    for n in (each % kinds for each in range(number)):
        key = replace(KEY, arn=f"{KEY.arn}-{n}", policy=key_policy.replace("*", f"kms:{n}"))
        name = f"data-{len(openings):04}"
        opening = an_opening(name, tls(name).replace("Tls", f"Tls{n}"), key)
        choice = "change" if n % 2 else "check"
        openings.append(replace(opening, target=opening.target.model_copy(update={"key_policy": choice})))
    state = a_state(tuple(openings))

    def everything() -> None:
        alike = Alike(state)
        checks = Checks.of(bucket_checks.checks_of(alike))
        changes = tuple(bucket_policy._changes(alike, leave_out=set()))
        plan = Plan(step="05-bucket-policy", scenario="", environment="x", parameters={}, changes=changes)
        for opening, before, after in merging.then_and_now(state.openings, Run(plan, True, None)):
            alike.once(partial(bucket_policy._proved, True), *alike.models(before, after))
            del opening
        assert list(bucket_policy._not_looked_at(state, Run(plan, True, None))) == []
        assert repr(checks)
        assert repr(plan)
        assert plan.to_markdown()
        assert checks.as_json()

    return calls_of(everything)


@pytest.mark.parametrize(("some", "kinds"), [(50, 10_000), (250, 4)], ids=["all different", "mostly alike"])
def test_work_grows_with_the_number_of_buckets_and_not_faster(some: int, kinds: int) -> None:
    check_plan_and_prove(20, kinds=kinds)  # fills what is kept for good
    assert check_plan_and_prove(4 * some, kinds=kinds) < 4.2 * check_plan_and_prove(some, kinds=kinds)


def test_the_keys_to_open_are_gathered_once() -> None:
    state = a_state((an_opening("data-1", None, KEY),))
    assert state.keys_to_open is state.keys_to_open


def test_a_look_is_at_many_buckets_at_a_time_and_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen buckets are only through once sixteen are being read; one after the other, the first would wait."""
    together = threading.Barrier(16, timeout=30)

    def read(_environment: Any, account: str, name: str, _block: Any) -> Bucket:
        together.wait()
        return replace(an_opening(name, None).bucket, account=account, key="alias/shared")

    asked: list[str] = []

    def read_key(_environment: Any, _account: str, _region: str, name: str) -> Key:
        asked.append(name)
        return KEY

    state = a_state(())
    monkeypatch.setattr(bucket_look, "read_bucket", read)
    monkeypatch.setattr(bucket_look, "read_key", read_key)
    monkeypatch.setattr(bucket_look, "read_account_block", lambda *_: PublicAccessBlock(True, True))
    monkeypatch.setattr(openings, "read_caller", lambda *_: state.caller)
    monkeypatch.setattr(openings, "read_stack", lambda _: state.stack)
    environment = MagicMock(account_a="111111111111")
    told: list[tuple[int, int, str]] = []
    targets = [Target(account="222222222222", bucket=f"data-{n:03}") for n in range(64)]
    found = openings.observe(environment, targets, "literal", lambda *each: told.append(each))
    assert [opening.bucket.name for opening in found.openings] == [target.bucket for target in targets]
    assert asked == ["alias/shared"], "a key that all of them use is read once"
    assert all(opening.key is KEY for opening in found.openings)
    assert (64, 64, "buckets looked at") in told
