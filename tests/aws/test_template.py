"""Which resources of a template come and go with parameters, worked out without a call."""

from importlib.resources import files
from typing import Any

import pytest

from runbook.aws.template import NotKnown, differences, parse

TEMPLATE = """
Parameters:
  Names: {Type: CommaDelimitedList, Default: ""}
  Mode: {Type: String, Default: a}
  Token: {Type: String, NoEcho: true}
Conditions:
  HasNames: !Not [!Equals [!Join ["", !Ref Names], ""]]
  IsB: !Equals [!Ref Mode, b]
  Both: !And [!Condition HasNames, {Condition: IsB}]
  Either: !Or [!Condition HasNames, !Condition IsB]
  First: !Equals [!Select [0, !Ref Names], x]
  Split: !Equals [!Select ["1", !Split ["-", !Ref Mode]], b]
  Secret: !Equals [!Ref Token, x]
  Elsewhere: !Equals [!ImportValue other, x]
  EitherOrElsewhere: !Or [!Condition IsB, !Condition Elsewhere]
Resources:
  Always: {Type: AWS::SNS::Topic}
"""

NAMED = ["HasNames", "IsB", "Both", "Either", "First", "Split", "Secret", "Elsewhere", "EitherOrElsewhere", "NoSuch"]


def changed(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """What comes and goes, by the names of the conditions, each of which has one resource."""
    resources = "".join(f"  On{name}: {{Type: AWS::SQS::Queue, Condition: {name}}}\n" for name in NAMED)
    start = {"Names": "", "Mode": "a", "Token": "****"}
    effects = differences(parse(TEMPLATE + resources), {**start, **before}, {**start, **after})
    return {effect.name.removeprefix("On"): effect.action for effect in effects}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"Names": "x,y"}, {"HasNames": "add", "Either": "add", "First": "add"}),
        ({"Names": "x"}, {"Names": ""}, {"HasNames": "remove", "Either": "remove", "First": "remove"}),
        ({"Names": "x"}, {"Names": "y, x"}, {"First": "remove"}),
        ({"Names": "x", "Mode": "a"}, {"Names": "x", "Mode": "b"}, {"IsB": "add", "Both": "add"}),
        ({"Mode": "a-b"}, {"Mode": "a-c"}, {"Split": "remove"}),
        ({"Token": "****"}, {"Token": "x"}, {}),
        ({}, {}, {}),
    ],
)
def test_resources_come_and_go_with_their_conditions(
    before: dict[str, str], after: dict[str, str], expected: dict[str, str]
) -> None:
    assert changed(before, after) == expected


def test_a_condition_that_cannot_be_worked_out_leaves_its_resource_out() -> None:
    """One that is met whatever the unknown part says is worked out all the same."""
    assert "EitherOrElsewhere" not in changed({"Mode": "a"}, {"Mode": "b"}), "before, it depended on the unknown part"
    assert "Elsewhere" not in changed({"Mode": "a"}, {"Mode": "b"})


@pytest.mark.parametrize(
    "body", ["Resources: [", "[]", "Description: x", "Resources: []", {"Description": "x"}, "? {a: b} : c"]
)
def test_what_is_no_template_is_not_known(body: Any) -> None:
    with pytest.raises(NotKnown):
        parse(body)


def test_a_template_is_read_from_json_as_well() -> None:
    """boto3 decodes a JSON template before it hands it over."""
    resources = {"Queue": {"Type": "AWS::SQS::Queue", "Condition": "C"}}
    template = {"Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "x"]}}, "Resources": resources}
    (effect,) = differences(parse(template), {"P": ""}, {"P": "x"})
    assert str(effect) == "add Queue (AWS::SQS::Queue)"


def test_the_sandbox_stack_makes_everything_for_connections_with_the_first_entry() -> None:
    """FACTS of the product: topic, policy, both tables and the scan role's permission come with HasCrossAccount."""
    text = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    template = parse(text)
    parameters = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
    expected = {
        "AccountConnectionTable",
        "AccountConnectionTopic",
        "AccountConnectionTopicPolicy",
        "BucketCacheTable",
        "ScanRoleCrossAccount",
    }
    for name in ("AWSAccountRestriction", "AWSOrganizationRestriction"):
        found = differences(template, parameters, {**parameters, name: "x"})
        assert {effect.name for effect in found if effect.action == "add"} == expected
