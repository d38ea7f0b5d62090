"""What tests of stack sets share: short ways to ask, a template to deploy, and an organization of any size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

MANAGEMENT, A, B, C, D, E, F = (
    "999999999999", "111111111111", "222222222222", "333333333333", "444444444444", "555555555555", "777777777777",
)  # fmt: skip
PILOT, SEALED, DORMANT = "888888888888", "121212121212", "131313131313"
ROOT, WORKLOADS, PRODUCTION, PILOTS = "r-examp", "ou-examp-workload", "ou-examp-production", "ou-examp-pilotunit"
REGION = "eu-west-1"
SERVICE = "member.org.stacksets.cloudformation.amazonaws.com"

NO_ROLES: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}],
}


def template(note: str = "first", role: str = "Auditor", **more: Any) -> str:
    """A template with a role that has a name of its own, as the account connection has, and a parameter."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    allow = {"Effect": "Allow", "Action": {"Ref": "Allowed"}, "Resource": "*"}
    policy = {"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [allow]}}
    properties = {
        "RoleName": role,
        "Description": note,
        "AssumeRolePolicyDocument": trust,
        "Policies": [policy],
    }
    return json.dumps(
        {
            "Parameters": {"Allowed": {"Type": "String", "Default": "s3:GetObject", "AllowedPattern": "s3:.*"}},
            "Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}, **more},
        }
    )


NAMED = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
AUTOMATIC = {"Enabled": True, "RetainStacksOnAccountRemoval": False}


def make(cloudformation: Any, name: str = "audit", **options: Any) -> str:
    """Create a stack set; its id."""
    given = {
        "TemplateBody": template(),
        "PermissionModel": "SERVICE_MANAGED",
        "AutoDeployment": AUTOMATIC,
        **NAMED,
        **options,
    }
    return str(cloudformation.create_stack_set(StackSetName=name, **given)["StackSetId"])


def deploy(cloudformation: Any, *units: str, name: str = "audit", **options: Any) -> str:
    """CreateStackInstances in OUs, in one Region; the operation's id."""
    targets = {"OrganizationalUnitIds": list(units), **options.pop("targets", {})}
    given = {"Regions": [REGION], "DeploymentTargets": targets, **options}
    return str(cloudformation.create_stack_instances(StackSetName=name, **given)["OperationId"])


def delete(cloudformation: Any, *units: str, name: str = "audit", **options: Any) -> str:
    """DeleteStackInstances in OUs, in one Region; the operation's id."""
    targets = {"OrganizationalUnitIds": list(units), **options.pop("targets", {})}
    given = {"Regions": [REGION], "DeploymentTargets": targets, "RetainStacks": False, **options}
    return str(cloudformation.delete_stack_instances(StackSetName=name, **given)["OperationId"])


def operation(cloudformation: Any, identifier: str, name: str = "audit", **options: Any) -> dict[str, Any]:
    """What DescribeStackSetOperation says."""
    answer = cloudformation.describe_stack_set_operation(StackSetName=name, OperationId=identifier, **options)
    found: dict[str, Any] = answer["StackSetOperation"]
    return found


def results(cloudformation: Any, identifier: str, name: str = "audit") -> dict[str, str]:
    """Account -> status, all pages."""
    pages = cloudformation.get_paginator("list_stack_set_operation_results").paginate(
        StackSetName=name, OperationId=identifier
    )
    return {each["Account"]: each["Status"] for page in pages for each in page["Summaries"]}


def instances(cloudformation: Any, name: str = "audit", **options: Any) -> dict[str, dict[str, Any]]:
    """Account -> summary of its stack instance, all pages."""
    pages = cloudformation.get_paginator("list_stack_instances").paginate(StackSetName=name, **options)
    return {each["Account"]: each for page in pages for each in page["Summaries"]}


def states(cloudformation: Any, name: str = "audit") -> dict[str, tuple[str, str]]:
    """Account -> status and detailed status."""
    found = instances(cloudformation, name)
    return {account: (each["Status"], each["StackInstanceStatus"]["DetailedStatus"]) for account, each in found.items()}


def attach_scp(organizations: Any, target: str, policy: Mapping[str, Any] = NO_ROLES, name: str = "no-roles") -> str:
    """Put an SCP on an account or OU; the policy's id."""
    made = organizations.create_policy(
        Name=name, Description="", Type="SERVICE_CONTROL_POLICY", Content=json.dumps(policy)
    )
    identifier = str(made["Policy"]["PolicySummary"]["Id"])
    organizations.attach_policy(PolicyId=identifier, TargetId=target)
    return identifier


@dataclass(frozen=True)
class Grown:
    """What `grow` has made: ids of OUs by path, and accounts by the OU that they are in."""

    units: Mapping[str, str]
    accounts: Mapping[str, tuple[str, ...]]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(account for accounts in self.accounts.values() for account in accounts)


def grow(counts: Mapping[str, int]) -> Grown:
    """Add OUs and accounts to the sandbox's organization, directly in its state: 200 accounts in a fifth of a second.

    `counts`: path of an OU below the root (`Grown/Europe/Shops`) -> how many accounts it directly holds; OUs on the way
    are made too. Accounts are numbered from 600000000001.
    """
    from moto.organizations import utils  # imports moto, which only the sandbox knows how to do
    from moto.organizations.models import organizations_backends

    backend = organizations_backends[MANAGEMENT]["aws"]
    units: dict[str, str] = {"": ROOT}
    accounts: dict[str, tuple[str, ...]] = {}
    number = 600000000000
    for path, count in counts.items():
        steps = path.split("/")
        for depth in range(1, len(steps) + 1):
            here, above = "/".join(steps[:depth]), "/".join(steps[: depth - 1])
            if here not in units:
                identifier = f"ou-examp-grown{len(units):03}"
                with patch.object(utils, "make_random_ou_id", lambda *_, known=identifier: known):
                    backend.create_organizational_unit(Name=steps[depth - 1], ParentId=units[above])
                units[here] = identifier
        made = []
        for _ in range(count):
            number += 1
            with patch.object(utils, "make_random_account_id", lambda known=str(number): known):
                backend.create_account(AccountName=f"grown-{number}", Email=f"{number}@example.com")
            backend.move_account(AccountId=str(number), SourceParentId=ROOT, DestinationParentId=units[path])
            made.append(str(number))
        accounts[path] = tuple(made)
    return Grown(units, accounts)
