"""A plan as console steps and AWS CLI commands, for those who may not run code in the accounts."""

from dataclasses import dataclass

from runbook import commands, markdown
from runbook.aws.kinds import kind_of
from runbook.plan import Plan
from runbook.untrusted import code


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
            parts.append(f"… and {more}; {code(_command(self.plan))} prints them all.")
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())


def _command(plan: Plan) -> str:
    """Return the line that prints the plan's instructions, whole. Its parameters say all that its scenario does."""
    return commands.for_notebook("plan", plan.step, plan.environment, values=plan.parameters, options=("--by-hand",))


def by_hand(plan: Plan) -> Instructions:
    """The same changes, to be made by hand."""
    return Instructions(plan)
