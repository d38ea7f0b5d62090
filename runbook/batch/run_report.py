"""The runs of `runbook run` in the terminal: one in a few lines, several as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence

from runbook.batch.job import outcome_of
from runbook.batch.record import Batch, JobRecord
from runbook.batch.report_facts import Facts, JobFacts, access_by_subject, statuses
from runbook.execute import REPORT, Execution
from runbook.parameters import shown
from runbook.terminal import echo
from runbook.untrusted import visible

HEAD = ("Notebook", "Scenario", "Checked", "Changed", "Verified", "Seconds", "Run")


def show_table(facts: Facts) -> None:
    """Print a line for each run."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(*HEAD, box=box.SIMPLE_HEAD)
    for each in facts.jobs:
        table.add_row(*(Text(visible(cell)) for cell in row(each)))
    if not console.is_terminal:
        console.width = 200
    echo()
    console.print(table)


def row(facts: JobFacts) -> list[str]:
    """Return the cells of one run, in the order of HEAD."""
    job = facts.job
    return [
        job.notebook,
        job.scenario or "–",
        statuses(job.result.get("checks")),
        facts.changed,
        statuses(job.result.get("verification")),
        f"{job.seconds:.1f}" if job.attempts else "",
        f"{'✓' if job.succeeded else '✗'} {job.folder or job.state}",
    ]


def show_run(execution: Execution) -> None:
    """Print a run that has just ended: its plan, the access that it gave, its problems, its folder and its page."""
    echo("\n".join(told(execution)))
    echo(Facts.of(_as_batch(execution), execution.folder.parent).sentence)
    if (execution.folder / REPORT).exists():
        echo(f"Report: {shown(execution.folder / REPORT)}")


def told(execution: Execution, most: int = 6) -> list[str]:
    """Return one run in a few lines."""
    result = execution.result
    lines = [f"{'✓' if execution.succeeded else '✗'} {result.get('plan', 'There is no plan.')}"]
    for found in (_changes(result), [f"  {subject}: {said}" for subject, said in access_by_subject(result).items()]):
        lines += found[:most] + ([f"  … and {len(found) - most} more"] if len(found) > most else [])
    return [*lines, *(f"  {line}" for line in execution.error.splitlines()), f"  {shown(execution.folder)}"]


def _changes(result: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    alike = Counter(change["summary"].replace("`", "") for change in result.get("changes", []))
    return [f"  {f'{number} × ' if number > 1 else ''}{summary}" for summary, number in alike.items()]


def _as_batch(execution: Execution) -> Batch:
    """Return a run as the only job of a batch without a name."""
    outcome, folder = outcome_of(execution), execution.folder
    job = JobRecord(
        name=folder.name,
        notebook=execution.notebook,
        scenario=execution.scenario,
        account="",
        state=outcome.state,
        seconds=outcome.seconds,
        cell=outcome.cell,
        error=outcome.error,
        result=execution.result,
        folder=folder.name,
        attempts=1,
    )
    applies = execution.result.get("mode") == "apply"
    return Batch("", str(folder.parent), applies, 1, "", execution.seconds, (job,))
