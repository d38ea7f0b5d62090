"""The `runbook` command as people type it: what it prints, what it leaves, and how it exits."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook.cli import main
from runbook.environment import Environment
from tests.world import policies


@dataclass(frozen=True)
class Ended:
    status: object
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def runbook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Type `runbook …` and see how it ends."""

    def type_(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["runbook", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(ended.value.code or 0, captured.out, captured.err)

    return type_


def test_list_names_notebooks_scenarios_and_environments(runbook: Command) -> None:
    ended = runbook("list")
    assert ended.status == 0
    assert "05-bucket-policy: S3 bucket-policy-based access" in ended.out
    assert "--scenario encrypted-bucket" in ended.out
    assert "environments: sandbox" in ended.out


BAD_INPUT = {
    "an unknown notebook": (["run", "05-bucket-polcy"], "Did you mean `05-bucket-policy`?"),
    "an unknown scenario": (["run", "05-bucket-policy", "--scenario", "one-buket"], "Did you mean `one-bucket`?"),
    "an unknown parameter": (["run", "05-bucket-policy", "-p", "bukets", "[b/x-y-z]"], "Did you mean `buckets`?"),
    "an unknown environment": (["run", "all", "--environment", "sandbx"], "Did you mean `sandbox`?"),
    "an unknown account": (["plan", "05-bucket-policy", "-p", "buckets", "[x/uploads-b]"], "there is no account `x`"),
    "a damaged account id": (["run", "05-bucket-policy", "-p", "buckets", "[22222222222/uploads-b]"], "has 11 digits"),
    "two sources": (["run", "05-bucket-policy", "--scenario", "one-bucket", "--params", "x.yaml"], "give one of them"),
    "values for all": (["run", "all", "-p", "mode", "hardened"], "name one notebook"),
    "an unknown option": (["run", "all", "--aply"], "--aply"),
    "what is no plan": (["apply", "README.md"], "is not JSON"),
    "an undo without a run": (["undo", "tests"], "cannot be read"),
}


@pytest.mark.parametrize(("words", "said"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_ends_with_2_before_anything_runs(
    words: list[str], said: str, runbook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.jobs.execute", lambda *_, **__: pytest.fail("a notebook was started"))
    ended = runbook(*words, *(["--runs", str(tmp_path)] if words[0] == "run" else []))
    assert ended.status == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bukets: [b/uploads-b]\n", "params.yaml: `bukets` is not known here. Did you mean `buckets`?"),
        ("buckets: [b/uploads-b]\napply: true\n", "`apply` does not belong in a file"),
        ("scenario: nothing\n", "there is no scenario `nothing`"),
    ],
)
def test_a_mistake_in_a_file_of_parameters_names_the_file(
    text: str, said: str, runbook: Command, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(text)
    ended = runbook("run", "05-bucket-policy", "--params", str(tmp_path / "params.yaml"))
    assert (ended.status, said in ended.err) == (2, True), ended.err


def test_a_run_applies_verifies_and_leaves_evidence(runbook: Command, environment: Environment, tmp_path: Path) -> None:
    ended = runbook("run", "05-bucket-policy", "--scenario", "encrypted-bucket", "--apply", "--runs", str(tmp_path))
    assert ended.status == 0, ended.out + ended.err
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    names = {"notebook.ipynb", "notebook.html", "plan.json", "plan.md", "journal.jsonl", "result.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
    assert "documents-b" in (policies(environment)["arn:aws:s3:::documents-b"] or "")
    assert "2 changes made and verified" in ended.out
    (report,) = tmp_path.glob("*-report.html")
    assert f"{folder.name}/notebook.html" in report.read_text()
    page = (folder / "notebook.html").read_text()
    assert "Applied: 2 changes made." in page
    assert "<script" not in page

    undone = runbook("undo", str(folder))
    assert (undone.status, undone.out.count("put back as it was")) == (0, 2)


def test_a_run_that_a_check_stops_ends_with_1_and_changes_nothing(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    ended = runbook("run", "05-bucket-policy", "-p", "buckets", "[b/legacy-b]", "--apply", "--runs", str(tmp_path))
    assert ended.status == 1
    assert "a role or user that no longer exists" in ended.out
    assert "1 run failed" in ended.out
    assert policies(environment) == before
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert json.loads((folder / "result.json").read_text())["status"] == "checks-failed"


def test_a_preview_with_a_failed_check_ends_with_1_and_shows_the_plan_for_the_rest(
    runbook: Command, tmp_path: Path, environment: Environment
) -> None:
    del environment
    words = ["run", "05-bucket-policy", "-p", "buckets", "[b/legacy-b, b/uploads-b]", "--runs", str(tmp_path)]
    ended = runbook(*words)
    assert ended.status == 1
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert "uploads-b" in (folder / "plan.md").read_text()


def test_plan_then_apply_then_undo(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.run.project_root", lambda: tmp_path)
    before = policies(environment)
    planned = runbook("plan", "05-bucket-policy", "--scenario", "tagging-and-deletion", "--by-hand")
    assert planned.status == 0
    assert "aws s3api put-bucket-policy --bucket website-uploads-b" in planned.out
    assert policies(environment) == before

    (folder,) = (tmp_path / "runs").iterdir()
    applied = runbook("apply", str(folder / "plan.json"))
    assert (applied.status, "Applied: 1 change made." in applied.out) == (0, True), applied.err
    assert policies(environment) != before
    assert runbook("undo", str(folder)).status == 0
    assert policies(environment) == before


def test_a_stale_plan_ends_with_1_and_the_difference(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.run.project_root", lambda: tmp_path)
    runbook("plan", "05-bucket-policy", "--scenario", "tagging-and-deletion")
    (folder,) = (tmp_path / "runs").iterdir()
    environment.client("s3", environment.account_id("b")).delete_bucket_policy(Bucket="website-uploads-b")
    ended = runbook("apply", str(folder))
    assert ended.status == 1
    assert "The plan is out of date, and nothing was changed" in ended.err
    assert "aws:SecureTransport" in ended.err


def test_an_undo_in_a_sandbox_that_is_gone_says_so(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del environment
    monkeypatch.setattr("runbook.run.project_root", lambda: tmp_path)
    runbook("plan", "05-bucket-policy", "--scenario", "one-bucket")
    (folder,) = (tmp_path / "runs").iterdir()
    monkeypatch.delenv("RUNBOOK_SANDBOX")
    ended = runbook("undo", str(folder))
    assert ended.status == 2
    assert "a sandbox that is gone" in ended.err
