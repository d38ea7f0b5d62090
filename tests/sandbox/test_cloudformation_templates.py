"""Templates as on AWS: functions and conditions, what is refused, each type's resource, and reading it all back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import (
    B,
    body,
    events_of,
    given,
    outputs,
    reasons_of,
    refusal,
    resources_of,
    stack_of,
    status_of,
)

Client = Callable[..., Any]
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", B)


@pytest.fixture
def create(cloudformation: Any) -> Create:
    """Create a stack in account b from a template's sections; what DescribeStacks says of it."""

    def make(parameters: dict[str, str] | None = None, **sections: Any) -> dict[str, Any]:
        cloudformation.create_stack(
            StackName="test",
            TemplateBody=body(**sections),
            Parameters=given(**(parameters or {})),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        return stack_of(cloudformation)

    return make


# Functions


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"Ref": "Text"}, "hello"),
        ({"Ref": "AWS::StackName"}, "test"),
        ({"Ref": "AWS::AccountId"}, B),
        ({"Fn::Sub": "${Text}/${AWS::Region}/${Topic.TopicName}/${!Literal}"}, "hello/eu-west-1/t/${Literal}"),
        ({"Fn::Sub": ["${Own} ${Text}", {"Own": {"Ref": "AWS::Partition"}}]}, "aws hello"),
        ({"Fn::Join": ["-", {"Ref": "List"}]}, "a-b"),
        ({"Fn::Select": ["1", {"Ref": "List"}]}, "b"),
        ({"Fn::Select": [2, {"Fn::Split": [":", "a:b:c"]}]}, "c"),
        ({"Fn::If": ["Yes", "then", {"Ref": "AWS::NoValue"}]}, "then"),
        ({"Fn::Join": ["", ["x", {"Fn::If": ["No", "y", {"Ref": "AWS::NoValue"}]}, "z"]]}, "xz"),
        ({"Fn::If": ["All", "and", "not"]}, "and"),
        ({"Fn::FindInMap": ["Map", {"Ref": "Text"}, "value"]}, "found"),
        ({"Fn::FindInMap": ["Map", "other", "value", {"DefaultValue": "default"}]}, "default"),
        ({"Fn::Base64": "text"}, "dGV4dA=="),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "eu-west-1a"),
        ({"Fn::Select": [1, {"Fn::Cidr": ["10.0.0.0/16", 2, 8]}]}, "10.0.1.0/24"),
        ({"Fn::GetAtt": ["Topic", "TopicArn"]}, f"arn:aws:sns:eu-west-1:{B}:t"),
        ({"Fn::GetAtt": "Topic.TopicName"}, "t"),
        ({"Fn::ToJsonString": {"a": {"Ref": "Number"}}}, '{"a":3}'),
        ({"Fn::Length": {"Ref": "List"}}, "2"),
    ],
)
def test_a_function_comes_to_what_aws_documents(create: Create, expression: Any, expected: str) -> None:
    """AWS, "Intrinsic function reference", one example or two of each."""
    stack = create(
        Parameters={
            "Text": {"Type": "String", "Default": "hello"},
            "List": {"Type": "CommaDelimitedList", "Default": "a,b"},
            "Number": {"Type": "Number", "Default": 3},
        },
        Mappings={"Map": {"hello": {"value": "found"}}},
        Conditions={
            "Yes": {"Fn::Equals": [{"Ref": "Number"}, "3"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
            "All": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}, {"Condition": "Yes"}]}]},
        },
        Resources={"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}}},
        Outputs={"Said": {"Value": expression}},
    )
    assert outputs(stack) == {"Said": expected}


@pytest.mark.parametrize(("passed", "expected"), [("", "no"), ("x", "yes")])
def test_a_condition_can_name_another_in_the_short_form(cloudformation: Any, passed: str, expected: str) -> None:
    """AWS, "Condition functions": `!Condition` refers to a condition in another one."""
    template = """
      Parameters: {Name: {Type: String}}
      Conditions:
        HasName: !Not [!Equals [!Ref Name, ""]]
        HasAny: !Or [!Condition HasName, !Equals [a, b]]
      Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: x}}}
      Outputs: {Any: {Value: !If [HasAny, "yes", "no"]}}
    """
    parameters = [{"ParameterKey": "Name", "ParameterValue": passed}]
    cloudformation.create_stack(StackName="test", TemplateBody=template, Parameters=parameters)
    assert outputs(stack_of(cloudformation)) == {"Any": expected}


def test_a_template_puts_policies_on_its_queues_and_topics(client: Client, create: Create) -> None:
    """AWS::SQS::QueuePolicy "applies a policy to Amazon SQS queues"; AWS::SNS::TopicPolicy "associates topics with a
    policy".
    """
    on_queue, on_topic = (
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{B}:root"}, "Action": action, "Resource": "*"}
            ],
        }
        for action in ("sqs:*", "sns:Publish")
    )
    stack = create(
        Resources={
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}},
            "OnQueue": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": on_queue},
            },
            "OnTopic": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": on_topic},
            },
        },
        Outputs={"Queue": {"Value": {"Ref": "Queue"}}, "Topic": {"Value": {"Ref": "Topic"}}},
    )
    made = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    queue = client("sqs", B).get_queue_attributes(QueueUrl=made["Queue"], AttributeNames=["Policy"])["Attributes"]
    topic = client("sns", B).get_topic_attributes(TopicArn=made["Topic"])["Attributes"]
    assert [json.loads(attributes["Policy"]) for attributes in (queue, topic)] == [on_queue, on_topic]
    kinds = [
        found["ResourceType"]
        for found in client("cloudformation", B).describe_stack_resources(StackName="test")["StackResources"]
    ]
    assert kinds == ["AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{", "Template format error: JSON not well-formed."),
        ("a: [", "Template format error: YAML not well-formed."),
        ("just text", "Template format error: unsupported structure."),
        ("{}", "Template format error: At least one Resources member must be defined."),
        (body(Resources={"A": {"Properties": {}}}),
         "Template format error: [/Resources/A] Every Resources object must contain a Type member."),
        (body(Outputs={"O": {}}), "[/Outputs/O/Value] 'null' values are not allowed in templates"),
        (body(Resources={"A": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "None"}}}}),
         "Template format error: Unresolved resource dependencies [None] in the Resources block of the template"),
        (body(Outputs={"O": {"Value": {"Fn::Sub": "${None.Arn}"}}}),
         "Template format error: Unresolved resource dependencies [None] in the Outputs block of the template"),
        (body(Resources={name: {"Type": "AWS::SNS::Topic", "DependsOn": other} for name, other in ("AB", "BA")}),
         "Circular dependency between resources: [A, B]"),
        (body(Outputs={"O": {"Value": {"Fn::ImportValue": "none"}}}), None),
    ],
    ids=str,
)  # fmt: skip
def test_a_template_that_aws_does_not_take_is_refused(cloudformation: Any, template: str, message: str | None) -> None:
    """ValidationError before there is a stack; what can only be seen later ends in a rollback."""
    if message is None:
        cloudformation.create_stack(StackName="test", TemplateBody=template)
        assert status_of(cloudformation) == "ROLLBACK_COMPLETE"
        assert "No export named none found." in reasons_of(cloudformation)["test", "ROLLBACK_IN_PROGRESS"]
        return
    code, found = refusal(cloudformation.create_stack, StackName="test", TemplateBody=template)
    assert (code, found.startswith(message)) == ("ValidationError", True), found
    assert cloudformation.describe_stacks()["Stacks"] == []


def test_a_resource_that_goes_cannot_be_referred_to(cloudformation: Any) -> None:
    """AWS: "Unresolved resource dependencies" when the condition of what a Ref names is false."""
    template = body(
        Parameters={"Has": {"Type": "String", "Default": "yes"}},
        Conditions={"Has": {"Fn::Equals": [{"Ref": "Has"}, "yes"]}},
        Resources={
            "Topic": {"Type": "AWS::SNS::Topic", "Condition": "Has"},
            "User": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Sub": "${Topic}"}}},
        },
    )
    cloudformation.create_stack(StackName="test", TemplateBody=template)
    code, message = refusal(
        cloudformation.update_stack, StackName="test", UsePreviousTemplate=True, Parameters=given(Has="no")
    )
    assert (code, "Unresolved resource dependencies [Topic]" in message) == ("ValidationError", True)
    assert status_of(cloudformation) == "CREATE_COMPLETE"


def test_what_the_sandbox_does_not_simulate_is_a_loud_error(cloudformation: Any) -> None:
    macro = body(Transform="AWS::Serverless-2016-10-31")
    cloudformation.create_stack(StackName="there", TemplateBody=body())
    policy = json.dumps({"Statement": []})
    cloudformation.create_stack(StackName="guarded", TemplateBody=body(), StackPolicyBody=policy)
    changed = {"TemplateBody": body(Outputs={"O": {"Value": "x"}})}
    for call, arguments in (
        (cloudformation.create_stack, {"StackName": "test", "TemplateBody": macro}),
        (cloudformation.update_stack, {"StackName": "there", "DisableRollback": True, **changed}),
        (cloudformation.update_stack, {"StackName": "guarded", **changed}),
        (cloudformation.update_stack,
         {"StackName": "there", "RollbackConfiguration": {"MonitoringTimeInMinutes": 5}, **changed}),
        (cloudformation.describe_change_set, {"ChangeSetName": "c", "IncludePropertyValues": True}),
        (cloudformation.create_change_set,
         {"StackName": "new", "ChangeSetName": "c", "ChangeSetType": "IMPORT", **changed}),
    ):  # fmt: skip
        assert refusal(call, **arguments)[0] == "SandboxNotImplemented"


def test_a_value_that_is_exported_can_be_imported_once(cloudformation: Any) -> None:
    """AWS, "Get exported outputs from a deployed CloudFormation stack": names are unique in an account and Region."""
    exporting = body(Outputs={"O": {"Value": "exported", "Export": {"Name": "name"}}})
    cloudformation.create_stack(StackName="one", TemplateBody=exporting)
    importing = body(Outputs={"I": {"Value": {"Fn::ImportValue": "name"}}})
    cloudformation.create_stack(StackName="test", TemplateBody=importing)
    assert outputs(stack_of(cloudformation)) == {"I": "exported"}
    assert [each["Value"] for each in cloudformation.list_exports()["Exports"]] == ["exported"]
    cloudformation.create_stack(StackName="two", TemplateBody=exporting)
    assert status_of(cloudformation, "two") == "ROLLBACK_COMPLETE"
    assert "already exported by stack one" in reasons_of(cloudformation, "two")["two", "ROLLBACK_IN_PROGRESS"]
    cloudformation.delete_stack(StackName="one")
    assert cloudformation.list_exports()["Exports"] == []


# Types

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
OTHER_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "sns:*", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
OTHER_TRUST = {"Version": "2012-10-17", "Statement": [{**TRUST["Statement"][0], "Sid": "x"}]}  # type: ignore[dict-item]


def inline(name: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"PolicyName": name, "PolicyDocument": document}]


def about(name: str, action: str) -> dict[str, Any]:
    resource = f"arn:aws:sqs:eu-west-1:{B}:{name}"
    owner = {"AWS": f"arn:aws:iam::{B}:root"}
    statement = {"Effect": "Allow", "Principal": owner, "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def queue_policy(client: Client, name: str) -> Any:
    url = client("sqs", B).get_queue_url(QueueName=name)["QueueUrl"]
    attributes = client("sqs", B).get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
    return json.loads(attributes["Policy"]) if "Policy" in attributes else None


def role_policies(client: Client) -> dict[str, Any]:
    iam = client("iam", B)
    names = iam.list_role_policies(RoleName="r")["PolicyNames"]
    return {name: iam.get_role_policy(RoleName="r", PolicyName=name)["PolicyDocument"] for name in names}


def url(name: str) -> str:
    return f"https://sqs.eu-west-1.amazonaws.com/{B}/{name}"


def table(mode: str, units: int) -> dict[str, Any]:
    return {
        "TableName": "t",
        "BillingMode": mode,
        "ProvisionedThroughput": {"ReadCapacityUnits": units, "WriteCapacityUnits": units},
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }


ROLE = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "AssumeRolePolicyDocument": TRUST}}
QUEUES: dict[str, Any] = {
    name: {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name.lower()}} for name in ("Q1", "Q2")
}

CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any], dict[str, Any], Callable[[Client], Any], Any, Any]] = {
    # name: other resources, type, properties before and after, what is seen, and what it is before and after
    "topic": (
        {}, "AWS::SNS::Topic", {"TopicName": "t", "DisplayName": "a"}, {"TopicName": "t"},
        lambda client: client("sns", B).get_topic_attributes(TopicArn=f"arn:aws:sns:eu-west-1:{B}:t")["Attributes"][
            "DisplayName"],
        "a", "",
    ),
    "queue": (
        {}, "AWS::SQS::Queue", {"QueueName": "q", "VisibilityTimeout": 60, "DelaySeconds": 5}, {"QueueName": "q"},
        lambda client: {
            name: client("sqs", B).get_queue_attributes(QueueUrl=url("q"), AttributeNames=["All"])["Attributes"][name]
            for name in ("VisibilityTimeout", "DelaySeconds")},
        {"VisibilityTimeout": "60", "DelaySeconds": "5"}, {"VisibilityTimeout": "30", "DelaySeconds": "0"},
    ),
    "queue policy": (
        QUEUES, "AWS::SQS::QueuePolicy", {"Queues": [url("q1")], "PolicyDocument": about("q1", "sqs:*")},
        {"Queues": [url("q2")], "PolicyDocument": about("q2", "sqs:SendMessage")},
        lambda client: (queue_policy(client, "q1"), queue_policy(client, "q2")),
        (about("q1", "sqs:*"), None), (None, about("q2", "sqs:SendMessage")),
    ),
    "role": (
        {}, "AWS::IAM::Role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Policies": inline("a", POLICY), "Description": "one"},
        {"RoleName": "r", "AssumeRolePolicyDocument": OTHER_TRUST, "Policies": inline("b", OTHER_POLICY)},
        lambda client: (
            role_policies(client), client("iam", B).get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]),
        ({"a": POLICY}, TRUST), ({"b": OTHER_POLICY}, OTHER_TRUST),
    ),
    "managed policies of a role": (
        {}, "AWS::IAM::Role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST,
         "ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]},
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST},
        lambda client: [
            each["PolicyName"]
            for each in client("iam", B).list_attached_role_policies(RoleName="r")["AttachedPolicies"]],
        ["AdministratorAccess"], [],
    ),
    "inline policy": (
        {"Role": ROLE}, "AWS::IAM::Policy",
        {"PolicyName": "a", "PolicyDocument": POLICY, "Roles": [{"Ref": "Role"}]},
        {"PolicyName": "b", "PolicyDocument": OTHER_POLICY, "Roles": [{"Ref": "Role"}]},
        role_policies, {"a": POLICY}, {"b": OTHER_POLICY},
    ),
    "instance profile": (
        {"Role": ROLE}, "AWS::IAM::InstanceProfile",
        {"InstanceProfileName": "p", "Roles": [{"Ref": "Role"}]}, {"InstanceProfileName": "p", "Roles": []},
        lambda client: [
            role["RoleName"]
            for role in client("iam", B).get_instance_profile(InstanceProfileName="p")["InstanceProfile"]["Roles"]],
        ["r"], [],
    ),
    "table": (
        {}, "AWS::DynamoDB::Table",
        table("PROVISIONED", 1), table("PAY_PER_REQUEST", 0),
        lambda client: client("dynamodb", B).describe_table(TableName="t")["Table"]["BillingModeSummary"][
            "BillingMode"],
        "PROVISIONED", "PAY_PER_REQUEST",
    ),
    "parameter": (
        {}, "AWS::SSM::Parameter", {"Name": "/p", "Type": "String", "Value": "a"},
        {"Name": "/p", "Type": "String", "Value": "b"},
        lambda client: [
            client("ssm", B).get_parameter(Name="/p")["Parameter"][name] for name in ("Value", "Version")],
        ["a", 1], ["b", 2],
    ),
    "dashboard": (
        {}, "AWS::CloudWatch::Dashboard", {"DashboardName": "d", "DashboardBody": "{}"},
        {"DashboardName": "d", "DashboardBody": "[]"},
        lambda client: client("cloudwatch", B).get_dashboard(DashboardName="d")["DashboardBody"], "{}", "[]",
    ),
    "log group": (
        {}, "AWS::Logs::LogGroup", {"LogGroupName": "g", "RetentionInDays": 7},
        {"LogGroupName": "g", "RetentionInDays": 14},
        lambda client: client("logs", B).describe_log_groups()["logGroups"][0]["retentionInDays"], 7, 14,
    ),
    "bucket policy": (
        {}, "AWS::S3::BucketPolicy", {"Bucket": "uploads-b", "PolicyDocument": "first"},
        {"Bucket": "uploads-b", "PolicyDocument": "second"},
        lambda client: json.loads(client("s3", B).get_bucket_policy(Bucket="uploads-b")["Policy"])["Statement"][0][
            "Sid"],
        "first", "second",
    ),
}  # fmt: skip


def bucket_document(properties: dict[str, Any]) -> dict[str, Any]:
    """The case's text as the Sid of a policy that S3 takes."""
    if not isinstance(properties.get("PolicyDocument"), str):
        return properties
    statement = {
        "Sid": properties["PolicyDocument"],
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{B}:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::uploads-b/*",
    }
    return {**properties, "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


@pytest.mark.parametrize("name", CASES)
def test_a_resource_is_changed_in_place_and_deleted_with_its_stack(
    client: Client, cloudformation: Any, create: Create, name: str
) -> None:
    """AWS, resource reference: what is left out goes back to its default; the physical id stays. moto's update of most
    of these does nothing, or makes another resource.
    """
    others, kind, before, after, see, first, second = CASES[name]
    before, after = bucket_document(before), bucket_document(after)
    depends = {"DependsOn": list(others)} if others else {}
    create(Resources={**others, "Thing": {"Type": kind, "Properties": before, **depends}})
    assert status_of(cloudformation) == "CREATE_COMPLETE", reasons_of(cloudformation)
    physical = resources_of(cloudformation)
    assert see(client) == first
    cloudformation.update_stack(
        StackName="test",
        TemplateBody=body(Resources={**others, "Thing": {"Type": kind, "Properties": after, **depends}}),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    assert status_of(cloudformation) == "UPDATE_COMPLETE", reasons_of(cloudformation)
    assert see(client) == second
    assert resources_of(cloudformation) == physical
    assert [status for logical, status in events_of(cloudformation) if logical == "Thing"][-2:] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    made = stack_of(cloudformation)["StackId"]
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation, made) == "DELETE_COMPLETE", reasons_of(cloudformation, made)
    with pytest.raises(Exception, match=r"NotFound|NonExist|NoSuch|does not exist|index out of range"):
        see(client)


NAMELESS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "AWS::SNS::Topic": ({}, {"DisplayName": "x"}),
    "AWS::SQS::Queue": ({}, {"DelaySeconds": 1}),
    "AWS::SSM::Parameter": ({"Type": "String", "Value": "a"}, {"Type": "String", "Value": "b"}),
    "AWS::CloudWatch::Dashboard": ({"DashboardBody": "{}"}, {"DashboardBody": "[]"}),
    "AWS::Logs::LogGroup": ({}, {"RetentionInDays": 7}),
    "AWS::IAM::Role": (
        {"AssumeRolePolicyDocument": TRUST},
        {"AssumeRolePolicyDocument": TRUST, "Description": "x"},
    ),
    "AWS::Lambda::Function": ({"Timeout": 1}, {"Timeout": 2}),
}


@pytest.mark.parametrize("kind", NAMELESS)
def test_a_resource_without_a_name_gets_one_and_keeps_it(cloudformation: Any, create: Create, kind: str) -> None:
    """AWS, "Name type": without a name, CloudFormation makes up a unique one. moto makes another topic, with another
    ARN, at every update of the stack.
    """
    before, after = NAMELESS[kind]
    resources = [{"Thing": {"Type": kind, "Properties": properties}, "Other": {"Type": kind, "Properties": before}}
                 for properties in (before, after)]  # fmt: skip
    create(Resources=resources[0])
    physical = resources_of(cloudformation)
    assert all("Thing" in physical["Thing"] and name for name in physical.values())
    cloudformation.update_stack(
        StackName="test", TemplateBody=body(Resources=resources[1]), Capabilities=["CAPABILITY_IAM"]
    )
    assert status_of(cloudformation) == "UPDATE_COMPLETE", reasons_of(cloudformation)
    assert resources_of(cloudformation) == physical
    assert {name for name, status in events_of(cloudformation) if status == "UPDATE_COMPLETE"} == {"test", "Thing"}


def test_a_topic_that_changes_keeps_its_subscriptions(client: Client, cloudformation: Any, create: Create) -> None:
    create(Resources={"Topic": {"Type": "AWS::SNS::Topic"}})
    arn = resources_of(cloudformation)["Topic"]
    client("sns", B).subscribe(TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    changed = body(Resources={"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}}})
    cloudformation.update_stack(StackName="test", TemplateBody=changed)
    assert len(client("sns", B).list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]) == 1


def test_a_role_that_somebody_gave_a_policy_is_not_deleted(client: Client, cloudformation: Any, create: Create) -> None:
    """AWS, DeleteRole: its policies have to be deleted before; the stack ends in DELETE_FAILED."""
    create(Resources={"Role": ROLE})
    client("iam", B).put_role_policy(RoleName="r", PolicyName="mine", PolicyDocument=json.dumps(POLICY))
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation) == "DELETE_FAILED"
    assert "must delete policies first" in reasons_of(cloudformation)["Role", "DELETE_FAILED"]


def test_a_kind_of_resource_can_be_added(cloudformation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For custom resources, which somebody outside of CloudFormation answers for."""
    from runbook.sandbox.cloudformation import kinds

    asked = []

    class Custom(kinds.Inert):
        def create(self, resource: kinds.Resource) -> None:
            asked.append((resource.logical_id, dict(resource.properties)))
            if resource.properties["Fails"] == "true":
                raise kinds.ResourceFailed("CustomResource attribute error: refused")
            resource.physical_id = "made-elsewhere"

    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
    kinds.register("Custom::", Custom())
    for name, fails in (("one", "false"), ("two", "true")):
        resource = {"Type": "Custom::Thing", "Properties": {"ServiceToken": "x", "Fails": fails}}
        cloudformation.create_stack(StackName=name, TemplateBody=body(Resources={"Thing": resource}))
    assert asked == [("Thing", {"ServiceToken": "x", "Fails": fails}) for fails in ("false", "true")]
    assert resources_of(cloudformation, "one") == {"Thing": "made-elsewhere"}
    assert status_of(cloudformation, "two") == "ROLLBACK_COMPLETE"
    assert reasons_of(cloudformation, "two")["Thing", "CREATE_FAILED"] == "CustomResource attribute error: refused"


# Reading


def test_a_stack_is_read_by_its_name_and_by_its_arn(cloudformation: Any, create: Create) -> None:
    found = create(Description="what it is", Outputs={"O": {"Value": "x", "Description": "d"}})
    arn = found["StackId"]
    assert cloudformation.describe_stacks(StackName=arn)["Stacks"] == [found]
    assert cloudformation.describe_stacks()["Stacks"] == [found]
    assert (found["Description"], found["Outputs"]) == (
        "what it is",
        [{"OutputKey": "O", "OutputValue": "x", "Description": "d"}],
    )
    assert (found["DisableRollback"], found["EnableTerminationProtection"]) == (False, False)
    assert found["DriftInformation"] == {"StackDriftStatus": "NOT_CHECKED"}
    assert found["Capabilities"] == ["CAPABILITY_NAMED_IAM"]


@pytest.mark.parametrize(
    ("operation", "arguments", "message"),
    [
        ("describe_stacks", {}, "Stack with id none does not exist"),
        ("describe_stack_resources", {}, "Stack with id none does not exist"),
        ("list_stack_resources", {}, "Stack with id none does not exist"),
        ("get_template", {}, "Stack with id none does not exist"),
        ("get_template_summary", {}, "Stack with id none does not exist"),
        ("describe_stack_resource", {"LogicalResourceId": "X"}, "Stack 'none' does not exist"),
        ("describe_stack_events", {}, "Stack [none] does not exist"),
        ("update_stack", {"TemplateBody": body()}, "Stack [none] does not exist"),
    ],
)
def test_a_stack_that_does_not_exist_is_a_validation_error(
    cloudformation: Any, operation: str, arguments: dict[str, str], message: str
) -> None:
    found = refusal(getattr(cloudformation, operation), StackName="none", **arguments)
    assert found == ("ValidationError", message)


def test_the_template_is_read_as_it_was_written(cloudformation: Any) -> None:
    """AWS, GetTemplate: "Returns the template body for a specified stack", comments and all."""
    text = "# A comment\nResources: {Topic: {Type: 'AWS::SNS::Topic'}}\n"
    cloudformation.create_stack(StackName="test", TemplateBody=text)
    assert cloudformation.get_template(StackName="test")["TemplateBody"] == text
    changed = text + "Outputs: {O: {Value: x}}\n"
    cloudformation.update_stack(StackName="test", TemplateBody=changed)
    assert cloudformation.get_template(StackName="test")["TemplateBody"] == changed


def test_a_template_is_summed_up(cloudformation: Any, create: Create) -> None:
    """AWS, GetTemplateSummary: parameters, types, and the capabilities that the template needs."""
    declared = {"P": {"Type": "String", "Default": "a", "AllowedValues": ["a", "b"], "Description": "d"}}
    create(Parameters=declared, Resources={"Role": ROLE})
    summary = cloudformation.get_template_summary(StackName="test")
    assert summary["Parameters"] == [
        {
            "ParameterKey": "P",
            "DefaultValue": "a",
            "ParameterType": "String",
            "NoEcho": False,
            "Description": "d",
            "ParameterConstraints": {"AllowedValues": ["a", "b"]},
        }
    ]
    assert (summary["ResourceTypes"], summary["Capabilities"]) == (["AWS::IAM::Role"], ["CAPABILITY_NAMED_IAM"])
    assert "AWS::IAM::Role" in summary["CapabilitiesReason"]


def test_a_template_is_validated_without_a_stack(cloudformation: Any) -> None:
    """AWS, ValidateTemplate."""
    found = cloudformation.validate_template(TemplateBody=body(Description="d", Resources={"Role": ROLE}))
    assert (found["Description"], found["Capabilities"]) == ("d", ["CAPABILITY_NAMED_IAM"])
    code, message = refusal(cloudformation.validate_template, TemplateBody="{}")
    assert (code, message.partition(":")[0]) == ("ValidationError", "Template format error")


def test_resources_are_listed_and_found(cloudformation: Any, create: Create) -> None:
    create(Resources={"B": {"Type": "AWS::SNS::Topic"}, "A": {"Type": "AWS::SQS::Queue"}})
    listed = cloudformation.list_stack_resources(StackName="test")["StackResourceSummaries"]
    assert [(each["LogicalResourceId"], each["ResourceStatus"]) for each in listed] == [
        ("B", "CREATE_COMPLETE"),
        ("A", "CREATE_COMPLETE"),
    ]
    one = cloudformation.describe_stack_resource(StackName="test", LogicalResourceId="A")["StackResourceDetail"]
    assert (one["ResourceType"], one["PhysicalResourceId"]) == ("AWS::SQS::Queue", resources_of(cloudformation)["A"])
    by_id = cloudformation.describe_stack_resources(PhysicalResourceId=one["PhysicalResourceId"])["StackResources"]
    assert {each["LogicalResourceId"] for each in by_id} == {"A", "B"}
    expected = ("ValidationError", "Resource X does not exist for stack test")
    assert refusal(cloudformation.describe_stack_resource, StackName="test", LogicalResourceId="X") == expected


def test_stacks_are_listed_deleted_ones_too(cloudformation: Any) -> None:
    """AWS, ListStacks: "Summary information for stacks that have been deleted is kept for 90 days"."""
    for name in ("one", "two"):
        cloudformation.create_stack(StackName=name, TemplateBody=body())
    cloudformation.delete_stack(StackName="one")

    def listed(**arguments: Any) -> dict[str, str]:
        found = cloudformation.list_stacks(**arguments)["StackSummaries"]
        return {each["StackName"]: each["StackStatus"] for each in found}

    assert listed() == {"one": "DELETE_COMPLETE", "two": "CREATE_COMPLETE"}
    assert listed(StackStatusFilter=["CREATE_COMPLETE"]) == {"two": "CREATE_COMPLETE"}


@pytest.mark.parametrize("name", ["1test", "a_b", "x" * 129])
def test_a_stacks_name_has_a_form(cloudformation: Any, name: str) -> None:
    """AWS, CreateStack, StackName: "can contain only alphanumeric characters (case sensitive) and hyphens. It must
    start with an alphabetical character and can't be longer than 128 characters."
    """
    code, message = refusal(cloudformation.create_stack, StackName=name, TemplateBody=body())
    assert (code, "at 'stackName' failed to satisfy constraint" in message) == ("ValidationError", True)
