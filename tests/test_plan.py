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


def many(number: int, *, kinds: int = 1, accounts: int = 2) -> Plan:
    """A plan of so many changes; with `kinds` as many, no two are alike."""
    changes = [
        Change(
            resource=BUCKET.model_copy(
                update={"account": f"{222222222222 + n % accounts}", "arn": f"arn:aws:s3:::data-{n:05}"}
            ),
            summary=f"let the role in `data-{n:05}`",
            before=f'{{"Id":"kind {n % kinds}"}}',
            after=f'{{"Id":"kind {n % kinds}","Statement":[{{"Resource":"arn:aws:s3:::data-{n:05}/*"}}]}}',
        )
        for n in range(number)
    ]
    return a_plan().model_copy(update={"changes": tuple(changes)})


def test_a_long_plan_shows_the_first_changes_and_says_how_many_there_are() -> None:
    text = many(30, kinds=30).to_markdown(most=10)
    assert text.count("```diff") == 10
    assert "20 more changes" in text


def test_a_plan_of_ten_shows_every_change() -> None:
    plan = many(10)
    assert plan.to_markdown().count("```diff") == 10
    assert repr(plan).count("let the role in `data-") == 10


def test_of_changes_that_are_alike_but_for_the_name_one_is_shown() -> None:
    text = many(30, kinds=3).to_markdown()
    assert text.count("```diff") == 3
    assert text.count("… and 9 alike, but for the name") == 3
    assert "| 30 | let the role in `…` | 2 accounts |" in text


@pytest.mark.parametrize("kinds", [1, 7, 10_000])
def test_ten_thousand_changes_are_summed_up(kinds: int) -> None:
    plan = many(10_000, kinds=kinds)
    assert plan.to_markdown().count("\n") < 200
    assert repr(plan).splitlines() == [
        "10000 changes in 2 accounts.",
        "10000 × let the role in `…`: 2 accounts",
        "a note",
    ]


def test_a_name_that_is_also_a_word_of_the_summary_makes_no_other_changes_alike() -> None:
    plan = many(12)
    odd = plan.changes[0].model_copy(update={"summary": "let another role in `data-00000`"})
    assert sorted(map(len, plan.model_copy(update={"changes": (odd, *plan.changes[1:])}).alike())) == [1, 11]
