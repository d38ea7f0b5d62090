"""Every command that is printed as advice runs as it stands: each place that prints one, and the test that runs it."""

import ast
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook import commands
from runbook.aws.s3 import BucketPolicy
from runbook.batch.runs import _stopped
from runbook.by_hand import by_hand
from runbook.cli import command as cli
from runbook.display.start import start_here
from runbook.environment import Environment, Refusal, load_environment
from runbook.environment_dialog import _next
from runbook.execute import Execution
from runbook.files import FileError
from runbook.jobs import KEEP_ONE_RUNNING
from runbook.mfa import NoCode
from runbook.parameters import project_root
from runbook.plan import Plan
from runbook.procedure import Procedure, about_refusals
from runbook.review import report
from runbook.review.permissions import policies as permissions
from runbook.review.site import pages
from runbook.review.site.applied import Example
from runbook.sessions import Sessions
from runbook.steps import STEPS
from runbook.steps.bucket_policy import BucketPolicy as BucketPolicyStep
from runbook.steps.connection_checks import allowlist_command
from runbook.steps.scenarios import load_scenario, make_step
from tests.checkout import Checkout
from tests.command import Command, Ended, Keyboard
from tests.world import policies

PLACES = {
    ("batch/batch.py", "_tell_how_to_go_on"): "test_a_batch_goes_on",
    ("by_hand.py", "_command"): "test_the_whole_plan_by_hand",
    ("cli.py", "plan"): "test_plan_then_apply_then_undo",
    ("cli.py", "_telling_how_to_go_on"): "test_an_apply_that_was_stopped_goes_on_and_is_undone",
    ("display/start.py", "_about_sandbox"): "test_what_keeps_a_sandbox_running",
    ("environment_dialog.py", "_next"): "test_what_follows_a_new_environment",
    ("jobs.py", ""): "test_what_keeps_a_sandbox_running",
    ("jobs.py", "_command"): "test_a_notebook_without_a_plan_is_run",
    ("batch/runs.py", "_stopped"): "test_a_run_that_was_stopped_goes_on_and_is_undone",
    ("procedure.py", "_saying_that_changes_stand"): "test_a_result_that_was_not_written_is_verified_and_undone",
    ("procedure.py", "about_refusals"): "test_what_the_credentials_need",
    ("review/report.py", ""): "test_the_whole_review",
    ("review/site/pages.py", "scenario"): "test_the_scenarios_of_the_site",
    ("review/site/pages.py", "permissions_page"): "test_the_permissions_of_the_site",
    ("run.py", "_head"): "test_plan_then_apply_then_undo",
    ("run.py", "_failed"): "test_an_apply_that_was_stopped_goes_on_and_is_undone",
    ("sessions.py", "_without_code"): "test_where_an_mfa_code_is_asked_for",
    ("steps/add_ons_checks.py", "_scan_checks"): "test_a_source_that_is_not_scanned_is_opened",
    ("steps/approach_notebooks.py", "runbook_command"): "test_what_00_recommends_works_in_order",
    ("steps/connection_checks.py", "allowlist_command"): "test_accounts_are_let_in_where_they_were_not",
}
"""The functions that build commands, and for each the test that runs what it prints."""

BUILDERS = ("commands.command", "commands.span", "commands.for_notebook")
SOURCES = sorted((project_root() / "runbook").rglob("*.py"))


def nodes(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield all nodes with the function that they are in; no docstrings."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        name = child.name if isinstance(child, ast.FunctionDef) else inside
        yield name, child
        yield from nodes(child, name)


def test_every_place_that_prints_a_command_has_its_test() -> None:
    found, by_hand = set(), []
    for file in SOURCES:
        name = file.relative_to(project_root() / "runbook").as_posix()
        for inside, node in nodes(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in BUILDERS:
                found.add((name, inside))
            if isinstance(node, ast.Constant) and commands._PRINTED.search(str(node.value)):
                by_hand.append(name)
    assert found == set(PLACES)
    assert set(PLACES.values()) <= set(globals())
    assert by_hand == ["sandbox/server.py"] * 2, "the sandbox knows nothing of the package; `runbook sandbox` it is"


def test_commands_are_known_by_their_verbs() -> None:
    assert set(commands.VERBS) == set(cli.commands)


# --- how they are typed ----------------------------------------------------------------------------------------------


def printed(text: str) -> list[str]:
    """Return all commands of ours in a text: code spans, and what stands at the end of a line."""
    spans = re.findall(r"`(runbook [^`]+)`", text)
    return spans or re.findall(rf"(?:^|: | {{2}})(runbook (?:{'|'.join(commands.VERBS)})\b.*)$", text, re.M)


@pytest.fixture
def type_line(runbook: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ended]:
    """Type a printed line as it stands, at a terminal, and agree to what is asked."""

    def type_(line: str) -> Ended:
        name, *words = shlex.split(line, comments=True)
        assert name == "runbook"
        monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
        return runbook(*words)

    return type_


Type = Callable[[str], Ended]


@pytest.fixture
def folder(runbook: Command, environment: Environment, tmp_path: Path) -> Path:
    """The run folder of a plan for two changes."""
    ended = runbook("plan", "05-bucket-policy", "--scenario", "encrypted-bucket", "--runs", str(tmp_path / "runs"))
    assert ended.status == 0, ended.said
    (found,) = (tmp_path / "runs").iterdir()
    return found


def procedure(environment: Environment, folder: Path, **given: Any) -> Procedure:
    step = make_step(BucketPolicyStep, "", given or {"buckets": ["b/uploads-b"]})
    return Procedure(step, environment, folder=str(folder), apply=True)


# --- plan, apply, undo -----------------------------------------------------------------------------------------------


def test_plan_then_apply_then_undo(runbook: Command, type_line: Type, environment: Environment, tmp_path: Path) -> None:
    before = policies(environment)
    words = ["-p", "buckets", "[b/uploads-b]", "--environment", "sandbox", "--runs", str(tmp_path / "my runs")]
    planned = runbook("plan", "05-bucket-policy", *words)
    (apply,) = printed(planned.out.partition("To make these changes")[2].partition("\n")[0])
    applied = type_line(apply)
    assert applied.status == 0, applied.said
    assert policies(environment) != before
    (undo,) = printed(applied.out.partition("To take it back")[2].partition("\n")[0])
    assert type_line(undo).status == 0
    assert policies(environment) == before


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def fail(*_: object) -> None:
    raise OSError("no")


@pytest.mark.parametrize("way", [interrupt, fail])
def test_an_apply_that_was_stopped_goes_on_and_is_undone(
    way: Callable[..., None],
    runbook: Command,
    type_line: Type,
    folder: Path,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = policies(environment)
    with monkeypatch.context() as stopped:
        stopped.setattr(BucketPolicy, "write", way)
        ended = runbook("apply", str(folder))
    assert ended.status == 1
    resume, undo = printed(ended.err)
    assert type_line(resume).status == 0
    assert policies(environment) != before
    assert type_line(undo).status == 0
    assert policies(environment) == before


def test_a_run_that_was_stopped_goes_on_and_is_undone(
    runbook: Command, type_line: Type, folder: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr(BucketPolicy, "write", interrupt)
        runbook("apply", str(folder))
    stopped_run = Execution("05-bucket-policy", "encrypted-bucket", folder, 1.0, {}, "Stopped.", "interrupted")
    resume, undo = printed(_stopped(stopped_run, kept=True))
    assert type_line(resume).status == 0
    assert type_line(undo).status == 0


def test_a_result_that_was_not_written_is_verified_and_undone(
    type_line: Type, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = policies(environment)
    made = procedure(environment, tmp_path / "run")
    plan = made.plan()
    run = made.apply(plan)

    def full(*_: object) -> None:
        raise FileError(tmp_path / "result.json", "cannot be written (No space left on device).")

    with monkeypatch.context() as disk:
        disk.setattr("runbook.procedure.record", full)
        with pytest.raises(Exception, match="The changes were made") as failure:
            made.verify(run)
    verify, undo = printed(str(failure.value))
    verified = type_line(verify)
    assert (verified.status, "Applied" in verified.out) == (0, True), verified.said
    assert type_line(undo).status == 0
    assert policies(environment) == before


def test_the_whole_plan_by_hand(type_line: Type, environment: Environment, tmp_path: Path) -> None:
    buckets = ["b/uploads-b", "b/website-uploads-b", "c/archive-c", "c/quarantine-c"]
    plan = procedure(environment, tmp_path / "run", buckets=buckets, mode="hardened").plan()
    (line,) = printed(by_hand(plan).to_markdown(most=1))
    ended = type_line(line)
    assert ended.status == 0, ended.said
    assert ended.out.count("aws s3api put-bucket-policy") == len(plan.changes) == 4
    assert all(f"--bucket {change.resource.name}" in ended.out for change in plan.changes)


# --- remedies --------------------------------------------------------------------------------------------------------


@pytest.fixture
def real(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment that is no sandbox, as far as anybody can tell, in a file with a blank in its name."""
    endpoint = environment.client("sts", environment.account_a).meta.endpoint_url
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret-only-for-the-sandbox-000000")
    text = (project_root() / "params/environments/sandbox.yaml").read_text()
    file = tmp_path / "our accounts.yaml"
    file.write_text(text.replace("sandbox: true", f"endpoint_url: {endpoint}"))
    return load_environment(str(file))


def test_accounts_are_let_in_where_they_were_not(type_line: Type, real: Environment) -> None:
    """On real accounts too: what is advised for these is done in these, and asks before."""
    account = real.account_id("d")
    (line,) = printed(allowlist_command(real, [account]))
    ended = type_line(line)
    assert ended.status == 0, ended.said
    question = (
        f"Make the changes of 1 run on real accounts? Environment {real.name}, bucketAV account {real.account_a}."
    )
    assert question in ended.out
    assert "sandbox" not in ended.out.splitlines()[-1]
    stack = real.client("cloudformation", real.account_a).describe_stacks(StackName="bucketav")["Stacks"][0]
    assert account in json.dumps(stack["Parameters"])


def test_a_source_that_is_not_scanned_is_opened(
    runbook: Command, type_line: Type, environment: Environment, tmp_path: Path
) -> None:
    words = ["plan", "04-add-ons", "--scenario", "source-bucket", "--runs", str(tmp_path)]
    found = [line for line in runbook(*words).out.splitlines() if "05-bucket-policy opens it" in line]
    for line in {line for text in found for line in printed(text)}:
        ended = type_line(line)
        assert ended.status == 0, ended.said
        applied = type_line(f"{line} --apply --runs {shlex.quote(str(tmp_path))}")
        assert applied.status == 0, applied.said
    assert found
    assert "05-bucket-policy opens it" not in runbook(*words).out


def test_what_the_credentials_need(type_line: Type, environment: Environment, tmp_path: Path) -> None:
    refused = [Refusal(environment.account_id("b"), "s3:GetBucketPolicy")]
    (check,) = about_refusals(environment, "05-bucket-policy", refused, [])
    (line,) = printed(check.remedy)
    assert json.loads(type_line(line).out).keys() == permissions("05-bucket-policy", "", until="undo").keys()


def test_what_follows_a_new_environment(type_line: Type, environment: Environment, tmp_path: Path) -> None:
    ended = type_line(f"{_next('sandbox', 'b')} --runs {shlex.quote(str(tmp_path))}")
    assert (ended.status, "Recommended: IAM role-based access" in ended.out) == (0, True), ended.said


def test_where_an_mfa_code_is_asked_for(type_line: Type, environment: Environment) -> None:
    error = Sessions(environment)._without_code("Enter MFA code for device: ", NoCode("Nobody can be asked."))
    (line,) = printed(str(error))
    ended = type_line(line)
    assert (ended.status, "✓ a (111111111111): reached as" in ended.out) == (0, True), ended.said


def test_a_notebook_without_a_plan_is_run(
    runbook: Command, type_line: Type, environment: Environment, tmp_path: Path
) -> None:
    refused = runbook("plan", "00-start-here", "-p", "accounts", "[b]", "--environment", "sandbox")
    assert refused.status == 2
    (line,) = printed(refused.err)
    assert "--environment sandbox -p accounts" in line
    ended = type_line(f"{line} --runs {shlex.quote(str(tmp_path))}")
    assert (ended.status, "Recommended: IAM role-based access" in ended.out) == (0, True), ended.said


def test_what_00_recommends_works_in_order(type_line: Type, environment: Environment) -> None:
    """The second one needs what the first has changed."""
    advice = start_here(environment="sandbox", accounts=["d"]).recommend()
    lines = printed(repr(advice))
    assert [line.split()[2] for line in lines] == ["01-allowlist", "02-iam-role"]
    assert lines == advice._repr_markdown_().partition("```sh\n")[2].partition("\n```")[0].splitlines()
    for line in lines:
        ended = type_line(line)
        assert ended.status == 0, ended.said
        assert "1 change made and verified" in ended.out
    again = start_here(environment="sandbox", accounts=["d"]).recommend()
    assert printed(repr(again)) == []


def test_what_00_recommends_works_with_papermill(environment: Environment, checkout: Checkout) -> None:
    """In the project's folder with the package's programs on the path, as in JupyterLab's terminal."""
    advice = start_here(environment="sandbox", accounts=["d"]).recommend()._repr_markdown_()
    programs = f"{checkout.environment['PATH']}:{checkout.folder / '.venv' / 'bin'}"
    sandbox = environment.client("sts", environment.account_a).meta.endpoint_url
    terminal = Checkout(checkout.folder, {"PATH": programs, "RUNBOOK_SANDBOX": sandbox})
    lines = [line for line in advice.splitlines() if line.startswith("papermill ")]
    assert len(lines) == 2
    for line in lines:
        ended = terminal.shell(line)
        assert ended.returncode == 0, ended.stderr
    assert printed(repr(start_here(environment="sandbox", accounts=["d"]).recommend())) == []


def test_what_keeps_a_sandbox_running(runbook: Command, environment: Environment) -> None:
    """Started in a shell of its own, it is found: `tests/test_running_sandbox.py`. Here it is running already."""
    advice = start_here(environment="sandbox", accounts=["d"]).recommend()._repr_markdown_()
    assert printed(KEEP_ONE_RUNNING) == ["runbook sandbox"]
    assert {"runbook lab", "runbook app", "runbook sandbox"} <= set(re.findall(r"`(runbook \w+)`", advice))
    ended = runbook("sandbox")
    assert (ended.status, "is running already" in ended.err) == (0, True)
    assert f"export RUNBOOK_SANDBOX={environment.client('sts', environment.account_a).meta.endpoint_url}" in ended.out


# --- batch, review ---------------------------------------------------------------------------------------------------


def test_a_batch_goes_on(runbook: Command, type_line: Type, environment: Environment, tmp_path: Path) -> None:
    fleet = tmp_path / "few buckets.yaml"
    fleet.write_text(
        "environment: sandbox\njobs: {legacy: {notebook: 05-bucket-policy, parameters: {buckets: [b/legacy-b]}}}\n"
    )
    ended = runbook("batch", str(fleet), "--apply", "--workers", "1", "--runs", str(tmp_path / "runs"))
    assert ended.status == 1, ended.said
    (line,) = printed(ended.out)
    assert line.endswith("--apply --workers 1")
    environment.client("s3", environment.account_id("b")).delete_bucket_policy(Bucket="legacy-b")
    resumed = type_line(line)
    assert resumed.status == 0, resumed.said
    assert "legacy-b" in (policies(environment)["arn:aws:s3:::legacy-b"] or "")


def test_the_whole_review(type_line: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The findings of a review have their own tests, and takes a minute."""
    written: list[Path] = []
    found = report.Review(())

    def write(_: report.Review, folder: Path) -> list[Path]:
        written.append(folder)
        return [folder]

    monkeypatch.setattr("runbook.review.command.review", lambda *_: found)
    monkeypatch.setattr("runbook.review.command.refuse_unusable", lambda _: None)
    monkeypatch.setattr("runbook.review.command.write", write)
    (line,) = printed(report._CUT)
    assert type_line(line).status == 0
    assert written == [Path("build/review").resolve()]


def test_the_scenarios_of_the_site(type_line: Type, environment: Environment) -> None:
    scenario = load_scenario("05-bucket-policy", "one-bucket")
    example = Example("05-bucket-policy", scenario, [("Plan", ""), ("Run", "")])  # type: ignore[arg-type]
    page = pages.scenario(example, "title", "yaml")
    ended = type_line(page.partition("```sh\n")[2].partition("\n")[0])
    assert (ended.status, "1 change made and verified" in ended.out) == (0, True), ended.said


def test_the_permissions_of_the_site(type_line: Type) -> None:
    policies_of, template = printed(pages.permissions_page())
    assert policies_of.split()[-1] in STEPS
    assert json.loads(type_line(policies_of).out)
    assert "AWS::IAM::Role" in type_line(template).out


# --- the shell they are printed in -----------------------------------------------------------------------------------


def test_a_command_is_printed_as_the_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "with blank" / "bin" / "runbook"
    script.parent.mkdir(parents=True)
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", os.defpath)
    text = "Go on: runbook apply x, or `runbook undo x`; a bucketav-runbook plan, runbook-run, the runbook runs."
    monkeypatch.chdir(tmp_path)
    shown = commands.runnable(text)
    assert shown == text.replace("runbook apply", "'with blank/bin/runbook' apply").replace(
        "`runbook", "`'with blank/bin/runbook'"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"'{script}' apply" in commands.runnable(text)
    monkeypatch.setenv("PATH", str(script.parent))
    assert commands.runnable(text) == text
    monkeypatch.setenv("PATH", os.defpath)
    commands.put_on_path()
    assert commands.runnable(text) == text


def test_a_saved_plan_holds_commands_as_data(folder: Path) -> None:
    """The same wherever it was made: a plan is compared with one that is made elsewhere."""
    assert str(Path(sys.executable).parent) not in Plan.load(folder).to_json()
