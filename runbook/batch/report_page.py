"""A batch as one page that is read in a minute and needs neither scripts nor the network: totals, what failed and why,
what was changed, and every job with a link to its executed notebook.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from runbook import markdown
from runbook.batch.record import ENDED_BADLY, STATES, JobRecord
from runbook.batch.report_facts import Changed, Facts, JobFacts, Reason, said_of, statuses
from runbook.execute import NOTEBOOK, REPORT
from runbook.html_page import CONTENT_SECURITY_POLICY
from runbook.plan import Change
from runbook.progress import duration
from runbook.untrusted import escaped

MOST = 10
"""So many jobs, names and differences of a kind are shown; the others are in the table, and in the jobs' folders."""


def page(facts: Facts, folder: Path) -> str:
    """The page; `folder` is where it will lie, and from where it links to the jobs' folders."""
    batch, links = facts.batch, _Links(folder)
    title = f"bucketAV runbook: {batch.fleet}".removesuffix(": ")
    look = "good" if batch.succeeded else "bad"
    parts = [
        f"<header><h1>{escaped(title)}</h1>",
        f'<p class="lead {look}">{escaped(facts.sentence)}</p>',
        f'<p class="dim">{escaped(_circumstances(facts))}</p></header><main>',
        _totals(facts),
        _went_wrong(facts, links),
        _changed(facts, links),
        _access(facts),
        _table(facts, links),
    ]
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8") + _filter_style(facts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{CONTENT_SECURITY_POLICY}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style}</style>{''.join(parts)}</main></html>\n"
    )


class _Links:
    """Links to what each job left: its notebook as a page, or as far as there is one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def to(self, job: JobRecord) -> str:
        """The job's name, as a link where there is anything to be seen."""
        return self._to(job.folder, job.name)

    def with_earlier(self, job: JobRecord) -> str:
        """The same, and links to the attempts before the last."""
        earlier = [self._to(folder, str(number)) for number, folder in enumerate(job.earlier, start=1)]
        told = f' <span class="dim">earlier: {", ".join(earlier)}</span>' if earlier else ""
        return self.to(job) + told

    def _to(self, folder: str, name: str) -> str:
        for file in (REPORT, NOTEBOOK):
            if (self._folder / folder / file).exists():
                return f'<a href="{quote(f"{folder}/{file}")}">{escaped(name)}</a>'
        return escaped(name)

    def to_all(self, jobs: Iterable[JobRecord]) -> str:
        """The names of jobs; of many, the others unfold."""
        links = [self.to(job) for job in jobs]
        shown, others = ", ".join(links[:MOST]), ", ".join(links[MOST:])
        more = _folded(f"… and {len(links) - MOST} more", f"<p>{others}</p>") if others else ""
        return f"<p>{shown}</p>{more}"


def _circumstances(facts: Facts) -> str:
    batch = facts.batch
    how = "changes are made" if batch.apply else "a preview: nothing is changed"
    workers = f", {markdown.count(batch.workers, 'job')} at a time" if batch.workers > 1 else ""
    started = f"Started {datetime.fromisoformat(batch.started):%Y-%m-%d %H:%M:%S} UTC, " if batch.started else ""
    return f"{started}took {duration(batch.seconds)}{workers}; {how}."


def _totals(facts: Facts) -> str:
    counts = facts.batch.counts
    tiles = [(counts[state], said_of(state), _look(state)) for state in STATES if state in counts]
    if facts.batch.apply:
        tiles.append((facts.made, "changes made", ""))
        tiles += [(facts.in_doubt, "changes in doubt", "bad")] if facts.in_doubt else []
    else:
        tiles.append((facts.planned, "changes planned", ""))
    accounts = len({job.account for job in facts.batch.jobs if job.account})
    tiles += [(accounts, "accounts", "")] if accounts else []
    items = "".join(f'<li><b class="{look}">{number:,}</b>{escaped(word)}</li>' for number, word, look in tiles)
    return f'<ul class="totals">{items}</ul>'


def _went_wrong(facts: Facts, links: _Links) -> str:
    if not facts.reasons:
        return ""
    parts = [_reason(each, links) for each in facts.reasons]
    if facts.in_doubt:
        doubtful = [each.job for each in facts.jobs if each.in_doubt]
        text = (
            f"{markdown.count(facts.in_doubt, 'change')} in doubt: begun when the job ended, so that nobody knows "
            "whether it was made. The job's journal names it; a job that is run again plans from what it finds."
        )
        parts.append(f'<div class="reason"><p>{escaped(text)}</p>{links.to_all(doubtful)}</div>')
    return f"<h2>What went wrong, and why</h2>{''.join(parts)}"


def _reason(each: Reason, links: _Links) -> str:
    look = "" if each.jobs[0].state in ENDED_BADLY else " waiting"
    alike = f' <span class="dim">Of {each.jobs[0].name}; the others differ in names only.</span>'
    note = alike if len({job.error for job in each.jobs}) > 1 else ""
    return (
        f'<section class="reason{look}"><b>{escaped(each.title)}</b>{note}'
        f'<pre tabindex="0">{escaped(each.text)}</pre>{links.to_all(each.jobs)}</section>'
    )


def _changed(facts: Facts, links: _Links) -> str:
    if not facts.changed:
        return ""
    head = "What was changed" if facts.batch.apply else "What would be changed"
    return f"<h2>{head}</h2>{''.join(_changes(each, links) for each in facts.changed)}"


def _changes(changed: Changed, links: _Links) -> str:
    """What a kind of changes does, how often and where; inside, to the letter, the first of each that are alike."""
    accounts = markdown.count(changed.accounts, "account")
    summary = f'<b>{len(changed.changes):,} ×</b> {_inline(changed.summary)} <span class="dim">in {accounts}</span>'
    alike = changed.alike()
    parts = [_alike(group, links, opened=number == 0) for number, group in enumerate(alike[:MOST])]
    if len(alike) > MOST:
        left = sum(map(len, alike[MOST:]))
        kinds = markdown.count(len(alike) - MOST, "more kind")
        parts.append(f"<p>… and {kinds} ({markdown.count(left, 'change')}), all of them in their jobs' plan.json.</p>")
    return f'<details class="changed"><summary>{summary}</summary>{"".join(parts)}</details>'


def _alike(group: Sequence[tuple[JobRecord, Change]], links: _Links, *, opened: bool) -> str:
    """The first of changes that are alike, and where the others are."""
    job, first = group[0]
    where = markdown.joined([f"{change.name} in {change.resource.account}" for _, change in group])
    alike = f"{len(group):,} alike, but for names: " if len(group) > 1 else ""
    first_of = "The first, " if alike else ""
    effects = "".join(f"<li>{escaped(str(effect))}</li>" for effect in first.effects)
    return (
        f"<details{' open' if opened else ''}><summary>{alike}{escaped(where)}</summary>"
        f'<p>{first_of}by {links.to(job)}:</p><pre tabindex="0">'
        f"{escaped(first.difference())}</pre>{f'<ul>{effects}</ul>' if effects else ''}</details>"
    )


def _access(facts: Facts) -> str:
    """What came of it: who or what can now do, or be done with, what could not be before."""
    if not facts.access:
        return ""
    items = [
        f"<li><b>{len(subjects):,} ×</b> {escaped(told)}: {escaped(markdown.joined(subjects))}</li>"
        for told, subjects in facts.access[:MOST]
    ]
    if len(facts.access) > MOST:
        more = markdown.count(len(facts.access) - MOST, "more kind")
        items.append(f"<li>… and {more} of access, all of them in the jobs' result.json</li>")
    return f"<h2>Access that came of it</h2><ul>{''.join(items)}</ul>"


# --- the table of all jobs -------------------------------------------------------------------------------------------


def _table(facts: Facts, links: _Links) -> str:
    rows = [_cells(each, links) for each in facts.jobs]
    head = ("Job", "Notebook", "Scenario", "Account", "State", "Checked", "Changed", "Verified", "Seconds")
    columns = [number for number in range(len(head)) if any(row[number] for row in rows)]
    cells = "".join(f'<th scope="col"{_number(head[each])}>{head[each]}</th>' for each in columns)
    lines = (
        f'<tr class="{each.job.state}">' + "".join(_cell(head[column], row[column]) for column in columns) + "</tr>"
        for each, row in zip(facts.jobs, rows, strict=True)
    )
    filters = _filters(facts)
    return f"<h2>All jobs</h2>{filters}<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cells(each: JobFacts, links: _Links) -> list[str]:
    """The HTML of a job's cells."""
    job = each.job
    where = f" in {escaped(job.cell)}" if job.cell else ""
    state = f'<span class="{_look(job.state)}">{_mark(job.state)} {said_of(job.state)}</span>{where}'
    checked, verified = (statuses(job.result.get(name)) for name in ("checks", "verification"))
    texts = [escaped(text) for text in (job.notebook, job.scenario, job.account)]
    known = [checked, each.changed, verified] if job.result else ["", "", ""]
    seconds = f"{job.seconds:.1f}" if job.attempts else ""
    return [links.with_earlier(job), *texts, state, *map(escaped, known), seconds]


def _cell(head: str, content: str) -> str:
    if head == "Job":
        return f'<th scope="row">{content}</th>'
    return f"<td{_number(head)}>{content}</td>"


def _number(head: str) -> str:
    return ' class="number"' if head == "Seconds" else ""


def _filters(facts: Facts) -> str:
    """Buttons that leave only the jobs in one state; radio buttons and style sheets can do that by themselves."""
    counts = facts.batch.counts
    if len(counts) < 2:
        return ""
    choices = [("all", f"all {len(facts.jobs):,}", " checked")]
    choices += [(state, f"{number:,} {said_of(state)}", "") for state, number in counts.items()]
    return "".join(
        f'<input type="radio" name="show" id="show-{name}"{checked}>'
        f'<label class="filter" for="show-{name}">{text}</label>'
        for name, text, checked in choices
    )


def _filter_style(facts: Facts) -> str:
    return "".join(
        f"#show-{state}:checked ~ table tbody tr:not(.{state}) {{ display: none }}\n" for state in facts.batch.counts
    )


def _mark(state: str) -> str:
    return "✓" if state == "done" else "✗" if state in ENDED_BADLY else "·"


def _look(state: str) -> str:
    return "good" if state == "done" else "bad" if state in ENDED_BADLY else "dim"


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{escaped(summary)}</summary>{body}</details>"


def _inline(text: str) -> str:
    """A summary, whose code spans are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))
