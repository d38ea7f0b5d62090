"""What is worked out once for buckets that are alike is what would be worked out for each of them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.aws.cloudformation import Stack
from runbook.aws.iam import Role
from runbook.aws.kms import Key
from runbook.aws.s3 import Bucket
from runbook.steps import bucket_checks, bucket_policy
from runbook.steps.alike import Alike
from runbook.steps.inventory import Target
from runbook.steps.openings import Opening, State
from runbook.steps.scan_access import Caller
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


@settings(max_examples=50)
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
