"""IAM roles: the policies that say what one may do, read live."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.untrusted import pattern_text

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


class RoleError(RunbookError):
    """A role cannot be read."""


class NoSuchRole(RoleError):
    """There is no role of that name."""


@dataclass(frozen=True)
class Role:
    """A role as IAM has it now: inline and attached policies together, boundary and trust policy as JSON."""

    arn: str
    identity_policies: tuple[Mapping[str, Any], ...]
    permissions_boundary: Mapping[str, Any] | None
    trust_policy: Mapping[str, Any]


def read_role(environment: Environment, arn: str) -> Role:
    """Read the role in its own account. Raises RoleError when it does not exist or may not be read."""
    account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
    client: IAMClient = environment.client("iam", account)
    try:
        role = client.get_role(RoleName=name)["Role"]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return Role(
            arn=role["Arn"],
            identity_policies=(*_inline(client, name), *_attached(client, name)),
            permissions_boundary=_managed(client, boundary) if boundary else None,
            trust_policy=_json(role["AssumeRolePolicyDocument"]),
        )
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise (NoSuchRole if aws_errors.code(error) == "NoSuchEntity" else RoleError)(
            f"Role {pattern_text(arn)} cannot be read: {aws_errors.sentence(error)}. "
            f"It has to exist, and {pattern_text(environment.identity(account).arn)} needs iam:GetRole and the like."
        ) from None


def role_exists(environment: Environment, account: str, name: str) -> bool | None:
    """Whether an account has a role of this name; None where that may not be looked at."""
    client: IAMClient = environment.client("iam", account)
    try:
        client.get_role(RoleName=name)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return False if aws_errors.code(error) == "NoSuchEntity" else None
    return True


def _inline(client: "IAMClient", role: str) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield _json(client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])


def _attached(client: "IAMClient", role: str) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for policy in page["AttachedPolicies"]:
            yield _managed(client, policy["PolicyArn"])


def _managed(client: "IAMClient", arn: str) -> Mapping[str, Any]:
    version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return _json(client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _json(policy: Any) -> Mapping[str, Any]:
    """botocore decodes policies into JSON; its type stubs allow for text as well."""
    decoded: Mapping[str, Any] = json.loads(policy) if isinstance(policy, str) else policy
    return decoded
