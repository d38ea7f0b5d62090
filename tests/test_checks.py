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
