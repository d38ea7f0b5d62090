"""Progress below a cell: one output that is updated in place, and none for short work."""

from typing import Any

import pytest

from runbook.display.progress import NotebookProgress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the front end is told: shown or updated, and the text."""
    told: list[tuple[str, str]] = []

    class Handle:
        def display(self, data: dict[str, Any], **_: Any) -> None:
            told.append(("display", data["text/markdown"]))

        def update(self, data: dict[str, Any], **_: Any) -> None:
            told.append(("update", data["text/markdown"]))

    monkeypatch.setattr("runbook.display.progress.DisplayHandle", Handle)
    monkeypatch.setattr("runbook.display.progress.SECONDS", 0)
    return told


def test_short_work_leaves_nothing_behind(shown: list[tuple[str, str]]) -> None:
    progress = NotebookProgress()
    for done in range(1, 6):
        progress(done, 5, "buckets looked at")
    assert shown == []


def test_long_work_has_one_line_that_is_updated(shown: list[tuple[str, str]]) -> None:
    progress = NotebookProgress()
    for done in (1, 50, 100):
        progress(done, 100, "buckets looked at")
    assert [what for what, _ in shown] == ["display", "update", "update"]
    assert shown[-1][1].startswith("100 buckets looked at in")
    progress(1, 100, "changes made")
    assert shown[-1] == ("display", "░░░░░░░░░░░░░░░░░░░░ 1 of 100 changes made")


def test_what_was_waited_for_does_not_stay(shown: list[tuple[str, str]]) -> None:
    progress = NotebookProgress()
    progress(0, 0, "Stack `bucketav`: UPDATE_IN_PROGRESS.")
    progress(1, 1, "changes made")
    assert shown == [("display", "Stack `bucketav`: UPDATE_IN_PROGRESS."), ("update", "")]
