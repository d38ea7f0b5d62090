"""How a list of checks reads."""

import pytest

from runbook.checks import Check, Checks, ChecksFailed, Status


def of(*statuses: Status) -> Checks:
    return Checks.of(
        Check("Is it?", f"bucket-{n}", status, f"It is {status}.", "Do.") for n, status in enumerate(statuses)
    )


def test_failed_checks_come_first_and_are_counted() -> None:
    checks = of(Status.OK, Status.WARNING, Status.FAILED)
    assert [check.status for check in checks] == [Status.FAILED, Status.WARNING, Status.OK]
    assert checks.summary == "1 ok, 1 warning, 1 failed"
    assert checks.failed


def test_fifty_buckets_with_one_answer_are_one_line() -> None:
    text = of(*[Status.OK] * 50)._repr_markdown_()
    assert text.count("Is it?") == 1
    assert "and 47 more" in text


@pytest.mark.parametrize("status", [Status.OK, Status.WARNING])
def test_only_a_failed_check_counts_as_failed(status: Status) -> None:
    assert not of(status).failed


def test_the_error_says_what_failed_and_what_to_do_and_nothing_else() -> None:
    error = ChecksFailed(of(Status.OK, Status.FAILED), "Nothing was changed")
    assert "bucket-1: It is failed. Do." in str(error)
    assert "bucket-0" not in str(error)


def test_a_bar_or_a_line_break_does_not_break_the_table() -> None:
    checks = Checks.of([Check("a|b", "x", Status.OK, "one\ntwo")])
    (line,) = [line for line in checks._repr_markdown_().splitlines() if "one" in line]
    assert "a\\|b" in line
    assert "one<br>two" in line


def ten_thousand(status: Status) -> Checks:
    """As many buckets, each with an answer of its own to one question, and one answer for all to another."""
    return Checks.of(
        check
        for n in range(10_000)
        for check in (
            Check("Is it open?", f"bucket-{n}", status, f"Statement {n} of bucket-{n} denies it.", "Ask."),
            Check("Is it there?", f"bucket-{n}", status, "Yes."),
        )
    )


@pytest.mark.parametrize("status", list(Status))
def test_ten_thousand_buckets_take_no_more_than_a_page(status: Status) -> None:
    checks = ten_thousand(status)
    for text in (repr(checks), checks._repr_markdown_(), str(ChecksFailed(checks, "Nothing was changed"))):
        assert text.count("\n") < 15
        assert len(text) < 2_000
        assert f"20000 {status}" in text


def test_the_first_different_answers_are_shown_and_the_others_counted() -> None:
    text = repr(ten_thousand(Status.WARNING))
    assert [n for n in range(20) if f"Statement {n} of bucket-{n} denies it" in text] == [0, 1, 2, 3, 4]
    assert "Is it open?: … and 9995 more: 9995 other answers, all of them in the run's `result.json`." in text
    assert "Is it there?: bucket-0, bucket-1, bucket-2 and 9997 more: Yes." in text


def test_a_few_warnings_are_not_lost_among_ten_thousand_that_are_ok() -> None:
    checks = Checks.of([*ten_thousand(Status.OK), Check("Is it open?", "other", Status.WARNING, "Not quite.")])
    assert "Is it open?: other: Not quite." in repr(checks)


def test_in_a_result_every_answer_stands_once_with_all_its_subjects() -> None:
    checks = ten_thousand(Status.OK)
    entries = checks.as_json()
    assert len(entries) == 10_001
    (same,) = [entry for entry in entries if entry["title"] == "Is it there?"]
    assert same["subjects"] == [f"bucket-{n}" for n in range(10_000)]
    assert sum(len(entry["subjects"]) for entry in entries) == len(checks)
