"""Editing the restriction parameters of bucketAV's stack, as one does to let accounts connect."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.cloudformation import (
    PREVIOUS,
    A,
    body,
    changes_of,
    events_of,
    given,
    outputs,
    resources_of,
    shown,
    stack_of,
    status_of,
)

Client = Callable[..., Any]
Update = Callable[..., None]

B, C, D = "222222222222", "333333333333", "444444444444"
CONDITIONAL = {
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
STACK = {"StackName": "bucketav"}


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", A)


@pytest.fixture
def plan(cloudformation: Any) -> Callable[..., dict[str, dict[str, Any]]]:
    """A change set for some parameters, all others as they are; the changes that it shows."""

    def make(**parameters: str) -> dict[str, dict[str, Any]]:
        names = shown(stack_of(cloudformation, "bucketav"))
        cloudformation.create_change_set(
            **STACK,
            ChangeSetName="change",
            UsePreviousTemplate=True,
            Parameters=given(**{**dict.fromkeys(names, PREVIOUS), **parameters}),
            Capabilities=["CAPABILITY_IAM"],
        )
        return changes_of(cloudformation, stack="bucketav")

    return make


@pytest.fixture
def update(cloudformation: Any, plan: Callable[..., Any]) -> Update:
    def make(**parameters: str) -> None:
        plan(**parameters)
        cloudformation.execute_change_set(**STACK, ChangeSetName="change")
        assert status_of(cloudformation, "bucketav") == "UPDATE_COMPLETE"

    return make


def document(client: Client, of: str) -> dict[str, Any]:
    """The policy of the scan queue, or of the connection topic."""
    if of == "topic":
        arn = f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic"
        return dict(json.loads(client("sns", A).get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]))
    url = outputs(stack_of(client("cloudformation", A), "bucketav"))["ScanQueueUrl"]
    attributes = client("sqs", A).get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    return dict(json.loads(attributes["Policy"]))


def allowlisted(policy: dict[str, Any], key: str) -> list[str]:
    conditions = [statement["Condition"]["StringEquals"] for statement in policy["Statement"]]
    return next(each[key] for each in conditions if isinstance(each.get(key), list))


def table_names(client: Client) -> list[str]:
    return list(client("dynamodb", A).list_tables()["TableNames"])


def cross_account(client: Client) -> str:
    name = "/bucketAV/bucketav/CrossAccount"
    return str(client("ssm", A).get_parameter(Name=name)["Parameter"]["Value"])


def test_allowlisting_one_more_account_changes_two_policies(plan: Callable[..., Any]) -> None:
    """Nothing is replaced, nothing else is touched."""
    changes = plan(AWSAccountRestriction=f"{B},{C},{D}")
    assert {name: (change["Action"], change["Replacement"]) for name, change in changes.items()} == {
        "AccountConnectionTopicPolicy": ("Modify", "False"),
        "ScanQueuePolicy": ("Modify", "False"),
    }
    for change in changes.values():
        static = [each for each in change["Details"] if each["Evaluation"] == "Static"]
        assert [(each["Target"]["Name"], each["CausingEntity"]) for each in static] == [
            ("PolicyDocument", "AWSAccountRestriction")
        ]


def test_the_policies_follow_and_everything_else_stays(
    client: Client, cloudformation: Any, update: Update, scan_role_arn: str
) -> None:
    """The same physical ids, ARNs, role and items as before; only two resources have events."""
    before = resources_of(cloudformation, "bucketav")
    role = client("iam", A).get_role(RoleName=scan_role_arn.rpartition("/")[2])["Role"]
    client("sqs", A).send_message(QueueUrl=before["ScanQueue"], MessageBody="waiting")
    shown_before = stack_of(cloudformation, "bucketav")
    update(AWSAccountRestriction=f"{B},{C}, {D}", AWSOrganizationRestriction="o-exampleorg")
    assert allowlisted(document(client, "topic"), "aws:PrincipalAccount") == [B, C, D]
    assert allowlisted(document(client, "topic"), "aws:PrincipalOrgID") == ["o-exampleorg"]
    assert allowlisted(document(client, "queue"), "aws:SourceAccount") == [B, C, D]
    assert allowlisted(document(client, "queue"), "aws:SourceOrgID") == ["o-exampleorg"]
    assert resources_of(cloudformation, "bucketav") == before
    assert client("iam", A).get_role(RoleName=role["RoleName"])["Role"] == role
    assert client("dynamodb", A).scan(TableName="bucketav-AccountConnection")["Count"] == 2
    received = client("sqs", A).receive_message(QueueUrl=before["ScanQueue"])["Messages"]
    assert [message["Body"] for message in received] == ["waiting"]
    after = stack_of(cloudformation, "bucketav")
    assert after["Outputs"] == shown_before["Outputs"]
    assert shown(after) == {
        **shown(shown_before),
        "AWSAccountRestriction": f"{B},{C}, {D}",
        "AWSOrganizationRestriction": "o-exampleorg",
    }
    assert {name for name, status in events_of(cloudformation, "bucketav") if status == "UPDATE_COMPLETE"} == {
        "bucketav",
        "AccountConnectionTopicPolicy",
        "ScanQueuePolicy",
    }


def test_emptying_both_restrictions_removes_the_connections(
    client: Client, cloudformation: Any, update: Update, plan: Callable[..., Any], scan_role_arn: str
) -> None:
    """FACTS of bucketAV: "Emptying both restrictions deletes these, connections included"; the change set says so."""
    before = resources_of(cloudformation, "bucketav")
    changes = plan(AWSAccountRestriction="")
    assert {name for name, change in changes.items() if change["Action"] == "Remove"} == CONDITIONAL
    assert {name for name, change in changes.items() if change["Action"] == "Modify"} == {
        "CrossAccountParameter",
        "ScanQueuePolicy",
    }
    cloudformation.delete_change_set(**STACK, ChangeSetName="change")
    update(AWSAccountRestriction="")
    assert set(before) - set(resources_of(cloudformation, "bucketav")) == CONDITIONAL
    assert table_names(client) == []
    names = {each["TopicArn"].rpartition(":")[2] for each in client("sns", A).list_topics()["Topics"]}
    assert "bucketav-AccountConnectionTopic" not in names
    assert cross_account(client) == "false"
    role = scan_role_arn.rpartition("/")[2]
    assert set(client("iam", A).list_role_policies(RoleName=role)["PolicyNames"]) == {
        "scan", "report", "delete", "tag",
    }  # fmt: skip
    assert allowlisted(document(client, "queue"), "aws:SourceAccount") == [""]


def test_a_restriction_that_is_set_again_brings_them_back_empty(
    client: Client, cloudformation: Any, update: Update, plan: Callable[..., Any], scan_role_arn: str
) -> None:
    before = resources_of(cloudformation, "bucketav")
    update(AWSAccountRestriction="")
    changes = plan(AWSOrganizationRestriction="o-exampleorg")
    assert {name for name, change in changes.items() if change["Action"] == "Add"} == CONDITIONAL
    cloudformation.execute_change_set(**STACK, ChangeSetName="change")
    after = resources_of(cloudformation, "bucketav")
    assert set(after) == set(before)
    named = {"AccountConnectionTopic", "AccountConnectionTable", "BucketCacheTable"}
    assert {name: after[name] for name in named} == {name: before[name] for name in named}
    assert {name: each for name, each in after.items() if name not in CONDITIONAL} == {
        name: each for name, each in before.items() if name not in CONDITIONAL
    }
    assert client("dynamodb", A).scan(TableName="bucketav-AccountConnection")["Items"] == []
    assert cross_account(client) == "true"
    assert allowlisted(document(client, "topic"), "aws:PrincipalOrgID") == ["o-exampleorg"]
    role = scan_role_arn.rpartition("/")[2]
    statement = client("iam", A).get_role_policy(RoleName=role, PolicyName="cross-account")["PolicyDocument"]
    assert statement["Statement"][0]["Resource"] == "arn:aws:iam::*:role/bucketav-AccountConnection"


def test_the_probe_still_works_with_the_role_after_updates(
    cloudformation: Any, update: Update, scan_role_client: Client, scan_role_arn: str
) -> None:
    """Same unique id: policies that name the role go on meaning it."""
    name = scan_role_arn.rpartition("/")[2]
    for value in ("", B, f"{B},{D}"):
        update(AWSAccountRestriction=value)
        assert name in scan_role_client("sts").get_caller_identity()["Arn"]


def test_a_table_with_the_connections_name_makes_the_update_fail(
    client: Client, cloudformation: Any, update: Update, plan: Callable[..., Any]
) -> None:
    update(AWSAccountRestriction="")
    client("dynamodb", A).create_table(
        TableName="bucketav-BucketCache",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "x", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "x", "KeyType": "HASH"}],
    )
    plan(AWSAccountRestriction=B)
    cloudformation.execute_change_set(**STACK, ChangeSetName="change")
    found = stack_of(cloudformation, "bucketav")
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert shown(found)["AWSAccountRestriction"] == ""
    assert not CONDITIONAL & set(resources_of(cloudformation, "bucketav"))
    assert (table_names(client), cross_account(client)) == (["bucketav-BucketCache"], "false")


@pytest.mark.parametrize(
    ("parameters", "modified"),
    [
        ({"MaximumReceiveCount": "5"}, {"ScanQueue"}),
        ({"DeleteInfectedFiles": "false"}, set()),
        ({"S3ObjectRestriction": "arn:aws:s3:::x/*"}, {"ScanRole", "ScanRoleDeletes", "ScanRoleTags"}),
    ],
)
def test_other_parameters_change_what_depends_on_them_in_place(
    client: Client, cloudformation: Any, update: Update, parameters: dict[str, str], modified: set[str]
) -> None:
    before = resources_of(cloudformation, "bucketav")
    update(**parameters)
    after = resources_of(cloudformation, "bucketav")
    assert after == {name: physical for name, physical in before.items() if name in after}
    events = events_of(cloudformation, "bucketav")
    assert {name for name, status in events if status == "UPDATE_COMPLETE"} - {"bucketav"} == modified
    role = after["ScanRole"]
    scan = client("iam", A).get_role_policy(RoleName=role, PolicyName="scan")["PolicyDocument"]["Statement"]
    assert scan[1]["Resource"] == [parameters.get("S3ObjectRestriction", "*")]
    policies = client("iam", A).list_role_policies(RoleName=role)["PolicyNames"]
    assert ("delete" in policies) == (parameters.get("DeleteInfectedFiles") != "false")
    attributes = client("sqs", A).get_queue_attributes(QueueUrl=after["ScanQueue"], AttributeNames=["All"])
    redrive = json.loads(attributes["Attributes"]["RedrivePolicy"])
    assert redrive["maxReceiveCount"] == int(parameters.get("MaximumReceiveCount", "3"))


def test_the_dashboard_and_the_parameters_follow_the_template(client: Client, cloudformation: Any) -> None:
    """A newer version of the product: what other stacks look up changes in place, versions counted on."""
    text = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    newer = text.replace("2.19.3", "2.20.0").replace('"title": "AWS accounts"', '"title": "Accounts"')
    names = shown(stack_of(cloudformation, "bucketav"))
    cloudformation.update_stack(
        **STACK,
        TemplateBody=newer,
        Parameters=given(**dict.fromkeys(names, PREVIOUS)),
        Capabilities=["CAPABILITY_IAM"],
    )
    assert outputs(stack_of(cloudformation, "bucketav"))["Version"] == "2.20.0"
    parameter = client("ssm", A).get_parameter(Name="/bucketAV/bucketav/Version")["Parameter"]
    assert (parameter["Value"], parameter["Version"]) == ("2.20.0", 2)
    dashboard = client("cloudwatch", A).get_dashboard(DashboardName="bucketav-eu-west-1")["DashboardBody"]
    assert [widget["properties"].get("title") for widget in json.loads(dashboard)["widgets"]][-1] == "Accounts"


# The product's own template

PRODUCT = Path(__file__).with_name("product.yaml")


def test_a_template_with_types_that_nothing_simulates_works_for_the_restrictions(client: Client, at_once: None) -> None:
    """bucketAV's published template has functions, networks, fleets, alarms and rules. They are entries in the stack,
    and the parts that connections need are real. As on AWS, a permission for a function that is changed in place may be
    replaced, says the change set, and is not.
    """
    cloudformation = client("cloudformation", D)
    cloudformation.create_stack(
        **STACK, TemplateBody=PRODUCT.read_text(encoding="utf-8"), Capabilities=["CAPABILITY_IAM"]
    )
    assert status_of(cloudformation, "bucketav") == "CREATE_COMPLETE"
    before = resources_of(cloudformation, "bucketav")
    assert all(before.values())
    for value, restricted in ((B, True), ("", False), (f"{B},{C}", True)):
        cloudformation.create_change_set(
            **STACK,
            ChangeSetName="change",
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=given(AWSAccountRestriction=value, AWSOrganizationRestriction=PREVIOUS, Image=PREVIOUS),
        )
        changes = changes_of(cloudformation, stack="bucketav")
        replaced = {name for name, change in changes.items() if change.get("Replacement", "False") != "False"}
        assert replaced == {"SchedulePermission"}
        assert changes["SchedulePermission"]["Replacement"] == "Conditional"
        cloudformation.execute_change_set(**STACK, ChangeSetName="change")
        assert status_of(cloudformation, "bucketav") == "UPDATE_COMPLETE"
        found = resources_of(cloudformation, "bucketav")
        assert {name: found[name] for name in before} == before
        extra = {"ConnectionFunction", "ConnectionPermission", "ConnectionTable", "ConnectionTopic"}
        assert set(found) - set(before) == (extra if restricted else set())
        assert client("dynamodb", D).list_tables()["TableNames"] == (
            ["bucketav-AccountConnection"] if restricted else []
        )
    policy = client("iam", D).get_role_policy(RoleName=before["Role"], PolicyName="invoke")["PolicyDocument"]
    assert policy["Statement"][0]["Resource"] == outputs(stack_of(cloudformation, "bucketav"))["FunctionArn"]
    cloudformation.delete_stack(**STACK)
    assert cloudformation.describe_stacks()["Stacks"] == []


def test_inert_resources_have_plausible_ids_and_attributes(client: Client, at_once: None) -> None:
    """AWS, resource reference, return values: what Ref and Fn::GetAtt give."""
    cloudformation = client("cloudformation", D)
    cloudformation.create_stack(
        **STACK, TemplateBody=PRODUCT.read_text(encoding="utf-8"), Capabilities=["CAPABILITY_IAM"]
    )
    found = resources_of(cloudformation, "bucketav")
    for name, start in {
        "Network": "vpc-", "SubnetA": "subnet-", "SecurityGroup": "sg-", "Gateway": "igw-", "Template": "lt-",
        "Fleet": "bucketav-Fleet-", "Function": "bucketav-Function-", "Alarm": "bucketav-backlog",
        "Schedule": "bucketav-Schedule-", "Setup": "bucketav-Setup-",
    }.items():  # fmt: skip
        assert found[name].startswith(start)
    said = outputs(stack_of(cloudformation, "bucketav"))
    assert said["FunctionArn"] == f"arn:aws:lambda:eu-west-1:{D}:function:{found['Function']}"
    assert said["Group"] == found["SecurityGroup"]
    assert said["TemplateVersion"] == "1"
    assert client("logs", D).describe_log_groups()["logGroups"][0]["retentionInDays"] == 14


def test_the_seeded_stack_can_be_another_template(client: Client, at_once: None) -> None:
    """What `world` does with ours, it can do with the product's."""
    from runbook.sandbox import cloudformation

    made = cloudformation.create(D, "eu-west-1", "bucketav", PRODUCT.read_text(encoding="utf-8"), {})
    assert made.status == "CREATE_COMPLETE"
    assert status_of(client("cloudformation", D), "bucketav") == "CREATE_COMPLETE"
    failing = body(Resources={"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "no name"}}})
    assert cloudformation.create(D, "eu-west-1", "other", failing, {}).status == "ROLLBACK_COMPLETE"
