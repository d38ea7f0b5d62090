"""A plan as console steps and AWS CLI commands, for those who may not run code in the accounts."""

from dataclasses import dataclass

from runbook import markdown
from runbook.aws.kinds import kind_of
from runbook.plan import Plan


@dataclass(frozen=True)
class Instructions:
    """What a person does, change by change."""

    plan: Plan

    def to_markdown(self, most: int = 3) -> str:
        """Numbered instructions; of more than `most` changes only the first."""
        changes = self.plan.changes
        if not changes:
            return self.plan.summary
        parts = [
            f"**{number}. {markdown.plain(change.summary)}**\n\n{kind_of(change.resource).by_hand(change)}"
            for number, change in enumerate(changes[:most], start=1)
        ]
        if len(changes) > most:
            more = markdown.count(len(changes) - most, "more change")
            parts.append(f"… and {more}; `runbook plan --by-hand` prints them all.")
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())


def by_hand(plan: Plan) -> Instructions:
    """The same changes, to be made by hand."""
    return Instructions(plan)
