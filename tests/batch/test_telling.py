"""What a log says of a batch while it goes on."""

import pytest

from runbook.batch import telling
from runbook.batch.job import Outcome


def test_a_line_in_a_log_tells_how_things_stand_once_the_next_job_has_begun(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "SECONDS_IN_A_LOG", 0.0)
    with telling.Telling(4, 1, 3, apply=True) as told:
        told.begun()
        told.begun()
        told.over("first", Outcome("done", 1.0, "", ""))
        told.begun()
        told.now_and_then()
        told.over("second", Outcome("failed", 1.0, "", "It was refused.\nAt length."))
        told.over("third", Outcome("done", 1.0, "", ""))
        told.now_and_then()
    assert [line.partition(", after")[0] for line in capsys.readouterr().err.splitlines()] == [
        "4 jobs, 1 of them done earlier, changes are made.",
        "2 of 4 done, 0 failed, 2 running, 2 to go",
        "✗ second failed: It was refused.",
        "3 of 4 done, 1 failed, 0 running, 0 to go",
    ]


def test_between_two_lines_in_a_log_there_is_time(capsys: pytest.CaptureFixture[str]) -> None:
    with telling.Telling(2, 0, 2, apply=False) as told:
        told.begun()
        told.over("first", Outcome("done", 1.0, "", ""))
        told.now_and_then()
        assert "to go" not in capsys.readouterr().err
        told.begun()
        told.over("second", Outcome("done", 1.0, "", ""))
        told.now_and_then()
        assert "2 of 2 done, 0 failed, 0 running, 0 to go" in capsys.readouterr().err
