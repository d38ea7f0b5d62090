"""The environment of a command, the question before it changes real accounts, and its last line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.sandbox import server
from tests.command import Command, Ended, Keyboard
from tests.world import policies

ONE = ("05-bucket-policy", "-p", "buckets", "[b/uploads-b]")
SIMULATED = "All of this was in the sandbox, a simulation on this machine: no AWS account was read or changed."


@pytest.fixture
def at_terminal(runbook: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Type `runbook …` at a terminal, and then the answer to what it asks."""

    def type_(answer: str, *words: str) -> Ended:
        monkeypatch.setattr(sys, "stdin", Keyboard(answer))
        return runbook(*words)

    return type_


AtTerminal = Callable[..., Ended]


@pytest.fixture
def real(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of an environment that is no sandbox, as far as anybody can tell."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.SECRET_ACCESS_KEY)
    endpoint = environment.client("sts", environment.account_a).meta.endpoint_url
    text = Path("params/environments/sandbox.yaml").read_text()
    file = tmp_path / "real.yaml"
    file.write_text(text.replace("sandbox: true", f"endpoint_url: {endpoint}"))
    return str(file)


@pytest.fixture
def fleet(real: str, tmp_path: Path) -> str:
    """A fleet of one job in it."""
    file = tmp_path / "fleet.yaml"
    job = "{notebook: 05-bucket-policy, parameters: {buckets: [b/uploads-b]}}"
    file.write_text(f"environment: {real}\njobs: {{open: {job}}}\n")
    return str(file)


# --- real accounts ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["run", "batch", "apply"])
def writing(request: pytest.FixtureRequest, runbook: Command, real: str, fleet: str, tmp_path: Path) -> list[str]:
    """A command that changes real accounts; nothing is changed yet."""
    runs = ["--runs", str(tmp_path / "runs")]
    if request.param == "run":
        return ["run", *ONE, "--environment", real, "--apply", *runs]
    if request.param == "batch":
        return ["batch", fleet, "--apply", "--workers", "1", *runs]
    assert runbook("plan", *ONE, "--environment", real, *runs).status == 0
    return ["apply", str(next((tmp_path / "runs").iterdir()))]


def test_what_changes_real_accounts_asks_first(
    writing: list[str], runbook: Command, at_terminal: AtTerminal, real: str, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    left = sorted(tmp_path.rglob("*"))
    alone = runbook(*writing)
    assert (alone.status, "because nobody can be asked here. To do it: add --yes." in alone.err) == (2, True), (
        alone.said
    )
    for answer in ("n\n", "\n", ""):
        declined = at_terminal(answer, *writing)
        assert (declined.status, f"{real}: nothing was changed" in declined.err) == (1, True), declined.said
    assert policies(environment) == before
    if writing[0] != "apply":  # which has checked, and kept what it found
        assert sorted(tmp_path.rglob("*")) == left, "nothing was begun"
    agreed = at_terminal("y\n", *writing)
    assert agreed.status == 0, agreed.said
    assert policies(environment) != before
    asked = "Make 1 change in 222222222222 (b)?" if writing[0] == "apply" else f"Environment {real}, bucketAV account 1"
    assert asked in agreed.out
    assert SIMULATED not in agreed.said


def test_yes_needs_nobody(writing: list[str], runbook: Command, environment: Environment) -> None:
    before = policies(environment)
    ended = runbook(*writing, "--yes")
    assert (ended.status, "[y/N]" in ended.out) == (0, False), ended.said
    assert policies(environment) != before


def test_a_batch_that_goes_on_asks_again(
    runbook: Command, at_terminal: AtTerminal, fleet: str, environment: Environment, tmp_path: Path
) -> None:
    ended = runbook("batch", fleet, "--apply", "--yes", "--workers", "1", "--runs", str(tmp_path / "runs"))
    assert ended.status == 0, ended.said
    (folder,) = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert runbook("batch", "--resume", str(folder), fleet, "--apply").status == 2
    assert at_terminal("n\n", "batch", "--resume", str(folder), fleet, "--apply").status == 1


def test_an_apply_that_nobody_agreed_to_leaves_no_trace_of_having_begun(
    runbook: Command, at_terminal: AtTerminal, real: str, environment: Environment, tmp_path: Path
) -> None:
    runbook("plan", *ONE, "--environment", real, "--runs", str(tmp_path / "runs"))
    (folder,) = (tmp_path / "runs").iterdir()
    at_terminal("n\n", "apply", str(folder))
    assert (folder / "journal.jsonl").read_text() == "", "held while somebody was asked, and nothing else"
    assert '"apply-failed"' not in (folder / "result.json").read_text()


# --- which environment -----------------------------------------------------------------------------------------------


def test_apply_without_a_terminal_needs_an_environment(
    runbook: Command, at_terminal: AtTerminal, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    (tmp_path / "fleet.yaml").write_text(
        "jobs: {open: {notebook: 05-bucket-policy, parameters: {buckets: [b/uploads-b]}}}\n"
    )
    runs = ["--runs", str(tmp_path / "runs")]
    for words, remedy in (
        (["run", *ONE, "--apply", *runs], "Add --environment NAME"),
        (["batch", str(tmp_path / "fleet.yaml"), "--apply", *runs], "Write `environment: NAME` into "),
    ):
        ended = runbook(*words)
        assert (ended.status, remedy in ended.err) == (2, True), ended.said
        assert "Nothing was changed." in ended.err
        assert runbook(*words, "--yes").status == 2, "it may be the wrong one all the same"
    assert policies(environment) == before
    assert not (tmp_path / "runs").exists()
    assert runbook("run", *ONE, *runs).status == 0, "a preview needs none"
    assert at_terminal("", "run", *ONE, "--apply", *runs).status == 0, "somebody reads the last line"
    assert policies(environment) != before


def test_the_variable_is_an_environment_that_was_named(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_ENVIRONMENT", "sandbox")
    assert runbook("run", *ONE, "--apply", "--runs", str(tmp_path)).status == 0
    monkeypatch.setenv("RUNBOOK_ENVIRONMENT", "sandbx")
    ended = runbook("run", *ONE, "--runs", str(tmp_path))
    assert (ended.status, "Did you mean `sandbox`?" in ended.err) == (2, True)
    assert "RUNBOOK_ENVIRONMENT" in ended.err, "nobody has typed it"
    assert runbook("run", *ONE, "--environment", "sandbox", "--runs", str(tmp_path)).status == 0


# --- the last line ---------------------------------------------------------------------------------------------------


def test_the_last_line_says_that_it_was_the_sandbox(runbook: Command, environment: Environment, tmp_path: Path) -> None:
    runs = ["--runs", str(tmp_path / "runs")]
    planned = runbook("plan", *ONE, *runs)
    (folder,) = (tmp_path / "runs").iterdir()
    (tmp_path / "fleet.csv").write_text("notebook,buckets\n05-bucket-policy,[b/uploads-b]\n")
    for ended in (
        planned,
        runbook("apply", str(folder)),
        runbook("undo", str(folder)),
        runbook("run", *ONE, *runs),
        runbook("batch", str(tmp_path / "fleet.csv"), "--workers", "1", *runs),
    ):
        assert ended.status == 0, ended.said
        assert ended.out.splitlines()[-1] == SIMULATED


def test_the_last_line_says_that_a_sandbox_of_its_own_is_gone(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.VARIABLE, server.PRIVATE)
    last = runbook("plan", *ONE, "--runs", str(tmp_path)).out.splitlines()[-1]
    assert last.startswith(f"{SIMULATED} Its sandbox is gone now.")
    assert "`runbook sandbox`" in last


@pytest.mark.parametrize("words", [("05-bucket-policy",), ("all",)])
def test_the_variable_says_whose_scenarios_are_meant(
    words: tuple[str, ...], real: str, runbook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_ENVIRONMENT", real)
    ended = runbook("run", *words)
    assert (ended.status, "has no saved scenarios, and the samples are for the sandbox" in ended.err) == (2, True)
