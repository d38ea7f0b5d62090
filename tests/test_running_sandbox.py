"""The sandbox that is running for this project, found by commands in other shells; and whose file is believed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook import commands, running_sandbox
from runbook.frontends import lab
from runbook.parameters import ParameterError, project_root
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.checkout import Checkout

SCRIPT = ".venv/bin/runbook"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that nothing is running in."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def announced(sandbox: Sandbox, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the sandbox of this process, which other processes of the project would read."""
    monkeypatch.setattr("runbook.running_sandbox.project_root", lambda: project)
    monkeypatch.delenv(server.VARIABLE)
    with running_sandbox.announced(sandbox):
        yield project / ".runbook" / "sandbox.json"


# --- the file --------------------------------------------------------------------------------------------------------


def test_it_is_found_while_it_runs_and_not_afterwards(
    sandbox: Sandbox, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.running_sandbox.project_root", lambda: project)
    monkeypatch.delenv(server.VARIABLE)
    assert running_sandbox.find() is None
    with running_sandbox.announced(sandbox):
        assert running_sandbox.find() == sandbox
        file = project / ".runbook" / "sandbox.json"
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert running_sandbox.find() is None
    assert not file.exists()


def test_a_process_that_has_a_sandbox_works_in_its_own(announced: Path, sandbox: Sandbox) -> None:
    """Whatever somebody has opened meanwhile: what watches permissions starts its own, for example."""
    announced.write_text(announced.read_text().replace(sandbox.endpoint_url, "http://127.0.0.1:1"))
    assert running_sandbox.find() is None
    assert running_sandbox.find_or_start() == sandbox


def test_the_variable_wins_and_private_looks_for_none(announced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.VARIABLE, server.PRIVATE)
    assert running_sandbox.find() is None
    monkeypatch.setenv(server.VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(server.SandboxError, match="no sandbox answers there"):
        running_sandbox.find()


def opened_to_others(file: Path) -> None:
    file.chmod(0o644)


def folder_opened_to_others(file: Path) -> None:
    file.parent.chmod(0o770)


def a_link(file: Path) -> None:
    file.rename(file.with_name("other.json"))
    file.symlink_to("other.json")


def of_a_sandbox_that_has_ended(file: Path) -> None:
    file.write_text(json.dumps({"endpoint_url": "http://127.0.0.1:1", "instance": "x"}))


def of_an_earlier_one_at_the_same_port(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"instance": "0" * 32}))


def leading_elsewhere(file: Path) -> None:
    file.write_text(file.read_text().replace("127.0.0.1", "localhost.example"))


def damaged(file: Path) -> None:
    file.write_text("[")


def of_other_types(file: Path) -> None:
    file.write_text('{"endpoint_url": 5, "instance": null}')


@pytest.mark.parametrize(
    "become",
    [
        opened_to_others, folder_opened_to_others, a_link, of_a_sandbox_that_has_ended, leading_elsewhere, damaged,
        of_an_earlier_one_at_the_same_port, of_other_types,
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_no_sandbox(become: Callable[[Path], None], announced: Path) -> None:
    assert running_sandbox.find() is not None
    become(announced)
    assert running_sandbox.find() is None


def test_another_user_s_file_is_not_believed(announced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: announced.stat().st_uid + 1)
    assert running_sandbox.find() is None


def test_nothing_is_announced_in_a_folder_that_others_can_write(
    sandbox: Sandbox, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.running_sandbox.project_root", lambda: project)
    (project / ".runbook").mkdir()
    (project / ".runbook").chmod(0o777)
    with pytest.raises(ParameterError, match="can be written by others"), running_sandbox.announced(sandbox):
        pytest.fail("it was announced")


# --- several shells --------------------------------------------------------------------------------------------------


def test_a_live_sandbox_is_found_from_other_shells_and_what_is_printed_runs_there(checkout: Checkout) -> None:
    with checkout.sandbox() as (process, exports):
        planned = checkout.shell(f"{SCRIPT} plan 05-bucket-policy --scenario one-bucket")
        (apply,) = lines(planned.stdout, "To make these changes: ")
        assert apply.startswith(f"{SCRIPT} apply runs/")
        assert planned.stdout.splitlines()[-1].startswith("All of this was in the sandbox, a simulation")
        applied = checkout.shell(apply)
        assert applied.returncode == 0, applied.stderr
        (undo,) = lines(applied.stdout.partition("To take it back")[2], ": ")
        undone = checkout.shell(undo)
        assert (undone.returncode, "put back as it was" in undone.stdout) == (0, True), undone.stderr
        again = checkout.shell(f"{SCRIPT} sandbox")
        assert (again.returncode, again.stdout) == (0, exports), "there is one to share"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    gone = checkout.shell(undo)
    assert (gone.returncode, "was a run in a sandbox that is gone" in gone.stderr) == (2, True)
    assert f"keep one running: `{SCRIPT} sandbox`" in gone.stderr
    assert list((checkout.folder / ".runbook").iterdir()) == []


def test_a_sandbox_that_was_killed_is_not_found(checkout: Checkout) -> None:
    with checkout.sandbox() as (process, _):
        process.kill()
        process.wait(timeout=20)
        assert (checkout.folder / ".runbook" / "sandbox.json").exists()
        ended = checkout.shell(f"{SCRIPT} plan 05-bucket-policy --scenario one-bucket")
    assert ended.returncode == 0, ended.stderr
    assert "Its sandbox is gone now." in ended.stdout.splitlines()[-1]


def test_jupyterlab_s_terminal_has_the_command_and_begins_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("SHELL", "sh")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    commands.put_on_path()
    terminal = subprocess.run(
        lab.terminal(), input="pwd; runbook --version", cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert terminal.stdout.splitlines()[0] == str(project_root())
    assert terminal.stdout.splitlines()[1].startswith("runbook, version ")


def lines(text: str, before: str) -> list[str]:
    """Return what stands after some words in the first line that has them."""
    return [line.partition(before)[2].strip("`") for line in text.splitlines() if before in line][:1]
