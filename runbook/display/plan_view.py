"""A plan as one reads it: a sentence that says it all, warnings, then account by account the exact differences."""

from collections.abc import Mapping, Sequence

from runbook import markdown
from runbook.display.rich_text import from_markdown, inline
from runbook.plan import Change, Plan
from runbook.policy import document
from runbook.review.outline import links, load
from runbook.untrusted import code, escaped, visible

MOST = 10
"""So many differences are shown; the others are in `plan.json`."""

FEW = 3
"""So many differences are open from the start."""

_NOUNS: Mapping[str, str] = {
    "cloudformation.stack-instances": "stack set",
    "cloudformation.stack-parameters": "stack",
    "cloudformation.trusted-access": "organization",
    "kms.key-policy": "key",
    "s3.bucket-policy": "bucket",
}
"""What people call a kind of resource where that is not the last part of its name: `cloudformation.stack`, a stack."""


def sentence(plan: Plan) -> str:
    """All that a plan does, in Markdown: `2 buckets in account 222222222222 will let …. Nothing else changes.`"""
    if not plan.changes:
        return plan.summary
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in plan.changes:
        what = change.summary.replace(code(change.name), "each of them")
        groups.setdefault((_noun(change), what), []).append(change)
    parts = [_clause(noun, what, changes) for (noun, what), changes in groups.items()]
    others = sum(len(changes) for changes in list(groups.values())[3:])
    told = parts[:3] + ([f"{markdown.count(others, 'more change')}"] if others else [])
    return f"{'; '.join(told)}. **Nothing else changes.**"


def _clause(noun: str, what: str, changes: Sequence[Change]) -> str:
    accounts = list(dict.fromkeys(change.resource.account for change in changes))
    where = f"account {accounts[0]}" if len(accounts) == 1 else f"{len(accounts)} accounts"
    subject = f"**{markdown.count(len(changes), noun)}** in **{where}**"
    done = what if len(changes) > 1 else changes[0].summary
    return f"{subject} will {done}" if done.startswith("let ") else f"{subject}: {done}"


def _noun(change: Change) -> str:
    kind = change.resource.kind
    return _NOUNS.get(kind, kind.rpartition(".")[2].replace("-", " "))


def plan_view(plan: Plan) -> str:
    """The HTML of a plan."""
    warnings = [f"Left out because a check failed: {markdown.names(plan.left_out, MOST)}."] if plan.left_out else []
    warnings += [
        f"{code(change.name)}: {effect}" for change in plan.changes for effect in change.effects if effect.holds
    ]
    groups = plan.groups()
    parts = [
        f'<p class="rb-lead">{inline(sentence(plan))}</p>',
        _list(warnings, ' class="rb-warnings"'),
        _list(plan.notes),
        from_markdown(plan.overview),
    ]
    by_account: dict[str, list[Sequence[Change]]] = {}
    for group in groups[:MOST]:
        by_account.setdefault(group[0].resource.account, []).append(group)
    for account, of_account in by_account.items():
        parts += [f"<h5>Account {account}</h5>", *(_change(group, folded=len(groups) > FEW) for group in of_account)]
    if len(groups) > MOST:
        left = markdown.count(sum(map(len, groups[MOST:])), "more change")
        parts.append(f"<p>… and {left}, all of them in <code>plan.json</code>.</p>")
    if plan.changes:
        parts.append(f'<p class="rb-help">Fingerprint of the plan: <code>{plan.fingerprint[:16]}</code></p>')
    return "".join(parts)


def _change(group: Sequence[Change], *, folded: bool) -> str:
    """The first of changes that are alike, and the names of the others."""
    first, others = group[0], group[1:]
    parts = [
        f'<details class="rb-change"{"" if folded else " open"}><summary>'
        f"<b><code>{escaped(visible(first.name))}</code></b> "
        f'<span class="rb-help">({escaped(first.resource.kind)}, {first.resource.region})</span> '
        f"{inline(markdown.plain(first.summary))}</summary>",
        _documentation(first),
        difference(first),
    ]
    if first.effects:
        parts += ["<p>With it, CloudFormation will</p>", _list([str(effect) for effect in first.effects])]
    if others:
        names = markdown.names([f"{each.resource.account} {each.name}" for each in others], MOST)
        parts.append(f"<p>… and {len(others)} alike, but for the name: {inline(names)}.</p>")
    return "".join([*parts, "</details>"])


def difference(change: Change) -> str:
    """The lines that go and come, each with its sign and its colour; and where something stays, the whole document."""
    lines = change.difference().split("\n")[2:]
    shown = "".join(_line(line) for line in lines)
    parts = [f'<pre class="rb-diff" tabindex="0">{shown}</pre>']
    if change.before is not None and change.after is not None:
        whole = escaped(document.indented(change.after))
        summary = "<summary>The whole document afterwards</summary>"
        parts.append(f'<details>{summary}<pre tabindex="0">{whole}</pre></details>')
    return "".join(parts)


def _line(line: str) -> str:
    look = {"+": ' class="rb-add"', "-": ' class="rb-take"', "@": ' class="rb-at"'}.get(line[:1], "")
    return f"<span{look}>{escaped(line)}\n</span>"


def _documentation(change: Change) -> str:
    outline = load()
    entries = [outline.entry(name) for name in change.outline]
    return f'<p class="rb-help">As documented: {inline(links(outline, entries))}</p>' if entries else ""


def _list(texts: Sequence[str], look: str = "") -> str:
    items = "".join(f"<li>{inline(markdown.plain(text))}</li>" for text in texts)
    return f"<ul{look}>{items}</ul>" if items else ""
