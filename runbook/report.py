"""What became of several runs: a table in the terminal, and one page that links to each executed notebook."""

import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.errors import RunbookError
from runbook.execute import CONTENT_SECURITY_POLICY, REPORT, Execution
from runbook.parameters import project_root, shown
from runbook.plan import Change, Plan

HEAD = ("Notebook", "Scenario", "Checked", "Changed", "Verified", "Seconds", "Run")

MOST = 50
"""So many kinds of changes and so many resources are shown for each run on the page."""

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #8885; padding: .4rem .6rem; text-align: left }
"""


def show(executions: Sequence[Execution], report: Path) -> None:
    """Print the table, and where the report is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(*HEAD, box=box.SIMPLE_HEAD)
    for execution in executions:
        table.add_row(*row(execution))
    if not console.is_terminal:
        console.width = 200
    console.print()
    console.print(table)
    console.print(sentence(executions))
    console.print(f"Report: {shown(report)}", soft_wrap=True)


def told(execution: Execution, most: int = 6) -> list[str]:
    """One run in a few lines: its plan, the access that it gave (or would give), what went wrong, and its folder."""
    result = execution.result
    lines = [f"{'✓' if execution.succeeded else '✗'} {result.get('plan', 'There is no plan.')}"]
    alike = Counter(change["summary"].replace("`", "") for change in result.get("changes", []))
    changes = [f"  {f'{number} × ' if number > 1 else ''}{summary}" for summary, number in alike.items()]
    access = [f"  {line}" for line in access_given(result)]
    for found in (changes, access):
        lines += found[:most] + ([f"  … and {len(found) - most} more"] if len(found) > most else [])
    return [*lines, *(f"  {line}" for line in execution.error.splitlines()), f"  {shown(execution.folder)}"]


def access_given(result: Mapping[str, Any]) -> list[str]:
    """What can be done now and could not before, and what was asked and is denied: for each resource, or for each
    principal where there are several.
    """
    groups = result.get("access", [])
    verb = "could then" if result.get("mode") == "preview" else "can now"
    several = len({group["principal"] for group in groups}) > 1
    lines: dict[str, str] = {}
    for group in groups:
        answers = group["answers"]
        gained = [each["action"] for each in answers if each["after"] == "allowed" != each["before"]]
        kept = [each["action"] for each in answers if each["after"] == "allowed" == each["before"]]
        denied = [each["action"] for each in answers if each["after"] != "allowed"]
        parts = [(verb, gained), ("could before", kept), ("cannot", denied)]
        told = "; ".join(f"{word} {', '.join(actions)}" for word, actions in parts if actions)
        lines |= dict.fromkeys([group["principal"]] if several else group["resources"], told)
    return [f"{subject}: {told}" for subject, told in lines.items()]


def row(execution: Execution) -> list[str]:
    """The cells of one run, in the order of HEAD."""
    result = execution.result
    return [
        execution.notebook,
        execution.scenario or "–",
        _statuses(result.get("checks")),
        _changed(result),
        _statuses(result.get("verification")),
        f"{execution.seconds:.1f}",
        f"{'✓' if execution.succeeded else '✗'} {execution.folder.name}",
    ]


def sentence(executions: Sequence[Execution]) -> str:
    """How it went, in one line."""
    failed = [execution for execution in executions if not execution.succeeded]
    runs = markdown.count(len(executions), "run")
    if failed:
        return f"✗ {len(failed)} of {runs} failed: {', '.join(each.folder.name for each in failed)}"
    changes = markdown.count(sum(len(each.result.get("changes", [])) for each in executions), "change")
    # A notebook that changes nothing by its nature counts among either.
    changing = [execution for execution in executions if execution.result.get("changes")]
    applied = all(each.result.get("mode") == "apply" for each in changing or executions)
    how = f"{changes} made and verified" if applied else f"{changes} previewed, none made"
    return f"✓ {runs}, {how}."


def write_report(executions: Sequence[Execution], runs: Path | None) -> Path:
    """Write `<time>-report.html` beside the run folders and say where it is; no report is ever written over."""
    folder = runs or project_root() / "runs"
    head = "".join(f"<th>{cell}</th>" for cell in HEAD)
    body = "".join(f"<tr>{_html_cells(execution, folder)}</tr>" for execution in executions)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{CONTENT_SECURITY_POLICY}<title>bucketAV runbook</title>'
        f"<style>{_STYLE}</style><h1>bucketAV runbook</h1><p>{html.escape(sentence(executions))}</p>"
        f"<table><tr>{head}</tr>{body}</table>{''.join(map(_html_run, executions))}</html>\n"
    )
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-report"
    for number in range(1, 10_000):
        file = folder / f"{stem if number == 1 else f'{stem}-{number}'}.html"
        try:
            with file.open("x", encoding="utf-8") as new:
                new.write(page)
        except FileExistsError:
            continue
        return file
    raise RunbookError(f"{shown(folder)}: no name is left for {stem}.html.")


def _html_cells(execution: Execution, folder: Path) -> str:
    *cells, last = [html.escape(cell) for cell in row(execution)]
    link = html.escape(Path(os.path.relpath(execution.folder / REPORT, folder)).as_posix())
    return "".join(f"<td>{cell}</td>" for cell in cells) + f'<td><a href="{link}">{last}</a></td>'


def _html_run(execution: Execution) -> str:
    """What one run changed, to the letter, and the access that came of it; of very much only the first."""
    file = execution.folder / "plan.json"
    parts = [f"<h2>{html.escape(f'{execution.notebook} {execution.scenario}')}</h2>"]
    parts += [f"<pre>{html.escape(execution.error)}</pre>"] if execution.error else []
    groups = Plan.load(file).alike() if file.exists() else []
    parts += [
        f"<details><summary>{html.escape(_summary(group))}</summary>"
        f"<pre>{html.escape(group[0].difference())}</pre></details>"
        for group in groups[:MOST]
    ]
    parts += [f"<p>{_more(groups, 'more kind')} of changes, all of them in plan.json</p>"] if len(groups) > MOST else []
    lines = access_given(execution.result)
    access = [f"<li>{html.escape(line)}</li>" for line in lines[:MOST]]
    access += [f"<li>{_more(lines, 'more resource')}, all of them in result.json</li>"] if len(lines) > MOST else []
    return "".join([*parts, f"<ul>{''.join(access)}</ul>" if access else ""])


def _summary(group: Sequence[Change]) -> str:
    """What a change does, and how many are alike but for the name."""
    alike = f" (and {len(group) - 1} alike, but for the name)" if len(group) > 1 else ""
    return f"{group[0].summary.replace('`', '')}{alike}"


def _more(found: Sequence[object], thing: str) -> str:
    return f"… and {markdown.count(len(found) - MOST, thing)}"


def _statuses(checks: Sequence[Mapping[str, Any]] | None) -> str:
    """`12 ok, 1 warning` of the checks that a result holds."""
    if checks is None:
        return "not reached"
    counts: Counter[str] = Counter()
    for check in checks:
        counts[check["status"]] += len(check["subjects"])
    return ", ".join(f"{counts[word]} {word}" for word in ("ok", "warning", "failed") if counts[word])


def _changed(result: Mapping[str, Any]) -> str:
    number = len(result.get("changes", []))
    if result.get("mode") == "preview":
        return f"0 ({number} planned)"
    return str(number) if result.get("status") in ("done", "applied", "verification-failed") else f"? of {number}"
