"""The access matrix as people read it: principals and resources alike are told once."""

import pytest

from runbook.access import Access, AccessMatrix
from runbook.policy.evaluate import Decision, Verdict

YES, NO = Decision(Verdict.ALLOWED, "it is allowed"), Decision(Verdict.DENIED, "nothing allows it")


def row(principal: str, resource: str, before: Decision, after: Decision, action: str = "s3:GetObject") -> Access:
    return Access(principal, action, resource, before, after, granted=after is YES)


def test_principals_alike_share_a_column_when_all_are_asked_about_the_same_thing() -> None:
    rows = [row(f"arn:aws:iam::1:role/{name}", "topic", YES, YES) for name in ("a", "b")]
    rows += [row("c", "topic", NO, YES), row("d", "topic", NO, NO)]
    shown = AccessMatrix(tuple(rows)).to_markdown()
    assert "What each can do with **`topic`**, before → after:" in shown
    assert "|  | `role/a`, `role/b` | `c` | `d` |" in shown
    assert "| `s3:GetObject` | ✓ → ✓ | · → ✓ | · → · |" in shown


def test_principals_that_are_asked_about_different_things_have_a_table_each() -> None:
    shown = AccessMatrix((row("a", "one", NO, YES), row("b", "two", NO, YES)), predicted=True).to_markdown()
    assert shown.count("would be able to do, before → after:") == 2


def test_one_principal_has_a_column_for_resources_alike() -> None:
    rows = [row("a", f"bucket-{number}", NO, YES if number else NO) for number in range(100)]
    shown = AccessMatrix(tuple(rows)).to_markdown()
    assert "What **`a`** can do" in shown
    assert "|  | `bucket-0` | `bucket-1`, `bucket-2`, `bucket-3` and 96 more |" in shown


@pytest.mark.parametrize("number", [3, 3000])
def test_however_many_principals_there_are_it_is_a_page(number: int) -> None:
    rows = [row(f"p{each}", f"b{each}", NO, (YES, NO)[each % 2]) for each in range(number)]
    matrix = AccessMatrix(tuple(rows))
    assert len(matrix.to_markdown().splitlines()) < 200
    assert len(repr(matrix).splitlines()) < 200
