"""CloudFormation as on AWS: what a stack's parameters look like, and policies on queues and topics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

B = "222222222222"

Client = Callable[..., Any]
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def create(client: Client, at_once: None) -> Create:
    """Create a stack in account b from a template's sections; what DescribeStacks says of it."""

    def make(parameters: dict[str, str] | None = None, **sections: Any) -> dict[str, Any]:
        cloudformation = client("cloudformation", B)
        resources = {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}}}
        cloudformation.create_stack(
            StackName="test",
            TemplateBody=json.dumps({"Resources": resources, **sections}),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in (parameters or {}).items()],
        )
        found: dict[str, Any] = cloudformation.describe_stacks(StackName="test")["Stacks"][0]
        return found

    return make


def shown(stack: dict[str, Any]) -> dict[str, str]:
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}


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
    """AWS, "Parameters", NoEcho: "CloudFormation returns the parameter value masked as asterisks for any calls that
    describe the stack". Others are shown, even where their value is the name of the secret one.
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


@pytest.mark.parametrize(("passed", "expected"), [("", "no"), ("x", "yes")])
def test_a_condition_can_name_another_in_the_short_form(
    client: Client, at_once: None, passed: str, expected: str
) -> None:
    """AWS, "Condition functions": `!Condition` refers to a condition in another one."""
    template = """
      Parameters: {Name: {Type: String}}
      Conditions:
        HasName: !Not [!Equals [!Ref Name, ""]]
        HasAny: !Or [!Condition HasName, !Equals [a, b]]
      Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: x}}}
      Outputs: {Any: {Value: !If [HasAny, "yes", "no"]}}
    """
    cloudformation = client("cloudformation", B)
    parameters = [{"ParameterKey": "Name", "ParameterValue": passed}]
    cloudformation.create_stack(StackName="test", TemplateBody=template, Parameters=parameters)
    outputs = cloudformation.describe_stacks(StackName="test")["Stacks"][0]["Outputs"]
    assert [output["OutputValue"] for output in outputs] == [expected]


def test_a_template_puts_policies_on_its_queues_and_topics(client: Client, create: Create) -> None:
    """AWS::SQS::QueuePolicy "applies a policy to Amazon SQS queues"; AWS::SNS::TopicPolicy "associates topics with a
    policy".
    """
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": B}, "Action": "*", "Resource": "*"}],
    }
    stack = create(
        Resources={
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}},
            "OnQueue": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": policy},
            },
            "OnTopic": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": policy},
            },
        },
        Outputs={"Queue": {"Value": {"Ref": "Queue"}}, "Topic": {"Value": {"Ref": "Topic"}}},
    )
    made = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    queue = client("sqs", B).get_queue_attributes(QueueUrl=made["Queue"], AttributeNames=["Policy"])["Attributes"]
    topic = client("sns", B).get_topic_attributes(TopicArn=made["Topic"])["Attributes"]
    assert [json.loads(attributes["Policy"]) for attributes in (queue, topic)] == [policy, policy]
    kinds = [
        found["ResourceType"]
        for found in client("cloudformation", B).describe_stack_resources(StackName="test")["StackResources"]
    ]
    assert kinds == ["AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"]
