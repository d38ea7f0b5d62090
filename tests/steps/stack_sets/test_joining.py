"""Accounts that join a target: automatic deployment connects them, and no change takes out whom it does not know."""

import pytest

from runbook.aws.kinds import Report, Told
from runbook.aws.stack_instances import StackInstances
from runbook.aws.stack_set_operations import wait_until_idle
from runbook.aws.stack_sets import administrator_of
from runbook.checks import Status
from runbook.environment import Environment
from runbook.plan import Change
from runbook.run import ApplyFailed, StalePlan, undo
from tests.steps.stack_sets.world import (
    MANAGEMENT,
    NAME,
    SEALED,
    B,
    D,
    E,
    F,
    Through,
    answer,
    go,
    instances,
    organization_world,
    procedure_in,
    unseal,
)  # fmt: skip


def join_production(environment: Environment) -> None:
    """Move E into a target: automatic deployment connects it, and is through when this returns."""
    client = environment.client("organizations", MANAGEMENT)
    client.move_account(AccountId=E, SourceParentId="ou-examp-workload", DestinationParentId="ou-examp-production")
    administrator = administrator_of(environment, MANAGEMENT, environment.region)
    wait_until_idle(environment, administrator, NAME, lambda _: None)


def test_who_joins_a_target_right_before_the_write_stays_and_the_proof_holds(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F is added to an OU that is a target already, and taken out again by undo; E joins in the last moment."""
    go(procedure(targets=["Workloads/Production"], only_accounts=[B], allowlist_organization=True, apply=True))
    applying = procedure(targets=["Workloads/Production"], apply=True)
    plan = applying.plan()
    writing = StackInstances.write

    def late(kind: StackInstances, within: Environment, change: Change, report: Report) -> Told:
        if E not in instances(environment):
            join_production(environment)
        return writing(kind, within, change, report)

    monkeypatch.setattr(StackInstances, "write", late)
    checks = applying.verify(applying.apply(plan)).checks
    assert answer(checks, "The change is in place", Status.OK)
    assert instances(environment) == dict.fromkeys([B, E, F], "CURRENT")
    assert applying.folder
    undo(applying.folder, environment)
    assert instances(environment) == dict.fromkeys([B, E], "CURRENT"), "only who was connected by the run goes"


def test_who_joins_a_target_before_an_interrupted_run_goes_on_stays(
    procedure: Through, environment: Environment
) -> None:
    applying = procedure(
        targets=["Workloads/Regulated", "Workloads/Production"], allowlist_organization=True, apply=True
    )
    plan = applying.plan()
    with pytest.raises(ApplyFailed):
        applying.apply(plan)
    unseal(environment)
    join_production(environment)
    assert applying.folder
    again = procedure_in(applying.folder)
    again.verify(again.apply_saved(plan, lambda _: None))
    assert instances(environment) == dict.fromkeys([B, E, F, SEALED], "CURRENT")


def test_who_joins_a_target_between_plan_and_apply_stays_and_the_plan_is_out_of_date(
    procedure: Through, environment: Environment
) -> None:
    go(procedure("organizational-unit", apply=True))
    applying = procedure(targets=["organization"], only_accounts=[D], allowlist_organization=True, apply=True)
    plan = applying.plan()
    join_production(environment)
    with pytest.raises(StalePlan, match="nothing was changed"):
        applying.apply(plan)
    assert instances(environment) == dict.fromkeys([B, E, F], "CURRENT")


def test_an_outer_target_is_taken_back_and_the_inner_one_stays(procedure: Through, environment: Environment) -> None:
    """CloudFormation takes an OU out together with those inside it."""
    go(procedure("organizational-unit", apply=True, allowlist_organization=True))
    before = organization_world(environment)
    folder = go(procedure(targets=["Workloads"], except_accounts=[SEALED], apply=True))
    assert {*instances(environment)} == {B, E, F}
    undo(folder, environment)
    assert organization_world(environment) == before


def test_an_account_that_joins_later_is_connected_by_itself_and_the_plan_knows(
    procedure: Through, environment: Environment
) -> None:
    go(procedure("organizational-unit", apply=True))
    join_production(environment)
    assert procedure("organizational-unit").plan().changes == ()
    assert instances(environment) == dict.fromkeys([B, E, F], "CURRENT")


def test_an_account_that_joined_since_is_disconnected_with_the_others_by_undo(
    procedure: Through, environment: Environment
) -> None:
    before = organization_world(environment)
    folder = go(procedure("organizational-unit", apply=True))
    join_production(environment)
    assert procedure("organizational-unit").plan().changes == ()
    undo(folder, environment)
    assert organization_world(environment) == before
