"""A plan is data: it survives being written and read, knows when it was edited, and shows the exact difference."""

import json
from pathlib import Path

import pytest

from runbook.parameters import ParameterError
from runbook.plan import Change, Observation, Plan, Resource

BUCKET = Resource(kind="s3.bucket-policy", account="222222222222", region="eu-west-1", arn="arn:aws:s3:::uploads-b")
STACK = Resource(kind="cloudformation.scan-settings", account="111111111111", region="eu-west-1", arn="arn:aws:x")
AFTER = '{"Version":"2012-10-17","Statement":[]}'


def a_plan(before: str | None = None, settings: str = "{}") -> Plan:
    return Plan(
        step="05-bucket-policy",
        scenario="one-bucket",
        environment="sandbox",
        parameters={"buckets": ["b/uploads-b"]},
        changes=(Change(resource=BUCKET, summary="open it", before=before, after=AFTER, outline=("x.y",)),),
        observed=(Observation(resource=STACK, value=settings),),
        notes=("a note",),
    )


def test_a_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(a_plan().to_json())
    assert Plan.load(file) == Plan.load(tmp_path) == a_plan()


def test_the_fingerprint_moves_with_everything_that_was_observed() -> None:
    fingerprints = {a_plan().fingerprint, a_plan(before="{}").fingerprint, a_plan(settings="[]").fingerprint}
    assert len(fingerprints) == 3


def test_a_plan_whose_observations_were_edited_is_refused() -> None:
    body = json.loads(a_plan().to_json())
    body["changes"][0]["before"] = "{}"
    with pytest.raises(ParameterError, match="does not match its fingerprint"):
        Plan.from_json(json.dumps(body), "plan.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not JSON"), ("[]", "is not a plan"), ('{"format": "something else"}', "is not a plan")],
)
def test_what_is_no_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Plan.from_json(text, "plan.json")


def test_an_unknown_key_in_a_plan_is_refused() -> None:
    body = json.loads(a_plan().to_json()) | {"surprise": 1}
    with pytest.raises(ParameterError, match="`surprise` is not known here"):
        Plan.from_json(json.dumps(body), "plan.json")


def test_a_plan_shows_account_resource_and_difference() -> None:
    text = a_plan().to_markdown()
    assert "1 change in 1 account." in text
    assert "Account 222222222222" in text
    assert '+  "Version": "2012-10-17"' in text


def test_a_long_plan_shows_the_first_changes_and_says_how_many_there_are() -> None:
    plan = a_plan().model_copy(update={"changes": a_plan().changes * 30})
    text = plan.to_markdown(most=10)
    assert text.count("```diff") == 10
    assert "20 more changes" in text
