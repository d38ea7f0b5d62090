"""What tests of steps, and of the runs they make, share."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation
from runbook.environment import Environment, load_environment
from runbook.procedure import Procedure
from runbook.sandbox import clock
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.scenarios import make_step
from tests.steps.way import Through


@pytest.fixture
def quick_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks take a moment instead of a fifth of a second, and are looked at as often."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))


@pytest.fixture
def time_in_pauses(quick_stacks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the sandbox time passes only while the package waits, a twentieth of a second each time: however busy the
    machine is, what takes longer is seen under way.
    """
    passed = itertools.count(time.monotonic(), 0.05)
    present = [next(passed)]
    monkeypatch.setattr(clock, "now", lambda: present[0])

    def sleep(_: cloudformation.Pauses) -> None:
        present[0] = next(passed)

    monkeypatch.setattr(cloudformation.Pauses, "sleep", sleep)


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, **given: Any) -> Procedure:
        step = make_step(BucketPolicy, scenario, given)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, environment, scenario=scenario, apply=apply, folder=str(folder))

    return make


@pytest.fixture
def elsewhere(environment: Environment, tmp_path: Path) -> Callable[..., Environment]:
    """The sandbox with other settings of the environment file."""

    def make(*, without: str = "", **settings: Any) -> Environment:
        content = environment.file.model_dump(exclude_none=True) | settings
        content["accounts"] = {name: each for name, each in content["accounts"].items() if name != without}
        folder = tmp_path.with_name(f"{tmp_path.name}-environment")
        folder.mkdir(exist_ok=True)
        (folder / "other.yaml").write_text(json.dumps(content))
        return load_environment(str(folder / "other.yaml"))

    return make
