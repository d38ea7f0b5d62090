"""A plan's overview: the organization as a tree with what becomes of each account, the requests, and the template."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from runbook import markdown
from runbook.aws.connection_template import StackToBe
from runbook.aws.organization_tree import Member, Tree, Unit
from runbook.environment import Environment
from runbook.plan import Change
from runbook.steps.connection_overview import overview_of
from runbook.steps.stack_sets_accounts import Fate, Fates
from runbook.steps.stack_sets_plan import wanted_parameters
from runbook.steps.stack_sets_requests import planned_calls
from runbook.steps.stack_sets_state import State
from runbook.untrusted import code

EACH = 5
"""So many accounts of an OU of which the same becomes have a line each; more are one line together."""

MOST_LINES = 40
"""A tree of more lines is folded."""

ANY_ACCOUNT = "222222222222"
"""Stands for the account in which a role is made: which one, the template does not know."""


def overview(environment: Environment, state: State, changes: Sequence[Change]) -> str:
    """The whole picture, in Markdown; empty where the organization could not be read."""
    parts = []
    if state.tree and state.fates:
        parts += ["#### The organization", summary(state.fates), tree_of(state.tree, state.fates)]
    if changes:
        parts += ["#### The requests", *_requests(changes)]
    if state.template:
        parts += ["#### The template", _template(environment, state)]
    return "\n\n".join(parts)


def summary(fates: Fates) -> str:
    """`3 will be connected, 1 connected, 2 left out.`"""
    counts = Counter(fate for fate, _ in fates.of.values())
    told = [f"{counts[fate]} {fate.value}" for fate in Fate if counts[fate]]
    return f"Of {markdown.count(len(fates.of), 'account')}: {', '.join(told)}."


def tree_of(tree: Tree, fates: Fates) -> str:
    """A nested list: units, and in each what becomes of its accounts, those together of which the same becomes."""
    lines = list(_unit(tree, fates, tree.root, 0))
    text = "\n".join(lines)
    return markdown.folded(f"The tree ({len(lines)} lines)", text) if len(lines) > MOST_LINES else text


def _unit(tree: Tree, fates: Fates, unit: Unit, depth: int) -> Iterator[str]:
    indent = "  " * depth
    name = markdown.plain(f"{unit.name}" if unit.path else "organization")
    target = " (target)" if unit.id in fates.wanted else ""
    inside = tree.within(unit.id)
    if len(inside) > EACH and all(fates.of[each.id][0] is Fate.OUTSIDE for each in inside):
        yield f"{indent}- **{name}** {code(unit.id)}: {markdown.count(len(inside), 'account')}, not in a target"
        return
    yield f"{indent}- **{name}** {code(unit.id)}{target}"
    for line in _accounts(tree, fates, tree.directly_in(unit.id)):
        yield f"{indent}  - {line}"
    for each in tree.inside(unit.id):
        yield from _unit(tree, fates, each, depth + 1)


def _accounts(tree: Tree, fates: Fates, members: Sequence[Member]) -> Iterator[str]:
    groups: dict[tuple[Fate, str], list[Member]] = {}
    for member in sorted(members, key=lambda each: each.id):
        groups.setdefault(fates.of[member.id], []).append(member)
    for (fate, why), accounts in groups.items():
        told = f"{fate.value}{f': {markdown.plain(why)}' if why else ''}"
        names = [markdown.plain(tree.name(each.id)) for each in accounts]
        if len(accounts) <= EACH:
            yield from (f"{fate.mark} {name}: {told}" for name in names)
        else:
            yield f"{fate.mark} {len(accounts)} accounts {told}: {markdown.joined(names)}"


def _requests(changes: Sequence[Change]) -> Iterator[str]:
    """Every call as JSON, but for the template, which is shown with its change."""
    for number, call in enumerate(planned_calls(changes), start=1):
        arguments = dict(call.arguments)
        if "TemplateBody" in arguments:
            arguments["TemplateBody"] = f"(the template, {len(arguments['TemplateBody'].encode()):,} bytes)"
        body = markdown.code_block(json.dumps(arguments, indent=2, ensure_ascii=False), "json")
        yield markdown.folded(f"{number}. {call.operation}, from account {call.account}", body)


def _template(environment: Environment, state: State) -> str:
    """What a stack made from it holds, and the role that it makes; its text is part of the stack set's change."""
    assert state.template is not None
    stack = StackToBe(environment.partition, environment.region, ANY_ACCOUNT, f"StackSet-{state.wish.name}")
    return overview_of(state.template, wanted_parameters(environment, state), stack)
