"""Instructions for people: they first look whether the change still fits, then make it."""

import json

import pytest

from runbook.by_hand import by_hand
from runbook.plan import Change, Plan, Resource

POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})
BUCKET = Resource(kind="s3.bucket-policy", account="222222222222", region="eu-west-1", arn="arn:aws:s3:::uploads-b")
KEY = Resource(
    kind="kms.key-policy", account="222222222222", region="eu-west-1", arn="arn:aws:kms:eu-west-1:222222222222:key/1"
)
GET_BUCKET = "aws s3api get-bucket-policy --bucket uploads-b --expected-bucket-owner 222222222222"
GET_KEY = f"aws kms get-key-policy --region eu-west-1 --key-id {KEY.arn} --policy-name default"


def a_plan(*changes: Change) -> Plan:
    return Plan(step="05-bucket-policy", scenario="", environment="sandbox", parameters={}, changes=changes)


@pytest.mark.parametrize(
    ("resource", "before", "after", "look", "then"),
    [
        (BUCKET, None, POLICY, GET_BUCKET, "aws s3api put-bucket-policy"),
        (BUCKET, POLICY, None, GET_BUCKET, "aws s3api delete-bucket-policy"),
        (BUCKET, POLICY, POLICY, GET_BUCKET, "aws s3api put-bucket-policy"),
        (KEY, POLICY, POLICY, GET_KEY, "aws kms put-key-policy"),
    ],
)
def test_every_change_begins_with_a_look_at_what_is_there(
    resource: Resource, before: str | None, after: str | None, look: str, then: str
) -> None:
    text = by_hand(a_plan(Change(resource=resource, summary="open it", before=before, after=after))).to_markdown()
    assert 0 < text.index(look) < text.index(then)
    assert "if it differs, do nothing and make the plan again" in text
    assert ("NoSuchBucketPolicy" in text) == (before is None)
    assert text.count("```json") == [before, after].count(POLICY)


def test_a_summary_cannot_bring_html_along() -> None:
    change = Change(resource=BUCKET, summary="<img src=x onerror=alert(1)>", before=None, after=POLICY)
    assert "<img" not in by_hand(a_plan(change)).to_markdown()
