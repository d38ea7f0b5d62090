"""A queue's policy: what SQS accepts, from when on it counts, and how it reads back.

SQS Developer Guide, "Amazon SQS policy quotas" and "Overview of managing access in Amazon SQS". Wordings are those of
SQS's answers as others have published them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from moto.sqs.models import Queue

from runbook.policy import actions
from runbook.policy.document import PolicyError
from runbook.policy.document import parse as policy_document
from runbook.sandbox import clock, stored_policies
from runbook.sandbox.errors import Refusal
from runbook.sandbox.stored_policies import Document, as_list, minified, parsed, statements

SIZE_LIMIT = 8_192
"""Bytes."""

STATEMENTS, PRINCIPALS, CONDITIONS, ACTIONS = 20, 50, 10, 7
"""At most that many in a policy; the actions in a statement."""

_UNTIL = "sandbox_earlier_policy"
_VERSIONS = ("2008-10-17", "2012-10-17")


@dataclass(frozen=True)
class _Earlier:
    """The policy that counts until the moment `until` of the sandbox's clock."""

    document: Document | None
    until: float


class OverLimit(Refusal):
    """API Reference, SetQueueAttributes: "The specified action violates a limit." """

    def __init__(self, message: str) -> None:
        super().__init__("OverLimit", message, 403)


class InvalidPolicy(Refusal):
    """API Reference, SetQueueAttributes, InvalidAttributeValue. SQS does not say what is wrong."""

    def __init__(self) -> None:
        super().__init__("InvalidAttributeValue", "Invalid value for the parameter Policy.", 400)


def put(queue: Queue, text: str) -> None:
    """Give the queue this policy, as SetQueueAttributes does; an empty one takes the policy away.

    SetQueueAttributes: "When you change a queue's attributes, the change can take up to 60 seconds for most of the
    attributes to propagate". Raises OverLimit or InvalidPolicy, and then the queue is as it was.
    """
    if text:
        check(text, queue.queue_arn)
    before = in_force(queue)
    queue.policy = text or None
    if text:
        stored_policies.remember_principals(queue, text)
    setattr(queue, _UNTIL, _Earlier(before, clock.now() + clock.QUEUE_POLICY_SECONDS))


def in_force(queue: Queue) -> Document | None:
    """The policy that counts at this moment; None when there is none."""
    earlier: _Earlier | None = getattr(queue, _UNTIL, None)
    if earlier is not None and clock.now() < earlier.until:
        return earlier.document
    return stored_policies.in_force(queue, queue.policy) if queue.policy else None


def as_written(queue: Queue) -> str | None:
    """The policy as GetQueueAttributes shows it, at once: only its effect takes time."""
    return minified(stored_policies.as_written(queue, queue.policy)) if queue.policy else None


def check(text: str, queue_arn: str) -> None:
    """Raise a refusal, worded as SQS words it, unless SQS would take `text` as the policy of the queue."""
    if len(text.encode()) > SIZE_LIMIT:
        raise OverLimit("Submitted policy is over max allowed size.")
    document = _document(text)
    _has_known_elements(document)
    _stays_below_the_quotas(document)
    for statement in statements(document):
        _is_about_the_queue(statement, queue_arn)
    if stored_policies.unknown_principals(document):
        raise InvalidPolicy


def _document(text: str) -> Document:
    """IAM User Guide, "Grammar of the IAM JSON policy language"."""
    try:
        policy_document(text, "queue policy")
        document = parsed(text)
    except (PolicyError, ValueError):
        raise InvalidPolicy from None
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS or not statements(document):
        raise InvalidPolicy
    return document


def _has_known_elements(document: Document) -> None:
    for known, elements in (
        (stored_policies.ELEMENTS, document),
        *((stored_policies.STATEMENT_ELEMENTS, statement) for statement in statements(document)),
    ):
        if not set(elements) <= set(known):
            raise InvalidPolicy


def _stays_below_the_quotas(document: Document) -> None:
    """Wordings for statements and actions are known, those for principals and conditions assumed to be alike."""
    for name, found, limit in (
        ("statements", len(statements(document)), STATEMENTS),
        ("principals", sum(1 for _ in _principals(document)), PRINCIPALS),
        ("conditions", sum(1 for _ in _conditions(document)), CONDITIONS),
    ):
        if found > limit:
            raise OverLimit(f"{found} {name} were found in the submitted policy, max allowed is {limit}")
    for statement in statements(document):
        found = len(_values(statement, "Action"))
        if found > ACTIONS:
            raise OverLimit(
                f"{found} actions were found in a statement from the submitted policy, max allowed is {ACTIONS}"
            )


def _is_about_the_queue(statement: Mapping[str, Any], queue_arn: str) -> None:
    """A statement needs a principal and actions of SQS, and its resource has to be the queue."""
    if not (statement.get("Principal") or statement.get("NotPrincipal")):
        raise InvalidPolicy
    named = _values(statement, "Action")
    covered = [actions.covered_by(each, "sqs") for each in named]
    if not covered or not all(each and each[0].startswith("sqs:") for each in covered):
        raise InvalidPolicy
    resources = _values(statement, "Resource")
    if not resources or not all(fnmatchcase(queue_arn, each) for each in resources):
        raise InvalidPolicy


def _principals(document: Document) -> Iterator[str]:
    for statement in statements(document):
        for element in ("Principal", "NotPrincipal"):
            kinds = statement.get(element, {})
            for values in kinds.values() if isinstance(kinds, Mapping) else [kinds]:
                yield from as_list(values)


def _conditions(document: Document) -> Iterator[str]:
    """Keys, each under its operator."""
    for statement in statements(document):
        for keys in statement.get("Condition", {}).values():
            yield from keys


def _values(statement: Mapping[str, Any], element: str) -> list[str]:
    """The values of `element` or of its negation; none when it has neither."""
    return as_list(statement.get(element, statement.get(f"Not{element}", [])))
