"""The roles through which StackSets works in an organization's accounts.

AWS, "Activate trusted access for StackSets with AWS Organizations": a service-linked role in the management account,
and in target accounts "both the necessary service-linked role and a service role named stacksets-exec-*".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from moto.iam.models import Role, iam_backends

from runbook.sandbox.callers import PARTITION, Caller, role_caller
from runbook.sandbox.iam import ADMINISTRATOR_ACCESS
from runbook.sandbox.organizations import STACK_SETS
from runbook.sandbox.stack_sets.ids import own_ids

_ADMIN_PATH = "/aws-service-role/stacksets.cloudformation.amazonaws.com/"
_ADMIN = "AWSServiceRoleForCloudFormationStackSetsOrgAdmin"
_MEMBER = "AWSServiceRoleForCloudFormationStackSetsOrgMember"


def administration_role(management: str) -> Role:
    """The management account's. AWS, "CloudFormationStackSetsOrgAdminServiceRolePolicy": it may assume the others."""
    trusted = {"Service": "stacksets.cloudformation.amazonaws.com"}
    return _role(management, _ADMIN, trusted, path=_ADMIN_PATH, linked="stacksets.cloudformation.amazonaws.com")


def execution_caller(account: str, management: str, region: str) -> Caller:
    """StackSets at work in a target account, in the role that it makes there when it first needs it.

    AWS: the role's name ends in 32 hexadecimal digits, the same in all accounts. It has AdministratorAccess and, as
    every role of a member account, only does what SCPs leave it.
    """
    unique = f"{Random(f'stacksets-exec {management}').getrandbits(128):032x}"
    trusted = {"AWS": f"arn:{PARTITION}:iam::{management}:role{_ADMIN_PATH}{_ADMIN}"}
    _role(account, _MEMBER, {"Service": STACK_SETS}, path=f"/aws-service-role/{STACK_SETS}/", linked=STACK_SETS)
    role = _role(account, f"stacksets-exec-{unique}", trusted, policy=ADMINISTRATOR_ACCESS)
    return role_caller(role, f"{Random(f'{management} {account}').getrandbits(128):032x}", region)


def _role(
    account: str,
    name: str,
    trusted: Mapping[str, str],
    *,
    path: str = "/",
    linked: str | None = None,
    policy: str | None = None,
) -> Role:
    iam = iam_backends[account][PARTITION]
    found: Role | None = next((role for role in iam.roles.values() if role.name == name), None)
    if found is not None:
        return found
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    with own_ids(f"{account} {name}"):
        made = iam.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
            path=path,
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
            linked_service=linked,
        )
    if policy:
        iam.attach_role_policy(policy, name)
    return made
