"""What S3 accepts as a bucket policy.

Codes and wordings are those S3 answers with; "recorded" marks one that the documentation leaves out and that others
have published from S3's answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from runbook.policy import actions
from runbook.policy.document import PolicyError
from runbook.policy.document import parse as policy_document
from runbook.sandbox.errors import Refusal
from runbook.sandbox.stored_policies import (
    ELEMENTS,
    STATEMENT_ELEMENTS,
    Document,
    as_list,
    minified,
    parsed,
    statements,
    unknown_principals,
)

SIZE_LIMIT = 20_480
"""Bytes. User Guide, "Adding a bucket policy by using the Amazon S3 console": bucket policies are limited to 20 KB."""

Statement = Mapping[str, Any]

_VERSIONS = ("2008-10-17", "2012-10-17")
_OPERATOR = re.compile(
    r"(?:ForAnyValue:|ForAllValues:)?(?:(?:String(?:Not)?(?:Equals(?:IgnoreCase)?|Like)|Arn(?:Not)?(?:Equals|Like)"
    r"|(?:Numeric|Date)(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)|Bool|BinaryEquals|(?:Not)?IpAddress)"
    r"(?:IfExists)?|Null)"
)
_ARN = re.compile(r"arn:aws:s3:::(?P<bucket>[^/]*)(?P<objects>/.*)?", re.DOTALL)
_KINDS = {
    "arn:${Partition}:s3:::${BucketName}": "bucket",
    "arn:${Partition}:s3:::${BucketName}/${ObjectName}": "object",
}


class MalformedPolicy(Refusal):
    """User Guide, "Error responses"."""

    def __init__(self, message: str) -> None:
        super().__init__("MalformedPolicy", message, 400)


def check(text: str, bucket: str) -> None:
    """Raise MalformedPolicy, worded as S3 words it, unless S3 would take `text` as the policy of `bucket`."""
    document = is_json(text)
    fits(document)
    has_known_elements(document)
    for statement in statements(document):
        has_required_elements(statement)
    has_valid_syntax(text)
    has_unique_sids(document)
    for statement in statements(document):
        has_known_operators(statement)
        has_known_actions(statement)
        has_resources_of_the_bucket(statement, bucket)
        has_actions_that_fit_the_resources(statement, bucket)
    has_principals_that_exist(document)


def is_json(text: str) -> dict[str, Any]:
    """An empty body, or one that is no JSON object, has a wording of its own. Recorded."""
    if not text.lstrip().startswith("{"):
        raise MalformedPolicy("Policies must be valid JSON and the first byte must be '{'")
    try:
        return parsed(text)
    except ValueError:
        raise MalformedPolicy("This policy contains invalid Json") from None


def fits(document: Document) -> None:
    """S3 does not count spaces, but the policy as it would write it. Wording recorded.

    Counted here is the minified document: how exactly S3 writes one before it counts is not published.
    """
    if len(minified(document).encode(errors="replace")) > SIZE_LIMIT:
        raise MalformedPolicy(f"Normalized policy document exceeds the maximum allowed size of {SIZE_LIMIT} bytes")


def has_known_elements(document: Document) -> None:
    """IAM User Guide, "Grammar of the IAM JSON policy language". Wordings recorded."""
    _only(ELEMENTS, document)
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise MalformedPolicy("The policy must contain a valid version string")
    if "Statement" not in document:
        raise MalformedPolicy("Missing required field Statement")
    if document["Statement"] == []:
        raise MalformedPolicy("Could not parse the policy: Statement is empty!")
    if not all(isinstance(statement, Mapping) for statement in statements(document)):
        raise MalformedPolicy("Invalid policy syntax.")


def has_required_elements(statement: Statement) -> None:
    """IAM User Guide, "Grammar of the IAM JSON policy language"; a bucket policy has to have a Principal."""
    _only(STATEMENT_ELEMENTS, statement)
    if "Effect" not in statement:
        raise MalformedPolicy("Missing required field Effect")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise MalformedPolicy(f"Invalid effect: {statement['Effect']}")
    for element in ("Principal", "Action", "Resource"):
        present = [name for name in (element, f"Not{element}") if name in statement]
        if not present:
            raise MalformedPolicy(f"Missing required field {element}")
        if len(present) > 1:
            raise MalformedPolicy(f"Statement/policy already has instance of {element}")
        if statement[present[0]] in ([], {}, "", None):
            raise MalformedPolicy(f"Missing required field {element} cannot be empty!")


def has_valid_syntax(text: str) -> None:
    """Everything has the type that the grammar gives it, and nothing stands there twice. Wording recorded."""
    try:
        policy_document(text, "bucket policy")
    except PolicyError:
        raise MalformedPolicy("Invalid policy syntax.") from None


def has_unique_sids(document: Document) -> None:
    """S3 Developer Guide, "Special information for Amazon S3 policies": "Each statement in a policy must have a unique
    statement ID". Buckets with repeated Sids have been seen all the same; the sandbox takes AWS at its word.
    """
    sids = [statement["Sid"] for statement in statements(document) if "Sid" in statement]
    if len(sids) > len(set(sids)):
        raise MalformedPolicy("The Statement Ids in the policy are not unique")


def has_known_operators(statement: Statement) -> None:
    """IAM User Guide, "IAM JSON policy elements: Condition operators". Wording recorded."""
    for operator in statement.get("Condition", {}):
        if not _OPERATOR.fullmatch(operator):
            raise MalformedPolicy(f"Invalid Condition type : {operator}")


def has_known_actions(statement: Statement) -> None:
    """An action has to be one of S3's that concern a bucket or an object; wildcards have to cover one such."""
    if not all(_kinds_of_action(action) for action in _either(statement, "Action")):
        raise MalformedPolicy("Policy has invalid action")


def has_resources_of_the_bucket(statement: Statement, bucket: str) -> None:
    """User Guide, "Policies and permissions in Amazon S3": the resources are the bucket and objects in it."""
    if not all(_kinds_of_resource(resource, bucket) for resource in _either(statement, "Resource")):
        raise MalformedPolicy("Policy has invalid resource")


def has_actions_that_fit_the_resources(statement: Statement, bucket: str) -> None:
    """An object action on the bucket's ARN alone, or the other way round, is refused and not ignored."""
    if "NotAction" in statement or "NotResource" in statement:
        return
    resources = frozenset().union(
        *(_kinds_of_resource(resource, bucket) for resource in _either(statement, "Resource"))
    )
    if not all(_kinds_of_action(action) & resources for action in _either(statement, "Action")):
        raise MalformedPolicy("Action does not apply to any resource(s) in statement")


def has_principals_that_exist(document: Document) -> None:
    """re:Post, "How do I resolve the 'Invalid principal in policy' error": one that does not exist fails the put.

    So does the unique id of a role that is gone, when a policy that shows one is put again as it is.
    """
    if unknown_principals(document):
        raise MalformedPolicy("Invalid principal in policy")


def _only(known: tuple[str, ...], elements: Mapping[str, Any]) -> None:
    for element in elements:
        if element not in known:
            raise MalformedPolicy(f"Unknown field {element}")


def _either(statement: Statement, element: str) -> list[str]:
    """The values of `element` or of its negation."""
    return as_list(statement.get(element, statement.get(f"Not{element}")))


@cache
def _kinds_of_action(pattern: str) -> frozenset[str]:
    """What the actions that `pattern` covers work on, "bucket", "object" or both; empty for an unknown action."""
    formats = {form for action in actions.covered_by(pattern, "s3") for form in actions.resource_formats(action)}
    return frozenset(_KINDS[form] for form in formats & _KINDS.keys())


def _kinds_of_resource(resource: str, bucket: str) -> frozenset[str]:
    """What of the bucket the ARN names, "bucket", "object" or both; empty when it names nothing of it."""
    arn = _ARN.fullmatch(resource)
    if arn is None or not fnmatchcase(bucket, arn["bucket"]):
        return frozenset()
    if arn["objects"]:
        return frozenset({"object"})
    return frozenset({"bucket", "object"} if arn["bucket"].endswith("*") else {"bucket"})
