"""How AWS keeps a resource policy: with the unique ids of its principals, and in a writing of its own.

IAM User Guide, "AWS JSON policy elements: Principal": when a policy is saved, the ARN of a role or user becomes its
unique id, and is turned back when the policy is shown. So a principal has to exist when a policy is put; and one that
was deleted since shows as its id (`AROA...`) and matches nobody, even if another was made under its name.
moto keeps the text that was put. The ids are remembered beside it, as an attribute of moto's bucket or key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.iam.models import Role, User, iam_backends

from runbook.sandbox.callers import PARTITION, organization_of

Document = Mapping[str, Any]
"""A policy, parsed."""

ELEMENTS = ("Version", "Id", "Statement")
STATEMENT_ELEMENTS = (
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
)  # fmt: skip
"""In the order in which AWS writes them."""

_IDS = "sandbox_principal_ids"
_ACCOUNT = re.compile(r"(arn:aws:iam::)?(?P<account>[0-9]{12})(?(1):root)")
_IDENTITY = re.compile(r"arn:aws:iam::(?P<account>[0-9]{12}):(?:role|user)/.+")
_ROLE_SESSION = re.compile(
    r"arn:aws:sts::(?P<account>[0-9]{12}):assumed-role/(?P<role>[A-Za-z0-9_+=,.@-]+)/[A-Za-z0-9_+=,.@-]+"
)
_TAKEN_AS_EXISTING = {
    "AWS": re.compile(r"\*|arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E[A-Z0-9]+"),
    "Service": re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com"),
    "CanonicalUser": re.compile(r"[0-9a-f]{64}"),
}
"""Kinds of principal of which the sandbox has no list, so that their form has to do."""


def unknown_principals(document: Document) -> list[str]:
    """The principals of a policy that do not exist.

    AWS knows every account there is. Here only the organization's exist, so that a mistyped account id is refused.
    A unique id is refused even while its role exists: S3 and KMS take ARNs and account ids.
    """
    return [principal for kind, principal in _principals(document) if not _exists(kind, principal)]


def remember_principals(holder: object, text: str) -> None:
    """Note, on the bucket or key that was given this policy, which roles and users it means."""
    found = {principal: _id(principal) for _, principal in _principals(parsed(text))}
    setattr(holder, _IDS, {arn: unique_id for arn, unique_id in found.items() if unique_id})


def in_force(holder: object, text: str) -> dict[str, Any]:
    """The policy of `holder` for authorization: principals that are gone as their ids, which match nobody."""
    then: Mapping[str, str] = getattr(holder, _IDS, {})
    gone = {arn: unique_id for arn, unique_id in then.items() if _id(arn) != unique_id}
    return _with_principals(parsed(text), lambda arn: gone.get(arn, arn))


def as_written(holder: object, text: str) -> dict[str, Any]:
    """The policy of `holder` as AWS writes it when it is read.

    Elements in AWS's order; in a statement a list of one value as the value, and an account id as the ARN of its root.
    Not documented, known from answers; it is why tools compare policies by meaning. Conditions stay as they were put.
    """
    document = _with_principals(in_force(holder, text), _account_arn)
    return _in_order({**document, "Statement": _each(document["Statement"], _written)}, ELEMENTS)


def parsed(text: str) -> dict[str, Any]:
    """A policy's JSON object. Raises ValueError when the text is none."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"not a JSON object: {text[:40]!r}")
    return document


def minified(document: Document) -> str:
    """The policy as JSON without spaces."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def statements(document: Document) -> list[Any]:
    """The statements of a policy, which may be a single one instead of a list."""
    return as_list(document.get("Statement", []))


def as_list(value: Any) -> list[Any]:
    """What a policy element holds, whether it is written as one value or as a list."""
    return value if isinstance(value, list) else [value]


def account_exists(account: str) -> bool:
    """Whether the account belongs to the simulated organization."""
    return organization_of(account) is not None


def _principals(document: Document) -> Iterator[tuple[str, str]]:
    """Kind ("AWS", "Service", ...) and value of every principal. Without a kind only `*` is a principal."""
    for statement in statements(document):
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element, {})
            kinds = principal if isinstance(principal, Mapping) else {"AWS" if principal == "*" else "": principal}
            for kind, values in kinds.items():
                for value in as_list(values):
                    yield kind, str(value)


def _exists(kind: str, principal: str) -> bool:
    if kind in _TAKEN_AS_EXISTING and _TAKEN_AS_EXISTING[kind].fullmatch(principal):
        return True
    if kind != "AWS":
        return False
    if account := _ACCOUNT.fullmatch(principal):
        return account_exists(account["account"])
    if session := _ROLE_SESSION.fullmatch(principal):
        return session["role"] in {identity.name for identity in _identities(session["account"], "roles")}
    return bool(_id(principal))


def _id(arn: str) -> str:
    """Unique id of the role or user with this ARN; empty when there is none."""
    match = _IDENTITY.fullmatch(arn)
    identities = _identities(match["account"], "roles", "users") if match else ()
    return next((identity.id for identity in identities if identity.arn == arn), "")


def _identities(account: str, *kinds: str) -> tuple[Role | User, ...]:
    if not account_exists(account):
        return ()
    backend = iam_backends[account][PARTITION]
    return tuple(identity for kind in kinds for identity in list(getattr(backend, kind).values()))


def _account_arn(principal: str) -> str:
    return re.sub(r"\A[0-9]{12}\Z", rf"arn:{PARTITION}:iam::\g<0>:root", principal)


def _with_principals(document: Document, change: Callable[[str], str]) -> dict[str, Any]:
    """The policy with `change` applied to each AWS principal."""

    def changed(statement: Document) -> dict[str, Any]:
        result = dict(statement)
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element)
            if isinstance(principal, Mapping) and "AWS" in principal:
                result[element] = {**principal, "AWS": _each(principal["AWS"], change)}
        return result

    return {**document, "Statement": _each(document["Statement"], changed)}


def _written(statement: Document) -> dict[str, Any]:
    short = {element: value if element == "Condition" else _short(value) for element, value in statement.items()}
    return _in_order(short, STATEMENT_ELEMENTS)


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {kind: _short(values) for kind, values in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _in_order(elements: Document, order: tuple[str, ...]) -> dict[str, Any]:
    return {element: elements[element] for element in sorted(elements, key=order.index)}


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """`change` applied to a value, or to each value of a list."""
    return [change(item) for item in value] if isinstance(value, list) else change(value)
