"""Whoever is killed, whatever changes and whoever else is on the machine: kernels go on or end as they should."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.kernels import forkserver, process
from runbook.parameters import project_root
from tests.kernels.kernels import forking_only, kernel

pytestmark = forking_only

MANY = 1000 if os.environ.get("RUNBOOK_FAULTS") == "all" else 25


def soon(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def server_pid() -> int:
    server: Any = forkserver._server
    return int(server._forkserver._forkserver_pid)


def test_a_kernel_that_is_killed_is_known_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with kernel() as running:
        known = running.manager.provisioner.process
        os.kill(running.pid, signal.SIGKILL)
        assert soon(lambda: known.poll() is not None)
        assert known.returncode == -signal.SIGKILL


def test_a_kernel_survives_its_forkserver_and_the_next_one_has_another() -> None:
    with kernel() as running:
        known, before = running.manager.provisioner.process, server_pid()
        os.kill(before, signal.SIGKILL)
        assert "2" in running.ask("print(1 + 1)")
        with kernel() as another:
            assert another.is_forked
            assert server_pid() != before
            assert "2" in running.ask("print(1 + 1)")
        running.manager.shutdown_kernel(now=True)
        assert known.returncode == process.UNKNOWN_STATUS


OWNER = """
import sys, time
from tests.kernels.kernels import kernel
with kernel() as running:
    assert running.is_forked
    print(running.pid, flush=True)
    time.sleep(60)
"""


def test_a_kernel_ends_with_its_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, cwd=project_root(), text=True)
    assert owner.stdout
    with owner.stdout:
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
        owner.wait()
    assert soon(lambda: not alive(pid), 3)


CHANGES = """
import pathlib, sys
from tests.kernels.kernels import kernel
import runbook.parameters as module
file = pathlib.Path(module.__file__)
with kernel() as running:
    assert running.is_forked
    print(running.ask("import runbook.parameters as p; print(p.__file__, hasattr(p, 'NEW'))").strip())
file.write_text(file.read_text() + "\\nNEW = 1\\n")
with kernel() as running:
    assert running.is_forked
    print(running.ask("import runbook.parameters as p; print(p.__file__, hasattr(p, 'NEW'))").strip())
"""


def test_no_kernel_runs_code_from_before_a_change(tmp_path: Path) -> None:
    for folder in ("runbook", "tests/kernels", "params", "notebooks"):
        shutil.copytree(project_root() / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", CHANGES], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    where = str(tmp_path / "runbook" / "parameters.py")
    assert told == [where, "False", where, "True"]


SOMEBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


def test_nobody_else_on_the_machine_can_ask_for_a_kernel() -> None:
    forkserver.start()
    server: Any = forkserver._server
    address = Path(server._forkserver._forkserver_address)
    assert address.parent.stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        told = subprocess.run(
            [sys.executable, "-c", SOMEBODY, str(address)], check=False, capture_output=True, text=True
        )
        assert "PermissionError" in told.stderr


def test_many_kernels_leave_nothing_behind() -> None:
    def open_files(pid: int | str) -> int:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())

    with kernel():
        pass
    before = (open_files("self"), open_files(server_pid()), len(process.ForkedProcess.living))
    for _ in range(MANY):
        with kernel() as running:
            assert running.is_forked
    after = (open_files("self"), open_files(server_pid()), len(process.ForkedProcess.living))
    assert after[1] <= before[1] + 1
    assert after[0] <= before[0] + 3
    assert after[2] <= 1
    assert not Path(f"/proc/{server_pid()}/task/{server_pid()}/children").read_text().split()


@pytest.mark.parametrize(
    "options",
    [{"warm": False}, {"env": {"PYTHONHASHSEED": "7"}}, {"env": {"LC_ALL": "C"}}, {"stdout": subprocess.DEVNULL}],
)
def test_what_cannot_be_forked_is_started(options: dict[str, Any]) -> None:
    with kernel(**options) as running:
        assert not running.is_forked
        assert "2" in running.ask("print(1 + 1)")
