"""Who may work with service-managed stack sets, and what stack sets there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import refusal
from tests.sandbox.stack_sets import (
    MANAGEMENT,
    NAMED,
    PRODUCTION,
    REGION,
    SERVICE,
    B,
    D,
    delete,
    deploy,
    instances,
    make,
    operation,
    template,
)  # fmt: skip

Client = Callable[..., Any]
DELEGATED = {"CallAs": "DELEGATED_ADMIN"}


@pytest.fixture
def stack_sets(administrator: Client, at_once: None) -> Any:
    """CloudFormation in the management account, with trusted access."""
    cloudformation = administrator("cloudformation")
    cloudformation.activate_organizations_access()
    return cloudformation


@pytest.fixture
def delegated(stack_sets: Any, administrator: Client, client: Client) -> Any:
    """CloudFormation in account b, which is a delegated administrator."""
    administrator("organizations").register_delegated_administrator(AccountId=B, ServicePrincipal=SERVICE)
    return client("cloudformation", B)


@pytest.fixture
def without_access(administrator: Client, at_once: None) -> Any:
    """CloudFormation in the management account, without trusted access."""
    organizations = administrator("organizations")
    for admin in organizations.list_delegated_administrators()["DelegatedAdministrators"]:
        organizations.deregister_delegated_administrator(AccountId=admin["Id"], ServicePrincipal=SERVICE)
    cloudformation = administrator("cloudformation")
    cloudformation.deactivate_organizations_access()
    return cloudformation


# Trusted access


def test_nothing_goes_without_trusted_access(without_access: Any, administrator: Client) -> None:
    assert without_access.describe_organizations_access()["Status"] == "DISABLED"
    code, message = refusal(make, cloudformation=without_access)
    assert (code, message) == (
        "ValidationError",
        "You must enable organizations access to operate a service managed stack set",
    )
    without_access.activate_organizations_access()
    assert without_access.describe_organizations_access()["Status"] == "ENABLED"
    trusted = administrator("organizations").list_aws_service_access_for_organization()["EnabledServicePrincipals"]
    assert [each["ServicePrincipal"] for each in trusted] == [SERVICE]
    make(without_access)


def test_trusting_the_service_in_organizations_alone_is_not_enough(without_access: Any, administrator: Client) -> None:
    """AWS, EnableAWSServiceAccess: use the service's own command, "so that the service is aware"."""
    organizations = administrator("organizations")
    organizations.enable_aws_service_access(ServicePrincipal=SERVICE)
    assert without_access.describe_organizations_access()["Status"] == "DISABLED"
    code, _ = refusal(
        organizations.enable_aws_service_access, ServicePrincipal="stacksets.cloudformation.amazonaws.com"
    )
    assert code == "InvalidInputException"


def test_trust_that_organizations_has_taken_away_is_gone(stack_sets: Any, administrator: Client) -> None:
    administrator("organizations").disable_aws_service_access(ServicePrincipal=SERVICE)
    assert stack_sets.describe_organizations_access()["Status"] == "DISABLED"
    code, _ = refusal(make, cloudformation=stack_sets)
    assert code == "ValidationError"


def test_an_existing_stack_set_does_nothing_once_access_is_gone(stack_sets: Any, administrator: Client) -> None:
    make(stack_sets)
    administrator("organizations").disable_aws_service_access(ServicePrincipal=SERVICE)
    code, _ = refusal(deploy, cloudformation=stack_sets)
    assert code == "ValidationError"
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["Status"] == "ACTIVE"


def test_only_the_management_account_changes_trusted_access(stack_sets: Any, delegated: Any) -> None:
    for call in (delegated.activate_organizations_access, delegated.deactivate_organizations_access):
        assert refusal(call)[0] == "InvalidOperationException"
    assert refusal(stack_sets.deactivate_organizations_access)[0] == "InvalidOperationException"  # has administrators
    assert delegated.describe_organizations_access(**DELEGATED)["Status"] == "ENABLED"


def test_activating_makes_the_role_of_the_management_account(stack_sets: Any, administrator: Client) -> None:
    roles = {role["RoleName"]: role for role in administrator("iam").list_roles()["Roles"]}
    role = roles["AWSServiceRoleForCloudFormationStackSetsOrgAdmin"]
    assert role["Path"] == "/aws-service-role/stacksets.cloudformation.amazonaws.com/"


# CallAs


def test_a_delegated_administrators_stack_sets_are_in_the_management_account(stack_sets: Any, delegated: Any) -> None:
    identifier = make(delegated, **DELEGATED)
    arn = delegated.describe_stack_set(StackSetName="audit", **DELEGATED)["StackSet"]["StackSetARN"]
    assert arn == f"arn:aws:cloudformation:{REGION}:{MANAGEMENT}:stackset/{identifier}"
    assert [each["StackSetId"] for each in stack_sets.list_stack_sets()["Summaries"]][-1:] == [identifier]
    assert [each["StackSetId"] for each in delegated.list_stack_sets(**DELEGATED)["Summaries"]][-1:] == [identifier]
    make(stack_sets, "other")
    done = deploy(delegated, PRODUCTION, name="other", **DELEGATED)
    assert operation(stack_sets, done, "other")["Status"] == "SUCCEEDED"
    assert B in instances(delegated, "other", **DELEGATED)
    delete(delegated, PRODUCTION, name="other", **DELEGATED)
    delegated.delete_stack_set(StackSetName="other", **DELEGATED)
    assert "other" not in [each["StackSetName"] for each in stack_sets.list_stack_sets(Status="ACTIVE")["Summaries"]]


def test_a_delegated_administrator_that_says_self_has_none(stack_sets: Any, delegated: Any) -> None:
    """AWS, ListStackSets: SELF in a member account means its self-managed stack sets."""
    make(stack_sets)
    code, message = refusal(make, cloudformation=delegated, name="mine")
    assert code == "ValidationError"
    assert message.startswith("You must be the management account or delegated admin account of an organization")
    assert refusal(delegated.describe_stack_set, StackSetName="audit")[0] == "StackSetNotFoundException"
    assert delegated.list_stack_sets()["Summaries"] == []


def test_others_are_no_delegated_administrators(stack_sets: Any, client: Client) -> None:
    """The management account neither. Seen: "Account used is not a delegated administrator"."""
    make(stack_sets)
    for cloudformation in (client("cloudformation", D), stack_sets):
        code, message = refusal(cloudformation.list_stack_sets, **DELEGATED)
        assert (code, message) == ("ValidationError", "Account used is not a delegated administrator")
        assert refusal(deploy, cloudformation=cloudformation, **DELEGATED)[0] == "ValidationError"
    assert refusal(client("cloudformation", D).describe_organizations_access)[0] == "ValidationError"


def test_an_administrator_has_to_be_allowed_to_see_the_administrators(
    delegated: Any, client: Client, client_with: Client
) -> None:
    """AWS, "Register a delegated administrator": they need organizations:ListDelegatedAdministrators."""
    iam = client("iam", B)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{B}:root"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="operator", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    allow = {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}

    def may(*statements: Any) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName="operator", PolicyName="p", PolicyDocument=document)

    may(allow)
    session = client("sts", B).assume_role(RoleArn=f"arn:aws:iam::{B}:role/operator", RoleSessionName="test")
    operator = client_with("cloudformation", session["Credentials"])
    assert "not a delegated administrator" in refusal(make, cloudformation=operator, **DELEGATED)[1]
    may(allow, {"Effect": "Allow", "Action": "organizations:ListDelegatedAdministrators", "Resource": "*"})
    make(operator, **DELEGATED)
    narrow = "arn:aws:cloudformation:*:*:stackset/other:*"
    may({**allow, "Resource": narrow}, {"Effect": "Allow", "Action": "organizations:List*", "Resource": "*"})
    code, message = refusal(operator.describe_stack_set, StackSetName="audit", **DELEGATED)
    assert code == "AccessDenied"
    assert f":{MANAGEMENT}:stackset/audit:" in message


# Stack sets


def test_a_stack_set_shows_what_it_was_made_of(stack_sets: Any) -> None:
    identifier = make(
        stack_sets,
        Description="for the audit",
        Tags=[{"Key": "team", "Value": "security"}],
        Parameters=[{"ParameterKey": "Allowed", "ParameterValue": "s3:*"}],
    )
    found = stack_sets.describe_stack_set(StackSetName=identifier)["StackSet"]
    assert found == {
        "StackSetName": "audit",
        "StackSetId": identifier,
        "StackSetARN": f"arn:aws:cloudformation:{REGION}:{MANAGEMENT}:stackset/{identifier}",
        "Description": "for the audit",
        "Status": "ACTIVE",
        "TemplateBody": template(),
        "Parameters": [{"ParameterKey": "Allowed", "ParameterValue": "s3:*"}],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": "team", "Value": "security"}],
        "StackSetDriftDetectionDetails": {"DriftStatus": "NOT_CHECKED"},
        "AutoDeployment": {"Enabled": True, "RetainStacksOnAccountRemoval": False},
        "PermissionModel": "SERVICE_MANAGED",
        "OrganizationalUnitIds": [],
        "ManagedExecution": {"Active": False},
        "Regions": [],
    }


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"Capabilities": []}, "InsufficientCapabilitiesException"),
        ({"Capabilities": ["CAPABILITY_IAM"]}, "InsufficientCapabilitiesException"),
        ({"AutoDeployment": {}}, "ValidationError"),
        ({"AutoDeployment": {"Enabled": False, "RetainStacksOnAccountRemoval": True}}, "ValidationError"),
        ({"Parameters": [{"ParameterKey": "Unknown", "ParameterValue": "x"}]}, "ValidationError"),
        ({"ExecutionRoleName": "mine"}, "ValidationError"),
        ({"TemplateBody": template(Nested={"Type": "AWS::CloudFormation::Stack"})}, "ValidationError"),
        ({"name": "1audit"}, "ValidationError"),
        ({"name": "a" * 129}, "ValidationError"),
        ({"CallAs": "SOMEBODY"}, "ValidationError"),
        ({"PermissionModel": "SELF_MANAGED"}, "SandboxNotImplemented"),
        ({"ManagedExecution": {"Active": True}}, "SandboxNotImplemented"),
    ],
)
def test_stack_sets_that_are_refused(stack_sets: Any, options: Any, code: str) -> None:
    before = len(stack_sets.list_stack_sets()["Summaries"])
    assert refusal(make, cloudformation=stack_sets, **options)[0] == code
    assert len(stack_sets.list_stack_sets()["Summaries"]) == before


def test_a_name_is_taken_once_and_a_repeated_request_is_no_second_one(stack_sets: Any) -> None:
    identifier = make(stack_sets, ClientRequestToken="one")
    assert make(stack_sets, ClientRequestToken="one") == identifier
    assert refusal(make, cloudformation=stack_sets, ClientRequestToken="two")[0] == "NameAlreadyExistsException"
    stack_sets.update_stack_set(StackSetName="audit", UsePreviousTemplate=True, **NAMED)
    assert refusal(make, cloudformation=stack_sets, ClientRequestToken="one")[0] == "CreatedButModifiedException"
    stack_sets.delete_stack_set(StackSetName="audit")
    assert make(stack_sets) != identifier
    assert stack_sets.describe_stack_set(StackSetName=identifier)["StackSet"]["Status"] == "DELETED"


def test_a_stack_set_with_instances_stays(stack_sets: Any) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    assert refusal(stack_sets.delete_stack_set, StackSetName="audit")[0] == "StackSetNotEmptyException"
    delete(stack_sets, PRODUCTION)
    stack_sets.delete_stack_set(StackSetName="audit")
    assert refusal(stack_sets.describe_stack_set, StackSetName="audit")[0] == "StackSetNotFoundException"
    stack_sets.delete_stack_set(StackSetName="audit")


def test_a_stack_set_is_regional(stack_sets: Any, administrator: Client) -> None:
    make(stack_sets)
    elsewhere = administrator("cloudformation", "eu-central-1")
    assert refusal(elsewhere.describe_stack_set, StackSetName="audit")[0] == "StackSetNotFoundException"


def test_stack_sets_are_listed_in_pages(stack_sets: Any) -> None:
    for name in ("one", "two", "three"):
        make(stack_sets, name)
    stack_sets.delete_stack_set(StackSetName="two")
    pages = list(
        stack_sets.get_paginator("list_stack_sets").paginate(PaginationConfig={"PageSize": 1}, Status="ACTIVE")
    )
    names = [each["StackSetName"] for page in pages for each in page["Summaries"]]
    assert names[-2:] == ["one", "three"]
    deleted = stack_sets.list_stack_sets(Status="DELETED")["Summaries"]
    assert [each["StackSetName"] for each in deleted] == ["two"]


def test_ids_of_stacks_repeat_and_do_not_depend_on_what_else_is_asked(
    stack_sets: Any, administrator: Client, client: Client
) -> None:
    from runbook.sandbox import server

    def ids(*, busy: bool) -> list[str]:
        server.reset()
        stack_sets.activate_organizations_access()
        make(stack_sets)
        if busy:
            administrator("sns").create_topic(Name="between")
            administrator("iam").create_user(UserName="between")
        deploy(stack_sets, PRODUCTION)
        return [each["StackId"] for each in instances(stack_sets).values()]

    assert ids(busy=False) == ids(busy=True)
