"""The report of a batch: what 300 jobs came to, read in a minute; the same for programs, spreadsheets and CI."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from runbook.batch import report
from runbook.batch.record import ENDED_BADLY, Batch, State
from runbook.batch.report_facts import Facts
from runbook.html_page import CONTENT_SECURITY_POLICY
from runbook.journal import Journal
from runbook.plan import Change, Plan, Resource
from runbook.result import read_result
from tests.batch.reports import a_batch, a_job, account_number

SCRIPT = "<img src=x onerror=alert(1)>"


class Read(HTMLParser):
    """A page as it is read: where its links lead, its texts, and the rows of its table."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batch, Path]:
    """A batch of 300 jobs, seven of which are not done, with its report; and its folder."""
    folder = tmp_path_factory.mktemp("batch")
    batch = a_batch(folder)
    assert report.write(batch, folder) == folder / "report.html"
    return batch, folder


@pytest.fixture(scope="module")
def page(ended: tuple[Batch, Path]) -> str:
    return (ended[1] / "report.html").read_text()


def a_report(folder: Path, *jobs: Any, apply: bool = True) -> str:
    """The page of a batch of a few jobs."""
    return report.write(of(*jobs, apply=apply), folder).read_text()


def of(*jobs: Any, apply: bool = True) -> Batch:
    return Batch("few", "", apply, 2, "2026-11-24T16:00:00Z", 12.0, jobs)


# --- the page ---


def test_the_page_begins_with_how_it_went(page: str) -> None:
    assert (
        "✗ 6 of 300 jobs failed: policy[200000000259], policy[200000002109], connect[200000002220] and 3 more "
        "(1 timed out, 1 crashed); 1 job not started</p>"
    ) in page
    assert "Started 2026-11-24 16:00:00 UTC, took 24 min 3 s, 4 jobs at a time; changes are made." in page
    totals = page[page.index('<ul class="totals">') : page.index("</ul>")]
    numbers = ["293</b>done", "4</b>failed", "1</b>timed out", "1</b>crashed", "1</b>not started", "150</b>accounts"]
    assert all(number in totals for number in numbers), totals


def test_jobs_that_failed_for_the_same_reason_stand_together_whatever_their_buckets_are_called(page: str) -> None:
    assert "<b>3 failed in cell check</b>" in page
    assert page.count("There is no such bucket") == 1
    assert "The bucket is there: data-0007" in page, "the first of them to the letter"


def test_reasons_that_differ_in_more_than_names_stand_apart() -> None:
    errors = ["It took 3 s.", "It took 4 s.", "No bucket 1-a.", "No bucket 2-a."]
    jobs = [a_job(f"job[{number}]", "failed", error=error) for number, error in enumerate(errors)]
    assert [len(each.jobs) for each in Facts.of(of(*jobs), Path()).reasons] == [1, 1, 1, 1]


def test_the_same_words_in_another_cell_or_for_another_end_are_another_reason() -> None:
    jobs = [
        a_job("job[1]", "failed", cell="check", error="No."),
        a_job("job[2]", "failed", cell="plan", error="No."),
        a_job("job[3]", "crashed", cell="plan", error="No."),
    ]
    titles = {each.title for each in Facts.of(of(*jobs), Path()).reasons}
    assert titles == {"1 failed in cell check", "1 failed in cell plan", "1 crashed in cell plan"}


def test_what_was_not_started_is_told_after_what_was_the_reason_for_it() -> None:
    jobs = [a_job(f"job[{n}]", "not-started", error="It needs connect, which has failed.") for n in range(5)]
    jobs.append(a_job("connect", "failed", error="No."))
    states = [each.jobs[0].state for each in Facts.of(of(*jobs), Path()).reasons]
    assert states == ["failed", "not-started"]


def test_a_job_without_a_word_of_why_is_told_all_the_same(tmp_path: Path) -> None:
    assert "The job is waiting; nothing more is known." in a_report(tmp_path, a_job(state="waiting"))


def test_what_was_changed_is_counted_by_what_it_says_of_itself(page: str) -> None:
    assert "<b>149 ×</b> connect the account to bucketAV: create stack <code>…</code>, version 2.0.0" in page
    assert "<b>145 ×</b> let bucketAV&#x27;s scan role list, read and tag in <code>…</code>" in page
    assert "87 alike, but for names: data-0000 in 200000000000" in page
    assert "… and 1 more kind (1 change), all of them in their jobs' plan.json" in page
    assert "<b>144 ×</b> can now s3:ListBucket, s3:GetObject, s3:PutObjectTagging" in page


def test_a_change_is_called_made_only_when_it_was(ended: tuple[Batch, Path]) -> None:
    batch, folder = ended
    facts = Facts.of(batch, folder)
    made = {each.job.name: each.changed for each in facts.jobs}
    assert made[f"policy[{account_number(100)}]"] == "1 of 2, 1 in doubt", "its journal ends in the second"
    assert made[f"connect[{account_number(60)}]"] == "0 of 1"
    assert made[f"policy[{account_number(120)}]"] == "", "it died before there was a plan"
    assert (facts.planned, facts.made, facts.in_doubt) == (296, 294, 1)


def test_changes_count_once_whichever_attempt_made_them_and_doubts_end_with_the_next_plan(tmp_path: Path) -> None:
    """The first attempt is killed when it has made one change, is in the second, and has two to go; the second finds
    that the one in doubt was made and is stopped after another; the third makes the last.
    """
    first, second, third = ("jobs/policy", "jobs/policy.2", "jobs/policy.3")
    left(tmp_path / first, "1234", "applying", done=1, started=1)
    job = a_job(
        "policy", "interrupted", folder=first, attempts=1, error="Killed.", result=read_result(tmp_path / first)
    )
    (facts,) = Facts.of(of(job), tmp_path).jobs
    assert facts.changed == "1 of 4, 1 in doubt"

    left(tmp_path / second, "34", "interrupted", done=1, started=0)
    job = replace(job, folder=second, attempts=2, result=read_result(tmp_path / second))
    (facts,) = Facts.of(of(job), tmp_path).jobs
    assert facts.changed == "3 of 4"

    left(tmp_path / third, "4", "done", done=1, started=0)
    job = replace(job, state="done", error="", folder=third, attempts=3, result=read_result(tmp_path / third))
    facts = Facts.of(of(job), tmp_path).jobs[0]
    assert (facts.changed, facts.planned, facts.in_doubt) == ("4", 4, 0)
    assert [change.name for change in facts.told] == ["bucket-1", "bucket-3", "bucket-4", "bucket-2"]

    page = a_report(tmp_path, job)
    assert "<b>4 ×</b> open it" in page
    assert Read(page).links[-3:] == [f"{folder}/notebook.html" for folder in (third, first, second)]


def test_a_change_in_doubt_that_the_next_attempt_has_to_make_is_not_counted_twice(tmp_path: Path) -> None:
    left(tmp_path / "jobs/policy", "12", "applying", done=1, started=1)
    left(tmp_path / "jobs/policy.2", "2", "done", done=1, started=0)
    result = read_result(tmp_path / "jobs/policy.2")
    (facts,) = Facts.of(of(a_job("policy", folder="jobs/policy.2", attempts=2, result=result)), tmp_path).jobs
    assert facts.changed == "2"


def test_an_attempt_that_came_to_no_plan_ends_no_doubt(tmp_path: Path) -> None:
    left(tmp_path / "jobs/policy", "12", "applying", done=1, started=1)
    job = a_job("policy", "crashed", folder="jobs/policy.2", attempts=2, error="The notebook's kernel died.")
    (facts,) = Facts.of(of(job), tmp_path).jobs
    assert facts.changed == "1 of 2, 1 in doubt"


def left(folder: Path, buckets: str, status: str, *, done: int, started: int) -> None:
    """What an attempt leaves that would open these buckets and came so far."""
    folder.mkdir(parents=True)
    changes = [
        Change(
            resource=Resource(
                kind="s3.bucket-policy", account="2" * 12, region="eu-west-1", arn=f"arn:aws:s3:::bucket-{n}"
            ),
            summary="open it",
            before=None,
            after="{}",
        )
        for n in buckets
    ]
    plan = Plan(step="05-bucket-policy", scenario="", environment="x", parameters={}, changes=tuple(changes))
    (folder / "plan.json").write_text(plan.to_json())
    (folder / "notebook.html").touch()
    listed = [{"resource": str(change.resource), "summary": change.summary} for change in changes]
    result = {"mode": "apply", "status": status, "plan": plan.summary, "changes": listed}
    (folder / "result.json").write_text(json.dumps(result))
    events = [("done", number) for number in range(done)] + [("started", done + number) for number in range(started)]
    for event, number in events:
        Journal(folder).write(event, index=number)


def test_a_damaged_journal_makes_changes_doubtful_and_not_the_report_fail(tmp_path: Path) -> None:
    result: dict[str, Any] = {
        "mode": "apply",
        "status": "applying",
        "plan": "2 changes.",
        "changes": [{"summary": "", "resource": ""}] * 2,
    }
    job = a_job(state="crashed", error="Killed.", result=result)
    (tmp_path / job.folder).mkdir(parents=True)
    (tmp_path / job.folder / "journal.jsonl").write_text("{\n{}\n")
    (tmp_path / job.folder / "plan.json").write_text("{")
    assert "2 changes in doubt" in a_report(tmp_path, job)


def test_a_preview_says_that_nothing_was_changed(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, accounts=3, apply=False)
    page = report.write(batch, tmp_path).read_text()
    assert "✓ 6 jobs, 6 changes previewed, none made." in page
    assert "What would be changed" in page
    assert "could then s3:ListBucket" in page
    assert "What went wrong" not in page
    assert Facts.of(batch, tmp_path).made == 0


def test_every_job_has_a_row_and_what_it_left_a_link_that_leads_there(page: str, ended: tuple[Batch, Path]) -> None:
    batch, folder = ended
    read = Read(page)
    head, *rows = read.rows
    assert head == ["Job", "Notebook", "Account", "State", "Checked", "Changed", "Verified", "Seconds"]
    assert [row[0] for row in rows] == [job.name for job in batch.jobs]
    assert [row[3].split()[1] for row in rows] == [job.state.split("-")[0] for job in batch.jobs]
    assert len(set(read.links)) == 298, "two of them left nothing"
    assert all((folder / unquote(link)).is_file() for link in read.links)


def test_a_name_that_looks_like_an_address_leads_nowhere_else(tmp_path: Path) -> None:
    job = a_job("a b#c?d%20[x]")
    (tmp_path / job.folder).mkdir(parents=True)
    (tmp_path / job.folder / "notebook.html").touch()
    (link,) = Read(a_report(tmp_path, job)).links
    assert link == "jobs/a%20b%23c%3Fd%2520%5Bx%5D/notebook.html"


def test_nothing_in_the_page_can_run_or_be_fetched(tmp_path: Path, page: str) -> None:
    texts = {"notebook": SCRIPT, "scenario": SCRIPT, "account": SCRIPT, "cell": SCRIPT, "error": f"No.\n{SCRIPT}"}
    hostile = a_report(tmp_path, a_job(SCRIPT, "failed", **texts))
    assert "<img" not in hostile
    assert hostile.count("&lt;img") >= 6
    for each in (hostile, page):
        assert CONTENT_SECURITY_POLICY in each[: each.index("<style")]
        assert not Read(each).tags.keys() & {"script", "link", "img", "iframe"}


def test_a_batch_that_was_stopped_before_anything_was_begun_has_a_report(tmp_path: Path) -> None:
    page = a_report(tmp_path, *(a_job(f"job[{n}]", "not-started", attempts=0, error="Stopped.") for n in range(3)))
    assert "✗ 3 of 3 jobs not started" in page
    assert "What was changed" not in page


def test_writing_again_replaces_the_report_and_leaves_nothing_else(tmp_path: Path) -> None:
    first = a_report(tmp_path, a_job(state="failed", error="No."))
    second = a_report(tmp_path, a_job())
    assert ("No." in first, "No." in second) == (True, False)
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "report.json", "report.csv", "report.xml"}


def test_the_terminal_gets_the_sentence_and_the_reasons(ended: tuple[Batch, Path]) -> None:
    lines = report.lines(*ended)
    assert lines[0].startswith("✗ 6 of 300 jobs failed")
    assert "  3 failed in cell check: policy[200000000259], policy[200000002109], policy[200000003959]" in lines
    assert len(lines) < 20


# --- for programs ---


def test_the_json_tells_what_the_page_tells(ended: tuple[Batch, Path], page: str) -> None:
    batch, folder = ended
    told = json.loads((folder / "report.json").read_text())
    assert told["told"] in page
    assert told["counts"].pop("jobs") == 300
    assert told["counts"] == dict(batch.counts)
    assert told["changes"] == {"planned": 296, "made": 294, "in doubt": 1}
    assert [each["name"] for each in told["jobs"]] == [job.name for job in batch.jobs]
    assert sum(len(reason["jobs"]) for reason in told["reasons"]) == 7
    assert sum(changed["changes"] for changed in told["changed"]) == 294
    failed = next(each for each in told["jobs"] if each["state"] == "failed")
    assert (failed["cell"], failed["checks"]) == ("check", {"ok": 7, "warning": 0, "failed": 1})


def test_the_csv_has_a_line_for_each_job_with_all_of_the_reason(ended: tuple[Batch, Path]) -> None:
    batch, folder = ended
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [(row["job"], row["state"]) for row in rows] == [(job.name, job.state) for job in batch.jobs]
    assert [row["reason"] for row in rows] == [job.error for job in batch.jobs]
    assert sum(int(row["made"]) for row in rows) == 294


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("https://example.com")'])
def test_no_cell_of_the_csv_is_a_formula(text: str) -> None:
    facts = Facts.of(of(a_job(text, "failed", error=text, scenario=text, folder=text)), Path())
    ((*_, row),) = [list(csv.DictReader(io.StringIO(report.as_csv(facts))))]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row.values()), row
    assert row["job"] == f"'{text}"


@pytest.mark.parametrize(
    ("state", "element"),
    [
        ("done", None),
        ("failed", "failure"),
        ("timed-out", "error"),
        ("crashed", "error"),
        ("interrupted", "error"),
        ("not-started", "skipped"),
        ("waiting", "skipped"),
    ],
)
def test_ci_reads_a_job_as_a_test_case(state: State, element: str | None) -> None:
    case, suite = junit(a_job(state=state, cell="apply", error="" if state == "done" else "First.\nSecond."))
    outcome = {name: int(suite[name]) for name in ("failures", "errors", "skipped")}
    assert outcome == {name: int(name.startswith(element or "?")) for name in outcome}
    found = case.find(element or "system-out")
    assert found is not None
    if state == "done":
        assert [each.tag for each in case] == ["system-out"]
    else:
        assert found.text == "First.\nSecond."
        assert found.attrib["message"] == f"{state.replace('-', ' ')} in cell apply: First."


def test_the_numbers_of_the_junit_file_are_those_of_its_cases(ended: tuple[Batch, Path]) -> None:
    batch, folder = ended
    (suite,) = ElementTree.parse(folder / "report.xml").getroot()
    found = Counter(child.tag for case in suite for child in case if child.tag != "system-out")
    assert found == {"failure": 4, "error": 2, "skipped": 1}
    numbers = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert numbers == {"tests": "300", "failures": "4", "errors": "2", "skipped": "1"}
    assert sum(job.state in ENDED_BADLY for job in batch.jobs) == 6


def test_colours_of_a_terminal_and_halves_of_characters_damage_no_file(tmp_path: Path) -> None:
    job = a_job("job", "failed", error="\x1b[31mNo\x1b[0m \udc80 \x00 ]]> & </failure>")
    a_report(tmp_path, job)
    (case,) = ElementTree.parse(tmp_path / "report.xml").getroot().iter("failure")
    assert case.text == "\ufffd[31mNo\ufffd[0m \ufffd \ufffd ]]> & </failure>"
    assert json.loads((tmp_path / "report.json").read_text())["jobs"][0]["error"] == job.error


def junit(job: Any) -> tuple[ElementTree.Element, Mapping[str, str]]:
    root = ElementTree.fromstring(report.as_junit(Facts.of(of(job), Path())))
    (suite,) = root
    (case,) = suite
    assert (case.attrib["name"], case.attrib["classname"]) == (job.name, job.notebook)
    return case, suite.attrib
