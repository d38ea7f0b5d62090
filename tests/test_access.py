"""How access reads: for one bucket as a table, for ten thousand still as one."""

import tracemalloc

import pytest

from runbook.access import Access, AccessMatrix, Part, Rows
from runbook.policy.evaluate import Decision, Verdict

ROLE = "arn:aws:iam::111111111111:role/scan"
STAND_IN = "~~~~~~~~~~"
BUCKETS = 10_000


def model(name: str, after: Verdict = Verdict.ALLOWED) -> tuple[Access, ...]:
    """What is known of one bucket."""

    def decision(action: str, verdict: Verdict) -> Decision:
        return Decision(verdict, f"{action} on arn:aws:s3:::{name}/any-object is {verdict} by something.")

    return tuple(
        Access(ROLE, action, f"222222222222/{name}", decision(action, Verdict.DENIED), decision(action, after), True)
        for action in ("s3:ListBucket", "s3:GetObject")
    )


def many(after: Verdict = Verdict.ALLOWED) -> AccessMatrix:
    shared = model(STAND_IN, after)
    return AccessMatrix(Rows(Part(shared, STAND_IN, f"data-{n:05}") for n in range(BUCKETS)))


def test_an_answer_that_is_kept_for_many_names_the_one_that_is_asked_about() -> None:
    matrix = AccessMatrix(Rows([Part(model(STAND_IN), STAND_IN, "data-00001"), Part(model("other"))]))
    assert tuple(matrix.rows) == (*model("data-00001"), *model("other"))
    assert (len(matrix.rows), matrix.rows[-1]) == (4, model("other")[-1])


def test_a_matrix_of_single_rows_reads_like_one_of_parts() -> None:
    parts = AccessMatrix(Rows([Part(model("one")), Part(model("two", Verdict.DENIED))]))
    rows = AccessMatrix((*model("one"), *model("two", Verdict.DENIED)))
    assert (repr(rows), rows.to_markdown(), rows.as_json()) == (repr(parts), parts.to_markdown(), parts.as_json())
    assert rows.by_principal() == parts.by_principal() == {ROLE: list(rows.rows)}


@pytest.mark.parametrize("after", [Verdict.ALLOWED, Verdict.DENIED])
def test_ten_thousand_buckets_take_no_more_than_a_page(after: Verdict) -> None:
    matrix = many(after)
    assert repr(matrix).splitlines() == [
        f"role/scan {action} 222222222222/data-00000, 222222222222/data-00001, 222222222222/data-00002 and 9997 more: "
        f"denied -> {after}"
        for action in ("s3:ListBucket", "s3:GetObject")
    ]
    assert matrix.to_markdown().count("\n") < 40


def test_the_first_answers_that_are_not_as_wanted_name_their_buckets() -> None:
    text = many(Verdict.DENIED).to_markdown()
    assert "on arn:aws:s3:::data-00001/any-object is denied by something." in text
    assert "- … and 19992 more" in text
    assert STAND_IN not in text


def test_a_result_holds_every_bucket_and_each_answer_once() -> None:
    (group,) = many().as_json()
    assert group["resources"] == [f"222222222222/data-{n:05}" for n in range(BUCKETS)]
    assert [answer["action"] for answer in group["answers"]] == ["s3:ListBucket", "s3:GetObject"]
    assert "on arn:aws:s3:::BUCKET_NAME/any-object" in group["answers"][0]["reason"]


def test_a_result_names_a_bucket_that_is_alone() -> None:
    (group,) = AccessMatrix(Rows([Part(model(STAND_IN), STAND_IN, "data-00001")])).as_json()
    assert "on arn:aws:s3:::data-00001/any-object" in group["answers"][0]["reason"]


def test_another_bucket_that_is_alike_takes_a_few_bytes() -> None:
    tracemalloc.start()
    try:
        matrix = many()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(matrix.rows) == 2 * BUCKETS
    assert used / BUCKETS < 250


# --- several principals -----------------------------------------------------------------------------------------------

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
