"""Policies as texts, and statements merged into them: what is ours is exchanged, everything else stays as it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

from runbook.policy import document
from runbook.policy.document import Document, Statement
from runbook.policy.statements import Mode
from runbook.run import Run

MODES: tuple[Mode, Mode] = ("literal", "hardened")


def merged(
    policy: str | None, wanted: Sequence[tuple[Sequence[Statement], str]], known: Iterable[Statement]
) -> Document | None:
    """A policy with the statements that are wanted, each group with the label for its Sids; None without any.

    Statements among `known`, all that may ever have been put there, that are not wanted any more are taken out. Where
    nothing else was there, the policy's Id and Version are still its owner's, and stay.
    """
    present = parsed(policy)
    all_wanted = [statement for statements, _ in wanted for statement in statements]
    surplus = [each for each in known if not among(each, all_wanted)]
    kept = document.remove(present, surplus) or document.emptied(present) if present else None
    for statements, label in (each for each in wanted if each[0]):
        kept = document.merge(kept, statements, label=label)
    return kept if kept and kept.statements else None


def among(statement: Statement, others: Iterable[Statement]) -> bool:
    """Whether one of the others says the same."""
    return any(document.same_meaning(statement, other) for other in others)


def parsed(policy: str | None) -> Document | None:
    """A policy that was understood when it was read."""
    return document.parse(policy, "policy") if policy is not None else None


def body(policy: str | None) -> Mapping[str, Any] | None:
    """The same as plain data, for the evaluation."""
    found = parsed(policy)
    return found.body if found else None


class WithPolicies(Protocol):
    """A bucket with its keys, as a step looks at it."""

    def with_policies(self, policies: Mapping[str, str | None]) -> Self:
        """The same with other policies, by the ARN of bucket or key; where none is given, it keeps its own."""


Looked = TypeVar("Looked", bound=WithPolicies)


def then_and_now(buckets: Iterable[Looked], run: Run) -> Iterator[tuple[Looked, Looked, Looked]]:
    """Each bucket as it is, as it was before the run, and as it is (or would be) after it."""
    befores = {change.resource.arn: change.before for change in run.plan.changes}
    afters = {change.resource.arn: change.after for change in run.plan.changes}
    for each in buckets:
        if run.applied:
            yield each, each.with_policies(befores), each
        else:
            yield each, each, each.with_policies(afters)
