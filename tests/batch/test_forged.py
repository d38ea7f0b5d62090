"""Whoever can write the folder of a batch cannot have its resumption do more than the command says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.batch import batch as batches
from runbook.batch.fleet import load_fleet
from runbook.batch.state import BatchFolder
from runbook.cli import main
from runbook.environment import Environment
from runbook.journal import JournalDamaged

ONE_JOB = "jobs: {a: {notebook: 01-allowlist, parameters: {accounts: [%s]}}}\n"


@pytest.fixture(autouse=True)
def _nothing_is_run(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Getting as far as the jobs is failing."""
    del environment

    def run(*_: object) -> None:
        pytest.fail("the batch went on")

    monkeypatch.setattr(batches, "go_on", run)


@pytest.fixture
def resume(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Type `runbook batch --resume …`, which has to end with 2; what it said."""

    def type_(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["runbook", "batch", "--resume", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return type_


def edit(folder: BatchFolder, **values: Any) -> None:
    file = folder.path / "fleet.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def sandbox_batch(tmp_path: Path, *, apply: bool, copy_to: str = "") -> BatchFolder:
    folder = BatchFolder.new(load_fleet("sandbox"), apply=apply, runs=tmp_path, copy_to="")
    if copy_to:
        edit(folder, copy_to=f"{copy_to}/{folder.path.name}")
    return folder


def test_a_preview_that_was_edited_into_an_apply_is_refused(resume: Callable[..., str], tmp_path: Path) -> None:
    folder = sandbox_batch(tmp_path, apply=False)
    edit(folder, apply=True)
    assert "makes changes. To make them, say --apply again" in resume(str(folder.path))


def test_a_preview_does_not_become_an_apply_on_the_way(resume: Callable[..., str], tmp_path: Path) -> None:
    assert "is a preview" in resume(str(sandbox_batch(tmp_path, apply=False).path), "--apply")


def test_evidence_is_not_copied_where_only_the_folder_says(resume: Callable[..., str], tmp_path: Path) -> None:
    folder = sandbox_batch(tmp_path, apply=True, copy_to="s3://somebody-elses/runs")
    said = resume(str(folder.path), "--apply")
    assert "is copied to s3://somebody-elses/runs" in said
    assert "say --runs s3://somebody-elses/runs again" in said
    assert "say --runs" in resume(str(folder.path), "--apply", "--runs", "s3://ours/runs")
    kept = sandbox_batch(tmp_path, apply=True)
    assert "stays on this machine; leave out --runs" in resume(str(kept.path), "--apply", "--runs", "s3://ours/runs")


def test_a_fleet_of_somebody_elses_making_has_to_be_named(resume: Callable[..., str], tmp_path: Path) -> None:
    """Fleet and jobs in `fleet.json` agree with each other: only the person knows that it is another fleet."""
    folder = sandbox_batch(tmp_path, apply=True)
    file = folder.path / "sandbox.yaml"
    file.write_text(ONE_JOB % "e")
    forged = BatchFolder.new(load_fleet(str(file)), apply=True, runs=tmp_path / "forged", copy_to="")
    (folder.path / "fleet.json").write_text((forged.path / "fleet.json").read_text())
    assert f"name its fleet, which is none of params/fleets: {file}" in resume(str(folder.path), "--apply")
    assert "job `allowlist` is new" in resume(str(folder.path), "sandbox", "--apply")


def test_a_folder_that_was_made_for_one_fleet_does_not_run_another(resume: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(ONE_JOB % "d")
    small = BatchFolder.new(load_fleet(str(tmp_path / "other.yaml")), apply=True, runs=tmp_path, copy_to="")
    big = sandbox_batch(tmp_path, apply=True)
    (small.path / "fleet.json").write_text((big.path / "fleet.json").read_text())
    assert "name its fleet" in resume(str(small.path), "--apply")


def test_parameters_that_were_edited_are_found(resume: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(ONE_JOB % "d")
    folder = BatchFolder.new(load_fleet(str(file)), apply=True, runs=tmp_path, copy_to="")
    jobs = json.loads((folder.path / "fleet.json").read_text())["jobs"]
    jobs[0]["given"]["accounts"] = ["e"]
    edit(folder, jobs=jobs)
    assert "job `a`: `given` was " in resume(str(folder.path), str(file), "--apply")


@pytest.mark.parametrize("where", ["../../elsewhere", "/etc", "jobs/allowlist.9", "jobs/../.."])
def test_a_run_folder_somewhere_else_is_refused(where: str, tmp_path: Path) -> None:
    """Its files would be copied away, and written to."""
    folder = sandbox_batch(tmp_path, apply=True)
    folder.journal.write("started", job="allowlist", attempt=1, folder=where)
    with pytest.raises(JournalDamaged, match="it names another attempt or folder than follows"):
        BatchFolder.found(folder.path)


def test_a_batch_that_is_begun_again_as_it_was_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hint at the end of a batch is a command that is accepted."""
    taken: list[BatchFolder] = []
    monkeypatch.setattr(batches, "go_on", lambda folder, *_: taken.append(folder))
    known = sandbox_batch(tmp_path, apply=True, copy_to="s3://ours/runs")
    batches.resume(known.path, batches.Options(), apply=True, runs="s3://ours/runs/")
    assert [folder.path for folder in taken] == [known.path]
    second = sandbox_batch(tmp_path, apply=False)
    batches.resume(second.path, batches.Options())
    assert len(taken) == 2
