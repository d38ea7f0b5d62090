"""`runbook batch` as people type it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.batch.fleet import load_fleet
from runbook.batch.state import BatchFolder
from runbook.cli import main
from runbook.environment import Environment
from tests.world import policies

Typed = Callable[..., tuple[object, str, str]]


@pytest.fixture
def runbook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `runbook batch …`: exit status, what it printed, and what it said on standard error."""

    def type_(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["runbook", "batch", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return type_


def test_a_small_fleet_is_applied_reported_and_not_done_again(
    runbook: Typed, environment: Environment, tmp_path: Path
) -> None:
    status, out, err = runbook("sandbox", "--apply", "--runs", str(tmp_path), "--workers", "2")
    assert status == 0, out + err
    [folder] = tmp_path.iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert [job["state"] for job in report["jobs"]] == ["done"] * 6
    assert f"Report: {folder / 'report.html'}" in out
    open_now = [arn for arn, policy in policies(environment).items() if policy and "bucketAVRequired1" in policy]
    assert {f"arn:aws:s3:::{bucket}" for bucket in ("uploads-b", "website-uploads-b")} <= set(open_now)
    begun = (folder / "batch.jsonl").read_text().count('"started"')
    status, out, err = runbook("--resume", str(folder), "--apply")
    assert (status, (folder / "batch.jsonl").read_text().count('"started"')) == (0, begun)


BAD_INPUT = {
    "no fleet": ([], "Which batch? Name a FLEET"),
    "an unknown fleet": (["sandbx"], "Did you mean `sandbox`?"),
    "an unknown engine": (["sandbox", "--engine", "nothing"], "papermill knows no engine `nothing`"),
    "what is no batch": (["--resume", "tests"], "tests: is not the folder of a batch"),
    "another folder": (["--resume", "tests", "--runs", "elsewhere"], "leave out --runs"),
    "only without a batch": (["sandbox", "--only", "failed"], "--only goes with --resume"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_what_cannot_be_used_is_refused_with_exit_status_2(case: str, runbook: Typed) -> None:
    words, said = BAD_INPUT[case]
    status, _, err = runbook(*words)
    assert status == 2
    assert said in err


def test_a_batch_in_a_sandbox_that_is_gone_cannot_be_gone_on_with(runbook: Typed, tmp_path: Path) -> None:
    folder = BatchFolder.new(load_fleet("sandbox"), apply=True, runs=tmp_path, copy_to="")
    folder.begins("allowlist")
    status, _, err = runbook("--resume", str(folder.path), "--apply")
    assert status == 2
    assert "was a batch in a sandbox that is gone" in err
    assert "`runbook sandbox` in another terminal" in err


def test_a_batch_whose_fleet_means_something_else_by_now_is_not_gone_on_with(
    runbook: Typed, environment: Environment, tmp_path: Path
) -> None:
    jobs = "jobs: {a: {notebook: 01-allowlist, parameters: {accounts: [%s]}}}\n"
    file = tmp_path / "fleet.yaml"
    file.write_text(jobs % "d")
    folder = BatchFolder.new(load_fleet(str(file)), apply=True, runs=tmp_path, copy_to="")
    file.write_text(jobs % "e")
    status, _, err = runbook("--resume", str(folder.path), str(file), "--apply")
    assert status == 2
    assert "job `a`: `given` was " in err
    assert not (folder.path / "batch.jsonl").exists()
