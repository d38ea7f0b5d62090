"""The console steps of the page for stack sets, each with what a plan sends in its place."""

import json
from typing import Any

from runbook import markdown
from runbook.plan import Plan
from runbook.review.outline import Outline, links, load
from runbook.steps.stack_sets_requests import CONSOLE_STEPS, ConsoleStep, PlannedCall, planned_calls, sent

SECTION = "stack-sets"


class ConsoleTable:
    """A line for each step: what it asks, the field of a request that stands for it, and the value in this plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def to_markdown(self) -> str:
        outline, calls = load(), planned_calls(self._plan.changes)
        rows = [self._row(outline, number, step, calls) for number, step in enumerate(CONSOLE_STEPS, start=1)]
        return markdown.table(["Step", "Page", "What it asks", "Request", "In this plan"], rows)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def _row(self, outline: Outline, number: int, step: ConsoleStep, calls: list[PlannedCall]) -> list[str]:
        entry = outline.entry(f"{SECTION}.{step.entry}")
        why = step.why.format(region=self._region, url=self._url)
        if not step.field:
            return [f"{number}", links(outline, [entry]), entry.asks, "none", why]
        found = sent(step, calls)
        member = f" {step.member}" if step.member else ""
        if found is None:
            request = f"`{step.operation}` `{step.field}`{member}"
            return [
                f"{number}",
                links(outline, [entry]),
                entry.asks,
                request,
                "not sent: this plan changes nothing here",
            ]
        operation, value = found
        shown = _shown(value) + (f", {why}" if why else "")
        return [f"{number}", links(outline, [entry]), entry.asks, f"`{operation}` `{step.field}`{member}", shown]

    @property
    def _region(self) -> str:
        return next((change.resource.region for change in self._plan.changes), "the one of the environment")

    @property
    def _url(self) -> str:
        for change in self._plan.changes:
            if change.resource.kind == "cloudformation.stack-set" and change.after:
                return str(json.loads(change.after).get("TemplateURL", ""))
        return "its address"


def console_steps(plan: Plan) -> ConsoleTable:
    """The table of the page's 24 steps."""
    return ConsoleTable(plan)


def _shown(value: Any) -> str:
    """A value as it is sent; of a whole template how long it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    if "\n" in text:
        return f"{len(text.encode()):,} bytes"
    return f"`{text}`"
