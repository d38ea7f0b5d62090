"""The report of a batch: one HTML page, and the same as JSON, as CSV for a spreadsheet, and as JUnit XML for CI."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from runbook import markdown
from runbook.batch.record import ENDED_BADLY, Batch, JobRecord
from runbook.batch.report_facts import Facts, JobFacts, counted, reason, said_of
from runbook.batch.report_page import page
from runbook.files import write_text
from runbook.untrusted import printable

PAGE, JSON, TABLE, JUNIT = "report.html", "report.json", "report.csv", "report.xml"

FORMAT = "bucketav-runbook batch report 1"

_FEW = 5
"""So many reasons are told in the terminal."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document can hold, colours of a terminal's among them."""


def write(batch: Batch, folder: Path) -> Path:
    """Write the four files into `folder`, from which the jobs' folders are named, and say where the page is.

    Each takes the place of an earlier one whole: somebody who reads it meanwhile never sees half of one.
    """
    facts = Facts.of(batch, folder)
    texts = {PAGE: page(facts, folder), JSON: as_json(facts), TABLE: as_csv(facts), JUNIT: as_junit(facts)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / PAGE


def lines(batch: Batch, folder: Path) -> list[str]:
    """The report in a few lines, for the terminal: how it went, and why what is not done is not."""
    facts = Facts.of(batch, folder)
    told = [facts.sentence]
    for each in facts.reasons[:_FEW]:
        told += [f"  {each.title}: {markdown.joined([job.name for job in each.jobs])}"]
        told += [f"    {line}" for line in each.text.splitlines()]
    if len(facts.reasons) > _FEW:
        told.append(f"  … and {markdown.count(len(facts.reasons) - _FEW, 'more reason')}, all of them in the report")
    return told


def as_json(facts: Facts) -> str:
    """The content of `report.json`: everything that the page tells, and where each job's `result.json` is."""
    batch = facts.batch
    content: dict[str, Any] = {
        "format": FORMAT,
        "fleet": batch.fleet,
        "apply": batch.apply,
        "workers": batch.workers,
        "started": batch.started,
        "seconds": round(batch.seconds, 3),
        "succeeded": batch.succeeded,
        "told": facts.sentence,
        "counts": {"jobs": len(batch.jobs), **batch.counts},
        "changes": {"planned": facts.planned, "made": facts.made, "in doubt": facts.in_doubt},
        "reasons": [
            {
                "state": each.jobs[0].state,
                "cell": each.jobs[0].cell,
                "text": each.text,
                "jobs": [job.name for job in each.jobs],
            }
            for each in facts.reasons
        ],
        "changed": [
            {
                "summary": each.summary,
                "changes": len(each.changes),
                "accounts": each.accounts,
                "jobs": list(dict.fromkeys(job.name for job, _ in each.changes)),
            }
            for each in facts.changed
        ],
        "access": [{"told": told, "of": subjects} for told, subjects in facts.access],
        "jobs": [_job_as_json(each) for each in facts.jobs],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _job_as_json(each: JobFacts) -> Mapping[str, Any]:
    job = each.job
    return {
        "name": job.name,
        "notebook": job.notebook,
        "scenario": job.scenario,
        "account": job.account,
        "state": job.state,
        "cell": job.cell,
        "error": job.error,
        "seconds": round(job.seconds, 3),
        "attempts": job.attempts,
        "folder": job.folder,
        "earlier attempts": list(job.earlier),
        "plan": job.result.get("plan", ""),
        "changes": {"planned": each.planned, "made": each.made, "in doubt": each.in_doubt},
        "checks": counted(job.result.get("checks")),
        "verification": counted(job.result.get("verification")),
    }


_COLUMNS = (
    *("job", "notebook", "scenario", "account", "state", "cell", "planned", "made", "in_doubt"),
    *("checks_ok", "checks_warning", "checks_failed", "verified_ok", "verified_warning", "verified_failed"),
    *("seconds", "attempts", "folder", "reason"),
)


def as_csv(facts: Facts) -> str:
    """The content of `report.csv`: a head line and a line for each job, as RFC 4180 has it.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    for each in facts.jobs:
        job = each.job
        checks, verified = (counted(job.result.get(name)) for name in ("checks", "verification"))
        none = {"ok": "", "warning": "", "failed": ""}
        table.writerow(
            [
                *map(_no_formula, (job.name, job.notebook, job.scenario, job.account, job.state, job.cell)),
                *(each.planned, each.made, each.in_doubt),
                *(none if checks is None else checks).values(),
                *(none if verified is None else verified).values(),
                *(f"{job.seconds:.1f}", job.attempts, _no_formula(job.folder)),
                "" if job.succeeded else _no_formula(reason(job)),
            ]
        )
    return text.getvalue()


def _no_formula(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if text.lstrip().startswith(_BEGINS_FORMULA) or text.startswith(("\t", "\r", "\n")) else shown


_BEGINS_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also as wide as Chinese characters, which spreadsheets in East Asia take for the same."""


def as_junit(facts: Facts) -> str:
    """The content of `report.xml`: one test case for each job, as CI systems read the results of tests.

    What a cell raised is a failure; a time-out, a crash and an interruption are errors; what was not begun is skipped.
    """
    batch = facts.batch
    counts = batch.counts
    bad = {state: counts.get(state, 0) for state in ENDED_BADLY}
    failures = bad.pop("failed")
    numbers = {
        "tests": str(len(batch.jobs)),
        "failures": str(failures),
        "errors": str(sum(bad.values())),
        "skipped": str(len(batch.jobs) - counts.get("done", 0) - failures - sum(bad.values())),
        "time": f"{batch.seconds:.3f}",
    }
    suites = ElementTree.Element("testsuites", {"name": "bucketAV runbook", **numbers})
    started = batch.started.removesuffix("Z").removesuffix("+00:00")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(batch.fleet), "timestamp": started, **numbers})
    for job in batch.jobs:
        suite.append(_test_case(job))
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _test_case(job: JobRecord) -> ElementTree.Element:
    named = {"classname": _xml(job.notebook), "name": _xml(job.name), "time": f"{job.seconds:.3f}"}
    case = ElementTree.Element("testcase", named)
    if not job.succeeded:
        text = _xml(reason(job))
        where = f" in cell {job.cell}" if job.cell else ""
        message = _xml(f"{said_of(job.state)}{where}: {text.splitlines()[0]}")
        if job.state in ENDED_BADLY:
            kind = "failure" if job.state == "failed" else "error"
            found = ElementTree.SubElement(case, kind, {"type": job.state, "message": message})
        else:
            found = ElementTree.SubElement(case, "skipped", {"message": message})
        found.text = text
    ElementTree.SubElement(case, "system-out").text = _xml(job.folder)
    return case


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
