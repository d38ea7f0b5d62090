"""An organization of 200 accounts in nested OUs: planned, deployed, three failures told and tried again, all connected.

The times are printed (`pytest -s`) and bounded generously: they are those of a simulator on a busy machine.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from runbook.aws.connections import read_connections
from runbook.aws.stack_sets import administrator_of, read_instances
from runbook.checks import Status
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Plan
from runbook.run import ApplyFailed, undo
from tests.steps.stack_sets.world import MANAGEMENT, NAME, Through, answer, go, organization_world

NUMBER, UNITS = 200, 12
SECONDS = 120.0


def account(number: int) -> str:
    return f"{600_000_000_000 + number}"


FAILING = (account(17), account(101), account(150))


@pytest.fixture
def many(environment: Environment) -> list[str]:
    """200 accounts in a chain of four times three OUs, each inside another, under an OU called Fleet."""
    from moto.iam.models import iam_backends
    from moto.organizations import utils
    from moto.organizations.models import organizations_backends

    from runbook.sandbox.iam import ADMINISTRATOR_ACCESS

    backend = organizations_backends[MANAGEMENT]["aws"]

    @contextmanager
    def next_id(function: str, identifier: str) -> Iterator[None]:
        with patch.object(utils, function, lambda *_: identifier):
            yield

    def unit(name: str, parent: str) -> str:
        made = backend.create_organizational_unit(Name=name, ParentId=parent)
        return str(made["OrganizationalUnit"]["Id"])

    fleet = unit("Fleet", "r-examp")
    units: list[str] = []
    for number in range(UNITS):
        units.append(unit(f"Level {number}", fleet if number % 3 == 0 else units[-1]))
    for number in range(NUMBER):
        with next_id("make_random_account_id", account(number)):
            backend.create_account(AccountName=f"fleet-{number:03}", Email=f"fleet-{number:03}@example.com")
        backend.move_account(
            AccountId=account(number), SourceParentId="r-examp", DestinationParentId=units[number % UNITS]
        )
        iam_backends[account(number)]["aws"].attach_role_policy(ADMINISTRATOR_ACCESS, "OrganizationAccountAccessRole")
    return [account(number) for number in range(NUMBER)]


def seal(environment: Environment) -> str:
    """A policy that keeps roles from being made in three accounts; its id."""
    client = environment.client("organizations", MANAGEMENT)
    statement = {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}
    made = client.create_policy(
        Name="no-roles", Description="", Type="SERVICE_CONTROL_POLICY",
        Content=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )  # fmt: skip
    identifier = str(made["Policy"]["PolicySummary"]["Id"])
    for each in FAILING:
        client.attach_policy(PolicyId=identifier, TargetId=each)
    return identifier


def test_two_hundred_accounts_are_planned_deployed_and_tried_again(
    many: list[str], procedure: Through, environment: Environment, time_in_pauses: None
) -> None:
    before = organization_world(environment)
    times: dict[str, float] = {}
    told: list[str] = []
    policy = seal(environment)
    given: dict[str, Any] = {"targets": ["Fleet"], "failure_tolerance": 3, "max_concurrent": 20, "apply": True}
    applying = procedure(allowlist_organization=True, told=told, **given)

    began = time.monotonic()
    checks = applying.check()
    times["check"] = time.monotonic() - began
    found = answer(checks, "The organization's policies let the role be made", Status.WARNING)
    assert found.count("Its stack would fail") == len(FAILING)
    began = time.monotonic()
    plan = applying.plan()
    times["plan"] = time.monotonic() - began
    assert "200 will be connected" in plan.overview
    assert len(plan.overview.splitlines()) < 400, "many accounts are summed up"

    began = time.monotonic()
    with pytest.raises(ApplyFailed) as failed:
        applying.apply(plan)
    times["deploy"] = time.monotonic() - began
    said = str(failed.value)
    assert "connected in 197 of 200 accounts." in said
    assert "600000000017 (fleet-017), 600000000101 (fleet-101), 600000000150 (fleet-150) failed, of " in said
    assert "with an explicit deny in a service control policy" in said
    assert "Likely: a service control policy of the organization forbids it there." in said
    assert any("of 200 accounts" in line for line in told), told[-3:]

    # Somebody lets two of them make roles; the run goes on with what is left.
    organizations = environment.client("organizations", MANAGEMENT)
    for each in FAILING[:2]:
        organizations.detach_policy(PolicyId=policy, TargetId=each)
    began = time.monotonic()
    assert applying.folder
    resumed = procedure_of(Plan.load(applying.folder), applying.folder, lambda *_: None)
    with pytest.raises(ApplyFailed, match=r"connected in 2 of 3 accounts\.(.|\n)*600000000150 \(fleet-150\) failed"):
        resumed.apply_saved(Plan.load(applying.folder), lambda _: None)
    times["again"] = time.monotonic() - began

    # And the last one: a new plan has that one only.
    organizations.detach_policy(PolicyId=policy, TargetId=FAILING[2])
    again = procedure(**given)
    began = time.monotonic()
    (change,) = again.plan().changes
    assert change.summary == "connect 1 account of `Fleet`"
    last = go(again)
    times["new plan"] = time.monotonic() - began
    administrator = administrator_of(environment, MANAGEMENT, environment.region)
    assert {each.account for each in read_instances(environment, administrator, NAME) if each.current} == {*many}
    assert {*many} <= {each.account for each in read_connections(environment)}
    assert procedure(**given).plan().changes == ()

    began = time.monotonic()
    undo(last, environment)
    undo(applying.folder, environment)
    times["undo"] = time.monotonic() - began
    assert organization_world(environment) == before
    print("\n" + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items()))
    assert max(times.values()) < SECONDS, times
