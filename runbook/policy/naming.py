"""Whether a bucket's name can make a difference to what policies say about it, and the same policy with another name.

The policies of a thousand buckets are mostly one and the same but for the bucket's own ARN in Resource and NotResource.
There a name can be exchanged without changing any answer: a pattern that begins with the ARN covers the bucket, or an
object in it, by what follows the ARN alone. Wherever else a name might count, the answer here is that it does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from runbook.policy import document
from runbook.policy.document import PolicyError

FILLER = "~"
"""What a stand-in is made of. No bucket's name has it, no other part of an ARN may have three in a row, and it means
nothing in a policy or a regular expression."""

_WILDCARD = re.compile(r"[*?]|\$\{")


def stand_in(name: str) -> str:
    """A name that no bucket has, just as long: sizes stay what they are. A bucket's name has at least three letters."""
    return FILLER * len(name)


def may_hold_stand_in(text: str) -> bool:
    """Whether a text has, or hides behind an escape, what could be taken for a stand-in."""
    return FILLER * 3 in text or "\\u" in text


def renamed(policy: str, arn: str, other: str) -> str | None:
    """A bucket policy with the ARN of a stand-in in the place of the bucket's own; None where the name may count."""
    if may_hold_stand_in(policy):
        return None
    text = policy.replace(f'"{arn}"', f'"{other}"').replace(f'"{arn}/', f'"{other}/')
    return text if _is_the_same_for_all(text, other) else None


def telling(policies: Iterable[Any], partition: str) -> tuple[str, ...] | None:
    """The beginnings of ARNs that policies, such as a role's own, may single out; none when they treat all alike.

    None when they cannot be read that way, so that any bucket might be singled out.
    """
    found: list[str] = []
    policies = list(policies)
    if FILLER * 3 in json.dumps(policies, ensure_ascii=False):
        return None
    for policy in policies:
        statements = policy.get("Statement") if isinstance(policy, Mapping) else None
        for statement in statements if isinstance(statements, list | tuple) else [statements]:
            if not isinstance(statement, Mapping):
                return None
            for pattern in _patterns(statement):
                if not isinstance(pattern, str):
                    return None
                if not _treats_all_alike(pattern, partition):
                    found.append(_WILDCARD.split(pattern, maxsplit=1)[0])
    return tuple(dict.fromkeys(found))


def may_be_meant(arn: str, beginnings: Iterable[str]) -> bool:
    """Whether one of the beginnings fits the bucket or something in it."""
    return any(
        f"{arn}/".startswith(beginning) or beginning == arn or beginning.startswith(f"{arn}/")
        for beginning in beginnings
    )


@lru_cache(maxsize=4096)
def _is_the_same_for_all(text: str, arn: str) -> bool:
    """Whether every answer that a policy gives would be the same for another name in the place of this stand-in."""
    try:
        statements = document.parse(text, "policy").statements
    except PolicyError:
        return False
    own = 0
    for pattern in (pattern for statement in statements for pattern in _patterns(statement)):
        if (pattern == arn or pattern.startswith(f"{arn}/")) and pattern.count(arn) == 1:
            own += 1
        elif not _treats_all_alike(pattern, arn.split(":")[1]):
            return False
    return own == text.count(arn)  # it stands in no other place, a condition for example


def _patterns(statement: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for element in ("Resource", "NotResource"):
        values = statement.get(element, [])
        found += values if isinstance(values, list | tuple) else [values]
    return found


def _treats_all_alike(pattern: str, partition: str) -> bool:
    """Whether a Resource covers either every bucket of the partition or none, and of each the same part.

    `*` in the place of the whole name cannot tell names apart, since a name has no slash. Another service's ARN covers
    no bucket.
    """
    rest = pattern.removeprefix(f"arn:{partition}:s3:::")
    if pattern == "*" or (rest != pattern and (rest == "*" or rest.startswith("*/"))):
        return True
    parts = pattern.split(":")[:4]
    return len(parts) == 4 and parts[0] == "arn" and parts[2] != "s3" and not _WILDCARD.search(":".join(parts[:3]))
