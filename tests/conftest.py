"""What tests share: nothing of this machine's AWS settings, one sandbox for all, and the seeded world anew for each."""

import os
from collections.abc import Iterator

import pytest

from runbook.environment import Environment, load_environment
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox


@pytest.fixture(scope="session", autouse=True)
def _no_aws_environment() -> Iterator[None]:
    """Whatever the machine has set does not count."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith("AWS_") or name == server.VARIABLE:
                environment.delenv(name)
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield


@pytest.fixture(scope="session")
def _server() -> Iterator[Sandbox]:
    yield server.start()
    server.stop()


@pytest.fixture
def sandbox(_server: Sandbox) -> Sandbox:
    """The running sandbox, freshly seeded."""
    server.reset()
    return _server


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The sandbox as notebooks and commands see it, in this process and in every kernel that a test starts."""
    monkeypatch.setenv(server.VARIABLE, sandbox.endpoint_url)
    return load_environment("sandbox")
