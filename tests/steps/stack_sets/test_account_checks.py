"""Checks of accounts, of a stack set that is there and of its template fail here, or warn, in the user's words."""

import json
from typing import Any

import pytest

from runbook.aws.connections import read_connections
from runbook.checks import Status
from runbook.environment import Environment
from tests.steps.stack_sets.world import (
    MANAGEMENT,
    NAME,
    PILOT,
    PILOT_SET,
    PRODUCTION,
    ROLE,
    A,
    B,
    C,
    Elsewhere,
    F,
    Through,
    answer,
    checks,
    deny,
    go,
)

USABLE = "The stack set that is there can be used"
TWICE = "No account is connected twice"
TEMPLATE = "The template can be used"


# --- the accounts ----------------------------------------------------------------------------------------------------


def test_accounts_that_are_connected_in_another_way_are_left_out_and_told(procedure: Through) -> None:
    found = answer(checks(procedure, targets=["organization"]), TWICE, Status.WARNING)
    assert (
        f"{C} (archive): It is connected already, by a stack of its own, `bucketav-account-connection`, version 1.0.0: "
        "left out, so that nothing collides. To have it in the stack set, disconnect it first, then run this again."
    ) in found
    assert f"{PILOT} (pilot): It is connected already, by another stack set, `{PILOT_SET}`, version 1.0.0" in found


def test_a_role_that_is_there_without_a_connection_is_found_before_it_collides(
    procedure: Through, environment: Environment
) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    environment.client("iam", F).create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    found = answer(checks(procedure, **PRODUCTION), TWICE, Status.WARNING)
    assert f"{F} (media): It is connected already, it has a role `{ROLE}`, although no connection is known" in found
    go(procedure("organizational-unit", apply=True))
    assert {each.account for each in read_connections(environment)} == {B, C, PILOT}


def test_a_connection_from_another_region_is_told(procedure: Through, environment: Environment) -> None:
    item = {
        "account_connection_id": f"aws:us-east-1:{B}", "account_id": B, "region": "us-east-1",
        "stack_name": "connection", "stack_id": f"arn:aws:cloudformation:us-east-1:{B}:stack/connection/1",
    }  # fmt: skip
    environment.client("dynamodb", A).put_item(
        TableName="bucketav-AccountConnection", Item={name: {"S": value} for name, value in item.items()}
    )
    found = answer(checks(procedure, **PRODUCTION), TWICE, Status.WARNING)
    assert f"{B} (uploads): It is connected already, by a stack of its own, `connection`, in us-east-1" in found


def test_accounts_that_cannot_be_looked_into_are_a_warning(
    procedure: Through, environment: Environment, elsewhere: Elsewhere
) -> None:
    deny(environment, F, "iam:GetRole")
    found = answer(checks(procedure, **PRODUCTION), TWICE, Status.WARNING)
    assert f"{F} (media): Whether they have the connection's role already cannot be looked for in 1 account" in found


def test_whom_a_stack_set_does_not_cover_is_told(procedure: Through) -> None:
    title = "Whom the stack set does not cover is known"
    found = checks(procedure, targets=["organization"])
    warned = answer(found, title, Status.WARNING)
    assert warned.startswith(
        f"{MANAGEMENT} (management): It is the management account: a stack set makes nothing there"
    )
    assert "02-iam-role connects it by itself." in warned
    known = answer(found, title, Status.OK)
    assert "131313131313 (dormant): It is suspended: left out." in known
    assert f"{A} (antivirus): It runs bucketAV, which refuses to connect its account to itself: left out." in known


def test_policies_that_cannot_be_read_are_a_warning(procedure: Through, elsewhere: Elsewhere) -> None:
    within = elsewhere(without="management")
    title = "The organization's policies let the role be made"
    found = answer(checks(procedure, **PRODUCTION, within=within), title, Status.WARNING)
    assert (
        "The organization's service control policies could not be read. Name the organization's `management`" in found
    )


# --- the stack set and its template ----------------------------------------------------------------------------------


def test_instances_in_another_region_fail(procedure: Through, environment: Environment) -> None:
    client = environment.client("cloudformation", MANAGEMENT)
    client.create_stack_instances(
        StackSetName=PILOT_SET, Regions=["eu-central-1"],
        DeploymentTargets={"OrganizationalUnitIds": ["ou-examp-pilotunit"]},
    )  # fmt: skip
    procedure(targets=["Pilot"], stack_set_name=PILOT_SET).plan()  # waits until it is over
    title = "The stack set is in bucketAV's Region and no other"
    found = answer(checks(procedure, targets=["Pilot"], stack_set_name=PILOT_SET), title, Status.FAILED)
    assert f"{PILOT_SET}: It has instances in `eu-central-1` too ({PILOT}), where the role" in found


def test_a_stack_set_of_another_bucketav_fails(procedure: Through, elsewhere: Elsewhere) -> None:
    title = USABLE
    given = {"targets": ["Pilot"], "stack_set_name": PILOT_SET}
    within = elsewhere(stack_name="bucketav")
    assert "It is service-managed; 1 stack instance; no parameter differs." in answer(
        checks(procedure, **given, template_version="1.0.0", within=within), title, Status.OK
    )
    client = within.client("cloudformation", MANAGEMENT)
    client.update_stack_set(
        StackSetName=PILOT_SET, UsePreviousTemplate=True, Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "BucketAVStackName", "ParameterValue": "bucketav-2"},
            {"ParameterKey": "BucketAVAccountId", "UsePreviousValue": True},
        ],
    )  # fmt: skip
    found = answer(checks(procedure, **given), title, Status.FAILED)
    assert found == (
        f"{PILOT_SET}: It connects accounts to another bucketAV: BucketAVStackName `bucketav-2`. Choose another "
        "`stack_set_name`."
    )


def test_deleting_what_is_not_there_is_nothing_to_do(procedure: Through) -> None:
    found = answer(checks(procedure, delete=True), "The stack set can be made", Status.OK)
    assert found == f"{NAME}: There is no stack set `{NAME}`: nothing to delete."
    assert procedure(delete=True).plan().changes == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"template_version": "9.9.9"}, "cannot be read from account 999999999999 (management)"),
        ({"template_parameters": {"S3BucketRestrictions": "*"}}, "It has no parameter `S3BucketRestrictions`. Correct"),
        ({"template_parameters": {"S3BucketRestrictions": "*"}}, "Did you mean `S3BucketRestriction`?"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_fails(given: dict[str, Any], said: str, procedure: Through) -> None:
    assert said in answer(checks(procedure, **PRODUCTION, **given), TEMPLATE, Status.FAILED)


def test_a_template_that_is_too_large_to_be_sent_fails(procedure: Through, environment: Environment) -> None:
    """The stack set is made from the body that was reviewed, and the call takes no more of it."""
    client = environment.client("s3", MANAGEMENT)
    published = environment.client("s3", A).get_object(
        Bucket="bucketav-add-ons", Key="account-connection/v2.0.0/bucketav-add-on-account-connection.yaml"
    )["Body"]
    client.create_bucket(Bucket="templates-m", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    padded = published.read() + b"# padded\n" * 6_000
    client.put_object(Bucket="templates-m", Key="large.yaml", Body=padded)
    given = {**PRODUCTION, "template_url": "https://templates-m.s3.eu-west-1.amazonaws.com/large.yaml"}
    found = answer(checks(procedure, **given), TEMPLATE, Status.FAILED)
    assert found == (
        f"large.yaml: It has {len(padded):,} bytes; CloudFormation takes 51,200 with the call. Use a version that is "
        "smaller."
    )
    assert procedure(**given).plan().changes == ()


def test_a_stack_set_with_permissions_of_its_own_fails(procedure: Through, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox makes no such stack set: what it answers of one of its own is changed on the way."""
    from runbook.sandbox.stack_sets.sets import StackSet

    shown = StackSet.description
    monkeypatch.setattr(StackSet, "description", lambda each: {**shown(each), "PermissionModel": "SELF_MANAGED"})
    given = {"targets": ["Pilot"], "stack_set_name": PILOT_SET}
    found = answer(checks(procedure, **given), USABLE, Status.FAILED)
    assert found == (
        f"{PILOT_SET}: Its permissions are SELF_MANAGED: it does not deploy to OUs, and that cannot be changed. Choose "
        "another `stack_set_name`, or delete it in CloudFormation."
    )
    assert procedure(**given).plan().changes == ()
