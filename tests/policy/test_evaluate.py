"""`evaluate` against worked cases, as a command, and by properties that hold whatever the policies say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.policy.evaluate import Decision, Request, Verdict, decide_case, evaluate, main

DATA = Path(__file__).parents[1] / "data"
VERDICTS = {True: Verdict.ALLOWED, False: Verdict.DENIED, None: Verdict.INDETERMINATE}

READER = "arn:aws:iam::222222222222:role/reader"
OBJECT = "arn:aws:s3:::data-b/x"


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


@pytest.mark.parametrize("case", cases("access-cases.jsonl"), ids=lambda case: case["id"])
def test_the_worked_cases_come_out_right(case: dict[str, Any]) -> None:
    assert decide_case(case).verdict == VERDICTS[case["allowed"]]


@pytest.mark.parametrize("case", cases("access-cases-own.jsonl"), ids=lambda case: case["id"])
def test_our_own_cases_come_out_right(case: dict[str, Any]) -> None:
    decision = decide_case(case)
    assert decision.verdict == VERDICTS[case["allowed"]], decision.reason


def test_there_are_368_worked_cases_and_every_one_of_ours_names_its_source() -> None:
    assert len(cases("access-cases.jsonl")) == 368
    ours = cases("access-cases-own.jsonl")
    assert all(case["source"] for case in ours)
    assert max(Counter(case["id"] for case in ours).values()) == 1


# ---- reasons ----


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:*", "Resource": "*", **elements}


def read(principal: str = READER, **keywords: Any) -> Decision:
    return evaluate(Request(principal, "s3:GetObject", OBJECT, "222222222222"), **keywords)


def test_a_denial_names_the_statement_by_its_sid() -> None:
    decision = read(
        identity_policies=[policy(statement())],
        resource_policy=policy(statement("Deny", Sid="KeepOut", Principal="*")),
    )
    assert decision == Decision(
        Verdict.DENIED,
        f's3:GetObject on {OBJECT} is denied by statement "KeepOut" of the resource policy.',
        explicit=True,
    )


def test_a_denial_names_a_statement_without_sid_by_its_place() -> None:
    decision = read(identity_policies=[policy(statement()), policy(statement(), statement("Deny"))])
    assert decision.reason == f"s3:GetObject on {OBJECT} is denied by statement 2 of identity policy 2."


def test_nothing_that_allows_is_no_explicit_denial() -> None:
    decision = read(identity_policies=[policy(statement(Action="s3:PutObject"))])
    reason = f"s3:GetObject on {OBJECT} is not allowed: no identity policy allows it."
    assert decision == Decision(Verdict.DENIED, reason, explicit=False)


def test_across_accounts_the_reason_names_both_grants() -> None:
    decision = read(
        "arn:aws:iam::111111111111:role/scanner",
        identity_policies=[policy(statement(Sid="Scan"))],
        resource_policy=policy(statement(Sid="Open", Principal={"AWS": "111111111111"})),
    )
    assert decision.allowed
    assert decision.reason.endswith(
        'is allowed by statement "Open" of the resource policy and statement "Scan" of identity policy 1.'
    )


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"permissions_boundary": policy()}, "the permissions boundary does not allow it."),
        ({"session_policies": [policy()]}, "no session policy allows it."),
        ({"service_control_policies": [[policy(statement())], []]}, "no service control policy at level 2 allows it."),
    ],
)
def test_a_limit_that_withholds_is_named(limit: dict[str, Any], reason: str) -> None:
    assert read(identity_policies=[policy(statement())], **limit).reason.endswith(reason)


def test_a_boundary_that_limits_a_grant_to_the_role_is_named() -> None:
    decision = read(
        resource_policy=policy(statement(Principal={"AWS": READER})),
        permissions_boundary=policy(statement(Action="ec2:*")),
    )
    assert decision.reason.endswith("the permissions boundary does not allow it.")


def test_an_indeterminate_verdict_names_statement_and_key() -> None:
    condition = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}
    request = Request(READER, "s3:GetObject", OBJECT, "222222222222", unknown=["aws:sourcevpce"])
    decision = evaluate(
        request,
        identity_policies=[policy(statement())],
        resource_policy=policy(statement("Deny", Sid="Perimeter", Principal="*", Condition=condition)),
    )
    assert decision.verdict is Verdict.INDETERMINATE
    assert 'statement "Perimeter" of the resource policy' in decision.reason
    assert "aws:SourceVpce" in decision.reason


@pytest.mark.parametrize(
    "request_",
    [
        Request("reader", "s3:GetObject", OBJECT, "222222222222"),
        Request(READER, "GetObject", OBJECT, "222222222222"),
        Request(READER, "s3:Get*", OBJECT, "222222222222"),
        Request(READER, "s3:GetObject", "data-b/x", "222222222222"),
        Request(READER, "s3:GetObject", OBJECT, "22222222222"),
    ],
)
def test_a_request_that_cannot_be_judged_is_indeterminate(request_: Request) -> None:
    assert evaluate(request_, identity_policies=[policy(statement())]).verdict is Verdict.INDETERMINATE


# ---- the command ----


def run(*lines: Any) -> tuple[int, list[Any], str]:
    output, errors = io.StringIO(), io.StringIO()
    status = main([line if isinstance(line, str | bytes) else json.dumps(line) for line in lines], output, errors)
    return status, [json.loads(line) for line in output.getvalue().splitlines()], errors.getvalue()


CASE = {
    "id": "one",
    "principal": READER,
    "action": "s3:GetObject",
    "resource": OBJECT,
    "resource_account": "222222222222",
    "identity_policies": [policy(statement())],
}


def test_the_command_answers_every_case_from_standard_input() -> None:
    given_ = (DATA / "access-cases.jsonl").read_bytes()
    command = [sys.executable, "-m", "runbook.policy.evaluate"]
    done = subprocess.run(command, input=given_, capture_output=True, check=True)
    answers = {answer["id"]: answer["verdict"] for answer in map(json.loads, done.stdout.splitlines())}
    assert answers == {case["id"]: VERDICTS[case["allowed"]] for case in cases("access-cases.jsonl")}
    assert done.stderr == b""


def test_an_expected_verdict_may_be_missing_and_null_means_none() -> None:
    assert run({**CASE, "resource_policy": None}) == (0, [{"id": "one", "verdict": "allowed"}], "")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{not json", "line 2: Expecting property name"),
        ("[]", "line 2: it is not a JSON object"),
        (b'{"id": "\xff"}', "line 2: 'utf-8' codec can't decode"),
        ("[" * 100_000, "line 2: maximum recursion depth exceeded"),
        ({**CASE, "resource_account": 222222222222}, "line 2: resource_account is 222222222222, not a text"),
        ({"id": "two", "principal": READER}, "line 2: the field action, resource, resource_account is missing"),
        ({**CASE, "service_control_policies": [policy()]}, "line 2: service_control_policies is not a list of levels"),
        ({**CASE, "identity_policies": policy()}, "line 2: identity_policies is not a list"),
        ({**CASE, "context": {"aws:SourceIp": {}}}, "line 2: context is not an object of texts"),
        ({**CASE, "unknown": "aws:SourceIp"}, "line 2: unknown is not a list"),
        ({**CASE, "unknown": [1]}, "line 2: unknown is not a list"),
    ],
)
def test_a_line_that_cannot_be_read_is_reported_and_the_others_are_answered(bad: Any, message: str) -> None:
    status, answers, errors = run(CASE, bad, {**CASE, "id": "three"})
    assert status == 1
    assert [answer["id"] for answer in answers] == ["one", "three"]
    assert errors.startswith(message)
    assert errors.count("\n") == 1


def test_a_field_that_is_not_known_makes_the_verdict_indeterminate() -> None:
    assert run({**CASE, "vpc_endpoint_policy": policy()})[1] == [{"id": "one", "verdict": "indeterminate"}]


# ---- properties ----

SCANNER = "arn:aws:iam::111111111111:role/scanner"
CALLERS = [
    READER,
    SCANNER,
    "arn:aws:sts::222222222222:assumed-role/reader/s",
    "arn:aws:iam::222222222222:user/ann",
    "arn:aws:iam::222222222222:root",
    "sns.amazonaws.com",
    "*",
]
NAMED = [*CALLERS[:5], "111111111111", "222222222222", "*", "AROAEXAMPLE1234567890", "arn:aws:iam::222222222222:role/*"]
CONDITIONS: list[dict[str, Any]] = [
    {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
    {"StringNotEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}},
    {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"Null": {"aws:SourceVpce": "true"}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
    {"ForAnyValue:StringNotLike": {"aws:TagKeys": "a*"}},
    {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
    {"StringLike": {"aws:PrincipalOrgID": "${aws:PrincipalTag/org}*"}},
    {"NoSuchOperator": {"aws:SourceVpce": "x"}},
]


def several(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.lists(st.sampled_from(values), min_size=1, max_size=3)


def statements(effect: str, *, principal: bool) -> st.SearchStrategy[dict[str, Any]]:
    actions, resources = ["s3:*", "s3:Get?bject", "s3:PutObject", "*"], ["*", OBJECT, "arn:aws:s3:::data-?/*"]
    condition = st.sampled_from([{}, *CONDITIONS])
    required = {"Effect": st.just(effect), "Resource": several(resources), "Condition": condition}
    if principal:
        required["Principal"] = st.just("*") | st.builds(lambda names: {"AWS": names}, several(NAMED))
    optional = {"Sid": st.sampled_from(["A", "B"])}
    action = st.sampled_from(["Action", "NotAction"])
    return st.builds(
        lambda name, names, rest: {**rest, name: names},
        action,
        several(actions),
        st.fixed_dictionaries(required, optional=optional),
    )


def policies(*, principal: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    allow, deny = statements("Allow", principal=principal), statements("Deny", principal=principal)
    # Half of them allow everything, or hardly any request would get past all of its policies.
    everything = statement(Principal="*", Action="*") if principal else statement(Action="*")
    start = st.sampled_from([[], [everything]])
    return st.builds(lambda first, parts: policy(*first, *parts), start, st.lists(allow | allow | deny, max_size=3))


OPENNESS = [Verdict.DENIED, Verdict.INDETERMINATE, Verdict.ALLOWED]
KEYS = ["aws:PrincipalOrgID", "aws:SecureTransport", "aws:SourceVpce", "aws:TagKeys"]
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "aws:PrincipalOrgID": st.sampled_from(["o-1", "o-3"]),
        "aws:SecureTransport": st.sampled_from(["true", "false"]),
        "aws:SourceVpce": st.just("vpce-1"),
        "aws:TagKeys": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        "aws:PrincipalTag/org": st.sampled_from(["o", "*"]),
    },
)
REQUESTS = st.builds(
    lambda principal, context: Request(principal, "s3:GetObject", OBJECT, "222222222222", context),
    st.sampled_from(CALLERS),
    CONTEXT,
)
SETS = st.fixed_dictionaries(
    {
        "identity_policies": st.lists(policies(), min_size=1, max_size=2),
        "resource_policy": st.none() | policies(principal=True),
        "permissions_boundary": st.none() | policies(),
        "session_policies": st.lists(policies(), max_size=1),
        "service_control_policies": st.lists(st.lists(policies(), min_size=1, max_size=2), max_size=2),
        "resource_control_policies": st.lists(st.lists(policies(principal=True), max_size=1), max_size=1),
    }
)


@given(REQUESTS, SETS, statements("Deny", principal=True))
def test_another_deny_never_opens_anything(request: Request, given_: dict[str, Any], deny: dict[str, Any]) -> None:
    before = evaluate(request, **given_).verdict
    policy_ = given_["resource_policy"] or policy()
    after = evaluate(request, **{**given_, "resource_policy": policy(*policy_["Statement"], deny)}).verdict
    assert OPENNESS.index(after) <= OPENNESS.index(before)


@given(REQUESTS, SETS, statements("Allow", principal=True))
def test_another_allow_never_closes_anything(request: Request, given_: dict[str, Any], allow: dict[str, Any]) -> None:
    before = evaluate(request, **given_).verdict
    policy_ = given_["resource_policy"] or policy()
    after = evaluate(request, **{**given_, "resource_policy": policy(*policy_["Statement"], allow)}).verdict
    assert OPENNESS.index(after) >= OPENNESS.index(before)


@given(REQUESTS, SETS, st.randoms(use_true_random=False))
def test_the_order_of_statements_does_not_matter(request: Request, given_: dict[str, Any], random: Any) -> None:
    def shuffled(document: dict[str, Any]) -> dict[str, Any]:
        return policy(*random.sample(document["Statement"], len(document["Statement"])))

    other = dict(given_)
    other["identity_policies"] = [shuffled(each) for each in given_["identity_policies"]][::-1]
    other["resource_policy"] = given_["resource_policy"] and shuffled(given_["resource_policy"])
    assert evaluate(request, **other).verdict == evaluate(request, **given_).verdict


@given(REQUESTS, SETS, st.sets(st.sampled_from(KEYS)))
def test_knowing_less_never_turns_a_verdict_into_its_opposite(
    request: Request, given_: dict[str, Any], forgotten: set[str]
) -> None:
    context = {key: value for key, value in request.context.items() if key not in forgotten}
    vague = Request(request.principal, request.action, request.resource, request.resource_account, context, forgotten)
    assert evaluate(vague, **given_).verdict in (evaluate(request, **given_).verdict, Verdict.INDETERMINATE)


WORDS = [
    "Allow",
    "Deny",
    "*",
    "s3:*",
    "AWS",
    "StringEquals",
    "aws:SourceVpce",
    READER,
    "222222222222",
    "${",
    "a:b:c:d:e:f",
]
ELEMENTS = ["Statement", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"]
NAMES = st.sampled_from([*ELEMENTS, "Condition", "Version", "AWS", "Service", "StringLike", "Null", "aws:SourceVpce"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ODD_STATEMENTS = st.dictionaries(st.sampled_from([*ELEMENTS[1:], "Condition", "Sid"]), JSON)


@given(REQUESTS, JSON | st.builds(lambda parts: policy(*parts), st.lists(ODD_STATEMENTS, max_size=2)))
def test_whatever_stands_in_a_policy_it_is_answered_and_odd_limits_open_nothing(request: Request, odd: Any) -> None:
    limits = {"permissions_boundary": odd, "service_control_policies": [[odd]], "resource_control_policies": [[odd]]}
    plain = evaluate(request, identity_policies=[policy(statement())])
    limited = evaluate(request, identity_policies=[policy(statement())], **limits)
    assert OPENNESS.index(limited.verdict) <= OPENNESS.index(plain.verdict)
    assert evaluate(request, identity_policies=[odd], resource_policy=odd, session_policies=[odd]).reason
