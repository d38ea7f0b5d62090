"""What a queue's policy may hold at most, and by how much a document goes over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbook.policy.document import SIZE_LIMITS, Document, Statement

LIMITS: Mapping[str, int] = {"statements": 20, "principals": 50, "conditions": 10}
"""Per policy. Source: Amazon SQS developer guide, "Amazon SQS policy quotas"."""

ACTIONS = 7
"""Per statement. Source: the same."""


def exceeded(document: Document, before: Document | None = None) -> tuple[str, ...]:
    """What SQS would not take about a policy, such as `22 statements; SQS takes 20`; nothing when it takes all.

    Where `before`, a policy that SQS has taken, goes over a limit already, SQS counts otherwise than we do (how it
    counts principals and conditions is not documented), and the limit is not held against the new one.
    """
    found = []
    if document.size > (limit := SIZE_LIMITS["queue-policy"]):
        found.append(f"{document.size:,} bytes; SQS takes {limit:,}")
    taken = _counted(before) if before else {}
    for name, number in _counted(document).items():
        if number > LIMITS[name] >= taken.get(name, 0):
            found.append(f"{number} {name}; SQS takes {LIMITS[name]}")
    most = max((len(_listed(each.get("Action", []))) for each in document.statements), default=0)
    if most > ACTIONS:
        found.append(f"{most} actions in a statement; SQS takes {ACTIONS}")
    return tuple(found)


def _counted(document: Document) -> dict[str, int]:
    return {
        "statements": len(document.statements),
        "principals": sum(len(list(_principals(each))) for each in document.statements),
        "conditions": sum(len(list(_conditions(each))) for each in document.statements),
    }


def _principals(statement: Statement) -> Iterator[Any]:
    principal = statement.get("Principal", statement.get("NotPrincipal", []))
    kinds = principal.values() if isinstance(principal, Mapping) else [principal]
    return (each for values in kinds for each in _listed(values))


def _conditions(statement: Statement) -> Iterator[str]:
    return (key for keys in statement.get("Condition", {}).values() for key in keys)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
