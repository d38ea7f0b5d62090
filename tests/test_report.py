"""What became of runs, as people get to see it: whole sentences, pages that run nothing, no report written over."""

from pathlib import Path

import nbformat
import pytest

from runbook.checks import Check, Checks, Status
from runbook.execute import CONTENT_SECURITY_POLICY, NOTEBOOK, REPORT, Execution, _write_html
from runbook.report import sentence, write_report

SCRIPT = "<img src=x onerror=alert(1)>"


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
    assert sentence([an_execution(tmp_path, changes, mode)]) == said


def test_reports_within_a_second_are_all_kept(tmp_path: Path) -> None:
    files = [write_report([an_execution(tmp_path, scenario=f"number-{number}")], tmp_path) for number in range(3)]
    assert len(set(files)) == 3
    for number, file in enumerate(files):
        assert f"number-{number}" in file.read_text()


def test_nothing_in_a_report_can_run_or_be_fetched(tmp_path: Path) -> None:
    page = write_report([an_execution(tmp_path, scenario=SCRIPT)], tmp_path).read_text()
    assert CONTENT_SECURITY_POLICY in page
    assert "<img" not in page


def test_a_statement_id_that_is_html_stays_text_in_the_page_of_a_run(tmp_path: Path) -> None:
    checks = Checks.of([Check("Is it open?", SCRIPT, Status.FAILED, f"Statement `{SCRIPT}` denies it.", SCRIPT)])
    output = nbformat.v4.new_output("display_data", {"text/markdown": checks._repr_markdown_()})  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell("choice.check()", outputs=[output])  # type: ignore[no-untyped-call]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / NOTEBOOK)  # type: ignore[no-untyped-call]
    _write_html(tmp_path)
    page = (tmp_path / REPORT).read_text()
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)") == 3
    head = page[: page.index("<style")]
    assert CONTENT_SECURITY_POLICY in head
    assert "default-src 'none'" in head
