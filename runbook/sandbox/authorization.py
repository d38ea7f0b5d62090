"""Decides for every call to the sandbox whether AWS would let it through, from the policies in moto's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from moto.iam.models import IAMBackend, Role, User, iam_backends
from moto.kms.models import kms_backends
from moto.organizations.models import FakePolicy
from moto.s3.models import FakeBucket, s3_backends
from moto.s3control.models import s3control_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from runbook.policy.document import parse
from runbook.policy.evaluate import Decision, Request, Verdict, evaluate
from runbook.policy.lint import is_public
from runbook.sandbox import queue_policies
from runbook.sandbox.callers import PARTITION, Caller, ContextValue, caller_of, organization_of, organization_path
from runbook.sandbox.errors import AccessDenied, NotImplementedInSandbox
from runbook.sandbox.moto_methods import replace
from runbook.sandbox.objects import GOVERNED, NEW, Foreign, foreign
from runbook.sandbox.stored_policies import in_force

__all__ = ["AccessDenied", "Caller", "NotImplementedInSandbox", "caller_of", "decide", "install", "recorded", "require"]

Policy = Mapping[str, Any]

UNKNOWN_CONDITION_KEYS = (
    "aws:RequestTag/*",
    "aws:ResourceTag/*",
    "aws:TagKeys",
    "cloudformation:*",
    "dynamodb:*",
    "iam:*",
    "kms:EncryptionContext*",
    "kms:GrantConstraintType",
    "kms:GrantIsForAWSResource",
    "kms:GrantOperations",
    "kms:GranteePrincipal",
    "kms:Request*",
    "kms:ResourceAliases",
    "lambda:*",
    "organizations:*",
    "ssm:*",
)
"""Condition keys that AWS sets on some request and the sandbox does not compute. A policy whose outcome depends on one
of them is answered with `SandboxNotImplemented`, never with a guess."""


SESSION_TAG_KEYS = ("aws:RequestTag/*", "aws:TagKeys")
"""Those of them that `operations` computes for the calls of STS."""


def decide(
    caller: Caller,
    action: str,
    resource_arn: str,
    resource_account: str,
    context: Mapping[str, ContextValue] | None = None,
) -> Decision:
    """Whether `caller` may do `action` on `resource_arn`, which belongs to `resource_account` (12 digits).

    Gathers the caller's identity policies, permissions boundary, session policy and SCPs, the resource's own policy
    (bucket, key, queue, topic, role trust) and RCPs from moto's state, and evaluates them. `context` holds condition
    keys of this request; they are added to the caller's.
    """
    if _cut_off_by_block_public_access(caller, action, resource_arn, resource_account):
        return Decision(
            verdict=Verdict.DENIED,
            reason="RestrictPublicBuckets is on, the bucket's policy is public and the caller is of another account",
            explicit=False,
        )
    request = _request(caller, action, resource_arn, resource_account, context or {})
    return evaluate(request, **_policies(caller, request, resource_account))


def require(
    caller: Caller,
    action: str,
    resource_arn: str,
    resource_account: str,
    context: Mapping[str, ContextValue] | None = None,
    *,
    service: str | None = None,
) -> None:
    """Raise the service's access-denied error unless `decide` allows; NotImplementedInSandbox when it cannot tell.

    `service` is who answers (boto3's name: "s3", "kms", "sqs"), by default the service of the action. A call to S3
    that fails for want of a KMS permission is answered by S3 (`service="s3"`), with KMS's sentence.
    """
    decision = decide(caller, action, resource_arn, resource_account, context)
    if decision.verdict is Verdict.ALLOWED:
        for used in _recordings:
            used.add((caller.account, caller.name, action))
        return
    if decision.verdict is Verdict.INDETERMINATE:
        raise NotImplementedInSandbox(
            f"The sandbox cannot tell whether {caller.arn} may {action} on {resource_arn}: {decision.reason} "
            "Add the condition key to the context (runbook/sandbox/callers.py, operations.py) or take it out of "
            "UNKNOWN_CONDITION_KEYS (authorization.py)."
        )
    raise AccessDenied(
        service or action.partition(":")[0].lower(),
        _sentence(caller, action, resource_arn, resource_account, context or {}, decision),
    )


_recordings: list[set[tuple[str, str, str]]] = []


@contextmanager
def recorded() -> Iterator[set[tuple[str, str, str]]]:
    """Inside, the set is filled with what is required and allowed: (account, name of the user or role, action)."""
    used: set[tuple[str, str, str]] = set()
    _recordings.append(used)
    try:
        yield used
    finally:
        _recordings[:] = [each for each in _recordings if each is not used]


@cache
def install() -> None:
    """Switch off moto's own reading of bucket policies: the gate has decided before moto sees a request. Idempotent.

    moto consults a bucket's policy only to deny, whoever asks and whatever the conditions say: a bucket with a
    TLS-only deny would be closed to everybody.
    """
    replace(FakeBucket, "get_permission", is_permitted_by_the_gate)


def is_permitted_by_the_gate(_original: Callable[..., Any], _bucket: FakeBucket, _action: str, resource: str) -> Any:
    from moto.iam.access_control import PermissionResult

    from runbook.sandbox.gate import refused_objects

    return PermissionResult.DENIED if resource in refused_objects.get() else PermissionResult.PERMITTED


def _request(
    caller: Caller, action: str, resource_arn: str, resource_account: str, context: Mapping[str, ContextValue]
) -> Request:
    resource: dict[str, ContextValue] = {"aws:ResourceAccount": resource_account}
    organization = organization_of(resource_account)
    if organization is not None and organization.org is not None:
        resource["aws:ResourceOrgID"] = organization.org.id
    if action.lower().startswith("s3:"):
        resource["s3:ResourceAccount"] = resource_account
    if action.lower().startswith("kms:") and caller.account:
        resource["kms:CallerAccount"] = caller.account
    of_another = _foreign(action, resource_arn, context)
    assumes_role = action.lower().startswith("sts:")
    return Request(
        principal=caller.arn,
        action=action,
        resource=resource_arn,
        resource_account=of_another.owner if of_another else resource_account,
        context={**caller.context, **resource, **context},
        unknown=[key for key in UNKNOWN_CONDITION_KEYS if not (assumes_role and key in SESSION_TAG_KEYS)],
    )


# The policies of the caller


def _policies(caller: Caller, request: Request, resource_account: str) -> dict[str, Any]:
    """The keyword arguments of `evaluate`."""
    of_another = _foreign(request.action, request.resource, request.context)
    backend = iam_backends[caller.account][PARTITION] if caller.account else None
    identity = _identity(caller, backend) if backend else None
    boundary = getattr(identity, "permissions_boundary_arn", None) if identity else None
    return {
        "identity_policies": _identity_policies(identity, backend) if identity and backend else (),
        "permissions_boundary": _managed_policy(backend, boundary) if backend and boundary else None,
        "session_policies": (_json(caller.session_policy),) if caller.session_policy else (),
        "service_control_policies": _organization_policies(caller.account, "SERVICE_CONTROL_POLICY"),
        "resource_control_policies": _organization_policies(resource_account, "RESOURCE_CONTROL_POLICY"),
        "resource_policy": of_another.policy if of_another else resource_policy(request.resource, resource_account),
    }


def _identity(caller: Caller, backend: IAMBackend) -> Role | User | None:
    if caller.kind == "user":
        return backend.users.get(caller.name)
    return next((role for role in backend.roles.values() if role.name == caller.name), None)


def _identity_policies(identity: Role | User, backend: IAMBackend) -> tuple[Policy, ...]:
    """Inline and attached policies, those of a user's groups included."""
    groups = backend.get_groups_for_user(identity.name) if isinstance(identity, User) else []
    return tuple(
        policy
        for holder in (identity, *groups)
        for policy in (
            *(_json(text) for text in holder.policies.values()),
            *(_managed_policy(backend, arn) for arn in holder.managed_policies),
        )
    )


def _managed_policy(backend: IAMBackend, arn: str) -> Policy:
    policy = backend.managed_policies[arn]
    version = next(version for version in policy.versions if version.is_default)
    return _json(version.document)


def _organization_policies(account: str, kind: str) -> tuple[tuple[Policy, ...], ...]:
    """SCPs or RCPs of an account, a tuple for each level from the root down; empty when there is nothing to restrict.

    AWS: neither kind affects users, roles or resources in the management account.
    """
    organization = organization_of(account)
    if organization is None or organization.org is None or account == organization.org.master_account_id:
        return ()
    units: dict[str, Any] = {unit.id: unit for unit in organization.ou}
    holders = units | {member.id: member for member in organization.accounts}
    levels = [
        [policy for policy in holders[target].attached_policies if policy.type == kind]
        for target in organization_path(organization, account)
    ]
    # The policies that AWS manages allow everything.
    if all(level and all(policy.aws_managed for policy in level) for level in levels):
        return ()
    return tuple(tuple(_content(policy) for policy in level) for level in levels)


def _content(policy: FakePolicy) -> Policy:
    return _json(policy.content or "{}")


# The policies of the resource


def resource_policy(resource_arn: str, resource_account: str) -> Policy | None:
    """The resource's own policy, None when it has none or does not exist."""
    match resource_arn.split(":", 5):
        case [_, _, "s3", _, _, name]:
            bucket = find_bucket(name.partition("/")[0])
            return in_force(bucket, bucket.policy.decode()) if bucket and bucket.policy else None
        case [_, _, "kms", region, _, name]:
            key = kms_backends[resource_account][region].keys.get(name.removeprefix("key/"))
            return in_force(key, key.policy) if key else None
        case [_, _, "sqs", region, _, name]:
            queue = sqs_backends[resource_account][region].queues.get(name)
            return queue_policies.in_force(queue) if queue else None
        case [_, _, "sns", region, _, _]:
            topic = sns_backends[resource_account][region].topics.get(resource_arn)
            return in_force(topic, topic.policy) if topic else None
        case [_, _, "iam", _, _, name] if name.startswith("role/"):
            role = find_role(resource_arn)
            return _json(role.assume_role_policy_document) if role else None
        case _:
            return None


def find_bucket(name: str) -> FakeBucket | None:
    """moto's bucket of that name, whichever account owns it."""
    partition, account = s3_backends.bucket_accounts.get(name, ("", ""))
    return s3_backends[account][partition].buckets.get(name) if account else None


def _foreign(action: str, resource_arn: str, context: Mapping[str, ContextValue]) -> Foreign | None:
    """The object that is asked for, if it belongs to another account than its bucket does."""
    if action not in GOVERNED or NEW in context:
        return None
    name, _, key = resource_arn.split(":", 5)[5].partition("/")
    bucket, version = find_bucket(name), context.get("s3:VersionId")
    return foreign(bucket, key, version if isinstance(version, str) else None) if bucket else None


def find_role(arn: str) -> Role | None:
    """moto's role with that ARN."""
    account = arn.split(":")[4]
    roles = iam_backends[account][PARTITION].roles.values() if account else ()
    return next((role for role in roles if role.arn == arn), None)


def _cut_off_by_block_public_access(caller: Caller, action: str, resource_arn: str, resource_account: str) -> bool:
    """AWS, "Blocking public access to your Amazon S3 storage", RestrictPublicBuckets.

    Access to a bucket with a public policy is restricted to AWS service principals and authorized users within the
    bucket owner's account; a grant to another account in that policy does not help, public or not.
    """
    if not action.lower().startswith("s3:") or caller.kind == "service" or caller.account == resource_account:
        return False
    bucket = find_bucket(resource_arn.split(":", 5)[5].partition("/")[0])
    if bucket is None or not bucket.policy:
        return False
    settings = (bucket.public_access_block, s3control_backends[resource_account][PARTITION].public_access_block)
    restricted = any(
        str(setting.restrict_public_buckets).lower() == "true" for setting in settings if setting is not None
    )
    return restricted and _is_public(bucket.policy.decode(), bucket.name)


@lru_cache(maxsize=256)
def _is_public(text: str, bucket: str) -> bool:
    return is_public(parse(text, f"bucket policy of {bucket}"))


def _json(text: str | Mapping[str, Any]) -> Policy:
    """A policy as moto keeps it: text, or, from a CloudFormation template, a mapping."""
    return _parsed(text) if isinstance(text, str) else text


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Policy:
    policy: Policy = json.loads(text)
    return policy


# How AWS says no


def _sentence(
    caller: Caller,
    action: str,
    resource_arn: str,
    resource_account: str,
    context: Mapping[str, ContextValue],
    decision: Decision,
) -> str:
    """AWS, "Troubleshoot access denied error messages": who, what, on what, and which kind of policy is to blame.

    S3 tells nothing to an anonymous caller; STS gives no reason; KMS does not tell another account whether a key
    exists.
    """
    if caller.kind == "anonymous":
        return "Access Denied"
    service = action.partition(":")[0].lower()
    on = f'"{resource_arn}"' if service == "s3" else resource_arn
    action = _spelling(action)
    start = f"User: {caller.arn} is not authorized to perform: {action} on resource: {on}"
    if service == "sts":
        return start
    blame = _blame(caller, action, resource_arn, resource_account, context, decision)
    if blame == "resource-based policy" and service == "kms" and caller.account != resource_account:
        return (
            f"{start} because the resource does not exist in this Region, no resource-based policies allow access, "
            "or a resource-based policy explicitly denies access"
        )
    if decision.explicit:
        return f"{start} with an explicit deny in {'an' if blame.startswith('i') else 'a'} {blame}"
    return f"{start} because no {blame} allows the {action} action"


def _spelling(action: str) -> str:
    """As the services spell their actions in this sentence, known from their answers: sqs:sendmessage, SNS:Publish."""
    service, _, name = action.partition(":")
    return {"sqs": action.lower(), "sns": f"SNS:{name}"}.get(service.lower(), action)


def _blame(
    caller: Caller,
    action: str,
    resource_arn: str,
    resource_account: str,
    context: Mapping[str, ContextValue],
    decision: Decision,
) -> str:
    """The kind of policy that decides: the only one that denies by itself, or the first whose absence would help."""
    request = _request(caller, action, resource_arn, resource_account, context)
    policies = _policies(caller, request, resource_account)
    if decision.explicit:
        for argument, name in _KINDS.items():
            alone = evaluate(request, **{argument: policies[argument]})
            if alone.verdict is Verdict.DENIED and alone.explicit:
                return name
    for argument, name in _KINDS.items():
        others: dict[str, Any] = {**policies, argument: _ALLOWING[argument]}
        if evaluate(request, **others).verdict is Verdict.ALLOWED:
            return name
    return "identity-based policy"


_KINDS = {
    "service_control_policies": "service control policy",
    "resource_control_policies": "resource control policy",
    "identity_policies": "identity-based policy",
    "permissions_boundary": "permissions boundary",
    "session_policies": "session policy",
    "resource_policy": "resource-based policy",
}
_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
_ALLOW_ALL: Policy = {"Version": "2012-10-17", "Statement": [_EVERYTHING]}
_ALLOW_EVERYONE: Policy = {"Version": "2012-10-17", "Statement": [{**_EVERYTHING, "Principal": {"AWS": "*"}}]}
_ALLOWING: Mapping[str, Policy | Sequence[Policy] | None] = {
    "service_control_policies": (),
    "resource_control_policies": (),
    "identity_policies": (_ALLOW_ALL,),
    "permissions_boundary": None,
    "session_policies": (),
    "resource_policy": _ALLOW_EVERYONE,
}
