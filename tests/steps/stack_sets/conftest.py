"""The stack set step in the sandbox, whose stacks take a moment only."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.environment import Environment, load_environment
from runbook.procedure import Procedure
from runbook.progress import silent
from runbook.steps.scenarios import make_step
from runbook.steps.stack_sets import StackSets
from tests.steps.stack_sets.world import Elsewhere, Through


@pytest.fixture(autouse=True)
def _quick(quick_stacks: None) -> None:
    """Every test here makes stacks."""


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own. `told` gets what goes on."""

    def make(
        scenario: str = "",
        *,
        apply: bool = False,
        within: Environment = environment,
        told: list[str] | None = None,
        **given: Any,
    ) -> Procedure:
        step = make_step(StackSets, scenario, given)
        step.examine(within)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        progress = silent if told is None else lambda _done, _of, what: told.append(what)
        return Procedure(step, within, scenario=scenario, apply=apply, folder=str(folder), progress=progress)

    return make


@pytest.fixture
def elsewhere(environment: Environment, tmp_path: Path) -> Elsewhere:
    """The sandbox with other settings of the environment file."""

    def make(*, without: str = "", **settings: Any) -> Environment:
        content = environment.file.model_dump(exclude_none=True) | settings
        content["accounts"] = {name: each for name, each in content["accounts"].items() if name != without}
        folder = tmp_path.with_name(f"{tmp_path.name}-environment")
        folder.mkdir(exist_ok=True)
        (folder / "other.yaml").write_text(json.dumps(content))
        return load_environment(str(folder / "other.yaml"))

    return make
