"""Plans and access matrices as pictures: what matters is said first, in words and signs, and nothing breaks out."""

import re

import pytest

from runbook.access import Access, AccessMatrix
from runbook.display.coverage import FEW, Openness, coverage, openness
from runbook.display.matrix import matrix
from runbook.display.plan_view import plan_view, sentence
from runbook.display.rich_text import from_markdown, inline
from runbook.display.style import styled
from runbook.plan import Change, Effect, Plan, Resource
from runbook.policy.evaluate import Decision, Verdict

ROLE = "arn:aws:iam::111111111111:role/scan"
YES, NO, UNSURE = Verdict.ALLOWED, Verdict.DENIED, Verdict.INDETERMINATE


def change(bucket: str = "uploads-b", account: str = "222222222222", **values: object) -> Change:
    resource = Resource(kind="s3.bucket-policy", account=account, region="eu-west-1", arn=f"arn:aws:s3:::{bucket}")
    given = {"summary": f"let `scan` list and read in `{bucket}`", "before": None, "after": '{"a": 1}', **values}
    return Change(resource=resource, **given)  # type: ignore[arg-type]


def plan(*changes: Change, **values: object) -> Plan:
    return Plan(step="s", scenario="", environment="e", parameters={}, changes=changes, **values)  # type: ignore[arg-type]


def access(
    resource: str, before: Verdict, after: Verdict, action: str = "s3:GetObject", granted: bool = True
) -> Access:
    return Access(ROLE, action, resource, Decision(before, ""), Decision(after, "<because>"), granted)


def text(html: str) -> str:
    """What somebody reads."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((), "Nothing to change: everything is as it should be."),
        (
            (change(),),
            "1 bucket in account 222222222222 will let scan list and read in uploads-b. Nothing else changes.",
        ),
        (
            (change(), change("other-b")),
            "2 buckets in account 222222222222 will let scan list and read in each of them. Nothing else changes.",
        ),
        (
            (change(), change("archive-c", "333333333333")),
            "2 buckets in 2 accounts will let scan list and read in each of them. Nothing else changes.",
        ),
        ((change(summary="create it"),), "1 bucket in account 222222222222: create it. Nothing else changes."),
    ],
)
def test_one_sentence_says_it_all(changes: tuple[Change, ...], said: str) -> None:
    assert sentence(plan(*changes)).replace("`", "").replace("**", "") == said


def test_a_plan_shows_warnings_first_then_account_by_account_the_difference_and_its_source() -> None:
    lost = Effect(action="remove", name="Table", kind="AWS::DynamoDB::Table", holds=3)
    shown = plan_view(
        plan(
            change(before='{"a": 0, "kept": 1}', after='{"a": 1, "kept": 1}', outline=("bucket-policy.statements",)),
            change("archive-c", "333333333333", effects=(lost,)),
            left_out=("222222222222/broken",),
            notes=("Mode <literal>.",),
        )
    )
    read = text(shown)
    order = ["Nothing else changes", "Left out because a check failed", "3 items in it", "Mode", "Account 222222222222"]
    places = [read.index(each) for each in [*order, "Account 333333333333", "Fingerprint"]]
    assert places == sorted(places)
    assert '<span class="rb-take">-  &quot;a&quot;: 0' in shown
    assert '<span class="rb-add">+  &quot;a&quot;: 1' in shown
    assert "The whole document afterwards" in shown
    assert 'href="https://bucketav.com/help/security/multi-account-setup.html#' in shown
    assert "&lt;literal&gt;" in shown


def test_what_a_matrix_says_needs_no_colour() -> None:
    rows = [
        access("222222222222/x", NO, YES),
        access("222222222222/x", YES, YES, "s3:ListBucket"),
        access("222222222222/x", NO, NO, "s3:PutObject", granted=False),
        access("222222222222/x", YES, NO, "s3:DeleteObject", granted=False),
        access("222222222222/x", NO, UNSURE, "s3:GetObjectTagging"),
    ]
    shown = matrix(AccessMatrix(rows))
    read = text(shown)
    for said in ("✓ new", "✓ as before", "· no", "✗ taken away", "? undecided", "is indeterminate: <because>"):
        assert said.replace("<because>", "&lt;because&gt;") in read
    assert "would be able" in text(matrix(AccessMatrix(rows, predicted=True)))
    assert shown.count("<th scope=") == 6


def test_coverage_tells_how_far_each_bucket_of_each_account_is_open() -> None:
    rows = [
        access("222222222222/new-b", NO, YES),
        access("222222222222/open-b", YES, YES),
        access("222222222222/partly-b", NO, YES),
        access("222222222222/partly-b", NO, NO, "s3:ListBucket"),
        access("333333333333/closed-c", NO, NO),
        access("the connection role", NO, YES),
        access("333333333333/not-asked-for", NO, NO, granted=False),
    ]
    assert openness(AccessMatrix(rows)) == {
        "222222222222": {"new-b": Openness.NEW, "open-b": Openness.OPEN, "partly-b": Openness.PARTLY},
        "333333333333": {"closed-c": Openness.CLOSED},
    }
    read = text(coverage(AccessMatrix(rows)))
    assert "◆ new-b ● open-b ◐ partly-b 1 newly open, 1 open before, 1 in part" in read
    assert "○ closed-c 1 closed" in read
    assert coverage(AccessMatrix(rows[:1])) == ""


def test_many_buckets_of_an_account_are_told_in_numbers() -> None:
    rows = [access(f"222222222222/bucket-{number:03}", NO, YES) for number in range(FEW + 1)]
    assert f"◆ {FEW + 1}: bucket-000, bucket-001, bucket-002 and {FEW - 2} more" in text(coverage(AccessMatrix(rows)))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a <b>bold</b> one", "a &lt;b&gt;bold&lt;/b&gt; one"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("one<br>two", "one<br>two"),
        ("<details onclick=x>", "&lt;details onclick=x&gt;"),
        ("`<i>`", "<code>&lt;i&gt;</code>"),
    ],
)
def test_no_tag_but_ours_becomes_html(written: str, shown: str) -> None:
    assert inline(written) == shown


def test_links_lead_away_and_run_nothing() -> None:
    assert 'target="_blank" rel="noopener" href="https://docs.aws.amazon.com"' in from_markdown(
        "[a](https://docs.aws.amazon.com)"
    )
    assert "<a" not in from_markdown("[a](javascript:alert(1))")


def test_a_view_brings_its_style_and_needs_nothing_from_elsewhere() -> None:
    shown = styled("<p>x</p>")
    assert shown.startswith("<style>")
    assert "http" not in shown
    assert "@media print" in shown
