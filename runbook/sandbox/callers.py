"""Who makes a request, found in moto's state from the credentials that the request carries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from moto.core.utils import utcnow
from moto.iam.models import AccessKey, Role, User, iam_backends
from moto.organizations.models import OrganizationsBackend, organizations_backends
from moto.sts.models import AssumedRole, sts_backends

from runbook.sandbox.errors import ExpiredToken, InvalidToken, UnknownAccessKey

ContextValue = str | Sequence[str]

PARTITION = "aws"
PLAIN_HTTP = "X-Sandbox-Plain-Http"
"""Header that makes a call count as plain http. Only for trying out policies that ask for aws:SecureTransport: the
sandbox's endpoint is http, but stands for AWS's https, so that every other call counts as encrypted in transit."""

_CREDENTIAL = re.compile(
    r"Credential=(?P<key>[^/]+)/(?P<date>[0-9]{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
)


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and from where.

    `kind` is "user", "role", "anonymous" or "service". `account` is 12 digits, empty for an anonymous caller or a
    service. `arn` is the principal's ARN as CloudTrail shows it: `arn:aws:iam::999999999999:user/administrator`,
    `arn:aws:sts::111111111111:assumed-role/NAME/SESSION`; "*" for an anonymous caller; `sns.amazonaws.com` for a
    service. `name` is the user's or role's name. `session_policy` is the policy that AssumeRole was given, as text.
    `context` holds the condition keys that every request of this caller carries.
    """

    account: str
    arn: str
    kind: str
    name: str
    access_key_id: str = ""
    session_policy: str = ""
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def caller_of(request: str | Mapping[str, str], *, service: str = "sts") -> Caller:
    """The caller behind an access key id, or behind the headers of a request.

    Headers without an `Authorization` (and without a presigned URL's credential, see `credential_of`) make an
    anonymous caller. `service` is who answers, because the errors differ. Raises UnknownAccessKey, InvalidToken or
    ExpiredToken.
    """
    if isinstance(request, str):
        return _caller(request, None, service, {})
    credential = credential_of(request)
    context = _request_context(request, credential)
    if credential is None:
        return Caller(account="", arn="*", kind="anonymous", name="", context=context)
    return _caller(credential["key"], request.get("X-Amz-Security-Token", ""), service, context)


def service_caller(principal: str, context: Mapping[str, ContextValue] | None = None) -> Caller:
    """An AWS service that acts on its own behalf, such as `sns.amazonaws.com` delivering to a queue."""
    return Caller(account="", arn=principal, kind="service", name=principal, context=context or {})


def role_caller(role: Role, session_name: str, region: str) -> Caller:
    """A role that a service of AWS has assumed and works as: Lambda, CloudFormation. There is no access key."""
    account = role.account_id
    return Caller(
        account=account,
        arn=f"arn:{PARTITION}:sts::{account}:assumed-role/{role.name}/{session_name}",
        kind="role",
        name=role.name,
        context={
            **_request_context({}, {"region": region}),
            **_principal_context(account),
            **_role_context(role, role.arn),
            "aws:userid": f"{role.id}:{session_name}",
        },
    )


def through(caller: Caller, service: str) -> Caller:
    """The caller of `service` ("cloudformation.amazonaws.com"), when that calls others with the caller's rights.

    AWS, "Forward access sessions"; "AWS global condition context keys", aws:CalledVia.
    """
    via: dict[str, ContextValue] = {
        "aws:ViaAWSService": "true",
        "aws:CalledVia": [service],
        "aws:CalledViaFirst": service,
        "aws:CalledViaLast": service,
    }
    return replace(caller, context={**caller.context, **via})


def credential_of(headers: Mapping[str, str]) -> Mapping[str, str] | None:
    """key, date, region and service of the credential in an `Authorization` header; None without one."""
    match = _CREDENTIAL.search(headers.get("Authorization", ""))
    return match.groupdict() if match else None


def organization_of(account: str) -> OrganizationsBackend | None:
    """moto's organization that `account` manages or is a member of."""
    if not account:
        return None
    own: OrganizationsBackend = organizations_backends[account][PARTITION]
    if own.org is not None:
        return own
    management, _ = organizations_backends.master_accounts.get(account, ("", ""))
    return organizations_backends[management][PARTITION] if management else None


def organization_path(organization: OrganizationsBackend, account: str) -> list[str]:
    """Ids from the root through the OUs to the account itself."""
    parents = {unit.id: unit.parent_id for unit in organization.ou}
    path = [account]
    above = next((member.parent_id for member in organization.accounts if member.id == account), None)
    while above:
        path.insert(0, above)
        above = parents.get(above)
    return path


def organization_context(of: str, account: str) -> dict[str, ContextValue]:
    """aws:PrincipalOrgID and aws:PrincipalOrgPaths for `of` "Principal"; there are such keys of a "Source" too."""
    organization = organization_of(account)
    if organization is None or organization.org is None:
        return {}
    units = organization_path(organization, account)[:-1]
    return {
        f"aws:{of}OrgID": organization.org.id,
        f"aws:{of}OrgPaths": ["/".join([organization.org.id, *units, ""])],
    }


def _caller(access_key_id: str, token: str | None, service: str, context: Mapping[str, ContextValue]) -> Caller:
    """The user or the assumed role that holds `access_key_id`. A `token` of None is not compared."""
    account, key = _find_key(access_key_id, service)
    session = sts_backends[account][PARTITION].get_assumed_role_from_access_key(access_key_id)
    if session is None:
        _check_session_of_user(key, token, service)
        return _user(account, key, service, context)
    if token is not None and token != session.session_token:
        raise InvalidToken(service)
    if session.expiration < utcnow():
        raise ExpiredToken(service)
    return _role_session(account, session, context)


def _check_session_of_user(key: Any, token: str | None, service: str) -> None:
    """Raise unless the token is that of the key: only a key of GetSessionToken (`sts`) has one, and an end."""
    if token is not None and token != getattr(key, "session_token", ""):
        raise InvalidToken(service)
    expiration = getattr(key, "expiration", None)
    if expiration and expiration < utcnow():
        raise ExpiredToken(service)


def _find_key(access_key_id: str, service: str) -> tuple[str, AccessKey]:
    for account, backends in list(iam_backends.items()):
        key = backends[PARTITION].access_keys.get(access_key_id)
        if key is not None:
            if key.status != "Active":
                raise UnknownAccessKey(service)
            return account, key
    raise UnknownAccessKey(service)


def _user(account: str, key: AccessKey, service: str, context: Mapping[str, ContextValue]) -> Caller:
    user: User | None = iam_backends[account][PARTITION].users.get(key.user_name or "")
    if user is None:
        raise UnknownAccessKey(service)
    return Caller(
        account=account,
        arn=user.arn,
        kind="user",
        name=user.name,
        access_key_id=key.access_key_id,
        context={
            **context,
            **_principal_context(account),
            "aws:PrincipalArn": user.arn,
            "aws:PrincipalType": "User",
            "aws:username": user.name,
            "aws:userid": user.id,
            **_mfa_context(key),
        },
    )


def _mfa_context(key: Any) -> dict[str, ContextValue]:
    """AWS, "Global condition context keys": in temporary credentials only; the age where there was MFA."""
    if not hasattr(key, "has_mfa"):
        return {}
    age = int((utcnow() - key.create_date).total_seconds())
    return (
        {"aws:MultiFactorAuthPresent": "false"}
        if not key.has_mfa
        else {
            "aws:MultiFactorAuthPresent": "true",
            "aws:MultiFactorAuthAge": str(age),
        }
    )


def _role_session(account: str, session: AssumedRole, context: Mapping[str, ContextValue]) -> Caller:
    role: Role | None = next(
        (role for role in iam_backends[account][PARTITION].roles.values() if role.arn == session.role_arn), None
    )
    return Caller(
        account=account,
        arn=session.arn,
        kind="role",
        name=session.role_arn.rpartition("/")[2],
        access_key_id=session.access_key_id,
        session_policy=session.policy or "",
        context={
            **context,
            **_principal_context(account),
            **_role_context(role, session.role_arn),
            **_session_context(session),
            "aws:userid": session.user_id,
            "aws:TokenIssueTime": session.access_key.create_date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )


def _session_context(session: Any) -> dict[str, ContextValue]:
    """Values that AssumeRole was given for the session (`sts`). AWS: a session tag wins over a tag of the role."""
    source_identity = getattr(session, "source_identity", None)
    return {
        **{f"aws:PrincipalTag/{key}": value for key, value in getattr(session, "tags", {}).items()},
        **({"aws:SourceIdentity": source_identity} if source_identity else {}),
    }


def _role_context(role: Role | None, role_arn: str) -> dict[str, ContextValue]:
    """Keys that are the same in all sessions of a role."""
    tags: Mapping[str, Any] = role.tags if role and isinstance(role.tags, Mapping) else {}
    return {
        **{f"aws:PrincipalTag/{key}": _tag_value(value) for key, value in tags.items()},
        "aws:PrincipalArn": role_arn,
        "aws:PrincipalType": "AssumedRole",
        "aws:MultiFactorAuthPresent": "false",
    }


def _tag_value(tag: Any) -> str:
    return str(tag["Value"] if isinstance(tag, Mapping) else tag)


def _principal_context(account: str) -> dict[str, ContextValue]:
    """Keys about the principal that do not depend on the request."""
    own: dict[str, ContextValue] = {"aws:PrincipalAccount": account, "aws:PrincipalIsAWSService": "false"}
    return own | organization_context("Principal", account)


def _request_context(headers: Mapping[str, str], credential: Mapping[str, str] | None) -> dict[str, ContextValue]:
    """Keys about the request that AWS sets on every call."""
    now = datetime.now(tz=UTC)
    context: dict[str, ContextValue] = {
        "aws:SecureTransport": "false" if PLAIN_HTTP in headers else "true",
        "aws:SourceIp": "127.0.0.1",
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
        "aws:UserAgent": headers.get("User-Agent", ""),
        "aws:ViaAWSService": "false",
    }
    if credential is not None:
        context["aws:RequestedRegion"] = credential["region"]
    return context
