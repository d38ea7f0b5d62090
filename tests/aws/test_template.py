"""Which resources of a template come and go with parameters, worked out without a call."""

from importlib.resources import files
from typing import Any

import pytest

from runbook.aws.template import NotKnown, Values, differences, parse, with_defaults

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
    """FACTS of the product: topic, tables, function and the scan role's permission come with HasCrossAccount."""
    text = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    template = parse(text)
    parameters = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
    expected = {
        "AccountConnectionFunction",
        "AccountConnectionPermission",
        "AccountConnectionRole",
        "AccountConnectionSubscription",
        "AccountConnectionTable",
        "AccountConnectionTopic",
        "AccountConnectionTopicPolicy",
        "BucketCacheTable",
        "ScanRoleCrossAccount",
    }
    for name in ("AWSAccountRestriction", "AWSOrganizationRestriction"):
        found = differences(template, parameters, {**parameters, name: "x"})
        assert {effect.name for effect in found if effect.action == "add"} == expected


# --- values ----------------------------------------------------------------------------------------------------------

VALUES = """
Parameters:
  Name: {Type: String, Default: bucketav}
  Names: {Type: CommaDelimitedList, Default: "x, y"}
  Number: {Type: Number, Default: 3}
  Token: {Type: String, NoEcho: true, Default: x}
  Image: {Type: "AWS::SSM::Parameter::Value<String>", Default: /image}
  Given: {Type: String}
Mappings:
  Regions: {eu-west-1: {Zone: a}}
Conditions:
  IsOurs: !Equals [!Ref Name, bucketav]
Resources:
  Topic: {Type: AWS::SNS::Topic}
"""


def value_of(text: str, **given: str) -> Any:
    template = parse(VALUES + f"Outputs: {{Out: {{Value: {text}}}}}")
    known = {"AWS::Region": "eu-west-1", "Topic": "arn:topic", "Topic.TopicName": "name"}
    return Values(template, with_defaults(template, given), known).of(template["Outputs"]["Out"]["Value"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!Ref Name", "bucketav"),
        ("!Ref Names", ["x", "y"]),
        ("!Ref Number", "3"),
        ("!Ref Topic", "arn:topic"),
        ("!GetAtt Topic.TopicName", "name"),
        ('{"Fn::GetAtt": [Topic, TopicName]}', "name"),
        ('!Sub "${Name}-${AWS::Region}-${Topic.TopicName}-${!Kept}"', "bucketav-eu-west-1-name-${Kept}"),
        ('!Sub ["${Name}-${Own}", {Own: !Select [1, !Ref Names]}]', "bucketav-y"),
        ('!Join [":", [a, !Ref Name, 5]]', "a:bucketav:5"),
        ('!Join [",", !Ref Names]', "x,y"),
        ('!Select [2, !Split ["/", "a/b/c"]]', "c"),
        ("!If [IsOurs, {A: !Ref Name}, other]", {"A": "bucketav"}),
        ("[a, !If [IsOurs, !Ref AWS::NoValue, b]]", ["a"]),
        ("{A: 1, B: !Ref AWS::NoValue, C: true}", {"A": 1, "C": True}),
        ("!FindInMap [Regions, !Ref AWS::Region, Zone]", "a"),
    ],
)
def test_values_are_worked_out(text: str, expected: Any) -> None:
    assert value_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "!Ref Token",
        "!Ref Image",
        "!Ref Given",
        "!Ref AWS::StackId",
        "!GetAtt Topic.Other",
        '!Sub "${Other}"',
        '!Sub "${Names}"',
        "!ImportValue other",
        "!If [Strange, a, b]",
        "!Select [2, !Ref Names]",
        "!FindInMap [Regions, us-east-1, Zone]",
        '{A: [!Base64 "x"]}',
    ],
)
def test_what_is_not_known_is_not_guessed(text: str) -> None:
    with pytest.raises(NotKnown):
        value_of(text)


def test_parameters_that_are_given_win_over_defaults_and_unknown_ones_are_left_out() -> None:
    assert with_defaults(parse(VALUES), {"Name": "other", "Strange": "x"}) == {
        "Name": "other",
        "Names": "x, y",
        "Number": "3",
        "Token": "x",
        "Image": "/image",
    }
