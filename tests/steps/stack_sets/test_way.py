"""Connecting many accounts by a stack set in the sandbox: planned, made, proved, changed, and taken back."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.aws.connections import read_connections
from runbook.aws.stack_sets import administrator_of, read_stack_set
from runbook.checks import ChecksFailed, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.plan import Plan
from runbook.run import ApplyFailed, undo
from runbook.steps.scenarios import scenario_names
from runbook.steps.stack_sets_requests import planned_calls
from tests.steps.stack_sets.world import (
    MANAGEMENT,
    NAME,
    PILOT,
    PILOT_SET,
    ROLE,
    SEALED,
    A,
    B,
    C,
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


def connected(environment: Environment) -> dict[str, str]:
    """The accounts in bucketAV's table, and what their stack is called."""
    return {each.account: each.stack_name.raw for each in read_connections(environment)}


# --- the way through -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", scenario_names("03-stack-sets"))
def test_every_scenario_applies_once_and_is_taken_back(
    scenario: str, procedure: Through, environment: Environment
) -> None:
    before = organization_world(environment)
    folder = go(procedure(scenario, apply=True))
    after = organization_world(environment)
    assert after != before
    assert procedure(scenario).plan().changes == ()
    undo(folder, environment)
    assert organization_world(environment) == before


def test_all_scenarios_go_through_one_after_the_other(procedure: Through, environment: Environment) -> None:
    for scenario in scenario_names("03-stack-sets"):
        go(procedure(scenario, apply=True))
    assert {*connected(environment)} == {B, C, D, E, F}, "the pilot's stack set was deleted in the end"


def test_the_organization_without_account_a_the_management_account_and_who_is_connected(
    procedure: Through, environment: Environment
) -> None:
    go(procedure("organization", apply=True))
    assert instances(environment) == dict.fromkeys([B, D, E, F], "CURRENT")
    assert {*connected(environment)} == {B, C, D, E, F, PILOT}
    assert connected(environment)[C] == "bucketav-account-connection", "it keeps its own"


def test_a_delegated_administrator_says_so_and_the_filter_keeps_others_out(
    procedure: Through, environment: Environment
) -> None:
    plan = procedure("delegated-administrator").plan()
    after = json.loads(plan.changes[-1].after or "{}")
    assert after["CallAs"] == "DELEGATED_ADMIN"
    assert after["Filter"] == {"AccountFilterType": "INTERSECTION", "Accounts": [E]}
    go(procedure("delegated-administrator", apply=True))
    assert instances(environment) == {E: "CURRENT"}


def test_a_newer_version_reaches_every_instance(procedure: Through, environment: Environment) -> None:
    def versions() -> dict[str, str]:
        return {each.account: each.stack_version.raw for each in read_connections(environment)}

    assert versions()[PILOT] == "1.0.0"
    go(procedure("newer-version", apply=True))
    assert versions()[PILOT] == "2.0.0"


def test_parameters_of_a_stack_set_are_changed_and_others_stay(procedure: Through, environment: Environment) -> None:
    buckets = "arn:aws:s3:::uploads-b,arn:aws:s3:::documents-b"
    go(procedure("organizational-unit", apply=True, template_parameters={"S3BucketRestriction": buckets}))
    changed = procedure(
        targets=["Workloads/Production"], template_parameters={"KMSKeyRestriction": "arn:aws:kms:*:*:key/x"}
    )
    (change,) = changed.plan().changes
    assert change.summary == f"update stack set `{NAME}` (parameters) in 2 accounts"
    found = answer(changed.check(), "The stack set that is there can be used", Status.OK)
    assert "parameters that differ: KMSKeyRestriction `*` → `arn:aws:kms:*:*:key/x`." in found
    go(changed)
    administrator = administrator_of(environment, MANAGEMENT, environment.region)
    stack_set = read_stack_set(environment, administrator, NAME)
    assert stack_set
    assert stack_set.parameters["S3BucketRestriction"] == buckets, "what was set before is kept"
    role = environment.client("iam", B).get_role_policy(RoleName=ROLE, PolicyName="scan")
    assert "arn:aws:kms:*:*:key/x" in json.dumps(role["PolicyDocument"])


def test_an_organizational_unit_is_taken_out_and_all_is_deleted_in_order(
    procedure: Through, environment: Environment
) -> None:
    go(procedure(targets=["Workloads/Production", "Pilot"], allowlist_organization=True, apply=True))
    assert {*instances(environment)} == {B, F}
    go(procedure(targets=["Workloads"], except_accounts=[SEALED], apply=True))
    assert {*instances(environment)} == {B, E, F}, "who is in already stays with the OU it came with"
    removing = procedure(remove_targets=["Workloads/Production"], apply=True)
    (change,) = removing.plan().changes
    assert change.summary == "disconnect 2 accounts"
    go(removing)
    assert {*instances(environment)} == {E}
    deleting = procedure(delete=True, apply=True)
    kinds = [change.resource.kind for change in deleting.plan().changes]
    assert kinds == ["cloudformation.stack-instances", "cloudformation.stack-set"]
    folder = go(deleting)
    assert {*connected(environment)} == {C, PILOT}
    undo(folder, environment)
    assert {*instances(environment)} == {E}


def test_part_of_a_target_can_be_taken_out(procedure: Through, environment: Environment) -> None:
    go(procedure(targets=["organization"], except_accounts=[SEALED], allowlist_organization=True, apply=True))
    removing = procedure(remove_targets=["Workloads/Production"], apply=True)
    found = answer(removing.check(), "What is taken out is known", Status.WARNING)
    assert "2 accounts of it are connected as part of `organization`, which stays a target" in found
    folder = go(removing)
    assert {*instances(environment)} == {D, E}
    undo(folder, environment)
    assert {*instances(environment)} == {B, D, E, F}


def test_an_organizational_unit_with_nobody_to_connect_becomes_a_target_for_those_who_join(
    procedure: Through, environment: Environment
) -> None:
    """Once with no account in it, once with one that is left out; the stack set is new for the first of them."""
    organizations = environment.client("organizations", MANAGEMENT)
    empty = organizations.create_organizational_unit(ParentId="r-examp", Name="Empty")["OrganizationalUnit"]["Id"]
    world = organization_world(environment)
    folders = []
    for target, unit, excluded in (("Empty", empty, []), ("Pilot", "ou-examp-pilotunit", [PILOT])):
        applying = procedure(targets=[target], allowlist_organization=True, apply=True)
        plan = applying.plan()
        assert f"{target}: nobody is to be connected there now. It becomes a target all the same" in str(plan.notes)
        assert plan.changes[-1].summary == f"deploy to `{target}` for accounts to come"
        assert f"- **{target}** `{unit}` (target)" in plan.overview
        wanted = {"AccountFilterType": "DIFFERENCE", "Accounts": excluded} if excluded else {}
        (call,) = [each for each in planned_calls(plan.changes) if each.operation == "CreateStackInstances"]
        assert call.arguments["DeploymentTargets"] == {"OrganizationalUnitIds": [unit], **wanted}
        folders.append(go(applying))
        assert procedure(targets=[target]).plan().changes == (), "it is not planned again"
    cloudformation = environment.client("cloudformation", MANAGEMENT)
    there = cloudformation.list_stack_set_auto_deployment_targets(StackSetName=NAME)["Summaries"]
    assert {each["OrganizationalUnitId"] for each in there} == {empty, "ou-examp-pilotunit"}
    organizations.move_account(AccountId=E, SourceParentId="ou-examp-workload", DestinationParentId=empty)
    assert procedure(targets=["Empty"]).plan().changes == ()
    assert instances(environment) == {E: "CURRENT"}
    for folder in reversed(folders):
        undo(folder, environment)
    assert organization_world(environment) == world


def test_what_a_target_covers_or_only_accounts_leave_out_is_no_target_of_its_own(procedure: Through) -> None:
    asked = procedure(targets=["Pilot", "Workloads/Production"], only_accounts=[B]).plan()
    assert "Pilot: none of `only_accounts` is to be connected there" in str(asked.notes)
    assert json.loads(asked.changes[-1].after or "")["UpToDate"] == {"ou-examp-production": [B]}
    go(procedure(targets=["Workloads"], except_accounts=[SEALED], allowlist_organization=True, apply=True))
    covered = procedure(targets=["Workloads/Production"]).plan()
    assert covered.changes == ()
    assert "Workloads/Production: within Workloads, which is a target already and covers it." in covered.notes


# --- the plan --------------------------------------------------------------------------------------------------------


def test_the_overview_shows_every_account_and_why(procedure: Through) -> None:
    plan = procedure("organization").plan()
    shown = plan.overview
    assert "Of 10 accounts: 4 will be connected, 2 connected in another way, 2 left out, 2 not covered." in shown
    assert "- **organization** `r-examp` (target)" in shown
    assert f"      - + {B} (uploads): will be connected" in shown
    assert f"- = {C} (archive): connected in another way: by a stack of its own, `bucketav-account-connection`" in shown
    assert f"- = {PILOT} (pilot): connected in another way: by another stack set, `{PILOT_SET}`, version 1.0.0" in shown
    assert f"- · {A} (antivirus): left out: it runs bucketAV" in shown
    assert f"- · {SEALED} (sealed): left out: by `except_accounts`" in shown
    assert f"- · {MANAGEMENT} (management): not covered: the management account gets nothing from a stack set" in shown
    assert "(dormant): not covered: suspended" in shown
    assert "3. CreateStackSet, from account 999999999999" in shown
    assert '"AccountFilterType": "DIFFERENCE"' in shown
    assert f"**Role `{ROLE}`**, as account 222222222222 would have it." in shown


def test_the_overview_is_part_of_the_plan_and_of_its_fingerprint(procedure: Through, tmp_path: Path) -> None:
    plan = procedure("organizational-unit").plan()
    assert Plan.from_json(plan.to_json(), "plan.json") == plan
    assert plan.overview in plan.to_markdown()
    assert plan.model_copy(update={"overview": "another"}).fingerprint != plan.fingerprint
    edited = plan.to_json().replace("will be connected", "will not be connected", 1)
    with pytest.raises(ParameterError, match="does not match its fingerprint"):
        Plan.from_json(edited, "plan.json")


def test_planning_and_checking_write_nothing(procedure: Through, environment: Environment) -> None:
    before = organization_world(environment)
    looking = procedure("organization")
    looking.check()
    looking.verify(looking.preview(looking.plan()))
    assert organization_world(environment) == before


def test_drift_is_looked_for_only_on_request_and_found(procedure: Through, environment: Environment) -> None:
    go(procedure("organizational-unit", apply=True))
    looking = procedure("organizational-unit")
    checks = looking.verify(looking.apply(looking.plan())).checks
    assert "Drift was never looked for." in answer(checks, "The stacks are as their template says", Status.OK)
    iam = environment.client("iam", B)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=ROLE, PolicyName="more", PolicyDocument=json.dumps(policy))
    looking = procedure("organizational-unit", detect_drift=True)
    checks = looking.verify(looking.apply(looking.plan())).checks
    found = answer(checks, "The stacks are as their template says", Status.WARNING)
    assert found.startswith(f"{B} (uploads): Somebody has changed what its stack made (DRIFTED).")
    assert "looked for drift in 2 accounts" in answer(checks, "Drift was looked for", Status.OK)


@pytest.mark.parametrize("applied", [False, True], ids=["preview", "apply"])
def test_only_the_scan_role_with_the_external_id_gets_in(applied: bool, procedure: Through) -> None:
    looking = procedure("organizational-unit", apply=applied)
    plan = looking.plan()
    verification = looking.verify(looking.apply(plan) if applied else looking.preview(plan))
    assert verification.access.not_as_wanted == ()
    assert {row.resource.partition("/")[0] for row in verification.access.rows if "/" in row.resource} == {B, F}
    entering = [row for row in verification.access.rows if row.action == "sts:AssumeRole with the ExternalId"]
    assert [row.granted for row in entering].count(True) == 2
    assert all(row.before.verdict == "denied" for row in entering)
    would = "gets" if applied else "would get"
    found = answer(verification.checks, f"Only the scan role, with the ExternalId, {would} in", Status.OK)
    assert f"{B} (uploads): Yes. Refused without it" in found


def test_of_many_accounts_some_are_looked_into_and_the_others_told(procedure: Through) -> None:
    looking = procedure("organization")
    checks = looking.verify(looking.preview(looking.plan())).checks
    found = answer(checks, "Who gets in, and what the role opens, is worked out", Status.OK)
    assert found == f"{NAME}: In 3 accounts; 1 more account with a role from the same template."


# --- what fails ------------------------------------------------------------------------------------------------------


def test_an_account_that_fails_is_told_with_the_reason_and_is_tried_again_alone(
    procedure: Through, environment: Environment
) -> None:
    """The sealed account's control policy denies the role; a policy can be changed."""
    applying = procedure(
        targets=["Workloads/Regulated", "Workloads/Production"], allowlist_organization=True, apply=True
    )
    plan = applying.plan()
    found = answer(applying.check(), "The organization's policies let the role be made", Status.WARNING)
    assert found.startswith(f"{SEALED} (sealed): Its stack would fail: ")
    with pytest.raises(ApplyFailed) as failed:
        applying.apply(plan)
    assert "connected in 2 of 3 accounts." in str(failed.value)
    assert f"- {SEALED} (sealed) failed: ResourceLogicalId:Role" in str(failed.value)
    assert "Likely: a service control policy of the organization forbids it there." in str(failed.value)
    assert "The change was made in part." in str(failed.value)
    unseal(environment)
    assert applying.folder
    again = procedure_in(applying.folder)
    told = again.apply_saved(plan, lambda _: None).told
    assert [line for line in told if "connected in 1 account " in line], told
    assert instances(environment) == dict.fromkeys([B, F, SEALED], "CURRENT")


def test_a_new_plan_tries_only_the_failed_account_again(procedure: Through, environment: Environment) -> None:
    given: dict[str, Any] = {"targets": ["Workloads/Regulated", "Workloads/Production"], "apply": True}
    applying = procedure(allowlist_organization=True, **given)
    with pytest.raises(ApplyFailed):
        applying.apply(applying.plan())
    unseal(environment)
    again = procedure(**given)
    plan = again.plan()
    assert f"↻ {SEALED} (sealed): will be tried again: not up to date: ResourceLogicalId:Role" in plan.overview
    assert '"Accounts": [\n      "121212121212"\n    ]' in plan.overview
    go(again)
    assert instances(environment) == dict.fromkeys([B, F, SEALED], "CURRENT")


def test_what_was_made_in_part_is_taken_back(procedure: Through, environment: Environment) -> None:
    before = organization_world(environment)
    applying = procedure(
        targets=["Workloads/Regulated", "Workloads/Production"], allowlist_organization=True, apply=True
    )
    with pytest.raises(ApplyFailed):
        applying.apply(applying.plan())
    assert applying.folder
    undo(applying.folder, environment)
    assert organization_world(environment) == before


def test_more_failures_than_tolerated_are_foreseen(procedure: Through) -> None:
    applying = procedure(targets=["Workloads/Regulated"], allowlist_organization=True, failure_tolerance=0, apply=True)
    with pytest.raises(ChecksFailed, match="1 would fail, and `failure_tolerance` is 0"):
        applying.check()
    assert applying.plan().changes == ()


def test_the_operation_of_somebody_else_is_waited_for(
    procedure: Through, environment: Environment, time_in_pauses: None
) -> None:
    go(procedure("organizational-unit", apply=True))
    client = environment.client("cloudformation", MANAGEMENT)
    client.detect_stack_set_drift(StackSetName=NAME, OperationPreferences={"MaxConcurrentCount": 1})
    told: list[str] = []
    applying = procedure(targets=["Workloads/Production"], told=told)
    found = answer(applying.check(), "No operation is going on in the stack set", Status.WARNING)
    assert "is RUNNING; there can be one at a time. The plan waits until it is over." in found
    applying.plan()
    assert any("of 2 accounts" in line and "waiting until it is over" in line for line in told), told


def test_nothing_is_changed_when_somebody_has_changed_the_stack_set_since(
    procedure: Through, environment: Environment
) -> None:
    go(procedure("organizational-unit", apply=True))
    applying = procedure(targets=["Workloads"], only_accounts=[E], apply=True)
    plan = applying.plan()
    client = environment.client("cloudformation", MANAGEMENT)
    client.update_stack_set(
        StackSetName=NAME, UsePreviousTemplate=True, Capabilities=["CAPABILITY_NAMED_IAM"], Description="Somebody's",
        Parameters=[{"ParameterKey": "BucketAVAccountId", "UsePreviousValue": True}],
    )  # fmt: skip
    with pytest.raises(Exception, match="out of date, and nothing was changed"):
        applying.apply(plan)
    assert E not in instances(environment)
