"""Exchanging a bucket's name for a stand-in changes no answer, or is not done."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.policy import document, naming
from runbook.policy.document import PolicyError
from runbook.policy.evaluate import Request, evaluate
from tests.policy.drawn import NAMES, of_bucket, statements

NAME = "uploads"
ARN = f"arn:aws:s3:::{NAME}"
STAND_IN = f"arn:aws:s3:::{naming.stand_in(NAME)}"
ROLE = "arn:aws:iam::111111111111:role/scan"


def policy(resource: Any, element: str = "Resource", **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "s3:*", element: resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize("element", ["Resource", "NotResource"])
@pytest.mark.parametrize(
    "resource",
    [
        ARN,
        f"{ARN}/*",
        f"{ARN}/secret/${{aws:username}}/*",
        [ARN, f"{ARN}/*"],
        "*",
        "arn:aws:s3:::*",
        "arn:aws:s3:::*/*",
        "arn:aws:kms:eu-west-1:111111111111:key/1",
    ],
    ids=str,
)
def test_a_resource_that_means_the_bucket_by_its_own_arn_may_bear_another_name(resource: Any, element: str) -> None:
    text = naming.renamed(policy(resource, element), ARN, STAND_IN)
    assert text == policy(json.loads(json.dumps(resource).replace(ARN, STAND_IN)), element)


@pytest.mark.parametrize(
    "text",
    [
        policy("arn:aws:s3:::up*"),
        policy("arn:aws:s3:::?ploads/*"),
        policy("arn:aws:s3:::*s/*"),
        policy("arn:aws:s3:::uploads*"),
        policy("arn:aws:s3:::uploads-logs/*"),
        policy([f"{ARN}/*", "arn:aws:s3:::other/*"]),
        policy("arn:*:s3:::*"),
        policy("arn:aws:s?:::uploads/*"),
        policy("arn:aws:s3:::${aws:username}/*"),
        policy("*s3:::uploads"),
        policy("uploads"),
        policy("arn:aws-cn:s3:::*"),
        policy(f"{ARN}/*", Condition={"ArnLike": {"aws:SourceArn": ARN}}),
        policy(f"{ARN}/*", Condition={"StringLike": {ARN: "x"}}),
        policy(f"{ARN}/*", Sid=ARN),
        policy(f"{ARN}/*", Sid="~~~"),
        policy("arn:aws:s3:::~~~~~~~/*"),
        policy(ARN).replace("uploads", "\\u007e\\u007e\\u007e\\u007e\\u007e\\u007e\\u007e"),
        policy(ARN).replace("uploads", "upl\\u006fads"),
        policy(ARN).replace('"Effect"', '"Effect": "Deny", "Effect"'),
        policy(ARN)[:-1],
    ],
)
def test_a_policy_in_which_the_name_may_count_keeps_it(text: str) -> None:
    assert naming.renamed(text, ARN, STAND_IN) is None


@pytest.mark.parametrize("name", ["abc", "a.b", "x" * 63])
def test_a_stand_in_is_no_bucket_and_just_as_long(name: str) -> None:
    text = policy(f"arn:aws:s3:::{name}/*")
    renamed = naming.renamed(text, f"arn:aws:s3:::{name}", f"arn:aws:s3:::{naming.stand_in(name)}")
    assert renamed is not None
    assert len(renamed) == len(text)


@pytest.mark.parametrize(
    ("resource", "meant", "not_meant"),
    [
        ("arn:aws:s3:::uploads", True, "arn:aws:s3:::upload"),
        ("arn:aws:s3:::uploads/*", True, "arn:aws:s3:::uploads-b"),
        ("arn:aws:s3:::up*", True, "arn:aws:s3:::down"),
        ("arn:aws:s3:::uploads/secret/*", True, "arn:aws:s3:::private"),
        ("arn:aws:s3:::uploads-b/*", False, "arn:aws:s3:::other"),
        ("arn:aws:s3:::*", False, "arn:aws:s3:::other"),
        ("*", False, "arn:aws:s3:::other"),
    ],
)
def test_policies_that_single_out_a_bucket_are_found(resource: str, meant: bool, not_meant: str) -> None:
    beginnings = naming.telling([json.loads(policy(resource))], "aws")
    assert beginnings is not None
    assert naming.may_be_meant(ARN, beginnings) is meant
    assert not naming.may_be_meant(not_meant, beginnings)


@pytest.mark.parametrize(
    "odd", [None, {}, {"Statement": "x"}, {"Statement": [{"Resource": 1}]}, {"Sid": "~~~"}], ids=str
)
def test_policies_that_cannot_be_read_may_single_out_any_bucket(odd: Any) -> None:
    assert naming.telling([odd], "aws") is None


# --- the same answers ------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    bodies=st.lists(statements(), min_size=1, max_size=3),
    own=st.lists(statements(principal=False), min_size=1, max_size=2),
    name=st.sampled_from(NAMES),
    ending=st.sampled_from(["", "/any-object", "/secret/x"]),
    action=st.sampled_from(["s3:ListBucket", "s3:GetObject", "s3:PutObject"]),
)
def test_what_is_decided_about_a_stand_in_is_what_is_decided_about_the_bucket(
    bodies: list[dict[str, Any]], own: list[dict[str, Any]], name: str, ending: str, action: str
) -> None:
    arn, stand_in = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{naming.stand_in(name)}"
    text = of_bucket({"Version": "2012-10-17", "Statement": bodies}, name)
    identity = json.loads(of_bucket({"Version": "2012-10-17", "Statement": own}, name))
    renamed = naming.renamed(text, arn, stand_in)
    beginnings = naming.telling([identity], "aws")
    if renamed is None or beginnings is None or naming.may_be_meant(arn, beginnings):
        return

    def decided(bucket: str, policy: str) -> Any:
        context = {"aws:RequestedRegion": "eu-west-1"}
        request = Request(ROLE, action, f"{bucket}{ending}", "222222222222", context, unknown=("*",))
        return evaluate(request, identity_policies=[identity], resource_policy=json.loads(policy))

    assert decided(stand_in, renamed).renamed(naming.stand_in(name), name) == decided(arn, text)


@settings(max_examples=200)
@given(bodies=st.lists(statements(), min_size=1, max_size=3), name=st.sampled_from(NAMES))
def test_merging_and_removing_are_the_same_for_a_stand_in(bodies: list[dict[str, Any]], name: str) -> None:
    arn, stand_in = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{naming.stand_in(name)}"
    text = of_bucket({"Version": "2012-10-17", "Statement": bodies}, name)
    renamed = naming.renamed(text, arn, stand_in)
    if renamed is None:
        return

    def changed(bucket: str, policy: str) -> tuple[str, str, int, bool]:
        present = document.parse(policy, "policy")
        grant = {"Effect": "Allow", "Principal": "*", "Action": "s3:Get*", "Resource": f"{bucket}/*"}
        merged = document.merge(present, [grant], label="Scan")
        removed = document.remove(merged, [grant])
        return merged.text, removed.text if removed else "", merged.size, document.same_meaning(merged, present)

    other = changed(stand_in, renamed)
    names = naming.stand_in(name), name
    assert (other[0].replace(*names), other[1].replace(*names), *other[2:]) == changed(arn, text)


@settings(max_examples=200)
@given(bodies=st.lists(statements(), min_size=1, max_size=2), name=st.sampled_from(NAMES))
def test_a_policy_that_may_bear_another_name_is_one_that_can_be_read(bodies: list[dict[str, Any]], name: str) -> None:
    arn, stand_in = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{naming.stand_in(name)}"
    text = of_bucket({"Statement": bodies}, name)
    if naming.renamed(text, arn, stand_in) is not None:
        try:
            document.parse(text, "policy")
        except PolicyError as error:
            pytest.fail(str(error))
