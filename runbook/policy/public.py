"""Whether a policy is public, as S3 Block Public Access means it.

A policy is public unless each of its grants goes to fixed values: no wildcard, no policy variable.
Source: S3 User Guide, "Blocking public access to your Amazon S3 storage", section "The meaning of public".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from runbook.policy.conditions import texts
from runbook.policy.document import Document, Statement
from runbook.policy.patterns import lowered

# Lower case, since condition keys are not case-sensitive. The documentation names the principal's keys only by example
# (aws:PrincipalOrgID): the others of its kind are taken to be meant.
FIXED_BY = {
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "kms:calleraccount",  # what aws:PrincipalAccount is, in key policies
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
}
# Operators that hold only when the key is present and is one of the values.
FIXING = re.compile(r"(foranyvalue:)?(stringequals|stringequalsignorecase|stringlike|arnequals|arnlike)")
ACCESS_POINTS = re.compile(r"arn:[a-z0-9-]+:s3:[a-z0-9-]+:[0-9]{12}:accesspoint/[^$]+")
BROADEST = {4: 8, 6: 32}


def is_public(document: Document) -> bool:
    """Whether any statement of the document is public: one is enough to make the whole policy public."""
    return any(is_public_statement(statement) for statement in document.statements)


def is_public_statement(statement: Statement) -> bool:
    if statement["Effect"] != "Allow":
        return False
    if "NotPrincipal" not in statement and not _is_open(statement.get("Principal")):
        return False
    return not any(
        _is_fixed(lowered(operator), lowered(key), texts(values) or ())
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _is_open(principal: Any) -> bool:
    """Whether a Principal lets in anybody, such as everyone who can log in at a web identity provider."""
    kinds = principal if isinstance(principal, Mapping) else {"AWS": principal}
    for kind, values in kinds.items():
        for value in values if isinstance(values, list) else [values]:
            if value == "*" or (kind == "Federated" and not str(value).startswith("arn:")):
                return True
    return False


def _is_fixed(operator: str, key: str, values: tuple[str, ...]) -> bool:
    if operator == "ipaddress" and key == "aws:sourceip":
        return bool(values) and all(map(_is_narrow, values))
    if key not in FIXED_BY or not FIXING.fullmatch(operator):
        return False
    exact = "equals" in operator and "arn" not in operator
    return bool(values) and all(_is_fixed_value(key, value, exact=exact) for value in values)


def _is_fixed_value(key: str, value: str, *, exact: bool) -> bool:
    """`exact` operators know no wildcards, but they do know policy variables."""
    if key == "s3:dataaccesspointarn" and ACCESS_POINTS.fullmatch(value):
        return True
    if key == "aws:userid" and re.fullmatch(r"AROA[A-Z0-9]+:\*", value):
        return True
    return "${" not in value and (exact or not re.search(r"[*?]", value))


def _is_narrow(value: str) -> bool:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return False
    return network.prefixlen >= BROADEST[network.version]
