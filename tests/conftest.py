"""What tests share: nothing of this machine's AWS settings, one sandbox for all, and the seeded world anew for each."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbook.environment import Environment, load_environment
from runbook.jobs import ENVIRONMENT_VARIABLE
from runbook.parameters import project_root
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.checkout import Checkout
from tests.command import Command, Ended

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware


@pytest.fixture(scope="session", autouse=True)
def _no_aws_environment() -> Iterator[None]:
    """Whatever the machine has set does not count."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith("AWS_") or name == ENVIRONMENT_VARIABLE:
                environment.delenv(name)
        environment.setenv(server.VARIABLE, server.PRIVATE)
        environment.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield


@pytest.fixture(scope="session")
def _doors() -> "Iterator[tuple[Sandbox, Middleware]]":
    """The sandbox, and what stands in front of it: transparent unless a test lets calls go wrong."""
    made: list[Middleware] = []

    def wrap(application: Any) -> "Middleware":
        # moto takes a second to import, and the sandbox imports it in a way of its own.
        from tests.faults.middleware import Middleware

        made.append(Middleware(application))
        return made[0]

    sandbox = server.start(wrap=wrap)
    gc.collect()
    gc.freeze()  # moto stays until the end: every collection of garbage would go through all of it
    yield sandbox, made[0]
    server.stop()


@pytest.fixture
def sandbox(_doors: "tuple[Sandbox, Middleware]") -> Sandbox:
    """The running sandbox, freshly seeded."""
    running, faults = _doors
    faults.lift()
    server.reset()
    return running


@pytest.fixture
def faults(sandbox: Sandbox, _doors: "tuple[Sandbox, Middleware]") -> "Middleware":
    """What can let calls to the sandbox go wrong."""
    return _doors[1]


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The sandbox as notebooks and commands see it, in this process and in every kernel that a test starts."""
    monkeypatch.setenv(server.VARIABLE, sandbox.endpoint_url)
    return load_environment("sandbox")


@pytest.fixture
def time_by_calls(_doors: "tuple[Sandbox, Middleware]", monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time passes in the sandbox with each call that comes in, and with nothing else: whoever looks at a stack that is
    being updated sees the same thing every time, in this process and in others. Nobody waits."""
    from runbook.sandbox import clock
    from tests.faults.ways import no_waiting

    monkeypatch.setattr(clock, "now", _doors[1].moment)
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 4)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 2)
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.0)
    with no_waiting():
        yield


@pytest.fixture(scope="session")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The review's site, built once, in a process of its own as `make site` does it; warnings would end it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "tests.site", str(folder)]
    made = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout + made.stderr == ""
    return folder


@pytest.fixture
def runbook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Type `runbook …` and see how it ends; a traceback is an exception here."""
    from runbook.cli import main

    def type_(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["runbook", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(ended.value.code or 0, captured.out, captured.err)

    return type_


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of the project, with shells in it."""
    return Checkout.make(tmp_path / "checkout")
