"""No statement merged into a key's policy takes anything from its administrators; and what would is found."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.aws.kms import OURS, Key
from runbook.policy import actions, document, keys
from runbook.policy.document import Document
from runbook.policy.evaluate import ANYTHING, Request, Verdict, evaluate
from runbook.policy.statements import Mode
from runbook.steps.key_policies import READ, WRITE, in_other_mode, wanted_key_policy
from runbook.steps.merging import MODES

ACCOUNT, OTHER = "222222222222", "111111111111"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"
ROLES = [f"arn:aws:iam::{OTHER}:role/bucketav-quarantine", f"arn:aws:iam::{OTHER}:role/bucketav-move-clean"]
# A connection's role is in the key's own account, and might even administer the key.
OWN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/bucketav-AccountConnection"

PRINCIPALS: list[Any] = [
    ROOT,
    {"AWS": ACCOUNT},
    {"AWS": ADMIN},
    {"AWS": [ADMIN, ROLES[0]]},
    {"AWS": OWN_ROLE},
    {"AWS": f"arn:aws:iam::{OTHER}:root"},
    {"Service": "logs.amazonaws.com"},
    "*",
]
ACTIONS: list[Any] = ["kms:*", "kms:Put*", "kms:Decrypt", ["kms:GenerateDataKey", "kms:Decrypt"], ["kms:Describe*"]]
CONDITIONS: list[Any] = [
    {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
    {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}},
    {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
]


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": draw(st.sampled_from(["bucketAVDecrypt", "bucketAVEncrypt", "Ours", "Theirs"])),
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"])),
        "Principal": draw(st.sampled_from(PRINCIPALS)),
        "Action": draw(st.sampled_from(ACTIONS)),
        "Resource": "*",
    }
    if draw(st.integers(0, 3)) == 0:
        statement["Condition"] = draw(st.sampled_from(CONDITIONS))
    return statement


POLICIES = st.lists(statements(), min_size=1, max_size=5).map(
    lambda found: json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": found})
)
NEEDS = st.dictionaries(st.sampled_from([*ROLES, OWN_ROLE]), st.sampled_from([READ, WRITE]), min_size=1)


def key(policy: str) -> Key:
    return Key(KEY, ACCOUNT, "eu-west-1", False, True, policy)


def verdict(policy: Document, principal: str, action: str) -> Verdict:
    request = Request(principal, action, KEY, ACCOUNT, {"aws:PrincipalArn": principal}, unknown=["*"])
    return evaluate(request, identity_policies=(ANYTHING,), resource_policy=policy.body).verdict


@settings(max_examples=150, deadline=None)
@given(policy=POLICIES, needs=NEEDS, mode=st.sampled_from(MODES))
def test_no_plan_can_lock_out_an_administrator_or_lose_a_foreign_statement(
    policy: str, needs: dict[str, tuple[str, ...]], mode: Mode
) -> None:
    before = document.parse(policy, "policy")
    after = wanted_key_policy(key(policy), needs, mode, "AddOn")
    ours = [each for role in needs for each in _of(role)]
    foreign = [each for each in before.statements if not any(document.same_meaning(each, own) for own in ours)]
    assert [each for each in after.statements if not any(document.same_meaning(each, own) for own in ours)] == foreign
    assert {name: value for name, value in after.body.items() if name != "Statement"} == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
    }
    # What our own statements let a role do may become less in another mode, even when the role administers the key.
    assert keys.lost(before, after, KEY, but=OURS) == ()
    assert [each for each in keys.lost(before, after, KEY) if not each.endswith(tuple(needs))] == []
    for principal in (ROOT["AWS"], ADMIN, f"arn:aws:iam::{ACCOUNT}:role/whoever"):
        for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DescribeKey", "kms:Decrypt"):
            assert verdict(after, principal, action) == verdict(before, principal, action)
    # And back: undo puts the former policy in its place.
    assert keys.lost(after, before, KEY, but=OURS) == ()


@settings(max_examples=100, deadline=None)
@given(policy=POLICIES, needs=NEEDS, mode=st.sampled_from(MODES))
def test_opening_twice_changes_nothing_and_the_other_mode_is_exchanged(
    policy: str, needs: dict[str, tuple[str, ...]], mode: Mode
) -> None:
    once = wanted_key_policy(key(policy), needs, mode, "AddOn")
    assert wanted_key_policy(key(once.text), needs, mode, "AddOn") == once
    other: Mode = "hardened" if mode == "literal" else "literal"
    exchanged = wanted_key_policy(key(once.text), needs, other, "AddOn")
    assert not any(in_other_mode(key(exchanged.text), role, other) for role in needs)
    # A grant of ours that stood there twice is one afterwards.
    assert len(_different(exchanged)) == len(_different(once))


def _different(policy: Document) -> list[Any]:
    """The statements of a policy without those that say the same as one before them."""
    found: list[Any] = []
    for each in policy.statements:
        if not any(document.same_meaning(each, other) for other in found):
            found.append(each)
    return found


@settings(max_examples=150, deadline=None)
@given(policy=POLICIES, number=st.integers(0, 4))
def test_whatever_is_taken_from_an_administrator_is_found(policy: str, number: int) -> None:
    before = document.parse(policy, "policy")
    kept = [each for index, each in enumerate(before.statements) if index != number % len(before.statements)]
    denies = {"Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*"}
    for after in (document.new([*kept, denies]), document.new([*before.statements, denies])):
        assert bool(keys.lost(before, after, KEY)) == bool(keys.administrators(before, KEY))
    if kept:
        after = document.new(kept)
        administrators = keys.administrators(before, KEY)
        taken = [
            (who, action)
            for who in administrators
            for action in actions.of_service("kms")
            if verdict(before, who, action) is Verdict.ALLOWED and verdict(after, who, action) is Verdict.DENIED
        ]
        lost = keys.lost(before, after, KEY)
        assert all(f"{action} for {who}" in lost for who, action in taken)


def test_who_administers_a_key() -> None:
    policy = document.new(
        [
            {"Effect": "Allow", "Principal": {"AWS": ADMIN}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": ROLES[0]}, "Action": "kms:Decrypt", "Resource": "*"},
        ]
    )
    assert keys.administrators(policy, KEY) == (ADMIN,)
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/KeyAdmin/me"
    assert keys.may_change(policy, KEY, session).allowed
    assert not keys.may_change(policy, KEY, f"arn:aws:sts::{ACCOUNT}:assumed-role/Other/me").allowed


def _of(role: str) -> list[Any]:
    return [
        each
        for mode in MODES
        for actions_ in (READ, WRITE)
        for each in wanted_key_policy(
            key(json.dumps({"Version": "2012-10-17", "Statement": [{**KEEP}]})), {role: actions_}, mode, "x"
        ).statements[1:]
    ]


KEEP = {"Sid": "Keep", "Effect": "Allow", "Principal": ROOT, "Action": "kms:ListGrants", "Resource": "*"}
