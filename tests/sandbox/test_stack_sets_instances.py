"""Stack instances with service-managed permissions: who gets one, what it is, and what lists say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import refusal
from tests.sandbox.stack_sets import (
    DORMANT,
    MANAGEMENT,
    PILOTS,
    PRODUCTION,
    REGION,
    ROOT,
    SEALED,
    WORKLOADS,
    A,
    B,
    C,
    D,
    E,
    F,
    attach_scp,
    delete,
    deploy,
    instances,
    make,
    operation,
    results,
    states,
    template,
)  # fmt: skip

Client = Callable[..., Any]


@pytest.fixture
def stack_sets(administrator: Client, at_once: None) -> Any:
    """CloudFormation in the management account, with trusted access."""
    cloudformation = administrator("cloudformation")
    cloudformation.activate_organizations_access()
    return cloudformation


def test_an_ou_gets_stacks_at_any_depth(stack_sets: Any, client: Client) -> None:
    """AWS, DeploymentTargets: "accounts within these OUs and their child OUs". One of them may have no roles."""
    make(stack_sets)
    others = {"AccountFilterType": "DIFFERENCE", "Accounts": [SEALED]}
    done = deploy(stack_sets, WORKLOADS, targets=others)
    found = instances(stack_sets)
    assert {A, B, C, E} <= set(found)
    assert D not in found
    assert MANAGEMENT not in found
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    for account in (A, B):
        name = found[account]["StackId"].split("/")[1]
        assert name.startswith("StackSet-audit-")
        stack = client("cloudformation", account).describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert (
            client("iam", account).get_role(RoleName="Auditor")["Role"]["Arn"] == f"arn:aws:iam::{account}:role/Auditor"
        )


def test_the_root_gets_all_but_the_management_account(stack_sets: Any, administrator: Client) -> None:
    make(stack_sets)
    deploy(stack_sets, ROOT, OperationPreferences={"FailureToleranceCount": 1})
    accounts = {
        each["Id"]
        for each in administrator("organizations").get_paginator("list_accounts").paginate().search("Accounts")
    }
    assert set(instances(stack_sets)) == accounts - {MANAGEMENT}
    assert states(stack_sets)[DORMANT] == ("OUTDATED", "SKIPPED_SUSPENDED_ACCOUNT")
    roles = administrator("iam").list_roles()["Roles"]
    assert "Auditor" not in {role["RoleName"] for role in roles}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AccountFilterType": "NONE"}, {B, C}),
        ({"Accounts": [B, D], "AccountFilterType": "INTERSECTION"}, {B}),
        ({"Accounts": [B], "AccountFilterType": "DIFFERENCE"}, {C}),
        ({"Accounts": [D], "AccountFilterType": "INTERSECTION"}, set()),
    ],
)
def test_a_filter_chooses_among_the_accounts_of_an_ou(stack_sets: Any, given: Any, expected: set[str]) -> None:
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION, targets=given)
    assert set(instances(stack_sets)) & {A, B, C, D, E} == expected
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"OrganizationalUnitIds": ["ou-examp-nowhere00"]}, "ou-examp-nowhere00"),
        ({"OrganizationalUnitIds": []}, "can only have OrganizationalUnit as target"),
        ({"Accounts": [B]}, "can only have OrganizationalUnit as target"),
        ({"OrganizationalUnitIds": [ROOT], "Accounts": [B]}, "AccountFilterType should be specified"),
        ({"OrganizationalUnitIds": [ROOT], "Accounts": [B], "AccountFilterType": "UNION"}, "UNION is not supported"),
        ({"OrganizationalUnitIds": [ROOT], "AccountFilterType": "DIFFERENCE"}, "no Accounts"),
        ({"OrganizationalUnitIds": [ROOT], "Accounts": ["b"], "AccountFilterType": "DIFFERENCE"}, "[0-9]{12}"),
        ({"OrganizationalUnitIds": [f"ou-examp-unit{n:04}" for n in range(51)]}, "At most 50"),
    ],
)
def test_targets_that_aws_refuses(stack_sets: Any, targets: Any, message: str) -> None:
    make(stack_sets)
    code, said = refusal(
        stack_sets.create_stack_instances, StackSetName="audit", Regions=[REGION], DeploymentTargets=targets
    )
    assert code == "ValidationError"
    assert message in said
    assert instances(stack_sets) == {}


def test_accounts_beside_targets_are_for_self_managed_stack_sets(stack_sets: Any) -> None:
    make(stack_sets)
    code, _ = refusal(stack_sets.create_stack_instances, StackSetName="audit", Regions=[REGION], Accounts=[B])
    assert code == "ValidationError"


@pytest.mark.parametrize("regions", [["eu-nowhere-1"], []])
def test_regions_have_to_be_there(stack_sets: Any, regions: list[str]) -> None:
    make(stack_sets)
    code, _ = refusal(
        stack_sets.create_stack_instances,
        StackSetName="audit",
        Regions=regions,
        DeploymentTargets={"OrganizationalUnitIds": [ROOT]},
    )
    assert code == "ValidationError"


def test_a_stack_is_made_by_the_services_role_in_the_account(stack_sets: Any, client: Client) -> None:
    """AWS, "Activate trusted access": "the necessary service-linked role and a service role named stacksets-exec-*"."""
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    iam = client("iam", B)
    names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    executing = next(name for name in names if name.startswith("stacksets-exec-"))
    assert "AWSServiceRoleForCloudFormationStackSetsOrgMember" in names
    attached = iam.list_attached_role_policies(RoleName=executing)["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AdministratorAccess"]
    trusted = iam.get_role(RoleName=executing)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
    assert trusted == (
        f"arn:aws:iam::{MANAGEMENT}:role/aws-service-role/stacksets.cloudformation.amazonaws.com/"
        "AWSServiceRoleForCloudFormationStackSetsOrgAdmin"
    )
    assert executing in [role["RoleName"] for role in client("iam", C).list_roles()["Roles"]]


def test_an_scp_fails_an_account_with_its_reason(stack_sets: Any, administrator: Client, client: Client) -> None:
    attach_scp(administrator("organizations"), B)
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    assert results(stack_sets, done)[B] == "FAILED"
    found = instances(stack_sets)
    assert found[C]["Status"] == "CURRENT"
    assert states(stack_sets)[B] == ("OUTDATED", "FAILED")
    reason = found[B]["StatusReason"]
    assert reason.startswith("ResourceLogicalId:Role, ResourceType:AWS::IAM::Role, ResourceStatusReason:")
    assert "stacksets-exec-" in reason
    assert "is not authorized to perform: iam:CreateRole" in reason
    assert "explicit deny in a service control policy" in reason
    gone = client("cloudformation", B).describe_stacks(StackName=found[B]["StackId"])["Stacks"][0]
    assert gone["StackStatus"] == "DELETE_COMPLETE"


def test_an_scp_that_forbids_stacks_fails_the_account(stack_sets: Any, administrator: Client) -> None:
    statement = {"Effect": "Deny", "Action": "cloudformation:CreateStack", "Resource": "*"}
    attach_scp(administrator("organizations"), B, {"Version": "2012-10-17", "Statement": [statement]})
    make(stack_sets)
    deploy(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    reason = instances(stack_sets)[B]["StatusReason"]
    assert "is not authorized to perform: cloudformation:CreateStack" in reason
    assert "StackId" not in instances(stack_sets)[B]


def test_a_suspended_account_is_skipped_and_counts_as_no_failure(
    stack_sets: Any, administrator: Client, client: Client
) -> None:
    """AWS, StackInstanceComprehensiveStatus, SKIPPED_SUSPENDED_ACCOUNT: "because the account was suspended at the time
    of the operation". It has been announced as not counting towards the failure tolerance.
    """
    administrator("organizations").close_account(AccountId=B)
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert states(stack_sets)[B] == ("OUTDATED", "SKIPPED_SUSPENDED_ACCOUNT")
    found = instances(stack_sets)[B]
    assert "StackId" not in found
    assert found["StatusReason"].startswith("This account is suspended.")


def test_parameters_of_the_set_reach_the_stacks_and_overrides_those_they_are_for(
    stack_sets: Any, client: Client
) -> None:
    make(stack_sets, Parameters=[{"ParameterKey": "Allowed", "ParameterValue": "s3:ListBucket"}])
    override = [{"ParameterKey": "Allowed", "ParameterValue": "s3:PutObject"}]
    only_b = {"Accounts": [B], "AccountFilterType": "INTERSECTION"}
    deploy(stack_sets, PRODUCTION, targets=only_b, ParameterOverrides=override)
    deploy(stack_sets, PRODUCTION, targets={"Accounts": [B], "AccountFilterType": "DIFFERENCE"})
    allowed = {}
    for account in (B, C):
        policy = client("iam", account).get_role_policy(RoleName="Auditor", PolicyName="p")["PolicyDocument"]
        allowed[account] = policy["Statement"][0]["Action"]
    assert allowed == {B: "s3:PutObject", C: "s3:ListBucket"}
    described = stack_sets.describe_stack_instance(
        StackSetName="audit", StackInstanceAccount=B, StackInstanceRegion=REGION
    )["StackInstance"]
    assert described["ParameterOverrides"] == override
    assert described["OrganizationalUnitId"] == PRODUCTION
    for name, text in (("Unknown", "x"), ("Allowed", "everything")):
        wrong = [{"ParameterKey": name, "ParameterValue": text}]
        overriding = {"ParameterOverrides": wrong}
        assert refusal(lambda **options: deploy(stack_sets, WORKLOADS, **options), **overriding)[0] == "ValidationError"
    assert A not in instances(stack_sets)


def test_instances_are_listed_in_pages_and_by_what_they_are(stack_sets: Any, client: Client) -> None:
    client("iam", B).create_role(RoleName="Auditor", AssumeRolePolicyDocument="{}")
    make(stack_sets)
    done = deploy(stack_sets, WORKLOADS, OperationPreferences={"FailureToleranceCount": 5})
    first = stack_sets.list_stack_instances(StackSetName="audit", MaxResults=2)
    assert len(first["Summaries"]) == 2
    second = stack_sets.list_stack_instances(StackSetName="audit", NextToken=first["NextToken"])
    assert len(second["Summaries"]) == len(instances(stack_sets)) - 2
    assert "NextToken" not in second
    failed = [{"Name": "DETAILED_STATUS", "Values": "FAILED"}]
    assert B in instances(stack_sets, Filters=failed)
    assert A not in instances(stack_sets, Filters=failed)
    assert set(instances(stack_sets, StackInstanceAccount=A)) == {A}
    assert instances(stack_sets, StackInstanceRegion="eu-central-1") == {}
    assert A in instances(stack_sets, Filters=[{"Name": "LAST_OPERATION_ID", "Values": done}])
    assert instances(stack_sets, Filters=[{"Name": "DRIFT_STATUS", "Values": "DRIFTED"}]) == {}
    code, _ = refusal(
        stack_sets.describe_stack_instance, StackSetName="audit", StackInstanceAccount=D, StackInstanceRegion=REGION
    )
    assert code == "StackInstanceNotFoundException"


def test_results_say_what_became_of_each_account(stack_sets: Any) -> None:
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    found = stack_sets.list_stack_set_operation_results(StackSetName="audit", OperationId=done, MaxResults=1)
    assert found["Summaries"] == [
        {
            "Account": B,
            "Region": REGION,
            "Status": "SUCCEEDED",
            "OrganizationalUnitId": PRODUCTION,
            "AccountGateResult": {
                "Status": "SKIPPED",
                "StatusReason": (
                    f"Function not found: arn:aws:lambda:{REGION}:{B}:function:AWSCloudFormationStackSetAccountGate"
                ),
            },
        }
    ]
    assert found["NextToken"]
    failed = stack_sets.list_stack_set_operation_results(
        StackSetName="audit", OperationId=done, Filters=[{"Name": "OPERATION_RESULT_STATUS", "Values": "FAILED"}]
    )
    assert failed["Summaries"] == []
    code, _ = refusal(stack_sets.list_stack_set_operation_results, StackSetName="audit", OperationId="unknown")
    assert code == "OperationNotFoundException"


def test_the_set_knows_its_ous_and_regions(stack_sets: Any) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION, targets={"Accounts": [B], "AccountFilterType": "INTERSECTION"})
    described = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]
    assert (described["OrganizationalUnitIds"], described["Regions"]) == ([PRODUCTION], [REGION])
    targets = stack_sets.list_stack_set_auto_deployment_targets(StackSetName="audit")["Summaries"]
    assert targets == [{"OrganizationalUnitId": PRODUCTION, "Regions": [REGION]}]


def test_two_regions_collide_over_a_role_with_a_name(stack_sets: Any) -> None:
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION, Regions=[REGION, "eu-central-1"])
    assert operation(stack_sets, done)["Status"] == "FAILED"
    found = stack_sets.describe_stack_instance(
        StackSetName="audit", StackInstanceAccount=B, StackInstanceRegion="eu-central-1"
    )["StackInstance"]
    assert "already exists" in found["StatusReason"]


def test_deleting_goes_by_ou_and_takes_the_stacks_along(stack_sets: Any, client: Client) -> None:
    make(stack_sets)
    deploy(stack_sets, WORKLOADS)
    stack_id = instances(stack_sets)[B]["StackId"]
    done = delete(stack_sets, PRODUCTION)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert set(instances(stack_sets)) & {A, B, C, E} == {A, E}
    stack = client("cloudformation", B).describe_stacks(StackName=stack_id)["Stacks"][0]
    assert stack["StackStatus"] == "DELETE_COMPLETE"
    code, _ = refusal(client("iam", B).get_role, RoleName="Auditor")
    assert code == "NoSuchEntity"
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["OrganizationalUnitIds"] == [WORKLOADS]
    delete(stack_sets, WORKLOADS)
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["OrganizationalUnitIds"] == []


@pytest.mark.parametrize(
    ("targets", "left"),
    [
        ({"Accounts": [B], "AccountFilterType": "INTERSECTION"}, {C, F}),
        ({"Accounts": [B], "AccountFilterType": "DIFFERENCE"}, {B}),
        ({"OrganizationalUnitIds": [PILOTS], "Accounts": [B]}, {C, F}),
        ({"OrganizationalUnitIds": [ROOT]}, set()),
        ({"OrganizationalUnitIds": [PILOTS]}, {B, C, F}),
    ],
)
def test_a_filter_chooses_what_is_deleted(stack_sets: Any, targets: Any, left: set[str]) -> None:
    """Without AccountFilterType, accounts are in addition: AWS, "This is the default value"."""
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    delete(stack_sets, PRODUCTION, targets=targets)
    assert set(instances(stack_sets)) == left


def test_accounts_alone_are_not_enough_to_delete_from(stack_sets: Any) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    only = {"OrganizationalUnitIds": [], "Accounts": [B]}
    code, _ = refusal(lambda: delete(stack_sets, PRODUCTION, targets=only))
    assert code == "ValidationError"
    assert B in instances(stack_sets)


def test_retained_stacks_stay(stack_sets: Any, client: Client) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    stack_id = instances(stack_sets)[B]["StackId"]
    delete(stack_sets, PRODUCTION, RetainStacks=True)
    assert instances(stack_sets) == {}
    stack = client("cloudformation", B).describe_stacks(StackName=stack_id)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_that_cannot_be_deleted_becomes_inoperable(stack_sets: Any, client: Client) -> None:
    """AWS, StackInstance, Status, INOPERABLE: RetainStacks gets rid of the instance."""
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    name = instances(stack_sets)[B]["StackId"].split("/")[1]
    client("cloudformation", B).update_termination_protection(StackName=name, EnableTerminationProtection=True)
    done = delete(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    assert results(stack_sets, done) == {B: "FAILED", C: "SUCCEEDED", F: "SUCCEEDED"}
    assert states(stack_sets) == {B: ("INOPERABLE", "INOPERABLE")}
    assert "TerminationProtection" in instances(stack_sets)[B]["StatusReason"]
    updated = stack_sets.update_stack_set(
        StackSetName="audit", TemplateBody=template("second"), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    assert results(stack_sets, updated["OperationId"]) == {}
    delete(stack_sets, PRODUCTION, RetainStacks=True)
    assert instances(stack_sets) == {}


def test_an_instance_of_a_suspended_account_only_goes_without_its_stack(stack_sets: Any, administrator: Client) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    administrator("organizations").close_account(AccountId=B)
    done = delete(stack_sets, PRODUCTION)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert states(stack_sets)[B][1] == "SKIPPED_SUSPENDED_ACCOUNT"
    delete(stack_sets, PRODUCTION, RetainStacks=True)
    assert instances(stack_sets) == {}
