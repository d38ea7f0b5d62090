"""Accounts that join or leave what a stack set targets get its stack, or lose it, without being asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import given, refusal
from tests.sandbox.stack_sets import (
    NAMED,
    PILOT,
    PILOTS,
    PRODUCTION,
    ROOT,
    WORKLOADS,
    A,
    B,
    C,
    D,
    E,
    F,
    delete,
    deploy,
    instances,
    make,
    states,
)  # fmt: skip

Client = Callable[..., Any]
Passes = Callable[[float], None]


@pytest.fixture
def stack_sets(administrator: Client) -> Any:
    """CloudFormation in the management account."""
    return administrator("cloudformation")


@pytest.fixture
def move(administrator: Client) -> Callable[[str, str], None]:
    """Move an account to an OU."""
    organizations = administrator("organizations")

    def move(account: str, destination: str) -> None:
        (parent,) = organizations.list_parents(ChildId=account)["Parents"]
        organizations.move_account(AccountId=account, SourceParentId=parent["Id"], DestinationParentId=destination)

    return move


def operations(stack_sets: Any, name: str = "audit") -> list[tuple[str, str]]:
    """Action and status, the oldest first."""
    found = stack_sets.list_stack_set_operations(StackSetName=name)["Summaries"]
    return [(each["Action"], each["Status"]) for each in reversed(found)]


def has_the_role(client: Client, account: str) -> bool:
    return "Auditor" in {role["RoleName"] for role in client("iam", account).list_roles()["Roles"]}


def test_an_account_that_joins_gets_a_stack(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    move(D, PRODUCTION)
    assert operations(stack_sets) == [("CREATE", "SUCCEEDED"), ("CREATE", "SUCCEEDED")]
    assert states(stack_sets)[D] == ("CURRENT", "SUCCEEDED")
    assert instances(stack_sets)[D]["OrganizationalUnitId"] == PRODUCTION
    assert has_the_role(client, D)
    automatic = stack_sets.list_stack_set_operations(StackSetName="audit")["Summaries"][0]
    assert "OperationPreferences" not in automatic


def test_an_account_that_is_created_gets_a_stack_where_the_root_is_targeted(
    stack_sets: Any, administrator: Client, client: Client, at_once: None
) -> None:
    make(stack_sets)
    deploy(stack_sets, ROOT, targets={"AccountFilterType": "INTERSECTION", "Accounts": [B]})
    made = administrator("organizations").create_account(AccountName="new", Email="new@example.com")
    account = made["CreateAccountStatus"]["AccountId"]
    assert set(instances(stack_sets)) == {B, account}
    assert has_the_role(client, account)


def test_a_filter_does_not_hold_for_those_who_join_later(
    stack_sets: Any, at_once: None, move: Callable[[str, str], None]
) -> None:
    """AWS: "Automatic deployments do not consider account level targeting filters"."""
    make(stack_sets)
    deploy(stack_sets, PRODUCTION, targets={"AccountFilterType": "DIFFERENCE", "Accounts": [B, D]})
    move(D, PRODUCTION)
    assert set(instances(stack_sets)) == {C, D, F}
    move(B, WORKLOADS)
    move(B, PRODUCTION)
    assert set(instances(stack_sets)) == {B, C, D, F}


def test_an_account_that_leaves_loses_its_stack(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    move(B, WORKLOADS)
    assert operations(stack_sets)[-1] == ("DELETE", "SUCCEEDED")
    assert set(instances(stack_sets)) == {C, F}
    assert not has_the_role(client, B)


def test_retained_stacks_stay_when_their_account_leaves(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets, AutoDeployment={"Enabled": True, "RetainStacksOnAccountRemoval": True})
    deploy(stack_sets, PRODUCTION)
    move(B, WORKLOADS)
    assert set(instances(stack_sets)) == {C, F}
    assert has_the_role(client, B)


def test_an_account_that_is_removed_from_the_organization_loses_its_stack(
    stack_sets: Any, administrator: Client, client: Client, at_once: None
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    iam = client("iam", B)
    administrator("organizations").remove_account_from_organization(AccountId=B)
    assert set(instances(stack_sets)) == {C, F}
    assert "Auditor" not in {role["RoleName"] for role in iam.list_roles()["Roles"]}


def test_within_the_target_nothing_happens(stack_sets: Any, at_once: None, move: Callable[[str, str], None]) -> None:
    make(stack_sets)
    deploy(stack_sets, WORKLOADS, targets={"AccountFilterType": "INTERSECTION", "Accounts": [B]})
    stack_id = instances(stack_sets)[B]["StackId"]
    move(B, WORKLOADS)
    assert operations(stack_sets) == [("CREATE", "SUCCEEDED")]
    assert instances(stack_sets)[B]["StackId"] == stack_id


def test_without_auto_deployment_nothing_happens(
    stack_sets: Any, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets, AutoDeployment={"Enabled": False})
    deploy(stack_sets, PRODUCTION)
    move(D, PRODUCTION)
    move(B, WORKLOADS)
    assert operations(stack_sets) == [("CREATE", "SUCCEEDED")]
    assert set(instances(stack_sets)) == {B, C, F}
    assert instances(stack_sets)[B].get("OrganizationalUnitId", "") == ""


def test_nothing_happens_by_itself_once_access_is_gone(
    stack_sets: Any, administrator: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    service = "member.org.stacksets.cloudformation.amazonaws.com"
    administrator("organizations").disable_aws_service_access(ServicePrincipal=service)
    move(D, PRODUCTION)
    assert D not in instances(stack_sets)


def test_an_ou_that_was_deleted_from_is_no_target_any_more(
    stack_sets: Any, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    delete(stack_sets, PRODUCTION, targets={"AccountFilterType": "INTERSECTION", "Accounts": [B]})
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["OrganizationalUnitIds"] == [PRODUCTION]
    delete(stack_sets, PRODUCTION)
    move(D, PRODUCTION)
    assert instances(stack_sets) == {}


def test_overridden_values_are_not_for_those_who_join(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION, ParameterOverrides=given(Allowed="s3:PutObject"))
    move(D, PRODUCTION)
    actions = [
        client("iam", account).get_role_policy(RoleName="Auditor", PolicyName="p")["PolicyDocument"]["Statement"][0]
        for account in (B, D)
    ]
    assert [each["Action"] for each in actions] == ["s3:PutObject", "s3:GetObject"]


def test_it_waits_for_its_turn_and_others_wait_for_it(
    stack_sets: Any, passes: Passes, move: Callable[[str, str], None]
) -> None:
    """AWS, StackSetOperation, Status, QUEUED: "For automatic deployments that require a sequence of operations"."""
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    move(D, PRODUCTION)
    move(B, WORKLOADS)
    assert operations(stack_sets) == [("CREATE", "RUNNING"), ("CREATE", "QUEUED"), ("DELETE", "QUEUED")]
    passes(2.2)
    assert operations(stack_sets) == [("CREATE", "SUCCEEDED"), ("CREATE", "RUNNING"), ("DELETE", "QUEUED")]
    update = {"StackSetName": "audit", "UsePreviousTemplate": True, **NAMED}
    assert refusal(stack_sets.update_stack_set, **update)[0] == "OperationInProgressException"
    passes(10)
    assert {status for _, status in operations(stack_sets)} == {"SUCCEEDED"}
    assert set(instances(stack_sets)) == {C, D, F}


def test_an_account_that_comes_back_at_once_has_its_stack(
    stack_sets: Any, client: Client, passes: Passes, move: Callable[[str, str], None]
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(10)
    move(B, WORKLOADS)
    move(B, PRODUCTION)
    passes(10)
    assert states(stack_sets)[B] == ("CURRENT", "SUCCEEDED")
    assert has_the_role(client, B)


def test_a_failure_shows_and_does_not_stop_the_move(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    client("iam", D).create_role(RoleName="Auditor", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    move(D, PRODUCTION)
    assert operations(stack_sets)[-1] == ("CREATE", "FAILED")
    assert states(stack_sets)[D] == ("OUTDATED", "FAILED")


def test_the_pilot_leaves_and_is_disconnected(
    stack_sets: Any, client: Client, at_once: None, move: Callable[[str, str], None]
) -> None:
    """The seeded world's stack set: who joins the OU Pilot is connected, who leaves it is not any more."""

    def connected() -> set[str]:
        items = client("dynamodb", A).scan(TableName="bucketav-AccountConnection")["Items"]
        return {item["account_id"]["S"] for item in items}

    name = "bucketav-account-connection-pilot"
    assert connected() == {C, PILOT}
    there = {"DeploymentTargets": {"OrganizationalUnitIds": [PILOTS]}, "Regions": ["eu-west-1"]}
    overrides = given(BucketAVStackName="bucketav")  # the other parameter has no default
    stack_sets.update_stack_instances(StackSetName=name, **there, ParameterOverrides=overrides)
    move(B, PILOTS)
    assert states(stack_sets, name)[B] == ("CURRENT", "SUCCEEDED")
    assert connected() == {B, C, PILOT}
    move(PILOT, ROOT)
    assert connected() == {B, C}
    move(E, PILOTS)  # is not allowlisted
    assert states(stack_sets, name)[E] == ("OUTDATED", "FAILED")
    reason = instances(stack_sets, name)[E]["StatusReason"]
    assert reason.startswith("ResourceLogicalId:Connection, ResourceType:Custom::AccountConnection, ")
    assert "stacksets-exec-" in reason
    assert connected() == {B, C}
