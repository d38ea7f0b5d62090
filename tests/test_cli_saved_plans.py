"""`runbook apply` and `runbook undo` as people type them: what is shown, what is asked, and what is refused."""

import io
import json
import sys
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.plan import Plan
from runbook.sandbox.server import Sandbox
from tests.command import Command, Ended, Keyboard
from tests.world import policies


@pytest.fixture
def runbook(runbook: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Type `runbook …`, with `keyboard` as what is typed afterwards; without it, nobody is there."""

    def type_(*words: str, keyboard: str | None = None) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n") if keyboard is None else Keyboard(keyboard))
        return runbook(*words)

    return type_


@pytest.fixture
def real(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of an environment that is no sandbox, as far as anybody can tell."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", sandbox.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", sandbox.secret_access_key)
    text = Path("params/environments/sandbox.yaml").read_text()
    file = tmp_path / "real.yaml"
    file.write_text(text.replace("sandbox: true", f"endpoint_url: {sandbox.endpoint_url}"))
    return str(file)


def planned(runbook: Command, runs: Path, *words: str) -> tuple[Path, Ended]:
    given = ("-p", "buckets", "[b/documents-b]", "-p", "key_policy", "change")  # samples are for the sandbox
    ended = runbook("plan", "05-bucket-policy", *given, "--runs", str(runs), *words)
    assert ended.status == 0, ended.err
    (folder,) = runs.iterdir()
    return folder, ended


def applied(runbook: Command, runs: Path, environment: str) -> Path:
    folder, _ = planned(runbook, runs, "--environment", environment)
    ended = runbook("apply", str(folder), "--yes")
    assert ended.status == 0, ended.err
    return folder


# --- apply -----------------------------------------------------------------------------------------------------------


def test_apply_shows_the_plan_before_it_says_that_it_is_applied(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    del environment
    folder, shown = planned(runbook, tmp_path)
    (folder / "plan.md").write_text("Nothing of importance.\n")
    ended = runbook("apply", str(folder))
    plan = Plan.load(folder).to_markdown(most=2)
    assert plan in shown.out
    assert ended.out.startswith(f"{plan}\n\nApplied: 2 changes made.")
    assert (folder / "plan.md").read_text() == f"{plan}\n"


def test_a_forged_plan_ends_with_1_and_nothing_of_it_is_shown_as_applied(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    folder, _ = planned(runbook, tmp_path)
    body = json.loads((folder / "plan.json").read_text())
    del body["fingerprint"]
    policy = json.loads(body["changes"][1]["after"])
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::documents-b/*"}
    )
    body["changes"][1] |= {"after": json.dumps(policy), "summary": "a summary of somebody else's"}
    (folder / "plan.json").write_text(Plan.model_validate_json(json.dumps(body)).to_json())
    ended = runbook("apply", str(folder))
    assert (ended.status, ended.out) == (1, "")
    assert "Planning again from its parameters gives another plan" in ended.err
    assert '-      "Principal": "*"' in ended.err
    assert policies(environment) == before


def test_the_fingerprint_that_was_reviewed_binds_apply_to_that_plan(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    """The only protection from somebody who exchanges the whole plan, parameters included, for one that is right."""
    before = policies(environment)
    folder, shown = planned(runbook, tmp_path)
    command = shown.out.rpartition("To make these changes: runbook ")[2].partition("\n")[0].split()
    assert command[2:] == ["--fingerprint", Plan.load(folder).fingerprint[:16]]
    (tmp_path / "other").mkdir()
    other = runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path / "other"))
    assert other.status == 0
    reviewed = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(next((tmp_path / "other").glob("*/plan.json")).read_text())
    ended = runbook(*command)
    assert ended.status == 2
    assert "it is another plan than the one that was reviewed. Nothing was changed." in ended.err
    (folder / "plan.json").write_text(reviewed)
    assert runbook("apply", str(folder), "--fingerprint", command[-1][:8]).status == 2
    assert policies(environment) == before
    assert runbook(*command).status == 0
    assert policies(environment) != before


# --- undo ------------------------------------------------------------------------------------------------------------


def test_undo_shows_what_it_puts_back_and_does_not_ask_in_the_sandbox(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    folder = applied(runbook, tmp_path, "sandbox")
    ended = runbook("undo", str(folder))
    assert ended.status == 0, ended.err
    assert "2 resources in 1 account go back to the state before the run." in ended.out
    assert "- ends: Allow, Principal" in ended.out
    assert "[y/N]" not in ended.out
    assert policies(environment) == before


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_undo_asks_on_real_accounts(
    typed: str, status: int, runbook: Command, real: str, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    folder = applied(runbook, tmp_path / "runs", real)
    present = policies(environment)
    ended = runbook("undo", str(folder), keyboard=typed)
    assert ended.status == status, ended.err
    assert ended.out.index("go back to the state before the run") < ended.out.index("Put these 2 resources back? [y/N]")
    assert policies(environment) == (present if status else before)
    assert ("put back as it was" in ended.out) is not bool(status)


def test_undo_without_a_terminal_shows_everything_and_wants_yes(
    runbook: Command, real: str, environment: Environment, tmp_path: Path
) -> None:
    """A `y` in a pipe is nobody's answer."""
    before = policies(environment)
    folder = applied(runbook, tmp_path / "runs", real)
    present = policies(environment)
    ended = runbook("undo", str(folder))
    assert ended.status == 2
    assert "nobody can be asked here. To do it: add --yes." in ended.err
    assert "2 resources in 1 account go back" in ended.out
    assert policies(environment) == present
    assert runbook("undo", str(folder), "--yes").status == 0
    assert policies(environment) == before
    again = runbook("undo", str(folder))
    assert (again.status, "There is nothing to take back" in again.out) == (0, True), "nothing to ask about"


def test_undo_with_a_forged_plan_ends_with_1_names_the_resource_and_shows_both(
    runbook: Command, real: str, environment: Environment, tmp_path: Path
) -> None:
    folder = applied(runbook, tmp_path / "runs", real)
    present = policies(environment)
    body = json.loads((folder / "plan.json").read_text())
    del body["fingerprint"]
    body["changes"][1]["before"] = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
    )
    (folder / "plan.json").write_text(Plan.model_validate_json(json.dumps(body)).to_json())
    ended = runbook("undo", str(folder), "--yes")
    assert ended.status == 1
    assert "arn:aws:s3:::documents-b" in ended.err
    assert "before, journal" in ended.err
    assert "before, plan.json" in ended.err
    assert policies(environment) == present
