"""What a queue's policy may hold at most: counted as SQS documents it, and not held against what SQS has taken."""

import json
from typing import Any

import pytest

from runbook.policy.document import Document, new
from runbook.policy.queue_limits import exceeded


def statement(**given: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "q", **given}


def conditions(number: int) -> dict[str, Any]:
    return {"Condition": {"StringEquals": {f"aws:PrincipalTag/{each}": "x" for each in range(number)}}}


@pytest.mark.parametrize(
    ("fits", "too_much", "told"),
    [
        ([statement()] * 20, [statement()] * 21, "21 statements; SQS takes 20"),
        ([statement(**conditions(10))], [statement(**conditions(11))], "11 conditions; SQS takes 10"),
        (
            [statement(Principal={"AWS": [f"{each:012}" for each in range(50)]})],
            [statement(Principal={"AWS": [f"{each:012}" for each in range(50)]}), statement()],
            "51 principals; SQS takes 50",
        ),
        (
            [statement(Action=[f"sqs:{each}" for each in range(7)])],
            [statement(Action=[f"sqs:{each}" for each in range(8)])],
            "8 actions in a statement; SQS takes 7",
        ),
        ([statement(Sid="x" * 8000)], [statement(Sid="x" * 8100)], "bytes; SQS takes 8,192"),
    ],
    ids=["statements", "conditions", "principals", "actions", "bytes"],
)
def test_a_policy_may_go_up_to_each_limit(
    fits: list[dict[str, Any]], too_much: list[dict[str, Any]], told: str
) -> None:
    assert exceeded(new(fits)) == ()
    (found,) = exceeded(new(too_much))
    assert told in found


def test_a_limit_that_sqs_does_not_hold_against_the_present_policy_is_counted_otherwise() -> None:
    present = Document(json.loads(new([statement(**conditions(12))]).text))
    more = new([*present.statements, statement(**conditions(1))])
    assert exceeded(more) != ()
    assert exceeded(more, present) == ()
