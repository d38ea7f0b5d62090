"""What became of runs, as people get to see it: whole sentences, pages that run nothing, no report written over."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from runbook.batch.report import write
from runbook.batch.report_facts import Facts
from runbook.batch.run_report import _as_batch, row, told
from runbook.checks import Check, Checks, Status
from runbook.execute import NOTEBOOK, REPORT, Execution, leave_evidence
from runbook.html_page import CONTENT_SECURITY_POLICY
from runbook.journal import Journal
from tests.test_plan import many

SCRIPT = "<img src=x onerror=alert(1)>"


def facts_of(*executions: Execution) -> Facts:
    """Runs as the jobs of one batch."""
    batches = [_as_batch(execution) for execution in executions]
    jobs = tuple(job for batch in batches for job in batch.jobs)
    return Facts.of(replace(batches[0], jobs=jobs), executions[0].folder.parent)


def page_of(execution: Execution) -> str:
    return write(_as_batch(execution), execution.folder.parent).read_text()


def an_execution(folder: Path, changes: int = 0, mode: str = "apply", scenario: str = "") -> Execution:
    result = {"status": "done", "mode": mode, "changes": [{"summary": "open it"}] * changes}
    return Execution("05-bucket-policy", scenario, folder, 1.0, result, "")


@pytest.mark.parametrize(
    ("changes", "mode", "said"),
    [
        (1, "apply", "✓ 1 run, 1 change made and verified."),
        (2, "apply", "✓ 1 run, 2 changes made and verified."),
        (1, "preview", "✓ 1 run, 1 change previewed, none made."),
    ],
)
def test_one_change_is_a_change(changes: int, mode: str, said: str, tmp_path: Path) -> None:
    assert facts_of(an_execution(tmp_path, changes, mode)).sentence == said


def test_a_notebook_that_changes_nothing_does_not_make_previews_of_the_others(tmp_path: Path) -> None:
    executions = [an_execution(tmp_path, 0, "preview"), an_execution(tmp_path, 2)]
    assert facts_of(*executions).sentence == "✓ 2 runs, 2 changes made and verified."


def test_changes_that_read_alike_are_told_once(tmp_path: Path) -> None:
    assert told(an_execution(tmp_path, changes=3))[1:-1] == ["  3 × open it"]


def test_nothing_in_a_report_can_run_or_be_fetched(tmp_path: Path) -> None:
    page = page_of(an_execution(tmp_path / "run", scenario=SCRIPT))
    assert CONTENT_SECURITY_POLICY in page
    assert "<img" not in page


def test_a_statement_id_that_is_html_stays_text_in_the_page_of_a_run(tmp_path: Path) -> None:
    checks = Checks.of([Check("Is it open?", SCRIPT, Status.FAILED, f"Statement `{SCRIPT}` denies it.", SCRIPT)])
    output = nbformat.v4.new_output("display_data", {"text/markdown": checks._repr_markdown_()})  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell("choice.check()", outputs=[output])  # type: ignore[no-untyped-call]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / NOTEBOOK)  # type: ignore[no-untyped-call]
    leave_evidence(tmp_path, "")
    page = (tmp_path / REPORT).read_text()
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)") == 3
    head = page[: page.index("<style")]
    assert CONTENT_SECURITY_POLICY in head
    assert "default-src 'none'" in head


def a_large_run(folder: Path, buckets: int) -> Execution:
    """A run that opened so many buckets, with its plan on disk; no two of its changes are alike."""
    folder.mkdir()
    changes = many(buckets, kinds=buckets)
    (folder / "plan.json").write_text(changes.to_json())
    answer = {"action": "s3:GetObject", "before": "denied", "after": "allowed", "granted": True, "reason": "So."}
    resources = [f"222/data-{n:05}" for n in range(buckets)]
    result = {
        "status": "done",
        "mode": "apply",
        "plan": changes.summary,
        "changes": [{"resource": str(each.resource), "summary": each.summary} for each in changes.changes],
        "access": [{"principal": "role", "resources": resources, "answers": [answer]}],
        "checks": [{"title": "Is it?", "status": "ok", "found": "Yes.", "remedy": "", "subjects": ["a"] * buckets}],
    }
    return Execution("05-bucket-policy", "", folder, 1.0, result, "")


def test_a_run_with_very_many_buckets_is_told_in_a_few_lines(tmp_path: Path) -> None:
    execution = a_large_run(tmp_path / "run", 2_000)
    lines = told(execution)
    assert "  222/data-00000: can now s3:GetObject" in lines
    assert lines.count("  … and 1994 more") == 2
    assert len(lines) < 20
    assert row(facts_of(execution).jobs[0])[2] == "2000 ok"


def test_the_page_of_a_run_with_very_many_buckets_shows_the_first_and_counts_the_others(tmp_path: Path) -> None:
    page = page_of(a_large_run(tmp_path / "run", 2_000))
    assert "<b>2,000 ×</b> let the role in <code>…</code>" in page
    assert page.count("<pre") == 10
    assert "… and 1990 more kinds (1990 changes)" in page
    assert page.count("can now s3:GetObject") == 1
    assert "222/data-00000, 222/data-00001, 222/data-00002 and 1997 more" in page


def test_a_run_that_was_stopped_halfway_tells_what_it_had_changed_and_what_nobody_knows(tmp_path: Path) -> None:
    execution = a_large_run(tmp_path / "run", 5)
    events = [("started", 0), ("done", 0), ("started", 1), ("done", 1), ("started", 2)]
    for event, index in events:
        Journal(execution.folder).write(event, index=index)
    stopped = replace(
        execution, result={**execution.result, "status": "interrupted"}, error="Stopped by Ctrl-C.", ended="interrupted"
    )
    assert row(facts_of(stopped).jobs[0])[3] == "2 of 5, 1 in doubt"
    page = page_of(stopped)
    assert "<b>2 ×</b> let the role in" in page
    assert "1 change in doubt" in page
    assert "Stopped by Ctrl-C." in page
