"""Who makes a request, and how directly the Principal element of a policy names them.

Sources: IAM User Guide, "AWS JSON policy elements: Principal", "NotPrincipal", and "Policy evaluation logic".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from runbook.policy.answers import NO, Answer, any_of, unknown
from runbook.untrusted import quoted, text

ACCOUNT_ID = re.compile(r"[0-9]{12}")
PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):(?:iam|sts)::(?P<account>[0-9]{12}):"
    r"(?P<kind>root|user|role|assumed-role|federated-user|saml-provider|oidc-provider)(?:/(?P<name>[^*?]+))?"
)
SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com|amazonaws\.com\.cn|aws\.internal)")
PROVIDER = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/\S*)?")
# The unique id of a user or role. A policy shows it in place of the ARN once the user or role is deleted:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
UNIQUE_ID = re.compile(r"A(?:ROA|IDA)[A-Z0-9]{12,}")


class Reach(IntEnum):
    """How directly a Principal names the caller. It decides what still limits a grant in the caller's own account."""

    ACCOUNT = 1  # the account, which leaves the rest to the identity policies
    ROLE = 2  # the role: permissions boundary and session policies still limit it
    DIRECT = 3  # the user, the session or the service itself, or everyone


@dataclass(frozen=True)
class Principal:
    """A caller. `kind` is the word in its ARN, or "service", "provider", "anonymous" or "unknown"."""

    text: str
    kind: str
    partition: str = ""
    account: str = ""
    name: str = ""
    role_arn: str = ""

    @property
    def is_service_linked_role(self) -> bool:
        return ":role/aws-service-role/" in self.role_arn


@lru_cache(maxsize=4096)
def parse(text: str, principal_arn: str = "") -> Principal:
    """The caller: an ARN, a service (`sns.amazonaws.com`), an identity provider, or `*` for anonymous.

    `principal_arn` is the request's aws:PrincipalArn where it is known: a session's own ARN leaves out its role's path.
    """
    arn = PRINCIPAL_ARN.fullmatch(text)
    if arn is None or (arn["kind"] == "root") == bool(arn["name"]):
        return Principal(text, _kind_without_arn(text))
    partition, account, kind, name = arn["partition"], arn["account"], arn["kind"], arn["name"] or ""
    if kind.endswith("-provider"):
        return Principal(text, "provider")
    role_arn = text if kind == "role" else ""
    if kind == "assumed-role":
        role, slash, _ = name.partition("/")
        if not slash:
            return Principal(text, "unknown")
        role_arn = f"arn:{partition}:iam::{account}:role/{role}"
        prefix = role_arn.removesuffix(role)
        if principal_arn.startswith(prefix) and _same_name(principal_arn, role_arn):
            role_arn = principal_arn
    return Principal(text, kind, partition, account, name, role_arn)


def named(element: Any, caller: Principal, reach: Reach, *, grants: bool) -> Answer:
    """Whether a Principal element names the caller in the way of `reach`.

    An ARN with a wildcard matches no part of names or ARNs, so whatever becomes of it, it `grants` nobody anything.
    """
    entries = [(kind, value) for kind, value in _entries(element) if not (grants and _has_wildcard(value))]
    reaches = [_reach(kind, value, caller) for kind, value in entries]
    return any_of(Answer(found == reach) if isinstance(found, Reach) else found for found in reaches)


def spared(element: Any, caller: Principal) -> Answer:
    """Whether a NotPrincipal element lists the caller, so that its Deny does not concern it.

    AWS may look at the account first, then at the role or user, then at the session. So a caller is certainly spared
    when both its account and itself (for a session its role) are listed; of one without the other, or of a session
    without its role, AWS says that it "might" be denied.
    """
    reaches = [_reach(kind, value, caller) for kind, value in _entries(element)]
    values = [value for _, value in _entries(element) if isinstance(value, str)]
    neighbours = [value for value in values if caller.account and f"::{caller.account}:" in value]
    itself = Reach.DIRECT in reaches or Reach.ROLE in reaches
    account = Reach.ACCOUNT in reaches
    if caller.kind in ("service", "provider", "anonymous") or "*" in values:
        account = itself
    if caller.kind == "root":
        itself = account
    if account and itself:
        if caller.kind == "assumed-role" and Reach.ROLE not in reaches and "*" not in values:
            return unknown("its NotPrincipal lists the caller's session without the session's role")
        sessions = [value for value in neighbours if f":assumed-role/{caller.name.partition('/')[0]}/" in value]
        return Answer(Reach.DIRECT in reaches or caller.kind != "assumed-role" or not sessions)
    open_question = next((found for found in reaches if isinstance(found, Answer) and found.truth is None), None)
    if open_question:
        return open_question
    if itself:
        return unknown("its NotPrincipal lists the caller without the caller's account")
    if account and not any(not value.endswith(":root") for value in neighbours):
        return unknown("its NotPrincipal lists the caller's account without the caller")
    return NO


def _kind_without_arn(text: str) -> str:
    if text == "*":
        return "anonymous"
    if SERVICE.fullmatch(text):
        return "service"
    return "provider" if PROVIDER.fullmatch(text) else "unknown"


def _entries(element: Any) -> Iterator[tuple[str, Any]]:
    """Each principal of a Principal element, with the kind it stands under."""
    if element == "*":
        yield "AWS", "*"
    elif isinstance(element, dict):
        for kind, values in element.items():
            for value in values if isinstance(values, list) else [values]:
                yield kind, value
    else:
        yield "malformed", element


def _reach(kind: str, value: Any, caller: Principal) -> Reach | Answer:
    if caller.kind == "unknown":
        return unknown(f"{quoted(caller.text)} is not a principal")
    if kind == "AWS" and isinstance(value, str):
        return _reach_of_arn(value, caller)
    if kind in ("Service", "Federated") and isinstance(value, str):
        if value == "*" and caller.kind in ("service", "provider"):
            return unknown(f'it is not known whom "{kind}": "*" means')
        return Reach.DIRECT if value == caller.text else NO
    if kind == "CanonicalUser":
        outsider = caller.kind in ("service", "provider", "anonymous")
        return NO if outsider else unknown(f"it is not known which account has the canonical user id {text(value)}")
    return unknown(f"{text(kind)}: {quoted(value)} is not a principal")


def _reach_of_arn(value: str, caller: Principal) -> Reach | Answer:
    if value == "*":
        return Reach.DIRECT
    if UNIQUE_ID.fullmatch(value):
        return NO
    if ACCOUNT_ID.fullmatch(value):
        return Reach.ACCOUNT if value == caller.account else NO
    listed = parse(value)
    if listed.kind in ("unknown", "service", "provider", "anonymous"):
        return unknown(f"{quoted(value)} is not a principal")
    if (listed.partition, listed.account) != (caller.partition, caller.account):
        return NO
    if listed.kind == "root":
        return Reach.ACCOUNT
    if value == caller.text:
        return Reach.ROLE if caller.kind == "role" else Reach.DIRECT
    if value == caller.role_arn:
        return Reach.ROLE
    if listed.kind == "role" and caller.kind == "assumed-role" and _same_name(value, caller.role_arn):
        return unknown(f"it is not known which path the role of {text(caller.text)} has")
    if listed.kind == "user" and caller.kind == "federated-user":
        return unknown(f"it is not known which user {text(caller.text)} stands for")
    return NO


def _has_wildcard(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("arn:") and ("*" in value or "?" in value)


def _same_name(role_arn: str, other: str) -> bool:
    """Two ARNs of roles with one name in one account: one of them lacks the path, since the name is unique there."""
    return role_arn.rpartition("/")[2] == other.rpartition("/")[2]
