"""Policies too large, and those that are made to take long: refused or worked out soon."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook.policy import document
from runbook.policy.document import LARGEST, SIZE_LIMITS, PolicyError, new, parse
from runbook.policy.evaluate import Request, Verdict, evaluate
from runbook.policy.lint import MOST_QUESTIONS, lint
from runbook.policy.patterns import (
    ANY_CHARACTER,
    ANY_CHARACTER_IN_PART,
    ANYTHING,
    ANYTHING_IN_PART,
    _compiled,
    _Steps,
    covers_resource,
    like,
)
from runbook.policy.statements import scan_statements

OWNER, BUCKET = "222222222222", "arn:aws:s3:::b"
ROLE = "arn:aws:iam::111111111111:role/scanner"


@contextmanager
def soon(seconds: float) -> Iterator[None]:
    """Generous: what is timed here took from 20 seconds to longer than anybody waited."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def statement(number: int, **elements: Any) -> dict[str, Any]:
    return {
        "Sid": f"S{number}",
        "Effect": "Allow",
        "Principal": {"AWS": f"{222222222222 + number}"},
        "Action": ["s3:GetObject*", "s3:GetObject"],
        "Resource": f"{BUCKET}/*",
    } | elements


def test_a_policy_of_ten_thousand_statements_is_refused_before_it_is_understood() -> None:
    """Its check for redundant actions alone took 72 seconds."""
    huge = new([statement(number) for number in range(10_000)])
    with soon(2):
        with pytest.raises(
            PolicyError, match=r"bucket policy: it has 1,[0-9,]+ characters; AWS stores no policy larger"
        ):
            parse(huge.text, "bucket policy")
        with pytest.raises(PolicyError, match="characters"):
            parse("[" * 50_000_000, "bucket policy")
        for kind, limit in SIZE_LIMITS.items():
            (finding,) = lint(huge, kind=kind)  # type: ignore[arg-type]
            assert (finding.code, finding.severity) == ("size", "error")
            assert f"AWS stores {limit:,} at most" in finding.message


def test_white_space_does_not_make_a_policy_too_large() -> None:
    text = json.dumps(new([statement(number) for number in range(100)]).body, indent=8)
    assert LARGEST > len(text) > SIZE_LIMITS["bucket-policy"]
    assert parse(text, "x").size < SIZE_LIMITS["bucket-policy"]


SLOW: dict[str, list[dict[str, Any]]] = {
    "many statements": [statement(number) for number in range(130)],
    "many principals": [
        statement(0, Principal={"AWS": [f"arn:aws:iam::{222222222222 + n}:root" for n in range(250)]}, Action="s3:*"),
        {"Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": f"{BUCKET}/*"},
    ],
    "many denies": [
        *({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"{BUCKET}/{n}"} for n in range(230)),
        *({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"{BUCKET}/{n}"} for n in range(10)),
    ],
    "many combinations": [
        statement(
            0,
            Principal={"AWS": [f"{222222222222 + n}" for n in range(300)]},
            Action="s3:*",
            Resource=[f"{BUCKET}/{n}" for n in range(300)],
        ),
        *({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"{BUCKET}/{n}"} for n in range(50)),
    ],
    "many actions": [statement(0, Action=["s3:GetObject"] * 1_200)],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_policy_within_the_limit_is_worked_out_soon(name: str) -> None:
    policy = new(SLOW[name])
    assert policy.size <= SIZE_LIMITS["bucket-policy"]
    ours = scan_statements(ROLE, "b")
    with soon(30):
        findings = lint(parse(policy.text, "x"), kind="bucket-policy", owner=OWNER, resource=BUCKET)
        merged = document.merge(policy, ours, label="x")
        assert document.remove(merged, ours) == policy
        assert not document.same_meaning(policy, merged)
        assert document.difference(policy.text, merged.text, name="x")
        request = Request(ROLE, "s3:GetObject", f"{BUCKET}/x", OWNER)
        assert evaluate(request, resource_policy=merged.body).verdict is not Verdict.ALLOWED
    given_up = [finding for finding in findings if finding.code == "not-looked-at"]
    assert bool(given_up) is (name == "many combinations")
    if given_up:
        assert f"After {MOST_QUESTIONS:,} combinations" in given_up[0].message


def test_a_key_that_stands_twice_among_many_is_found_soon() -> None:
    text = "{" + ",".join(f'"{number}":1' for number in range(10_000)) + ',"last":1,"last":2}'
    with soon(2), pytest.raises(PolicyError, match="the key `last` stands twice"):
        parse(text, "x")


@pytest.mark.parametrize(
    "body",
    [
        {"Version": "x" * 100_000, "Statement": []},
        {"x" * 100_000: 1},
        {"Statement": [statement(0, Sid="x" * 100_000, Effect="x")]},
        {"Statement": [statement(0, Effect={"x": ["x"] * 10_000})]},
        {"Statement": [statement(0, Principal="x" * 100_000)]},
        {"Statement": [statement(0, Condition={"x" * 100_000: 1})]},
    ],
    ids=["version", "element", "sid", "effect", "principal", "operator"],
)
def test_little_of_a_policy_that_cannot_be_used_is_repeated(body: object) -> None:
    with pytest.raises(PolicyError) as error:
        parse(json.dumps(body), "x")
    assert len(str(error.value)) < 1_500


# --- wildcards -------------------------------------------------------------------------------------------------------


def test_many_wildcards_are_matched_in_one_pass() -> None:
    """Anybody's bucket may have such a policy; a regular expression tries out every way to divide the name."""
    with soon(2):
        assert covers_resource(f"arn:aws:s3:::{'*a' * 40}*b/*", f"arn:aws:s3:::{'a' * 1_000}/x", None).truth is False
        assert covers_resource(f"{BUCKET}/{'*a' * 40}*b", f"{BUCKET}/{'a' * 1_000}", None).truth is False
        assert covers_resource(f"{BUCKET}/{'*a' * 40}", f"{BUCKET}/{'a' * 1_000}", None).truth is True
        assert not like(f"{ANYTHING}a" * 40 + "b", "a" * 1_000)


@settings(max_examples=500, deadline=None)
@given(
    st.text(alphabet=["a", "b", ":", ANYTHING, ANY_CHARACTER, ANYTHING_IN_PART, ANY_CHARACTER_IN_PART], max_size=9),
    st.text(alphabet="ab:\n", max_size=9),
)
@example(f"{ANYTHING}{ANYTHING}", "")
@example(f"a{ANYTHING_IN_PART}:{ANYTHING}b", "a:b")
@example(f"{ANYTHING_IN_PART}{ANYTHING}", "::")
def test_one_pass_comes_to_what_a_regular_expression_does(pattern: str, text: str) -> None:
    assert _Steps(pattern).match(text) is (_compiled(pattern).fullmatch(text) is not None)
