"""The two modes side by side: every snippet of the page is there, and every action of the difference is explained."""

from runbook.display import modes
from runbook.policy import actions
from runbook.policy.statements import scan_statements, target_bucket_statements
from runbook.review.outline import load


def test_every_snippet_of_the_page_is_shown_in_both_modes() -> None:
    shown = modes()._repr_markdown_()
    for entry in load().entries:
        if entry.kind == "snippet":
            assert f"`{entry.id}`" in shown, entry.id
    assert "`s3:GetObject*`" in shown
    assert "through S3 only" in shown


def test_every_action_of_the_difference_is_explained() -> None:
    shown = modes()._repr_markdown_()
    role = "arn:aws:iam::111111111111:role/role"
    for statements in (scan_statements, target_bucket_statements):
        for action in actions.saved(statements(role, "b", mode="literal"), statements(role, "b", mode="hardened")):
            (line,) = [line for line in shown.splitlines() if line.startswith(f"| `{action}` |")]
            assert len(line.split("|")[2]) > 10, line


def test_what_aws_says_of_an_action_is_there_offline() -> None:
    assert actions.description("s3:GetObject").startswith("Grants permission to ")
