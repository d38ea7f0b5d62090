"""The stack set step in the sandbox, whose stacks take a moment only."""

from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation
from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.progress import silent
from runbook.sandbox import clock
from runbook.steps.scenarios import make_step
from runbook.steps.stack_sets import StackSets
from tests.steps.stack_sets.world import Through


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks take a moment instead of a fifth of a second, and are looked at as often."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))


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


@pytest.fixture(autouse=True)
def _seeded(environment: Environment) -> None:
    """TEMPORARY, until the world has it."""
    client = environment.client("cloudformation", "999999999999")
    client.activate_organizations_access()
    organizations = environment.client("organizations", "999999999999")
    if not organizations.list_delegated_administrators()["DelegatedAdministrators"]:
        organizations.register_delegated_administrator(
            AccountId="111111111111", ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com"
        )
    if not client.list_stack_sets(Status="ACTIVE")["Summaries"]:
        import time

        url = "https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/account-connection/v1.0.0/bucketav-add-on-account-connection.yaml"
        client.create_stack_set(
            StackSetName="bucketav-account-connection-pilot",
            TemplateURL=url,
            PermissionModel="SERVICE_MANAGED",
            AutoDeployment={"Enabled": True, "RetainStacksOnAccountRemoval": False},
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": "BucketAVStackName", "ParameterValue": "bucketav"},
                {"ParameterKey": "BucketAVAccountId", "ParameterValue": "111111111111"},
            ],
        )
        client.create_stack_instances(
            StackSetName="bucketav-account-connection-pilot",
            Regions=["eu-west-1"],
            DeploymentTargets={"OrganizationalUnitIds": ["ou-examp-pilotunit"]},
        )
        while (
            client.list_stack_instances(StackSetName="bucketav-account-connection-pilot")["Summaries"][0]["Status"]
            != "CURRENT"
        ):
            time.sleep(0.02)
