"""The changes that an undo would make, as data: by resource the difference, and the access that is lost and gained."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook import markdown
from runbook.aws.kinds import reader_of
from runbook.aws.sqs import DeadLetterQueue, WholeQueue, policy_in
from runbook.plan import Change, Plan
from runbook.policy import document
from runbook.policy.document import Statement
from runbook.untrusted import code

MOST = 10
"""Maximum number of statements, and of resources that are alike, that are listed."""


@dataclass(frozen=True)
class PutBack:
    """All that an undo is about to do. `changes` lead from the present state to the one before the run, last first.

    `nothing_to_do` are the resources on which nothing has to be done, each with the reason.
    """

    plan: Plan
    changes: tuple[Change, ...]
    nothing_to_do: tuple[tuple[Change, str], ...] = ()

    @classmethod
    def of(
        cls, plan: Plan, present: Mapping[int, str | None], nothing_to_do: Iterable[tuple[Change, str]]
    ) -> "PutBack":
        """Make it of a run's plan and the present values of the resources that go back, by the change's number."""
        changes = tuple(_back(plan.changes[index], present[index]) for index in sorted(present, reverse=True))
        return cls(plan, changes, tuple(nothing_to_do))

    @property
    def summary(self) -> str:
        """`3 resources in 2 accounts go back to what they were before the run.`"""
        accounts = {change.resource.account for change in self.changes}
        if not accounts:
            return "Nothing has to be put back."
        number, where = markdown.count(len(self.changes), "resource"), markdown.count(len(accounts), "account")
        return f"{number} in {where} {'goes' if len(self.changes) == 1 else 'go'} back to the state before the run."

    @property
    def question(self) -> str:
        """The question to the person who undoes a run."""
        return f"Put {'this resource' if len(self.changes) == 1 else f'these {len(self.changes)} resources'} back?"

    def to_markdown(self) -> str:
        """The same for people: every kind of difference from now to afterwards, and the access that is lost and gained.

        Of changes that are alike, the first one is shown, and the names of some others.
        """
        shown = self.plan.model_copy(update={"changes": self.changes})
        groups = shown.groups()
        parts = [f"**{self.summary}**", *self._others(), *shown.changes_in_markdown(max(MOST, len(groups)))]
        for first, *others in groups:
            if lines := list(_access(first)):
                also = f", and in the same way {markdown.count(len(others), 'more resource')}" if others else ""
                parts.append("\n".join([f"Access to {code(first.name)}{also}:", "", *markdown.first(lines, MOST)]))
        return "\n\n".join(parts)

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def _others(self) -> Iterator[str]:
        lines = [
            f"- {code(change.name)} of account {change.resource.account}: {why}" for change, why in self.nothing_to_do
        ]
        if lines:
            yield "\n".join(markdown.first(lines, MOST))


def _back(change: Change, present: str | None) -> Change:
    """The change from what is there now to what was there before."""
    back = change.reversed()
    return back.model_copy(update={"before": present, "summary": f"take back: {change.summary}"})


def _access(change: Change) -> Iterator[str]:
    """The statements of a policy that go, and those that come back."""
    now, afterwards = (_statements(change, value) for value in (change.before, change.after))
    for statements, others, verb in ((now, afterwards, "ends"), (afterwards, now, "comes back")):
        for statement in statements:
            if not any(document.same_meaning(statement, other) for other in others):
                yield f"- {verb}: {_told(statement)}"


def _statements(change: Change, value: str | None) -> tuple[Statement, ...]:
    """The statements of a value that is a policy, or that has one."""
    if reader_of(change.resource).name in (WholeQueue.name, DeadLetterQueue.name):
        value = policy_in(value)
    try:
        return document.parse(value, "policy").statements if value else ()
    except document.PolicyError:
        return ()


def _told(statement: Statement) -> str:
    parts = [f"{statement['Effect']}"]
    for name in ("Principal", "NotPrincipal", "Action", "NotAction"):
        if name in statement:
            parts.append(f"{name} {markdown.names(list(_texts(statement[name])), MOST)}")
    return markdown.plain(", ".join([*parts, *(["with a condition"] if "Condition" in statement else [])]))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    for part in value.values() if isinstance(value, Mapping) else value:
        yield from _texts(part)
