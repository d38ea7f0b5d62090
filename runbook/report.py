"""What became of several runs: a table in the terminal, and the page that a batch has, linking to each notebook."""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runbook.batch.job import outcome_of
from runbook.batch.record import Batch, JobRecord
from runbook.batch.report_facts import Facts, access_by_subject, statuses
from runbook.batch.report_page import page
from runbook.errors import RunbookError
from runbook.execute import Execution
from runbook.files import write_new_text
from runbook.parameters import project_root, shown
from runbook.terminal import echo
from runbook.untrusted import visible

HEAD = ("Notebook", "Scenario", "Checked", "Changed", "Verified", "Seconds", "Run")


def show(executions: Sequence[Execution], report: Path) -> None:
    """Print the table, and where the report is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(*HEAD, box=box.SIMPLE_HEAD)
    for execution in executions:
        table.add_row(*(Text(visible(cell)) for cell in row(execution)))
    if not console.is_terminal:
        console.width = 200
    echo()
    console.print(table)
    echo(sentence(executions))
    echo(f"Report: {shown(report)}")


def told(execution: Execution, most: int = 6) -> list[str]:
    """One run in a few lines: its plan, the access that it gave (or would give), what went wrong, and its folder."""
    result = execution.result
    lines = [f"{'✓' if execution.succeeded else '✗'} {result.get('plan', 'There is no plan.')}"]
    alike = Counter(change["summary"].replace("`", "") for change in result.get("changes", []))
    changes = [f"  {f'{number} × ' if number > 1 else ''}{summary}" for summary, number in alike.items()]
    access = [f"  {subject}: {told}" for subject, told in access_by_subject(result).items()]
    for found in (changes, access):
        lines += found[:most] + ([f"  … and {len(found) - most} more"] if len(found) > most else [])
    return [*lines, *(f"  {line}" for line in execution.error.splitlines()), f"  {shown(execution.folder)}"]


def row(execution: Execution) -> list[str]:
    """The cells of one run, in the order of HEAD."""
    result = execution.result
    (facts,) = _facts([execution], execution.folder.parent).jobs
    return [
        execution.notebook,
        execution.scenario or "–",
        statuses(result.get("checks")),
        facts.changed,
        statuses(result.get("verification")),
        f"{execution.seconds:.1f}",
        f"{'✓' if execution.succeeded else '✗'} {execution.folder.name}",
    ]


def sentence(executions: Sequence[Execution]) -> str:
    """How it went, in one line."""
    return _facts(executions, executions[0].folder.parent).sentence


def write_report(executions: Sequence[Execution], runs: Path | None) -> Path:
    """Write `<time>-report.html` beside the run folders and say where it is; no report is ever written over."""
    folder = runs or project_root() / "runs"
    text = page(_facts(executions, folder), folder)
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-report"
    for number in range(1, 10_000):
        file = folder / f"{stem if number == 1 else f'{stem}-{number}'}.html"
        try:
            write_new_text(file, text)
        except FileExistsError:
            continue
        return file
    raise RunbookError(f"{shown(folder)}: no name is left for {stem}.html.")


def _facts(executions: Sequence[Execution], folder: Path) -> Facts:
    """Runs one after the other, which have just ended, as the jobs of a batch in `folder` that has no name."""
    jobs = tuple(_record(execution, folder) for execution in executions)
    seconds = sum(execution.seconds for execution in executions)
    batch = Batch(
        fleet="",
        folder=str(folder),
        apply=any(execution.result.get("mode") == "apply" for execution in executions),
        workers=1,
        started=f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}",
        seconds=seconds,
        jobs=jobs,
    )
    return Facts.of(batch, folder)


def _record(execution: Execution, folder: Path) -> JobRecord:
    outcome = outcome_of(execution)
    return JobRecord(
        name=execution.folder.name,
        notebook=execution.notebook,
        scenario=execution.scenario,
        account="",
        state=outcome.state,
        seconds=outcome.seconds,
        cell=outcome.cell,
        error=outcome.error,
        result=execution.result,
        folder=Path(os.path.relpath(execution.folder, folder)).as_posix(),
        attempts=1,
    )
