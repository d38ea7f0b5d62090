"""What became of several runs: a table in the terminal, and one page that links to each executed notebook."""

import html
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.execute import REPORT, Execution
from runbook.parameters import project_root, shown

HEAD = ("Notebook", "Scenario", "Checked", "Changed", "Verified", "Seconds", "Run")

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
    runs = f"{len(executions)} run{'' if len(executions) == 1 else 's'}"
    if failed:
        return f"✗ {len(failed)} of {runs} failed: {', '.join(each.folder.name for each in failed)}"
    changes = sum(len(each.result.get("changes", [])) for each in executions)
    applied = all(each.result.get("mode") == "apply" for each in executions)
    how = f"{changes} changes made and verified" if applied else f"{changes} changes previewed, none made"
    return f"✓ {runs}, {how}."


def write_report(executions: Sequence[Execution], runs: Path | None) -> Path:
    """Write `<time>-report.html` beside the run folders and say where it is."""
    folder = runs or project_root() / "runs"
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-report.html"
    head = "".join(f"<th>{cell}</th>" for cell in HEAD)
    body = "".join(f"<tr>{_html_cells(execution, folder)}</tr>{_html_error(execution)}" for execution in executions)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>bucketAV runbook</title>'
        f"<style>{_STYLE}</style><h1>bucketAV runbook</h1><p>{html.escape(sentence(executions))}</p>"
        f"<table><tr>{head}</tr>{body}</table></html>\n"
    )
    file.write_text(page, encoding="utf-8")
    return file


def _html_cells(execution: Execution, folder: Path) -> str:
    *cells, last = [html.escape(cell) for cell in row(execution)]
    link = html.escape(Path(os.path.relpath(execution.folder / REPORT, folder)).as_posix())
    return "".join(f"<td>{cell}</td>" for cell in cells) + f'<td><a href="{link}">{last}</a></td>'


def _html_error(execution: Execution) -> str:
    return (
        f'<tr><td colspan="{len(HEAD)}"><pre>{html.escape(execution.error)}</pre></td></tr>' if execution.error else ""
    )


def _statuses(checks: Sequence[Mapping[str, Any]] | None) -> str:
    """`12 ok, 1 warning` of the checks that a result holds."""
    if checks is None:
        return "not reached"
    words = [str(check["status"]) for check in checks]
    return ", ".join(f"{words.count(word)} {word}" for word in ("ok", "warning", "failed") if word in words)


def _changed(result: Mapping[str, Any]) -> str:
    number = len(result.get("changes", []))
    if result.get("mode") == "preview":
        return f"0 ({number} planned)"
    return str(number) if result.get("status") in ("done", "applied", "verification-failed") else f"? of {number}"
