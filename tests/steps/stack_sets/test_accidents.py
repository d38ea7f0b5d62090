"""Lost answers and interruptions on the way of a stack set: nothing is begun twice, and a run goes on or goes back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook.aws import stack_set_operations
from runbook.aws.kinds import Report, Told
from runbook.aws.stack_set_definition import StackSetDefinition, create_arguments
from runbook.aws.stack_sets import administrator_of, read_instances
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Change, Plan
from runbook.run import ApplyFailed, undo
from tests.faults.rules import Call, Fault
from tests.steps.stack_sets.world import MANAGEMENT, NAME, B, F, Through, go, organization_world

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

CHANGING = ("CreateStackSet", "CreateStackInstances", "UpdateStackSet", "DeleteStackInstances", "DeleteStackSet")


@dataclass(frozen=True)
class FirstReplyLost:
    """The first attempt at every call that changes a stack set is carried out, and its answer is lost."""

    def fault(self, call: Call, attempt: int) -> Fault | None:
        return Fault.REPLY_LOST if call.operation in CHANGING and attempt == 1 else None


def operations(environment: Environment) -> list[str]:
    client = environment.client("cloudformation", MANAGEMENT)
    found = client.list_stack_set_operations(StackSetName=NAME)["Summaries"]
    return [each["Action"] for each in found]


@pytest.mark.parametrize("scenario", ["organizational-unit", "newer-version", "removal"])
def test_a_lost_answer_does_no_harm(
    scenario: str, procedure: Through, environment: Environment, faults: "Middleware"
) -> None:
    before = organization_world(environment)
    applying = procedure(scenario, apply=True)
    with faults.watching(FirstReplyLost()) as seen:
        folder = go(applying)
    assert seen.met[Fault.REPLY_LOST] >= 1
    if scenario == "organizational-unit":
        assert operations(environment) == ["CREATE"], "it was begun once"
    undo(folder, environment)
    assert organization_world(environment) == before


def interrupted(procedure: Through, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that somebody stops while an operation is being followed."""
    applying = procedure("organizational-unit", apply=True)
    plan = applying.plan()

    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stack_set_operations, "progress_line", stop)
        with pytest.raises(KeyboardInterrupt):
            applying.apply(plan)
    assert applying.folder
    return applying.folder


@pytest.mark.parametrize("way_out", ["goes on", "taken back"])
def test_an_interrupted_run_goes_on_or_is_taken_back(
    way_out: str, procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation goes on by itself, and is waited for by whoever looks next."""
    before = organization_world(environment)
    folder = interrupted(procedure, monkeypatch)
    if way_out == "goes on":
        again = procedure_of(Plan.load(folder), folder, lambda *_: None)
        again.verify(again.apply_saved(Plan.load(folder), lambda _: None))
        administrator = administrator_of(environment, MANAGEMENT, environment.region)
        assert {each.account for each in read_instances(environment, administrator, NAME) if each.current} == {B, F}
        assert operations(environment) == ["CREATE"], "it was begun once"
    undo(folder, environment)
    assert organization_world(environment) == before


def test_a_stack_set_that_somebody_makes_right_before_the_write_is_not_overwritten(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are quicker, after the last look of the run and before that of the write."""
    applying = procedure("organizational-unit", apply=True)
    plan = applying.plan()
    theirs = json.loads(plan.changes[-2].after or "")
    theirs["Parameters"]["S3BucketRestriction"] = "arn:aws:s3:::theirs"
    writing = StackSetDefinition.write
    client = environment.client("cloudformation", MANAGEMENT)

    def late(kind: StackSetDefinition, within: Environment, change: Change, report: Report) -> Told:
        client.create_stack_set(StackSetName=NAME, **create_arguments(theirs))
        return writing(kind, within, change, report)

    monkeypatch.setattr(StackSetDefinition, "write", late)
    with pytest.raises(ApplyFailed, match="was made or changed by somebody else meanwhile, and was left as it is"):
        applying.apply(plan)
    shown = client.describe_stack_set(StackSetName=NAME)["StackSet"]["Parameters"]
    assert "arn:aws:s3:::theirs" in [each["ParameterValue"] for each in shown]
