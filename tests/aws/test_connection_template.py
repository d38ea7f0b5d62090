"""The connection template: where it is read, and what a stack made from it would hold and allow."""

import json
from typing import Any

import pytest

from runbook.aws.connection_template import (
    ConnectionTemplate,
    S3Address,
    StackToBe,
    TemplateUnreadable,
    parse_address,
    parsed,
    read_template,
)
from runbook.aws.template import NotKnown
from runbook.environment import Environment

A, B = "111111111111", "222222222222"

TEMPLATE = """
Parameters:
  BucketAVStackName: {Type: String, Default: bucketav}
  BucketAVAccountId: {Type: String}
  S3BucketRestriction: {Type: CommaDelimitedList, Default: "*"}
  TagFiles: {Type: String, Default: "true"}
  Boundary: {Type: String, Default: ""}
Conditions:
  Tags: !Equals [!Ref TagFiles, "true"]
  HasBoundary: !Not [!Equals [!Ref Boundary, ""]]
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: !Sub "${BucketAVStackName}-AccountConnection"
      PermissionsBoundary: !If [HasBoundary, !Ref Boundary, !Ref AWS::NoValue]
      ManagedPolicyArns: [!Sub "arn:${AWS::Partition}:iam::aws:policy/SecurityAudit"]
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Principal: {AWS: !Sub "arn:${AWS::Partition}:iam::${BucketAVAccountId}:root"}
            Action: sts:AssumeRole
            Condition:
              StringEquals: {"sts:ExternalId": !Select [2, !Split ["/", !Ref AWS::StackId]]}
      Policies:
        - PolicyName: read
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - {Effect: Allow, Action: "s3:ListBucket*", Resource: !Ref S3BucketRestriction}
              - !If
                - Tags
                - {Effect: Allow, Action: "s3:PutObjectTagging", Resource: "*"}
                - !Ref AWS::NoValue
  More:
    Type: AWS::IAM::Policy
    Condition: Tags
    Properties:
      PolicyName: more
      Roles: [!Ref Role]
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Action: "sns:Publish", Resource: !GetAtt Topic.TopicArn}]
  Topic: {Type: AWS::SNS::Topic}
  Connection:
    Type: Custom::AccountConnection
    Properties: {ServiceToken: !Ref Topic, RoleArn: !GetAtt Role.Arn}
"""

STACK = StackToBe("aws", "eu-west-1", B, "bucketav-account-connection")


@pytest.fixture
def template() -> ConnectionTemplate:
    return parsed("https://example", TEMPLATE.encode())


def test_the_role_is_worked_out_with_parameters_and_pseudo_parameters(template: ConnectionTemplate) -> None:
    (made,) = template.roles({"BucketAVAccountId": A, "S3BucketRestriction": "arn:1, arn:2"}, STACK)
    assert (made.name, made.logical_id) == ("bucketav-AccountConnection", "Role")
    assert made.role.arn == f"arn:aws:iam::{B}:role/bucketav-AccountConnection"
    (trust,) = made.role.trust_policy["Statement"]
    assert trust["Principal"] == {"AWS": f"arn:aws:iam::{A}:root"}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "UNIQUE-ID-OF-THE-STACK"}}
    assert made.role.trust_policy["Version"] == "2012-10-17", "an unquoted date of YAML stays what was written"
    read, more = made.role.identity_policies
    assert read["Statement"][0]["Resource"] == ["arn:1", "arn:2"]
    assert read["Statement"][1]["Action"] == "s3:PutObjectTagging"
    assert more["Statement"][0]["Resource"] == "${Topic.TopicArn}", "what is made up later stays to be seen"
    assert made.elsewhere == ("arn:aws:iam::aws:policy/SecurityAudit",)


def test_conditions_decide_over_statements_policies_and_boundaries(template: ConnectionTemplate) -> None:
    boundary = "arn:aws:iam::222222222222:policy/boundary"
    (made,) = template.roles({"BucketAVAccountId": A, "TagFiles": "false", "Boundary": boundary}, STACK)
    (read,) = made.role.identity_policies
    assert len(read["Statement"]) == 1
    assert made.elsewhere[-1] == boundary


def test_a_role_that_depends_on_what_is_not_given_is_not_guessed_at(template: ConnectionTemplate) -> None:
    with pytest.raises(NotKnown, match="BucketAVAccountId"):
        template.roles({}, STACK)


def test_resources_parameters_and_capabilities_are_those_of_the_text(template: ConnectionTemplate) -> None:
    assert dict(template.resources)["Connection"] == "Custom::AccountConnection"
    assert set(template.parameters) >= {"BucketAVStackName", "BucketAVAccountId"}
    assert template.capabilities == ("CAPABILITY_NAMED_IAM",)
    assert template.size == len(TEMPLATE)
    assert "\n".join(template.lines) + "\n" == TEMPLATE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}, ()),
        ({"Resources": {"P": {"Type": "AWS::IAM::Policy"}}}, ("CAPABILITY_IAM",)),
        (
            {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"R": {"Type": "AWS::IAM::Role"}}},
            ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        ),
    ],
)
def test_only_what_has_to_be_acknowledged_is(content: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert parsed("https://example", json.dumps(content).encode()).capabilities == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://b-1.s3.eu-west-1.amazonaws.com/a/b.yaml", S3Address("b-1", "eu-west-1", "a/b.yaml")),
        ("https://b.with.dots.s3.amazonaws.com/a%20b", S3Address("b.with.dots", "us-east-1", "a b")),
        ("https://s3.us-gov-west-1.amazonaws.com/bucket/k", S3Address("bucket", "us-gov-west-1", "k")),
        ("https://s3-eu-west-1.amazonaws.com/bucket/k", S3Address("bucket", "eu-west-1", "k")),
        ("https://b-1.s3.cn-north-1.amazonaws.com.cn/k", S3Address("b-1", "cn-north-1", "k")),
        ("https://s3.amazonaws.com/bucket/k?versionId=v7", S3Address("bucket", "us-east-1", "k", "v7")),
    ],
)
def test_every_form_of_address_is_understood(url: str, expected: S3Address) -> None:
    assert parse_address(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://b-1.s3.eu-west-1.amazonaws.com/k",
        "https://example.com/template.yaml",
        "https://b-1.s3.eu-west-1.amazonaws.com/",
        "https://b-1.s3.eu-west-1.amazonaws.com.example.com/k",
        "s3://b-1/k",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the address of an object in S3 was expected"):
        parse_address(url)


def put(environment: Environment, account: str, body: bytes) -> str:
    environment.client("s3", account).put_object(Bucket="uploads-b", Key="template.yaml", Body=body)
    return "https://uploads-b.s3.eu-west-1.amazonaws.com/template.yaml"


def test_a_template_is_read_with_the_credentials_of_the_account(environment: Environment) -> None:
    url = put(environment, B, TEMPLATE.encode())
    assert read_template(environment, B, url).body == TEMPLATE


def test_one_that_anybody_may_read_is_read_without_credentials(environment: Environment) -> None:
    """Public, but refused to the account: its own administrators may have denied it everything that is not theirs."""
    client = environment.client("s3", B)
    client.put_object(Bucket="public-assets-b", Key="template.yaml", Body=TEMPLATE.encode())
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    environment.client("iam", A).put_role_policy(
        RoleName="OrganizationAccountAccessRole",
        PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )
    url = "https://public-assets-b.s3.eu-west-1.amazonaws.com/template.yaml"
    assert read_template(environment, A, url).body == TEMPLATE


def test_one_that_may_not_be_read_says_so_and_what_to_do(environment: Environment) -> None:
    url = put(environment, B, TEMPLATE.encode())
    with pytest.raises(TemplateUnreadable, match=r"from account 111111111111 \(a\): AccessDenied") as refused:
        read_template(environment, A, url)
    assert "put a copy into a bucket of your own" in refused.value.remedy
    with pytest.raises(TemplateUnreadable, match="NoSuchKey"):
        read_template(environment, B, url.replace("template", "other"))


@pytest.mark.parametrize("body", [b"<html>not found</html>", b"\xff\xfe", b"Resources: []"])
def test_what_is_no_template_is_not_taken_for_one(body: bytes, environment: Environment) -> None:
    with pytest.raises(TemplateUnreadable, match="is no CloudFormation template"):
        read_template(environment, B, put(environment, B, body))
