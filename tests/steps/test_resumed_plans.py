"""Runs of every step that stopped at any of their changes: planning again gives what is left, and the run goes on.

`runbook apply FOLDER` plans again and refuses what differs. What an interrupted run has made, or made in part, is no
difference: whatever stopped it, the same command goes on, and undo brings everything back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation, confirmation
from runbook.aws.kinds import kind_of
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Change, Plan
from runbook.procedure import Procedure
from runbook.progress import silent
from runbook.run import ApplyFailed, preview_undo, undo
from runbook.sandbox import clock
from runbook.steps import STEPS, findings_proof
from runbook.steps.scenarios import make_step
from tests.faults.ways import stored_policies

SCENARIOS = (
    ("01-allowlist", "one-account"),
    ("02-iam-role", "several-accounts"),
    ("02-iam-role", "newer-version"),
    ("02-iam-role", "disconnect"),
    ("03-stack-sets", "organizational-unit"),
    ("03-stack-sets", "newer-version"),
    ("03-stack-sets", "removal"),
    ("04-add-ons", "encrypted"),
    ("05-bucket-policy", "encrypted-bucket"),
    ("06-findings-topic", "encrypted-queue"),
    ("06-findings-topic", "removal"),
)
"""All kinds of resource in every combination that a step has: made, changed, and taken away."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it takes here."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(clock, "CUSTOM_RESOURCE_SECONDS", 0.1)
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.02)
    monkeypatch.setattr(clock, "DELETED_QUEUE_SECONDS", 0.0)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(confirmation, "GLANCE_SECONDS", 0.1)
    monkeypatch.setattr(confirmation, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(findings_proof, "TEST_SECONDS", 0.5)
    monkeypatch.setattr("runbook.progress.WORKERS", 1)


def _stopped(applying: Procedure, plan: Plan, last: Change, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply the plan, and fail right before, or right after, the write of one change. The later ones are not begun."""
    kinds = {type(kind_of(change.resource)) for change in plan.changes}

    def failing(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, environment: Environment, change: Change, report: Any) -> Any:
            reached = change.resource == last.resource
            if reached and when == "before":
                raise RuntimeError("stopped")
            told = write(self, environment, change, report)
            if reached:
                raise RuntimeError("stopped")
            return told

        return wrapped

    with monkeypatch.context() as patched:
        for kind in kinds:
            patched.setattr(kind, "write", failing(kind.write))
        with pytest.raises(ApplyFailed, match="stopped"):
            applying.apply(plan)


def _kind_changes(kinds: list[str], number: int) -> bool:
    return number == 0 or kinds[number] != kinds[number - 1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("notebook", "scenario"), SCENARIOS)
def test_a_run_that_stopped_at_any_change_goes_on_by_its_folder(
    notebook: str,
    scenario: str,
    when: str,
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    step = make_step(STEPS[notebook], scenario, {})
    before = stored_policies()
    plan = Procedure(step, environment, scenario=scenario).plan()
    kinds = [change.resource.kind for change in plan.changes]
    # One of neighbours of a kind stands for all, but for the last change.
    numbers = [number for number in range(len(kinds)) if number == len(kinds) - 1 or _kind_changes(kinds, number)]
    for number in numbers:
        with subtests.test(f"{when} change {number} of {len(kinds)}"):
            folder = tmp_path / f"run-{number}"
            applying = Procedure(step, environment, scenario=scenario, folder=str(folder))
            _stopped(applying, applying.plan(), plan.changes[number], when, monkeypatch)
            saved, shown = Plan.load(folder), list[Plan]()
            resuming = procedure_of(saved, folder, silent)
            resuming.verify(resuming.apply_saved(saved, shown.append))
            assert len(shown) == 1
            assert len(shown[0].changes) <= len(plan.changes)
            assert preview_undo(folder, environment).to_markdown()
            undo(folder, environment)
            assert stored_policies() == before
            assert Procedure(step, environment, scenario=scenario).plan() == plan, "the world is as it was"
