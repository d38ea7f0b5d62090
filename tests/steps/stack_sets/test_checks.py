"""Every check of the stack set step fails here, or warns, and says so in the words that the user sees."""

from importlib.resources import files
from typing import Any

import pytest

from runbook.aws.connections import read_connections
from runbook.checks import ChecksFailed, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.steps.scenarios import make_step
from runbook.steps.stack_sets import StackSets
from tests.steps.stack_sets.world import (
    MANAGEMENT,
    NAME,
    ORGANIZATION,
    PILOT,
    PILOT_SET,
    PRODUCTION,
    A,
    C,
    D,
    E,
    Elsewhere,
    Through,
    answer,
    checks,
    deny,
    go,
)  # fmt: skip

ADMINISTRATOR = "The account may manage the organization's stack sets"
ACCESS = "StackSets has trusted access to the organization"
TARGETS = "The targets are in the organization"
TWICE = "No account is connected twice"
LET_IN = "bucketAV lets the organization in"


def deactivate(environment: Environment) -> None:
    """Somebody has switched trusted access off."""
    environment.client("organizations", MANAGEMENT).deregister_delegated_administrator(
        AccountId=A, ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com"
    )
    environment.client("cloudformation", MANAGEMENT).deactivate_organizations_access()


# --- what is given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"delete": True, "targets": ["organization"]}, "`delete` takes the whole stack set away: leave out `targets`"),
        ({"delete": "true", "allowlist_organization": True}, "it needs neither `activate_trusted_access` nor"),
        ({"targets": ["organization"], "only_accounts": ["b"], "except_accounts": ["c"]}, "CloudFormation takes one"),
        ({"only_accounts": ["b"]}, "choose among the accounts of `targets`; none given."),
        ({"targets": ["Pilot"], "remove_targets": ["Pilot"]}, "`Pilot` is both in `targets` and in `remove_targets`."),
        (
            {"targets": ["Pilot"], "concurrency_mode": "strict", "max_concurrent": 10, "failure_tolerance": "5"},
            "in strict mode CloudFormation takes at most one more than `failure_tolerance`, which is 5. Lower it to 6",
        ),
        ({"targets": ["Pilot"], "max_concurrent": 0}, "`max_concurrent` is 0; 1 or more was expected."),
        ({"targets": ["Pilot"], "failure_tolerance": "many"}, "`failure_tolerance` is 'many', not a whole number."),
        ({"targets": ["Pilot"], "detect_drift": "perhaps"}, "`detect_drift` is 'perhaps', neither true nor false."),
        ({"targets": ["Pilot"], "stack_set_name": "1st"}, "is '1st', which is not a stack set's name"),
        ({"targets": ["Pilot"], "template_version": "2"}, "is '2', which is not a version such as `2.0.0`."),
        ({"targets": ["Pilot"], "template_url": "https://x.com/x"}, "the address of an object in S3 was expected"),
        ({"targets": "Pilot"}, "`targets` is 'Pilot', not a list. Write `targets = ['Pilot']` in the notebook"),
        ({"targets": ["Pilot"], "only_accounts": [222222222222]}, "Write `only_accounts = ['222222222222']`"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as refused:
        make_step(StackSets, "", given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"only_accounts": ["a"]}, "`only_accounts`: 111111111111 is account a, which runs bucketAV and cannot be"),
        ({"except_accounts": ["z"]}, "`except_accounts`: params/environments/sandbox.yaml: there is no account `z`"),
        ({"administrator": "boss"}, "`administrator`: params/environments/sandbox.yaml: there is no account `boss`"),
    ],
)
def test_what_the_environment_shows_to_be_wrong_is_refused(
    given: dict[str, Any], said: str, procedure: Through
) -> None:
    with pytest.raises(ParameterError) as refused:
        procedure(**PRODUCTION, **given)
    assert said in str(refused.value)


def test_text_of_a_form_is_as_good_as_numbers() -> None:
    step = make_step(StackSets, "", {"targets": ["Pilot"], "max_concurrent": "3", "detect_drift": "True"})
    assert (step.max_concurrent, step.detect_drift) == (3, True)
    assert make_step(StackSets, "removal", {"delete": False}).delete is False, "a value that is given wins"


# --- who does it -----------------------------------------------------------------------------------------------------


def test_a_member_that_is_no_administrator_fails(procedure: Through) -> None:
    found = answer(checks(procedure, **PRODUCTION, administrator="b"), ADMINISTRATOR, Status.FAILED)
    assert found.startswith(
        "222222222222 (b): It is neither the organization's management account nor a delegated administrator for "
        "StackSets"
    )
    assert "Name another `administrator`, or have the management account register this one" in found
    assert procedure(**PRODUCTION, administrator="b").plan().changes == ()


def test_a_delegated_administrator_is_told_how_it_calls(procedure: Through) -> None:
    found = answer(checks(procedure, **PRODUCTION, administrator="a"), ADMINISTRATOR, Status.OK)
    assert found == "111111111111 (a): It is a delegated administrator; calls say CallAs DELEGATED_ADMIN."


def test_without_a_management_account_in_the_environment_account_a_does_it(
    procedure: Through, elsewhere: Elsewhere
) -> None:
    within = elsewhere(without="management")
    found = answer(checks(procedure, **PRODUCTION, within=within), ADMINISTRATOR, Status.OK)
    assert "111111111111 (a): It is a delegated administrator" in found


def test_an_organization_that_may_not_be_read_fails(procedure: Through, environment: Environment) -> None:
    deny(environment, A, "organizations:ListRoots")
    found = answer(checks(procedure, **PRODUCTION, administrator="a"), ADMINISTRATOR, Status.FAILED)
    assert "The organization cannot be read from account 111111111111 (a): AccessDenied" in found
    assert "call organizations:ListRoots, organizations:ListOrganizationalUnitsForParent" in found


def test_a_stack_set_that_may_not_be_read_fails(procedure: Through, environment: Environment) -> None:
    deny(environment, A, "cloudformation:ListStackInstances")
    given = {**PRODUCTION, "administrator": "a", "stack_set_name": PILOT_SET}
    found = answer(checks(procedure, **given), ADMINISTRATOR, Status.FAILED)
    assert f"Stack set `{PILOT_SET}` cannot be read: AccessDenied (ListStackInstances)" in found


def test_without_trusted_access_it_fails_and_offers_to_activate_it(
    procedure: Through, environment: Environment
) -> None:
    deactivate(environment)
    applying = procedure("organizational-unit", apply=True)
    with pytest.raises(ChecksFailed) as failed:
        applying.check()
    assert (
        "o-exampleorg: No (DISABLED): service-managed permissions do not work without it. Set "
        "`activate_trusted_access: true`."
    ) in str(failed.value)
    found = answer(checks(procedure, **PRODUCTION, activate_trusted_access=True), ACCESS, Status.OK)
    assert found == "o-exampleorg: Not yet; the plan activates it first."


def test_trusted_access_is_activated_first_and_left_on_for_the_others(
    procedure: Through, environment: Environment
) -> None:
    from runbook.run import UndoFailed, undo

    deactivate(environment)
    applying = procedure("organizational-unit", activate_trusted_access=True, apply=True)
    kinds = [change.resource.kind.partition(".")[2] for change in applying.plan().changes]
    assert kinds == ["stack-parameters", "trusted-access", "stack-set", "stack-instances"]
    folder = go(applying)
    with pytest.raises(UndoFailed, match=f"`{PILOT_SET}` would stop working without it") as failed:
        undo(folder, environment)
    arn = f"arn:aws:organizations::{MANAGEMENT}:organization/{ORGANIZATION}"
    assert f"--leave {arn}" in str(failed.value)
    undo(folder, environment, leave=[arn])
    assert {each.account for each in read_connections(environment)} == {C, PILOT}


def test_trusted_access_that_may_not_be_asked_is_a_warning(procedure: Through, environment: Environment) -> None:
    deny(environment, A, "cloudformation:DescribeOrganizationsAccess")
    found = answer(checks(procedure, **PRODUCTION, administrator="a"), ACCESS, Status.WARNING)
    assert "That may not be asked from here." in found


# --- bucketAV --------------------------------------------------------------------------------------------------------


def test_a_version_without_connections_fails(
    procedure: Through, environment: Environment, elsewhere: Elsewhere
) -> None:
    within = elsewhere(stack_name="old")
    template = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    client = environment.client("cloudformation", A)
    client.create_stack(
        StackName="old", TemplateBody=template.replace('"2.19.3"', '"2.18.4"'), Capabilities=["CAPABILITY_IAM"]
    )
    client.get_waiter("stack_create_complete").wait(StackName="old", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    found = answer(
        checks(procedure, **PRODUCTION, within=within), "The version can connect accounts by IAM role", Status.FAILED
    )
    assert "version 2.18.4: it cannot, 2.19.0 is needed. Update bucketAV to its latest version first" in found


def test_an_organization_that_is_not_let_in_fails_and_offers_two_ways(procedure: Through) -> None:
    found = answer(checks(procedure, targets=["Workloads"]), LET_IN, Status.FAILED)
    assert found.startswith(f"{ORGANIZATION}: No, and of the accounts to connect 2 are not on its list by themselves")
    assert f"{E} (analytics)" in found
    assert found.endswith(
        "would fail. Set `allowlist_organization: true`, which lets it in first. Or: Do 01-allowlist first: "
        "`runbook run 01-allowlist --environment sandbox -p organizations '[\"o-exampleorg\"]' --apply`, "
        'or set `organizations = ["o-exampleorg"]` and `apply = True` in its notebook.'
    )


def test_accounts_that_are_on_the_list_by_themselves_are_a_warning(procedure: Through) -> None:
    found = answer(checks(procedure, **PRODUCTION), LET_IN, Status.WARNING)
    assert "The accounts of now are on its list by themselves, those that join later are not." in found


def test_disconnecting_with_empty_lists_fails(procedure: Through, environment: Environment) -> None:
    client = environment.client("cloudformation", A)
    parameters = client.describe_stacks(StackName="bucketav")["Stacks"][0]["Parameters"]
    client.update_stack(
        StackName="bucketav", UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": each["ParameterKey"], "ParameterValue": ""}
            if each["ParameterKey"] == "AWSAccountRestriction"
            else {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True}
            for each in parameters
        ],
    )  # fmt: skip
    client.get_waiter("stack_update_complete").wait(StackName="bucketav", WaiterConfig={"Delay": 0.05})
    found = answer(checks(procedure, delete=True, stack_set_name=PILOT_SET), LET_IN, Status.FAILED)
    assert "Both of its lists are empty, so that connection stacks have no topic to report to" in found


def test_connections_that_cannot_be_read_are_a_warning(procedure: Through, environment: Environment) -> None:
    deny(environment, A, "dynamodb:Scan")
    found = answer(checks(procedure, **PRODUCTION), TWICE, Status.WARNING)
    assert "Which accounts are connected cannot be told. The table `bucketav-AccountConnection` cannot be" in found


# --- the targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("Workloads/Prodction", "Did you mean `Workloads/Production`?"),
        ("ou-examp-productoin", "Did you mean `ou-examp-production`?"),
        ("Nowhere", "There is: `organization`, `Workloads`, `Pilot`"),
    ],
)
def test_an_unknown_target_fails_and_names_the_one_that_was_meant(target: str, said: str, procedure: Through) -> None:
    found = answer(checks(procedure, targets=[target, "Pilot"]), TARGETS, Status.FAILED)
    assert f"`targets`: `{target}`: o-exampleorg has no such organizational unit." in found
    assert said in found


@pytest.mark.parametrize("target", ["Workloads/Production", "/Workloads/Production/", "ou-examp-production"])
def test_a_target_is_found_by_path_and_id(target: str, procedure: Through) -> None:
    found = answer(checks(procedure, targets=[target]), TARGETS, Status.OK)
    assert found == "Workloads/Production: `ou-examp-production`, 3 active accounts."


def test_a_target_within_another_is_told(procedure: Through) -> None:
    plan = procedure(targets=["organization", "Workloads"], allowlist_organization=True, failure_tolerance=9).plan()
    assert "`Workloads`: within another target, which covers it." in plan.notes


def test_a_target_to_remove_within_one_to_connect_fails(procedure: Through) -> None:
    found = answer(
        checks(procedure, targets=["Workloads"], remove_targets=["Workloads/Production"]), TARGETS, Status.FAILED
    )
    assert "`remove_targets`: Workloads/Production is in a target, Workloads; leave it out of one of the two." in found


def test_no_target_for_a_stack_set_that_is_not_there_fails(procedure: Through) -> None:
    found = answer(checks(procedure, template_version="1.0.0"), TARGETS, Status.FAILED)
    assert found == (
        f"{NAME}: There is no stack set `{NAME}` yet, and nothing is named to deploy it to. Set `targets`: "
        "`organization`, or OUs by path or id; or correct `stack_set_name`."
    )


def test_a_mistyped_account_fails_and_one_outside_the_targets_is_a_warning(procedure: Through) -> None:
    title = "The accounts to choose among are in the targets"
    found = checks(procedure, **PRODUCTION, except_accounts=["777777777778", "d"])
    assert "777777777778: `except_accounts`: it is not in o-exampleorg." in answer(found, title, Status.FAILED)
    assert f"{D} (partner): `except_accounts`: it is in none of the targets" in answer(found, title, Status.WARNING)
