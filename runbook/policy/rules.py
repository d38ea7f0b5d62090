"""The statements of policies, each with where it stands and what is wrong with it, so that none is skipped unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runbook.untrusted import quoted, text

ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
VERSIONS = ("2008-10-17", "2012-10-17")


class Kind(Enum):
    """What a policy is attached to, which decides the elements that its statements may have."""

    IDENTITY = "identity"
    RESOURCE = "resource"
    TRUST = "role trust"
    CONTROL = "resource control"


@dataclass(frozen=True)
class Rule:
    """One statement, `where` it stands, and what is wrong with it, if anything."""

    where: str
    kind: Kind
    body: Mapping[str, Any]
    has_variables: bool = True
    defect: str = ""


def read(policy: Any, name: str, kind: Kind) -> list[Rule]:
    """Every statement of a policy; for a policy that cannot be read, one that may say anything."""
    statements = policy.get("Statement") if isinstance(policy, Mapping) else None
    version = policy.get("Version", VERSIONS[0]) if isinstance(policy, Mapping) else None
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, (list, tuple)) or set(policy) - {"Version", "Id", "Statement"}:
        return [Rule(name, kind, {}, defect="it is not a policy document")]
    if version not in VERSIONS:
        return [Rule(name, kind, {}, defect=f"its Version is {quoted(version)}")]
    return [
        _rule(statement, number, name, kind, has_variables=version == VERSIONS[1])
        for number, statement in enumerate(statements, 1)
    ]


def _rule(statement: Any, number: int, name: str, kind: Kind, *, has_variables: bool) -> Rule:
    if not isinstance(statement, Mapping):
        return Rule(f"statement {number} of {name}", kind, {}, defect="it is not an object")
    sid = statement.get("Sid")
    where = f'statement "{text(sid)}" of {name}' if sid else f"statement {number} of {name}"
    strangers = ", ".join(sorted(set(statement) - ELEMENTS))
    return Rule(
        where, kind, statement, has_variables, f"the element {text(strangers)} is not known" if strangers else ""
    )


def read_all(policies: Iterable[Any], name: str, kind: Kind, suffix: str = "") -> Iterator[Rule]:
    for number, policy in enumerate(policies, 1):
        yield from read(policy, f"{name} {number}{suffix}", kind)


def read_levels(levels: Iterable[Iterable[Any]], name: str, kind: Kind) -> list[list[Rule]]:
    return [list(read_all(policies, name, kind, f" at level {level}")) for level, policies in enumerate(levels, 1)]
