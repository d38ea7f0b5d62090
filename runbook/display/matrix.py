"""Who can do what, as a picture: a cell for each answer, told by sign, shape and words, and by colour besides."""

from collections.abc import Mapping

from runbook import markdown
from runbook.access import AccessMatrix, Answers, Table
from runbook.display.coverage import coverage
from runbook.display.rich_text import inline
from runbook.policy.evaluate import Verdict
from runbook.untrusted import escaped

MOST = 8
"""So many tables, and so many columns of each, are shown; the others are in `result.json`."""


def matrix(access: AccessMatrix) -> str:
    """The HTML of a matrix: first which buckets are open at all, then the answers, then why some are not as wanted."""
    tables = access.tables()
    parts = [coverage(access), *(_table(table) for table in tables[:MOST])]
    if len(tables) > MOST:
        parts.append(f"<p>… and {len(tables) - MOST} more kinds of principals, all of them in result.json.</p>")
    wrong = access.not_as_wanted
    told = [
        f"<li><code>{escaped(row.action)}</code> on <code>{escaped(row.resource)}</code> is "
        f"{row.after.verdict.value}: {inline(markdown.plain(row.after.reason))}</li>"
        for row in wrong[:MOST]
    ]
    told += [f"<li>… and {len(wrong) - MOST} more</li>"] if len(wrong) > MOST else []
    return "".join([*parts, f'<ul class="rb-warnings">{"".join(told)}</ul>' if told else ""])


def _table(table: Table) -> str:
    """One table; an action that was not asked about a resource leaves its cell empty."""
    shown = table.columns[:MOST]
    heads = "".join(f'<th scope="col">{inline(head)}</th>' for head, _ in shown)
    lines = "".join(_line(action, [answers for _, answers in shown]) for action in table.actions)
    more = len(table.columns) - MOST
    rest = f"<p>… and {more} more columns, all of them in result.json.</p>" if more > 0 else ""
    return (
        f'<div class="rb-wide" tabindex="0"><table class="rb-matrix"><caption>{inline(table.caption)}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{lines}</tbody></table></div>{rest}"
    )


def _line(action: str, columns: list[Answers]) -> str:
    cells = []
    for answers in columns:
        found = next((_cell(before, after) for name, before, after in answers if name == action), "")
        cells.append(f"<td>{found}</td>")
    return f'<tr><th scope="row"><code>{escaped(action)}</code></th>{"".join(cells)}</tr>'


def _cell(before: Verdict, after: Verdict) -> str:
    name, words = _LOOKS.get((before, after), ("unsure", "? undecided"))
    return f'<span class="rb-cell rb-{name}">{words}</span>'


_LOOKS: Mapping[tuple[Verdict, Verdict], tuple[str, str]] = {
    (Verdict.DENIED, Verdict.ALLOWED): ("new", "✓ new"),
    (Verdict.INDETERMINATE, Verdict.ALLOWED): ("new", "✓ new"),
    (Verdict.ALLOWED, Verdict.ALLOWED): ("kept", "✓ as before"),
    (Verdict.DENIED, Verdict.DENIED): ("denied", "· no"),
    (Verdict.INDETERMINATE, Verdict.DENIED): ("denied", "· no"),
    (Verdict.ALLOWED, Verdict.DENIED): ("gone", "✗ taken away"),
}
"""How an answer before and one after are shown together; anything else is undecided."""
