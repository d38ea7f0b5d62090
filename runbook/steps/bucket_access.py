"""What a role may do on a bucket and with its keys, worked out from documents; and what its calls are like."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runbook.access import Access
from runbook.aws.iam import Role, read_role
from runbook.aws.kms import Key
from runbook.aws.organizations import ControlPolicies, Levels
from runbook.aws.s3 import Bucket
from runbook.environment import Environment
from runbook.policy.evaluate import ANYTHING, Decision, Request, evaluate
from runbook.progress import in_parallel

LIST = ("s3:ListBucket", "s3:ListBucketVersions")
"""What is done on a bucket itself; all other actions of S3 that are asked about are on its objects."""

DECRYPT = "kms:Decrypt"

EVERYTHING_ELSE = ("*",)
"""Condition keys that the documents do not tell: all but those that `_context` gives. Nothing is allowed by guess."""


@dataclass(frozen=True)
class Caller:
    """A role and its organization as the evaluation needs them.

    `organization_id` is None when it could not be asked. `service_control_policies` bound the role;
    `resource_control_policies` bound, account by account, who may use what is there. What could not be read is left
    out, and `unread` names the accounts that it is missing for.
    """

    role: Role
    account: str
    organization_id: str | None
    service_control_policies: Levels
    resource_control_policies: Mapping[str, Levels]
    unread: tuple[str, ...]


def read_caller(
    environment: Environment, role_arn: str, accounts: Iterable[str], policies: ControlPolicies | None = None
) -> Caller:
    """Read a role, and what its organization says about it and about `accounts`, the owners of the buckets.

    `policies` are the organization's, for callers that are looked at together. Raises RoleError when the role cannot be
    read.
    """
    own = role_arn.split(":")[4]
    policies = policies or ControlPolicies(environment)
    service = policies.in_force(own, "SERVICE_CONTROL_POLICY")
    owners = list(accounts)
    levels = in_parallel(lambda each: policies.in_force(each, "RESOURCE_CONTROL_POLICY"), owners)
    resource = dict(zip(owners, levels, strict=True))
    return Caller(
        role=read_role(environment, role_arn),
        account=own,
        organization_id=policies.organization_of(own),
        service_control_policies=service or (),
        resource_control_policies={each: levels for each, levels in resource.items() if levels},
        unread=tuple(each for each, levels in {own: service, **resource}.items() if levels is None),
    )


@dataclass(frozen=True)
class Documents:
    """The documents that decide over one bucket at one time: its policy and its key's, as text; None without one."""

    bucket_policy: Mapping[str, Any] | None
    key_policy: Mapping[str, Any] | None


def access(
    caller: Caller, bucket: Bucket, key: Key | None, before: Documents, after: Documents, asked: Mapping[str, bool]
) -> list[Access]:
    """Answer the questions on the documents before and after."""
    resource = f"{bucket.account}/{bucket.name}"
    earlier = {action: decide(caller, bucket, key, before, action) for action in asked}
    later = earlier if before == after else {action: decide(caller, bucket, key, after, action) for action in asked}
    return [
        Access(caller.role.arn, action, resource, earlier[action], later[action], granted)
        for action, granted in asked.items()
    ]


def decide(
    caller: Caller, bucket: Bucket, key: Key | None, documents: Documents, action: str, object_arn: str = ""
) -> Decision:
    """Whether the role may do `action` on the bucket, on an object in it (any, or this one), or with its key."""
    if key is not None and action.startswith("kms:"):
        resource, resource_account, policy = key.arn, key.account, documents.key_policy
    else:
        resource = bucket.arn if action in LIST else object_arn or f"{bucket.arn}/any-object"
        resource_account, policy = bucket.account, documents.bucket_policy
    request = Request(
        principal=caller.role.arn,
        action=action,
        resource=resource,
        resource_account=resource_account,
        context=_context(caller, bucket, resource_account),
        unknown=EVERYTHING_ELSE,
    )
    return evaluate(
        request,
        identity_policies=caller.role.identity_policies,
        resource_policy=policy,
        permissions_boundary=caller.role.permissions_boundary,
        service_control_policies=caller.service_control_policies,
        resource_control_policies=caller.resource_control_policies.get(resource_account, ()),
    )


def sample_of(pattern: str) -> str:
    """An object that a Resource with wildcards covers: `arn:aws:s3:::b/private/x` for `arn:aws:s3:::b/private/*`."""
    return re.sub(r"[*?]", "x", pattern)


def key_half(
    caller: Caller, bucket: Bucket, key: Key, policy: Mapping[str, Any] | None, action: str = DECRYPT
) -> Decision:
    """What a key's policy alone says to using it; the other half, the role's own policy, is assumed."""
    role = replace(caller.role, identity_policies=(ANYTHING,), permissions_boundary=None)
    return decide(replace(caller, role=role), bucket, key, Documents(None, policy), action)


def _context(caller: Caller, bucket: Bucket, resource_account: str) -> dict[str, str]:
    """What is known of every call that bucketAV makes: signed, over TLS, by the role, in the bucket's Region."""
    context = {
        "aws:SecureTransport": "true",
        "aws:PrincipalArn": caller.role.arn,
        "aws:PrincipalAccount": caller.account,
        "aws:PrincipalType": "AssumedRole",
        "aws:PrincipalIsAWSService": "false",
        "aws:RequestedRegion": bucket.region,
        "aws:ResourceAccount": resource_account,
        "s3:ResourceAccount": bucket.account,
        "s3:authType": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:TlsVersion": "1.2",  # the least that AWS's endpoints speak
        "kms:CallerAccount": caller.account,
    }
    if bucket.arn.split(":")[1] != "aws-cn":  # where the host is another one, and not documented for this key
        context["kms:ViaService"] = f"s3.{bucket.region}.amazonaws.com"
    if caller.organization_id:
        context["aws:PrincipalOrgID"] = caller.organization_id
    return context
