"""Text from outside: shown for what it is, in every form; and no way out but through the gates."""

import ast
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runbook import aws_errors, markdown
from runbook.aws.cloudformation import Stack
from runbook.aws.organization_tree import Unit
from runbook.aws.stack_operations import Failure
from runbook.batch import report
from runbook.batch.record import Batch
from runbook.batch.report_facts import Facts
from runbook.batch.run_report import _as_batch, show_run, show_table
from runbook.cli import main
from runbook.display.findings import Heard
from runbook.display.plan_view import plan_view
from runbook.display.style import problem
from runbook.display.views import view, view_of_failure
from runbook.errors import RunbookError
from runbook.execute import Execution
from runbook.parameters import project_root
from runbook.plan import Change, Effect, Plan, Resource
from runbook.policy import document
from runbook.run import Run, Undone
from runbook.steps.findings_reading import Finding, Findings, Result
from runbook.terminal import TerminalProgress, echo
from runbook.untrusted import Untrusted, code, escaped, pattern_text, printable, prose, quoted, text, visible
from tests.batch.reports import a_job
from tests.hostile import MARK, payloads, problems_of_html, problems_of_markdown, problems_of_text

ALL = payloads()
JOINED = " ".join(ALL)
HOSTILE = (*ALL, JOINED)

PLAIN = (
    "uploads 2024, a_b R&D (EU) it's arn:aws:iam::111111111111:role/x s3.bucket-policy 日本 é 50% a=b; c? d/e".split()
)

SPECIAL = ("http://x", "www.x", "![", "](", "]: ", *"`|\\*_[]()!<>&$#~@-=\n\r\t \u2028\u202e\u200b\x1b\x00")
ANY = st.lists(st.characters() | st.sampled_from(SPECIAL), max_size=30).map("".join)


# --- the type --------------------------------------------------------------------------------------------------------


def test_it_is_no_text_and_harmless_where_somebody_forgot_what_it_is() -> None:
    hostile = Untrusted(ALL[0])
    assert not issubclass(Untrusted, str)
    assert hostile.raw == ALL[0]
    assert f"{hostile}" == str(hostile) == code(ALL[0])
    assert f"`{hostile}`" == f"`{code(ALL[0])}`", "a span in two backticks"
    assert hostile == Untrusted(ALL[0])
    assert sorted([Untrusted("b"), Untrusted("a")]) == [Untrusted("a"), Untrusted("b")]
    assert len({Untrusted("a"), Untrusted("a")}) == 1
    assert (bool(Untrusted("")), bool(hostile)) == (False, True)
    assert repr(Untrusted("\x1b")) == "Untrusted('\\x1b')"
    with pytest.raises(AttributeError):
        hostile.raw = "x"  # type: ignore[misc]


@pytest.mark.parametrize("value", PLAIN)
def test_everyday_values_stay_as_they_are(value: str) -> None:
    assert text(value) == pattern_text(value) == f"{Untrusted(value)}" == value
    assert code(value) == f"`{value}`"
    assert escaped(value) == value.replace("&", "&amp;").replace("'", "&#x27;")
    assert printable(value) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb", r"`a\nb`"),
        ("\u202eabc", r"`\u202eabc`"),
        ("a\u2028b", r"`a\u2028b`"),
        ("\x1b[2J", r"`\x1b[2J`"),
        ("_a_", "`_a_`"),
        ("1. a", "`1. a`"),
        ("R&amp;D", "`R&amp;D`"),
        ("http://x", "`http://x`"),
        ("www.x.com", "`www.x.com`"),
        ("a@x.com", "`a@x.com`"),
        ("`|`", r"`\x60\x7c\x60`"),
        ("✓ ok", "`✓ ok`"),
        ("\u05d0", "`\u05d0`"),
        ("a\u3164b", r"`a\u3164b`"),
        ("", ""),
    ],
)
def test_other_values_are_code(value: str, shown: str) -> None:
    assert text(value) == shown


def test_patterns_and_quotes_keep_what_is_everyday_in_a_policy() -> None:
    assert pattern_text("arn:aws:s3:::uploads/*") == "arn:aws:s3:::uploads/*"
    assert quoted("s3:Get*") == "'s3:Get*'"
    assert quoted("![a](b)") == "`'![a](b)'`"
    assert quoted("a\nb") == r"`'a\nb'`"


# --- Markdown --------------------------------------------------------------------------------------------------------


@given(ANY)
def test_a_code_span_is_one_whatever_it_holds(value: str) -> None:
    for shown in (f"x {code(value)} y", markdown.plain(f"x {code(value)} y")):
        (paragraph,) = [token for token in MarkdownIt("commonmark").parse(shown) if token.type == "inline"]
        kinds = [token.type for token in paragraph.children or [] if token.type != "text"]
        assert kinds in (["code_inline"], ["html_inline", "html_inline"])
    assert "\n" not in code(value)


@given(st.lists(ANY, min_size=2, max_size=2))
def test_a_cell_holds_any_text_and_a_table_only_its_own_rows(values: list[str]) -> None:
    for cells in (list(map(code, values)), list(map(text, values)), values):
        shown = markdown.gate(markdown.table(["a", "b"], [cells]))
        tokens = MarkdownIt("commonmark").enable("table").parse(shown)
        assert [token.type for token in tokens].count("tr_open") == 2
        assert [token.type for token in tokens].count("td_open") == 2


@given(st.lists(ANY | st.sampled_from(HOSTILE), min_size=1, max_size=4))
def test_nothing_is_fetched_or_leads_away_from_any_text_behind_the_gate(values: list[str]) -> None:
    found = [each for each in problems_of_markdown(markdown.gate("\n".join(values))) if _is_dangerous(each)]
    assert found == []


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3))
def test_the_gate_leaves_alone_what_went_through_it(values: list[str]) -> None:
    once = markdown.gate("\n".join(values))
    assert markdown.gate(once) == once


def test_the_gate_lets_through_what_is_ours() -> None:
    ours = "\n".join(
        [
            f"See {markdown.link('the page', 'https://bucketav.com/help/x.html#add-ons')}.",
            markdown.link("02-iam-role", '02-iam-role.ipynb?accounts=["b"]'),
            markdown.folded("More", markdown.code_block("<b> ![a](http://x)\n", "json")),
            markdown.table(["a"], [["`![a](http://x)`"], ["x\ny"]]),
            "Download https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/x.yaml",
        ]
    )
    assert markdown.gate(ours) == ours


@pytest.mark.parametrize(
    "address",
    [
        "http://bucketav.com/",
        "https://bucketav.com.evil.example/",
        "https://evil.example/bucketav.com",
        "https://x@evil.example/",
        "https://bucketav.com\\@evil.example/",
        "https://bucketav.com:1@evil.example/",
        "//evil.example/x.html",
        "/api/shutdown",
        "../api/shutdown",
        "javascript:alert(1)//x.html",
        "data:text/html,x.html",
        "https://bucketav.com/\u202e",
        "x.html\n",
    ],
)
def test_links_lead_to_known_places_only(address: str) -> None:
    assert not markdown.is_known(address)
    assert "](" not in markdown.link("x", address).replace(code(address), "")


def test_a_separator_in_a_document_makes_up_no_line_of_a_difference() -> None:
    for char in "\u2028\u2029\u0085\x1c\x0b\r":
        before = json.dumps({"Sid": "a"})
        after = json.dumps({"Sid": f'a",{char}+  "Effect": "Allow'}, ensure_ascii=False)
        shown = document.difference(before, after, name="x")
        assert len(shown.split("\n")) == len(shown.splitlines()) == 7
        assert char not in shown + document.indented(after)
        assert visible(char) in document.difference(None, f"no JSON {char}x", name="x")


# --- results that were made by hand, because the sandbox would not hold them -----------------------------------------


def hostile_change(value: str) -> Change:
    arn = f"arn:aws:s3:::{value}"
    body = json.dumps({"Statement": [{"Sid": value}]}, ensure_ascii=False)
    return Change(
        resource=Resource(kind="s3.bucket-policy", account="2" * 12, region="eu-west-1", arn=arn),
        summary=f"let it read in {code(arn.rsplit(':', 1)[-1])}",
        before=None,
        after=body.replace("\ud800", ""),
        effects=(Effect(action="add", name=value, kind=value),),
    )


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_gets_out_of_findings_runs_and_failures(value: str) -> None:
    hostile = Untrusted(value)
    finding = Finding("1", "222222222222/q", Result.INFECTED, *(hostile, hostile, hostile), 1, hostile, hostile)
    findings = Findings((finding,), sources=("222222222222/q",), not_believed=(f"It is {quoted(value)}.",))
    unit = Unit("ou-1", hostile, hostile, "r-1")
    failure = Failure("Role", "AWS::IAM::Role", hostile)
    change = hostile_change(value)
    plan = Plan(step="05-bucket-policy", scenario="", environment="sandbox", parameters={}, changes=(change,))
    run = Run(plan, True, None, (change,), (f"It failed: {failure}", f"In {unit.shown} it is done."))
    stack = Stack("x", "CREATE_COMPLETE", "arn", {}, {"Version": value, "Engine": value})
    texts = [repr(findings), repr(plan), repr(run), repr(Undone((change,))), stack.product, str(failure)]
    for each in texts:
        assert list(problems_of_text(printable(each))) == []
        assert not any(line.startswith(("| ✓ | forged", "# EVIL")) for line in each.split("\n"))
    for each in (findings._repr_markdown_(), Heard(findings, "x")._repr_markdown_(), plan._repr_markdown_()):
        assert list(problems_of_markdown(each)) == []
    assert list(problems_of_markdown(run._repr_markdown_())) == []
    for each in (
        view(plan),
        view(run),
        view_of_failure(RunbookError(f"No: {failure}"), "Apply"),
        problem(f"{unit.name}"),
    ):
        assert problems_of_html(each) == []
    assert MARK in view(plan)
    assert MARK in findings._repr_markdown_()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_what_aws_answers_is_one_harmless_sentence(value: str) -> None:
    refused = ClientError({"Error": {"Code": value, "Message": value}}, "GetBucketPolicy")
    for said in (aws_errors.sentence(refused), aws_errors.in_words(refused)):
        assert said
        shown = markdown.table(["Found"], [[f"It cannot be read: {said}"]])
        assert list(problems_of_markdown(shown)) == []
        assert list(problems_of_text(f"It cannot be read: {said}")) == []


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_what_keeps_aws_from_answering_is_told_with_its_everyday_words(value: str) -> None:
    said = aws_errors.in_words(EndpointConnectionError(endpoint_url=value))
    assert said
    first, *_ = said.split("\n")
    assert first.startswith("AWS cannot be reached: Could not connect to the endpoint URL: ")
    assert [each for each in problems_of_markdown(first) if _is_dangerous(each)] == []
    assert len(said.splitlines()) == 2
    assert prose('Not at "https://x", but at "y".') == 'Not at `"https://x",` but at "y".'


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_plan_from_a_file_that_somebody_has_written_fetches_nothing(value: str) -> None:
    change = hostile_change(value).model_copy(update={"summary": value})
    texts = {"summary": value, "notes": (value,), "left_out": (value,), "overview": value}
    plan = Plan(step="x", scenario="", environment="sandbox", parameters={}, changes=(change,)).model_copy(update=texts)
    for shown in (plan._repr_markdown_(), markdown.gate(plan.to_markdown(most=1))):
        assert [each for each in problems_of_markdown(shown) if _is_dangerous(each)] == []
    assert [each for each in problems_of_html(plan_view(plan)) if _is_dangerous(each)] == []


def _is_dangerous(problem: str) -> bool:
    """Beyond words and lines that are not code: they may mislead a person, but fetch nothing and lead nowhere."""
    harmless = ("text that is no code", "a forged line", "the tag hr", "the tag del", "the tag div", "the tag span")
    return not problem.startswith(harmless)


# --- reports, tables, the terminal -----------------------------------------------------------------------------------


def hostile_batch(value: str) -> Batch:
    result = {"plan": text(value), "checks": [], "changes": []}
    jobs = (
        a_job("job[1]", "failed", cell="apply", error=f"ApplyFailed: {value}", result=result),
        a_job("job[2]", "not-started", attempts=0, error=value),
    )
    return Batch("few", "", True, 2, "2026-11-24T16:00:00Z", 12.0, jobs)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_reports_are_whole_and_run_nothing(value: str, tmp_path: Path) -> None:
    batch = hostile_batch(value)
    page = report.write(batch, tmp_path).read_text(encoding="utf-8")
    assert [each for each in problems_of_html(page) if _is_dangerous(each)] == []
    facts = Facts.of(batch, tmp_path)
    rows = list(csv.reader(io.StringIO(report.as_csv(facts)), strict=True))
    assert not [cell for row in rows for cell in row if cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert list(problems_of_text("".join(f"x {cell}" for row in rows for cell in row).replace("\n", " "))) == []
    assert len(ElementTree.fromstring(report.as_junit(facts).encode("utf-8", "backslashreplace"))[0]) == 2


@pytest.mark.parametrize("value", ["=cmd|'/C calc'!A0", "+1", "-1", "@SUM(A1)", " =1", "\n=1", "\t=1", "\uff1d1"])
def test_no_cell_of_a_spreadsheet_is_a_formula(value: str, tmp_path: Path) -> None:
    batch = replace(hostile_batch("x"), jobs=(a_job(value, "failed", error=value, scenario=value),))
    head, row = csv.reader(io.StringIO(report.as_csv(Facts.of(batch, tmp_path))), strict=True)
    cells = dict(zip(head, row, strict=True))
    assert {cells[name][0] for name in ("job", "scenario", "reason")} == {"'"}


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_terminal_gets_nothing_but_characters_to_be_seen(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    echo(f"x {value}")
    TerminalProgress()(0, 0, f"x {value}")
    result = {"plan": value, "checks": [], "changes": [{"summary": value, "account": "2" * 12}]}
    execution = Execution("05-bucket-policy", value, tmp_path / "a", 1.0, result, value, "failed")
    show_run(execution)
    show_table(Facts.of(_as_batch(execution), tmp_path))

    def fails() -> None:
        raise RunbookError(f"x {value}")

    monkeypatch.setattr("runbook.cli.command", lambda **_: fails())
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    for stream in (told.out, told.err):
        assert [each for each in problems_of_text(stream) if each.startswith("the character")] == []
        assert MARK in stream
    if "[link=" in value:
        assert "[link=https://evil.example]" in told.out, "rich took it for markup"


# --- no other way ----------------------------------------------------------------------------------------------------

SOURCES = sorted((project_root() / "runbook").rglob("*.py"))

PRINTERS = {
    "runbook/policy/evaluate.py": "answers programs, in JSON that is ASCII",
    "runbook/batch/run_report.py": "prints a table of rich, whose cells are texts without markup",
    "runbook/batch/telling.py": "prints above rich's bar, without markup",
    "runbook/kernels/child.py": "ends a kernel with its exit status, as Python does",
    "runbook/secrets.py": "writes the traceback that Python would, without secrets and through `printable`",
    "runbook/terminal.py": "is the gate",
}


def calls(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def name_of(file: Path) -> str:
    return file.relative_to(project_root()).as_posix()


def test_everything_is_printed_through_the_gate() -> None:
    ways = "print click.echo click.secho sys.stdout.write sys.stderr.write Console console.print self._console.print"
    found = {
        name_of(file)
        for file in SOURCES
        for _, called in calls(file)
        if called in ways.split() and "sandbox" not in file.parts  # prints addresses of its own, and knows no gate
    }
    assert found == set(PRINTERS)


def test_html_is_escaped_by_one_function() -> None:
    found = {name_of(file) for file in SOURCES for _, called in calls(file) if called in ("html.escape", "escape")}
    # secrets looks for values that others have escaped, and shows none.
    assert found == {"runbook/markdown.py", "runbook/secrets.py", "runbook/untrusted.py"}


def test_all_markdown_that_is_displayed_comes_through_the_gate() -> None:
    found, gated = [], 0
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            shown: list[ast.expr] = []
            if isinstance(node, ast.Dict):
                shown = [value for key, value in zip(node.keys, node.values, strict=True) if _is(key, "text/markdown")]
            if isinstance(node, ast.FunctionDef) and node.name == "_repr_markdown_":
                shown = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            for value in shown:
                parts = ast.unparse(value)
                gated += 1
                if not (
                    _is(value, "") or parts.startswith(("markdown.gate(", "shown")) or "_repr_markdown_()" in parts
                ):
                    found.append(f"{name_of(file)}:{value.lineno}: {parts}")
    assert found == []
    assert gated > 12


def _is(node: ast.expr | None, value: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def test_no_code_span_is_written_around_a_value_by_hand() -> None:
    """Files of the one who runs it are not from outside: parameters, fleets, environments, notebooks."""
    places = ("aws", "steps", "display", "policy")
    found, looked_at = [], 0
    for file in SOURCES:
        if file.parent.name not in places and file.name not in ("access.py", "plan.py", "procedure.py", "put_back.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            looked_at += 1
            for before, value, after in zip(node.values, node.values[1:], node.values[2:], strict=False):
                if not isinstance(value, ast.FormattedValue) or _is_constant(value.value):
                    continue
                ends = isinstance(before, ast.Constant) and str(before.value).endswith("`")
                if ends and isinstance(after, ast.Constant) and str(after.value).startswith("`"):
                    found.append(f"{name_of(file)}:{node.lineno}: {ast.unparse(value.value)}")
    assert found == []
    assert looked_at > 1000


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in (node.id.upper(), "element")
