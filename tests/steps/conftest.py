"""What tests of steps, and of the runs they make, share."""

from pathlib import Path
from typing import Any

import pytest

from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.scenarios import make_step
from tests.steps.way import Through


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, **given: Any) -> Procedure:
        step = make_step(BucketPolicy, scenario, given)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, environment, scenario=scenario, apply=apply, folder=str(folder))

    return make
