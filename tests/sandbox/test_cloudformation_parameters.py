"""Parameters and capabilities as on AWS: what is kept, what is shown, what is refused before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import PREVIOUS, B, body, given, outputs, refusal, resources_of, shown, stack_of

Client = Callable[..., Any]
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", B)


@pytest.fixture
def create(cloudformation: Any) -> Create:
    """Create a stack from a template's sections; what DescribeStacks says of it."""

    def make(parameters: dict[str, str] | None = None, **sections: Any) -> dict[str, Any]:
        cloudformation.create_stack(
            StackName="test", TemplateBody=body(**sections), Parameters=given(**(parameters or {}))
        )
        return stack_of(cloudformation)

    return make


# What is shown


@pytest.mark.parametrize(
    ("passed", "expected"), [(None, "a,b"), ("", ""), ("111111111111, 222222222222", "111111111111, 222222222222")]
)
def test_a_list_parameter_is_shown_as_the_string_that_was_passed(
    create: Create, passed: str | None, expected: str
) -> None:
    """AWS, DescribeStacks, ParameterValue: a string. "An array of literal strings that are separated by commas" is one,
    too.
    """
    declared = {"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}}
    assert shown(create({} if passed is None else {"Names": passed}, Parameters=declared)) == {"Names": expected}


@pytest.mark.parametrize(
    ("passed", "expected"), [(None, "x|y"), ("", ""), ("111111111111 , 222222222222", "111111111111|222222222222")]
)
def test_a_list_parameter_is_a_list_of_trimmed_strings_in_the_template(
    create: Create, passed: str | None, expected: str
) -> None:
    """AWS, "Parameters", CommaDelimitedList: "each member string is space trimmed"; a default is a list like any
    value.
    """
    stack = create(
        {} if passed is None else {"Names": passed},
        Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "x,y"}},
        Outputs={"Joined": {"Value": {"Fn::Join": ["|", {"Ref": "Names"}]}}},
    )
    assert [output.get("OutputValue", "") for output in stack["Outputs"]] == [expected]


@pytest.mark.parametrize("declared", [True, "true"])
def test_a_parameter_without_echo_is_shown_as_asterisks(create: Create, declared: Any) -> None:
    """AWS, "Parameters", NoEcho: calls that describe the stack return asterisks. Others are shown, even where their
    value is the name of the secret one.
    """
    parameters = {
        "Secret": {"Type": "String", "NoEcho": declared},
        "Default": {"Type": "String", "NoEcho": declared, "Default": "x"},
        "Open": {"Type": "String"},
        "Number": {"Type": "Number", "Default": 4},
    }
    assert shown(create({"Secret": "s3cret", "Open": "Secret"}, Parameters=parameters)) == {
        "Secret": "****",
        "Default": "****",
        "Open": "Secret",
        "Number": "4",
    }


def test_events_do_not_tell_a_secret(client: Client, cloudformation: Any, create: Create) -> None:
    """AWS, "Parameters", NoEcho: calls that describe the stack or its events return asterisks. The resource has it."""
    secret = {"Fn::Sub": "${Secret}!"}
    create(
        {"Secret": "s3cret"},
        Parameters={"Secret": {"Type": "String", "NoEcho": True}},
        Resources={"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t", "DisplayName": secret}}},
    )
    cloudformation.update_stack(StackName="test", UsePreviousTemplate=True, Parameters=given(Secret="0ther"))
    arn = resources_of(cloudformation)["Topic"]
    assert client("sns", B).get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "0ther!"
    events = cloudformation.describe_stack_events(StackName="test")["StackEvents"]
    told = {event["ResourceProperties"] for event in events if "ResourceProperties" in event}
    assert told == {'{"TopicName": "t", "DisplayName": "****!"}'}


# What an update keeps

DECLARED = {
    "Names": {"Type": "CommaDelimitedList", "Default": "a, b"},
    "Untouched": {"Type": "CommaDelimitedList", "Default": "c"},
    "Secret": {"Type": "String", "NoEcho": True},
    "Fallback": {"Type": "String", "Default": "default"},
    "Changing": {"Type": "String"},
}
SAID = {"Fn::Join": ["/", [{"Fn::Join": ["+", {"Ref": "Names"}]}, *({"Ref": name} for name in list(DECLARED)[2:])]]}
TEMPLATE = {"Parameters": DECLARED, "Outputs": {"Said": {"Value": SAID}}}


def update(cloudformation: Any, way: str, parameters: list[dict[str, Any]]) -> None:
    """Update the stack with its own template, in one of the two ways."""
    if way == "stack":
        cloudformation.update_stack(StackName="test", UsePreviousTemplate=True, Parameters=parameters)
        return
    arguments = {"StackName": "test", "ChangeSetName": "change"}
    cloudformation.create_change_set(**arguments, UsePreviousTemplate=True, Parameters=parameters)
    described = cloudformation.describe_change_set(**arguments)
    assert described["Status"] == "CREATE_COMPLETE"
    assert shown(described)["Secret"] == "****"
    cloudformation.execute_change_set(**arguments)


@pytest.mark.parametrize("way", ["stack", "change set"])
def test_previous_values_are_kept_those_never_passed_and_the_secret_one_too(
    cloudformation: Any, create: Create, way: str
) -> None:
    """AWS, Parameter, UsePreviousValue: "During a stack update, use the existing parameter value that the stack is
    using for a given parameter key". The mask is never the value.
    """
    create({"Secret": "s3cret", "Changing": "one", "Fallback": "passed"}, **TEMPLATE)
    for value in ("two", "three"):
        update(cloudformation, way, given(**{**dict.fromkeys(DECLARED, PREVIOUS), "Changing": value}))
        stack = stack_of(cloudformation)
        assert outputs(stack) == {"Said": f"a+b/s3cret/passed/{value}"}
        assert shown(stack) == {
            "Names": "a, b",
            "Untouched": "c",
            "Secret": "****",
            "Fallback": "passed",
            "Changing": value,
        }
        assert stack["StackStatus"] == "UPDATE_COMPLETE"


@pytest.mark.parametrize("way", ["stack", "change set"])
def test_a_parameter_that_is_left_out_goes_back_to_its_default(cloudformation: Any, create: Create, way: str) -> None:
    """AWS, "Parameters", Default: what the template uses when no value is given: only UsePreviousValue keeps one."""
    create({"Secret": "s3cret", "Changing": "one", "Fallback": "passed"}, **TEMPLATE)
    update(cloudformation, way, given(Secret=PREVIOUS, Changing=PREVIOUS))
    assert outputs(stack_of(cloudformation)) == {"Said": "a+b/s3cret/default/one"}


def test_a_new_template_can_take_previous_values_along(cloudformation: Any, create: Create) -> None:
    create({"Secret": "s3cret", "Changing": "one"}, **TEMPLATE)
    smaller = {"Changing": DECLARED["Changing"], "Added": {"Type": "String", "Default": "new"}}
    said = {"Said": {"Value": {"Fn::Sub": "${Changing} ${Added}"}}}
    cloudformation.update_stack(
        StackName="test", TemplateBody=body(Parameters=smaller, Outputs=said), Parameters=given(Changing=PREVIOUS)
    )
    stack = stack_of(cloudformation)
    assert (outputs(stack), shown(stack)) == ({"Said": "one new"}, {"Changing": "one", "Added": "new"})


# What is refused

CONSTRAINED = {
    "Plain": {"Type": "String", "Default": "x"},
    "Allowed": {"Type": "String", "AllowedValues": ["true", "false"], "Default": "true"},
    "Pattern": {"Type": "String", "AllowedPattern": "[a-z]+", "Default": "a"},
    "Length": {"Type": "String", "MinLength": 2, "MaxLength": 4, "Default": "abc"},
    "Count": {"Type": "Number", "MinValue": 1, "MaxValue": 5, "Default": 2},
    "List": {"Type": "CommaDelimitedList", "AllowedPattern": "[0-9]{12}|", "Default": ""},
    "Numbers": {"Type": "List<Number>", "Default": "1,2"},
    "Said": {"Type": "String", "AllowedPattern": "o-.*", "Default": "o-x", "ConstraintDescription": "begin with o-."},
}


@pytest.mark.parametrize("way", ["create", "update", "change set"])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (given(Other="x", Plain="y", More="z"), "Parameters: [Other, More] do not exist in the template"),
        (given(Allowed="True"), "Parameter 'Allowed' must be one of AllowedValues"),
        (given(Pattern="a1"), "Parameter 'Pattern' must match pattern [a-z]+"),
        (given(Length="a"), "Parameter 'Length' must contain at least 2 characters"),
        (given(Length="abcde"), "Parameter 'Length' must contain at most 4 characters"),
        (given(Count="two"), "Parameter 'Count' must be a number."),
        (given(Count="0"), "Parameter 'Count' must be a number not less than 1"),
        (given(Count="6"), "Parameter 'Count' must be a number not greater than 5"),
        (given(List="111111111111, 2222"), "Parameter 'List' must match pattern [0-9]{12}|"),
        (given(Numbers="1,x"), "Parameter 'Numbers' must be a number."),
        (given(Said="x"), "Parameter 'Said' failed to satisfy constraint: begin with o-."),
        (
            [{"ParameterKey": "Plain", "ParameterValue": "y", "UsePreviousValue": True}],
            "Invalid input for parameter key Plain. Cannot specify usePreviousValue as true and non empty value for a "
            "parameter",
        ),
        (
            given(Other=PREVIOUS),
            "Invalid input for parameter key Other. Cannot specify usePreviousValue as true for a parameter key not in "
            "the previous template",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_value_that_a_parameter_does_not_allow_is_refused_at_once(
    cloudformation: Any, way: str, parameters: list[dict[str, Any]], message: str
) -> None:
    """AWS, "Parameters": AllowedValues, AllowedPattern (which has to match the whole value), MinLength, MaxLength,
    MinValue, MaxValue; ConstraintDescription "explains a constraint when the constraint is violated".
    """
    template = {"StackName": "test", "TemplateBody": body(Parameters=CONSTRAINED)}
    asked = {**template, "Parameters": parameters}
    if way == "create":
        assert refusal(cloudformation.create_stack, **asked) == ("ValidationError", message)
        assert refusal(cloudformation.describe_stacks, StackName="test")[0] == "ValidationError"
        return
    cloudformation.create_stack(**template)
    before = stack_of(cloudformation)
    if way == "update":
        assert refusal(cloudformation.update_stack, **asked) == ("ValidationError", message)
    else:
        assert refusal(cloudformation.create_change_set, ChangeSetName="c", **asked) == ("ValidationError", message)
        assert cloudformation.list_change_sets(StackName="test")["Summaries"] == []
    assert stack_of(cloudformation) == before


def test_parameters_without_a_value_or_a_default_are_named(cloudformation: Any, create: Create) -> None:
    declared = {"One": {"Type": "String"}, "Two": {"Type": "String"}, "Three": {"Type": "String", "Default": ""}}
    expected = ("ValidationError", "Parameters: [One, Two] must have values")
    assert refusal(cloudformation.create_stack, StackName="x", TemplateBody=body(Parameters=declared)) == expected
    create({"One": "1", "Two": "2"}, Parameters=declared)
    arguments = {"StackName": "test", "UsePreviousTemplate": True, "Parameters": given(One="1")}
    missing = ("ValidationError", "Parameters: [Two] must have values")
    assert refusal(cloudformation.update_stack, **arguments) == missing
    assert refusal(cloudformation.create_change_set, ChangeSetName="c", **arguments) == missing


# Capabilities

ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}
NAMED_ROLE = {**ROLE, "Properties": {**ROLE["Properties"], "RoleName": "custom"}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("role", "capabilities", "required"),
    [
        (ROLE, [], "CAPABILITY_IAM"),
        (ROLE, ["CAPABILITY_AUTO_EXPAND"], "CAPABILITY_IAM"),
        (ROLE, ["CAPABILITY_IAM"], None),
        (ROLE, ["CAPABILITY_NAMED_IAM"], None),
        (NAMED_ROLE, [], "CAPABILITY_NAMED_IAM"),
        (NAMED_ROLE, ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
        (NAMED_ROLE, ["CAPABILITY_NAMED_IAM"], None),
    ],
)
def test_iam_resources_have_to_be_acknowledged(
    cloudformation: Any, role: dict[str, Any], capabilities: list[str], required: str | None
) -> None:
    """AWS, CreateStack, Capabilities: "If you have IAM resources, you can specify either capability. If you have IAM
    resources with custom names, you must specify CAPABILITY_NAMED_IAM. If you don't specify either of these
    capabilities, CloudFormation returns an InsufficientCapabilities error." For UpdateStack and CreateChangeSet too.
    """
    template = {"TemplateBody": body(Resources={"Role": role}), "Capabilities": capabilities}
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    expected = ("InsufficientCapabilitiesException", f"Requires capabilities : [{required}]")
    calls = (
        (cloudformation.create_stack, {"StackName": "other"}),
        (cloudformation.create_change_set, {"StackName": "test", "ChangeSetName": "change"}),
        (cloudformation.create_change_set, {"StackName": "new", "ChangeSetName": "change", "ChangeSetType": "CREATE"}),
        (cloudformation.update_stack, {"StackName": "test"}),
    )
    for call, arguments in calls:
        if required is not None:
            assert refusal(call, **arguments, **template) == expected
        elif arguments["StackName"] != "test" and role is NAMED_ROLE:
            continue  # a custom name is there once
        else:
            call(**arguments, **template)
    names = list(resources_of(cloudformation))
    assert names == (["Topic"] if required else ["Role"])


def test_bucketavs_own_stack_needs_to_be_acknowledged_at_each_update(client: Client, at_once: None) -> None:
    """AWS, UpdateStack, Capabilities: with the previous template too."""
    cloudformation = client("cloudformation", "111111111111")
    previous = [each["ParameterKey"] for each in stack_of(cloudformation, "bucketav")["Parameters"]]
    asked = given(**{**dict.fromkeys(previous, PREVIOUS), "TagFiles": "false"})
    arguments = {"StackName": "bucketav", "UsePreviousTemplate": True, "Parameters": asked}
    expected = ("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]")
    assert refusal(cloudformation.update_stack, **arguments) == expected
    cloudformation.update_stack(**arguments, Capabilities=["CAPABILITY_IAM"])
    assert shown(stack_of(cloudformation, "bucketav"))["TagFiles"] == "false"
