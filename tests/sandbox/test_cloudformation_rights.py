"""CloudFormation makes, changes and deletes resources with the rights of whoever called it, or of the stack's role."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import (
    B,
    body,
    reasons_of,
    refusal,
    resources_of,
    stack_of,
    status_of,
)
from tests.sandbox.test_connections import REQUEST

SEALED = "121212121212"

Client = Callable[..., Any]
Limited = Callable[..., Any]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def trust(**principal: str) -> str:
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def role_of(service: str = "ec2.amazonaws.com", **properties: Any) -> dict[str, Any]:
    document = json.loads(trust(Service=service))
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document, **properties}}


INLINE = {"PolicyName": "p", "PolicyDocument": json.loads(policy(allow("s3:GetObject")))}


@pytest.fixture
def limited(client: Client, client_with: Client, at_once: None) -> Limited:
    """CloudFormation in account b, as somebody who may do everything but these actions."""

    def make(*denied: str, name: str = "Limited") -> Any:
        iam = client("iam", B)
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(AWS=f"arn:aws:iam::{B}:root"))["Role"]
        deny = [{"Effect": "Deny", "Action": list(denied), "Resource": "*"}] if denied else []
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(allow("*"), *deny))
        session = client("sts", B).assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
        return client_with("cloudformation", session)

    return make


def request(resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "StackName": "test",
        "TemplateBody": body(Resources={"Thing": resource}),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }


TOPIC = f"arn:aws:sns:eu-west-1:{B}:there"
DOCUMENT = json.loads(policy({"Effect": "Allow", "Principal": {"AWS": B}, "Action": "*", "Resource": "*"}))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudwatch:PutDashboard", {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": "{}"}}),
        ("dynamodb:CreateTable", {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "t"}}),
        ("iam:CreateInstanceProfile", {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": ["x"]}}),
        ("iam:AddRoleToInstanceProfile", {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": ["x"]}}),
        ("iam:PassRole", {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": ["x"]}}),
        ("iam:CreatePolicy", {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": DOCUMENT}}),
        ("iam:PutRolePolicy", {"Type": "AWS::IAM::Policy", "Properties": {"Roles": ["x"], **INLINE}}),
        ("iam:CreateRole", role_of()),
        ("iam:PutRolePolicy", role_of(Policies=[INLINE])),
        ("iam:AttachRolePolicy", role_of(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])),
        ("iam:TagRole", role_of(Tags=[{"Key": "k", "Value": "v"}])),
        (
            "lambda:CreateFunction",
            {"Type": "AWS::Lambda::Function", "Properties": {"Role": f"arn:aws:iam::{B}:role/x"}},
        ),
        ("iam:PassRole", {"Type": "AWS::Lambda::Function", "Properties": {"Role": f"arn:aws:iam::{B}:role/x"}}),
        ("lambda:AddPermission", {"Type": "AWS::Lambda::Permission", "Properties": {"FunctionName": "f"}}),
        ("logs:CreateLogGroup", {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "g"}}),
        ("s3:CreateBucket", {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"}}),
        ("s3:PutBucketPolicy", {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": "uploads-b"}}),
        ("sns:Subscribe", {"Type": "AWS::SNS::Subscription", "Properties": {"TopicArn": TOPIC}}),
        ("sns:CreateTopic", {"Type": "AWS::SNS::Topic"}),
        ("sns:SetTopicAttributes", {"Type": "AWS::SNS::TopicPolicy", "Properties": {"Topics": [TOPIC]}}),
        ("sqs:CreateQueue", {"Type": "AWS::SQS::Queue"}),
        ("sqs:SetQueueAttributes", {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": ["https://x/y/q"]}}),
        ("ssm:PutParameter", {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "v"}}),
    ],
)
def test_a_resource_that_the_caller_may_not_make_fails(limited: Limited, action: str, resource: dict[str, Any]) -> None:
    cloudformation = limited(action)
    cloudformation.create_stack(**request(resource))
    assert status_of(cloudformation) == "ROLLBACK_COMPLETE"
    reason = reasons_of(cloudformation)["Thing", "CREATE_FAILED"]
    start = f'Resource handler returned message: "User: arn:aws:sts::{B}:assumed-role/Limited/me is not authorized to'
    said = f"{start} perform: {action} on resource: arn:aws:"
    assert reason.replace('"arn', "arn").lower().startswith(said.lower())  # SNS and SQS spell their actions differently
    assert " with an explicit deny in an identity-based policy (Service: " in reason
    assert reason.endswith("HandlerErrorCode: AccessDenied)")


def test_the_resource_is_named_as_it_would_be_called(limited: Limited) -> None:
    """A policy that lets somebody make roles of a certain name covers those that CloudFormation names."""
    cloudformation = limited("iam:CreateRole")
    cloudformation.create_stack(**request(role_of()))
    assert "role/test-Thing-" in reasons_of(cloudformation)["Thing", "CREATE_FAILED"]
    cloudformation.create_stack(**{**request(role_of(RoleName="fixed")), "StackName": "two"})
    assert f"arn:aws:iam::{B}:role/fixed with" in reasons_of(cloudformation, "two")["Thing", "CREATE_FAILED"]


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("iam:PutRolePolicy", role_of(), role_of(Policies=[INLINE])),
        ("iam:DeleteRolePolicy", role_of(Policies=[INLINE]), role_of()),
        ("iam:UpdateAssumeRolePolicy", role_of(), role_of("lambda.amazonaws.com")),
        (
            "sqs:SetQueueAttributes",
            {"Type": "AWS::SQS::Queue"},
            {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 5}},
        ),
        ("iam:CreateRole", role_of(RoleName="one"), role_of(RoleName="two")),
    ],
)
def test_a_resource_that_the_caller_may_not_change_fails_and_stays(
    client: Client, limited: Limited, action: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Each needs what it changes: the last one is made anew."""
    own = client("cloudformation", B)
    own.create_stack(**request(before))
    resources = resources_of(own)
    cloudformation = limited(action)
    cloudformation.update_stack(**request(after))
    assert status_of(cloudformation).startswith("UPDATE_ROLLBACK_")
    assert f"perform: {action} on".lower() in reasons_of(cloudformation)["Thing", "UPDATE_FAILED"].lower()
    assert resources_of(own) == resources


def test_a_change_needs_no_more_than_it_changes(client: Client, limited: Limited) -> None:
    own = client("cloudformation", B)
    own.create_stack(**request(role_of()))
    cloudformation = limited("iam:CreateRole", "iam:DeleteRole", "iam:UpdateAssumeRolePolicy", "iam:DeleteRolePolicy")
    cloudformation.update_stack(**request(role_of(Policies=[INLINE])))
    assert status_of(cloudformation) == "UPDATE_COMPLETE"


@pytest.mark.parametrize("action", ["iam:DeleteRole", "iam:DeleteRolePolicy"])
def test_a_resource_that_the_caller_may_not_delete_stays(client: Client, limited: Limited, action: str) -> None:
    cloudformation = limited(action)
    stack = cloudformation.create_stack(**request(role_of(RoleName="kept", Policies=[INLINE])))["StackId"]
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation) == "DELETE_FAILED"
    assert (
        f"perform: {action} on resource: arn:aws:iam::{B}:role/kept"
        in (reasons_of(cloudformation)["Thing", "DELETE_FAILED"])
    )
    assert client("iam", B).get_role(RoleName="kept")
    client("cloudformation", B).delete_stack(StackName="test")
    assert status_of(cloudformation, stack) == "DELETE_COMPLETE"


def test_a_creation_that_may_not_be_taken_back_is_stuck(limited: Limited) -> None:
    """AWS, "Stack status codes", ROLLBACK_FAILED."""
    cloudformation = limited("sns:DeleteTopic", "sqs:CreateQueue")
    resources = {"Topic": {"Type": "AWS::SNS::Topic"}, "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Topic"}}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    assert status_of(cloudformation) == "ROLLBACK_FAILED"
    assert "perform: SNS:DeleteTopic" in reasons_of(cloudformation)["Topic", "DELETE_FAILED"]


def test_a_service_control_policy_keeps_an_account_from_being_connected(client: Client, at_once: None) -> None:
    """The account's administrator may do everything that the organization lets him."""
    cloudformation = client("cloudformation", SEALED)
    cloudformation.create_stack(**REQUEST)
    stack = stack_of(cloudformation, REQUEST["StackName"])
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = reasons_of(cloudformation, stack["StackName"])["Role", "CREATE_FAILED"]
    assert (
        f"User: arn:aws:sts::{SEALED}:assumed-role/OrganizationAccountAccessRole/test is not authorized to perform: "
        f"iam:CreateRole on resource: arn:aws:iam::{SEALED}:role/bucketav-AccountConnection with an explicit deny in a "
        "service control policy (Service: Iam, Status Code: 403, Request ID: "
    ) in reason
    assert "bucketav-AccountConnection" not in {
        role["RoleName"] for role in client("iam", SEALED).list_roles()["Roles"]
    }


# A role for the stack


@pytest.fixture
def service_role(client: Client) -> str:
    """What CloudFormation may assume, and make topics with."""
    iam = client("iam", B)
    role = iam.create_role(RoleName="Service", AssumeRolePolicyDocument=trust(Service="cloudformation.amazonaws.com"))
    iam.put_role_policy(RoleName="Service", PolicyName="p", PolicyDocument=policy(allow("sns:*")))
    return str(role["Role"]["Arn"])


def test_a_stack_with_a_role_has_the_roles_rights(limited: Limited, service_role: str) -> None:
    """AWS, CreateStack, RoleARN: the role's credentials count, now and "for all future operations on the stack"."""
    cloudformation = limited("sns:*", "sqs:*")
    stack = cloudformation.create_stack(StackName="test", TemplateBody=body(), RoleARN=service_role)["StackId"]
    assert status_of(cloudformation) == "CREATE_COMPLETE"
    two = body(Resources={"Topic": {"Type": "AWS::SNS::Topic"}, "Queue": {"Type": "AWS::SQS::Queue"}})
    cloudformation.update_stack(StackName="test", TemplateBody=two)
    reason = reasons_of(cloudformation)["Queue", "CREATE_FAILED"]
    assert (
        f"User: arn:aws:sts::{B}:assumed-role/Service/AWSCloudFormation is not authorized to perform: sqs:c" in reason
    )
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation, stack) == "DELETE_COMPLETE"


def test_a_role_has_to_be_passed_once(limited: Limited, service_role: str) -> None:
    """AWS, CreateStack, RoleARN: users who may operate on the stack use the role "even if [they] don't have permission
    to pass it"."""
    free = limited(name="Free")
    free.create_stack(StackName="test", TemplateBody=body(), RoleARN=service_role)
    cloudformation = limited("iam:PassRole")
    code, message = refusal(cloudformation.create_stack, StackName="two", TemplateBody=body(), RoleARN=service_role)
    assert code == "AccessDenied"
    assert f"perform: iam:PassRole on resource: {service_role} with an explicit deny" in message
    cloudformation.update_stack(StackName="test", TemplateBody=body(Outputs={"O": {"Value": "x"}}))
    assert status_of(cloudformation) == "UPDATE_COMPLETE"


@pytest.mark.parametrize("name", ["NoSuchRole", "ForOthers"])
def test_a_role_that_cloudformation_cannot_assume_is_refused(client: Client, name: str) -> None:
    client("iam", B).create_role(RoleName="ForOthers", AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))
    arn = f"arn:aws:iam::{B}:role/{name}"
    found = refusal(client("cloudformation", B).create_stack, StackName="x", TemplateBody=body(), RoleARN=arn)
    assert found == ("ValidationError", f"Role {arn} is invalid or cannot be assumed")
