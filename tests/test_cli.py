"""The `runbook` command as people type it: what it prints, what it leaves, and how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
import yaml
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from runbook.aws.s3 import BucketPolicy
from runbook.aws_errors import in_words
from runbook.environment import Environment
from runbook.kernels import switch
from runbook.parameters import project_root
from runbook.steps.scenarios import scenario_names
from tests.command import Command
from tests.world import policies


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
    "a plan of what changes nothing": (["plan", "00-start-here"], "there is no plan to make"),
    "values for all": (["run", "all", "-p", "mode", "hardened"], "name one notebook"),
    "an unknown option": (["run", "all", "--aply"], "--aply"),
    "a site in a folder of others": (["review", "--output", str(project_root() / "runbook/review")], "is not empty"),
    "what is no plan": (["apply", "README.md"], "is not JSON"),
    "an undo without a run": (["undo", "tests"], "cannot be read"),
    "an undo of a file": (["undo", "README.md"], "is a file; name the run folder"),
    "an undo of nothing": (["undo", "runs/nothing"], "runs/nothing: there is no such file or folder, neither in "),
    "an apply of nothing": (["apply", "runs/nothing"], "runs/nothing: there is no such file or folder, neither in "),
    "a list that does not end": (["run", "05-bucket-policy", "-p", "buckets", "[b/x"], "-p buckets: '[b/x': is not "),
    "a tab in a list": (["run", "05-bucket-policy", "-p", "buckets", "[\t@]"], "-p buckets: "),
    "a key twice": (["run", "05-bucket-policy", "-p", "mode", "{a: 1, a: 2}"], "-p mode: '{a: 1, a: 2}': is not"),
    "a list as a key": (["run", "05-bucket-policy", "-p", "mode", "{[a]: 1}"], "-p mode: "),
    "no date": (["run", "05-bucket-policy", "-p", "buckets", "[2026-13-13]"], "month must be in 1..12"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_verbose_says_how_kernels_start(runbook: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(switch.SETTING, raising=False)
    monkeypatch.delenv(switch.VARIABLE, raising=False)
    assert "Kernels are forked" in runbook("--verbose", "list").err
    assert "Kernels" not in runbook("list").err
    monkeypatch.setenv(switch.SETTING, "somebody-elses")
    assert f"one by one: {switch.SETTING} is somebody-elses." in runbook("--verbose", "list").err
    monkeypatch.delenv(switch.SETTING)
    monkeypatch.setenv(switch.VARIABLE, "off")
    assert f"one by one: {switch.VARIABLE} is off." in runbook("--verbose", "list").err


@pytest.mark.parametrize(("words", "said"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_ends_with_2_before_anything_runs(
    words: list[str], said: str, runbook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("runbook.batch.runs.execute", "runbook.batch.batch.begin_with"):
        monkeypatch.setattr(place, lambda *_, **__: pytest.fail("a notebook was started"))
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
    ended = runbook(
        "run",
        "05-bucket-policy",
        "--scenario",
        "encrypted-bucket",
        "--environment",
        "sandbox",
        "--apply",
        "--runs",
        str(tmp_path),
    )
    assert ended.status == 0, ended.out + ended.err
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    names = {"notebook.ipynb", "notebook.html", "plan.json", "plan.md", "journal.jsonl", "result.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
    assert "documents-b" in (policies(environment)["arn:aws:s3:::documents-b"] or "")
    assert "2 changes made and verified" in ended.out
    assert f"Report: {folder}/notebook.html" in ended.out
    page = (folder / "notebook.html").read_text()
    assert "Applied: 2 changes made." in page
    assert "<script" not in page

    undone = runbook("undo", str(folder))
    assert (undone.status, undone.out.count("put back as it was")) == (0, 2)


def test_a_run_that_a_check_stops_ends_with_1_and_changes_nothing(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    ended = runbook(
        "run",
        "05-bucket-policy",
        "-p",
        "buckets",
        "[b/legacy-b]",
        "--environment",
        "sandbox",
        "--apply",
        "--runs",
        str(tmp_path),
    )
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
    monkeypatch.setenv("RUNBOOK_SANDBOX", "private")
    ended = runbook("undo", str(folder))
    assert ended.status == 2
    assert "a sandbox that is gone" in ended.err


# --- what goes wrong outside -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoCredentialsError(), "AWS cannot be reached: Unable to locate credentials"),
        (EndpointConnectionError(endpoint_url="https://s3.invalid"), "AWS cannot be reached: Could not connect"),
        (ClientError({"Error": {"Code": "Throttling", "Message": "Slow"}}, "GetKey"), "Throttling (GetKey): Slow"),
    ],
)
def test_what_aws_answers_is_told_and_ends_with_1(
    error: BotoCoreError | ClientError, said: str, runbook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("runbook.steps.bucket_policy.BucketPolicy.observe", fail)
    ended = runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    assert (ended.status, said in ended.err) == (1, True), ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_profile_that_does_not_exist_ends_with_1_and_leaves_no_folder(runbook: Command, tmp_path: Path) -> None:
    file = tmp_path / "real.yaml"
    file.write_text('profile: nobody\nregion: eu-west-1\naccounts: { a: { account_id: "111111111111" } }\n')
    words = ["plan", "05-bucket-policy", "-p", "buckets", "[a/uploads]", "--environment", str(file)]
    ended = runbook(*words, "--runs", str(tmp_path / "runs"))
    assert (ended.status, "profile (nobody) could not be found" in ended.err) == (1, True), ended.err
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("error", [ParamValidationError(report="no bucket"), RuntimeError("x"), KeyError("x")])
def test_a_defect_of_ours_is_not_called_an_answer_of_aws(
    error: Exception, runbook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ends with 1, and with where it was raised."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("runbook.steps.bucket_policy.BucketPolicy.observe", fail)
    ended = runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    assert ended.status == 1
    assert ended.err.startswith("Traceback")
    assert ended.err.endswith(f"{type(error).__name__}: {error}\n") or isinstance(error, ParamValidationError)
    assert "in fail" in ended.err
    assert in_words(error) is None


def test_runs_that_cannot_be_written_end_with_2(runbook: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path / "file" / "runs")]
    ended = runbook(*words)
    assert (ended.status, f"{tmp_path}/file/runs" in ended.err, "Traceback" in ended.err) == (2, True, False), ended.err


def test_a_plan_that_is_not_utf_8_ends_with_2(runbook: Command, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"\xff\xfe{}")
    ended = runbook("apply", str(tmp_path))
    assert (ended.status, "not UTF-8" in ended.err) == (2, True), ended.err


def test_permissions_prints_a_policy_for_each_kind_of_account(runbook: Command) -> None:
    to_look, in_all = (
        json.loads(runbook("permissions", "05-bucket-policy", *more).out)
        for more in (["--preview"], ["--scenario", "inventory"])
    )
    actions = [action for statement in to_look["bucket accounts"]["Statement"] for action in statement["Action"]]
    assert "s3:GetBucketPolicy" in actions
    assert "s3:PutBucketPolicy" not in actions
    assert "s3:PutBucketPolicy" in json.dumps(in_all)
    assert "Did you mean `inventory`" in runbook("permissions", "05-bucket-policy", "--scenario", "inventroy").err


def test_permissions_of_a_saved_plan_name_what_it_changes(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    del environment
    planned = runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    assert planned.status == 0, planned.err
    (folder,) = tmp_path.iterdir()
    found = runbook("permissions", "--plan", str(folder))
    statements = json.loads(found.out)["bucket accounts"]["Statement"]
    assert [each["Resource"] for each in statements if "s3:PutBucketPolicy" in each["Action"]] == [
        "arn:aws:s3:::uploads-b"
    ]
    assert "s3:GetAccountPublicAccessBlock. AWS defines no type of resource" in found.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Which notebook?"),
        (["05-bucket-policy", "--plan", "runs/x"], "leave out yours"),
        (["--role-template", "--preview"], "leave out the scenario"),
        (["--role-template", "05-bucket-polciy"], "Did you mean `05-bucket-policy`"),
        (["05-bucket-policy", "-p", "buckets", "[zz/uploads]"], "there is no account `zz`"),
        (["05-bucket-policy", "--environment", "nowhere"], "nowhere.yaml"),
    ],
)
def test_permissions_that_cannot_be_told_end_with_2(runbook: Command, words: list[str], said: str) -> None:
    ended = runbook("permissions", *words)
    assert (ended.status, ended.out, said in ended.err) == (2, "", True), ended.err


def test_the_role_template_can_be_kept_in_a_file(runbook: Command) -> None:
    template = yaml.safe_load(runbook("permissions", "--role-template", "00-start-here").out)
    assert template["Resources"]["Role"]["Type"] == "AWS::IAM::Role"
    assert "Default" not in template["Parameters"]["BucketAVAccountId"]


def test_the_command_starts_without_the_libraries_of_aws() -> None:
    check = "import sys, runbook.cli; sys.exit(not {'boto3', 'botocore', 'moto', 'papermill'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=project_root()).returncode == 0


# --- planning, and where a run is ------------------------------------------------------------------------------------


def test_plan_says_how_to_apply_only_what_can_be_applied(
    runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    del environment
    words = ["plan", "05-bucket-policy", "--runs", str(tmp_path), "-p", "buckets"]
    for buckets, status, hint in (
        ("[b/uploads-b]", 0, True),
        ("[b/legacy-b]", 1, False),
        ("[b/legacy-b, b/uploads-b]", 1, False),
    ):
        ended = runbook(*words, buckets)
        assert (ended.status, "To make these changes: runbook apply" in ended.out) == (status, hint), ended.out
    (folder, *_) = sorted(tmp_path.iterdir())
    assert runbook("apply", str(folder)).status == 0
    again = runbook(*words, "[b/uploads-b]")
    assert "Nothing to change" in again.out
    assert "runbook apply" not in again.out


def test_plan_by_hand_prints_every_change(runbook: Command, environment: Environment, tmp_path: Path) -> None:
    del environment
    buckets = "[b/uploads-b, b/website-uploads-b, c/archive-c, c/quarantine-c]"
    ended = runbook("plan", "05-bucket-policy", "-p", "buckets", buckets, "--by-hand", "--runs", str(tmp_path))
    assert ended.out.count("aws s3api get-bucket-policy") == 4
    assert ended.out.count("aws s3api put-bucket-policy") == 4


def test_a_run_is_named_from_the_working_directory_or_from_the_project(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = policies(environment)
    monkeypatch.chdir(tmp_path)
    runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", "mine")
    (folder,) = (tmp_path / "mine").iterdir()
    applied = runbook("apply", f"mine/{folder.name}")
    assert (applied.status, applied.err) == (0, "")

    monkeypatch.setattr("runbook.parameters.project_root", lambda: tmp_path)
    (tmp_path / "params").symlink_to(project_root() / "params")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    from_root = runbook("undo", f"mine/{folder.name}")
    assert (from_root.status, "put back as it was" in from_root.out) == (0, True), from_root.err
    assert policies(environment) == before


def test_an_apply_in_a_sandbox_that_would_be_gone_at_once_is_refused(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = policies(environment)
    runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    (folder,) = tmp_path.iterdir()
    with monkeypatch.context() as without:
        without.setenv("RUNBOOK_SANDBOX", "private")
        ended = runbook("apply", str(folder))
        planned = runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    assert (ended.status, "would be gone with this command" in ended.err) == (2, True)
    assert "keep one running: `runbook sandbox`" in ended.err
    assert "keep one running: `runbook sandbox`" in planned.out
    assert "runbook apply" not in planned.out
    assert policies(environment) == before
    assert not (folder / "journal.jsonl").exists()


def test_an_undo_leaves_what_it_is_told_to_leave(runbook: Command, environment: Environment, tmp_path: Path) -> None:
    buckets = "[b/uploads-b, b/website-uploads-b]"
    runbook("plan", "05-bucket-policy", "-p", "buckets", buckets, "--runs", str(tmp_path))
    before = policies(environment)
    (folder,) = tmp_path.iterdir()
    runbook("apply", str(folder))
    applied = policies(environment)
    ended = runbook("undo", str(folder), "--leave", "arn:aws:s3:::website-uploads-b")
    assert ended.status == 0, ended.err
    after = policies(environment)
    assert after["arn:aws:s3:::uploads-b"] == before["arn:aws:s3:::uploads-b"]
    assert after["arn:aws:s3:::website-uploads-b"] == applied["arn:aws:s3:::website-uploads-b"]


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_stopping_an_apply_or_an_undo_says_how_to_go_on(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = policies(environment)
    runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    (folder,) = tmp_path.iterdir()
    with monkeypatch.context() as stopped:
        stopped.setattr(BucketPolicy, "write", interrupt)
        ended = runbook("apply", str(folder))
    assert ended.status == 1
    assert f"`runbook apply {folder}` goes on; `runbook undo {folder}` takes back" in ended.err
    assert runbook("apply", str(folder)).status == 0
    assert policies(environment) != before
    with monkeypatch.context() as stopped:
        stopped.setattr(BucketPolicy, "write", interrupt)
        ended = runbook("undo", str(folder))
    assert (ended.status, f"`runbook undo {folder}` takes back" in ended.err) == (1, True)
    assert runbook("undo", str(folder)).status == 0
    assert policies(environment) == before


def test_stopping_a_run_names_it_and_says_how_to_go_on(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del environment
    really = papermill.execute_notebook

    def is_stopped(*words: object, **named: object) -> None:
        really(*words, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", is_stopped)
    words = [
        "run",
        "05-bucket-policy",
        "--scenario",
        "inventory",
        "--environment",
        "sandbox",
        "--apply",
        "--runs",
        str(tmp_path),
    ]
    ended = runbook(*words)
    (folder,) = tmp_path.iterdir()
    assert ended.status == 1
    assert f"Stopped in 05-bucket-policy inventory: {folder}." in ended.err
    assert f"`runbook apply {folder}` goes on there" in ended.err
    assert "1 run failed" in ended.out
    assert "Stopped by Ctrl-C." in ended.out
    assert f"Report: {folder}/notebook.html" in ended.out


def test_several_runs_are_a_batch_with_one_report(runbook: Command, environment: Environment, tmp_path: Path) -> None:
    del environment
    ended = runbook("run", "05-bucket-policy", "--environment", "sandbox", "--apply", "--runs", str(tmp_path))
    assert ended.status == 0, ended.out + ended.err
    (folder,) = tmp_path.iterdir()
    assert folder.name.endswith("-batch-05-bucket-policy")
    assert "✓ 4 jobs, 9 changes made and verified." in ended.out
    lines = [line.split() for line in ended.out.splitlines() if "jobs/05" in line]
    assert [line[:2] for line in lines] == [
        ["05-bucket-policy", scenario] for scenario in scenario_names("05-bucket-policy")
    ]
    assert f"Report: {folder}/report.html" in ended.out
    again = runbook("batch", "--resume", str(folder), "--apply")
    assert (again.status, "was begun by a run of notebooks" in again.err) == (2, True)
