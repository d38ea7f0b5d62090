"""The role of `runbook permissions --role-template`, made by CloudFormation in every account of the sandbox."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.environment import AccountError, Environment, load_environment
from runbook.execute import execute, notebook_path
from runbook.review import permissions
from runbook.review.observed import (
    ROLE,
    active_accounts,
    observe,
    reset_sandbox,
    summed_up,
    with_role,
)
from runbook.review.permissions import ALWAYS, PHASES, step_of, ways
from runbook.review.role_template import role_template
from runbook.run import undo
from runbook.sandbox.accounts import SEALED
from runbook.steps import ASKED
from runbook.steps.scenarios import load_scenario, scenario_names
from tests.test_permissions import told
from tests.world import everything

pytestmark = pytest.mark.usefixtures("_doors")  # each test resets the sandbox by itself

PLACES = {
    "RunsBucketAV": "account a",
    "ManagesStackSets": "account a",
    "ManagesOrganization": "management account",
    "IsOtherAccount": "other accounts",
}
"""Conditions of the template -> the places of the recorded permissions that they are about."""


def exact_template() -> str:
    """The template for the sandbox, whose environment says which account is the management account."""
    return role_template(load_environment("sandbox"))


def test_any_account_may_be_asked_for_the_organization_where_none_is_known_to_manage_it() -> None:
    found = {}
    for name, template in (("known", exact_template()), ("unknown", role_template())):
        resources = yaml.safe_load(template)["Resources"].values()
        policies = [each["Properties"] for each in resources if each["Type"] == "AWS::IAM::ManagedPolicy"]
        statements = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
        found[name] = sum("organizations:DescribeOrganization" in each["Action"] for each in statements)
    assert found["unknown"] == 4, "one for each condition"
    assert found["known"] < 4


@pytest.mark.parametrize("notebook", ASKED)
def test_every_notebook_runs_with_exactly_this_role(notebook: str) -> None:
    template = exact_template()
    observed = {way: observe(notebook, way, sandbox_with(template, notebook, way)) for way in ways(notebook)}
    assert summed_up(observed) == permissions.read(notebook)


@pytest.mark.parametrize("notebook", ASKED)
def test_papermill_runs_every_notebook_with_this_role_and_undo_takes_it_back(
    notebook: str, environment: Environment, tmp_path: Path
) -> None:
    scenario = scenario_names(notebook)[0]
    attach_role(environment, role_template(environment), notebook, scenario)
    before = everything(environment)
    file = tmp_path / "with-role.yaml"
    file.write_text(yaml.safe_dump(with_role(environment).file.model_dump(mode="json", exclude_defaults=True)))
    parameters = {**load_scenario(notebook, scenario).values, "environment": str(file), "apply": True}
    ran = execute(notebook_path(notebook), parameters, tmp_path / "run", progress=False)
    assert ran.succeeded, ran.error
    if (tmp_path / "run" / "journal.jsonl").exists():
        undo(tmp_path / "run", load_environment(str(file)))
    assert everything(environment) == before


def statements() -> Iterator[tuple[str, int, str]]:
    """Every statement of the template: the policy's logical id, its number there, its first action."""
    for name, resource in yaml.safe_load(exact_template())["Resources"].items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            for number, statement in enumerate(resource["Properties"]["PolicyDocument"]["Statement"]):
                yield name, number, statement["Action"][0]


@pytest.mark.parametrize(("policy", "number", "action"), tuple(statements()))
def test_with_one_statement_less_something_fails(policy: str, number: int, action: str, tmp_path: Path) -> None:
    template = yaml.safe_load(exact_template())
    listed = template["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"]
    removed = listed.pop(number)
    if not listed:
        del template["Resources"][policy]
    notebook, way, phase = someone_who_needs(policy, action)
    said = told(notebook, way, phase, sandbox_with(yaml.safe_dump(template), notebook, way), tmp_path / "run")
    assert any(each.lower() in said.lower() for each in removed["Action"])


def test_the_role_can_only_be_assumed_with_the_external_id() -> None:
    environment = reset_sandbox()
    deploy(environment, role_template(), "222222222222", ExternalId="of-the-runbook")
    role = f"arn:aws:iam::222222222222:role/{ROLE}"
    management = environment.account_id("management")
    with pytest.raises(AccountError, match="not authorized to perform: sts:AssumeRole"):
        environment.assume(role, management)
    with pytest.raises(AccountError, match="not authorized to perform: sts:AssumeRole"):
        environment.assume(role, management, external_id="another")
    environment.assume(role, management, external_id="of-the-runbook")


def test_the_role_trusts_nobody_else() -> None:
    environment = reset_sandbox()
    deploy(environment, role_template(), "222222222222")
    with pytest.raises(AccountError, match="not authorized to perform: sts:AssumeRole"):
        environment.assume(f"arn:aws:iam::222222222222:role/{ROLE}", "333333333333")


def someone_who_needs(policy: str, action: str) -> tuple[str, str, str]:
    """Return a notebook, a way and a phase that need an action in the accounts that have a policy."""
    condition = policy.partition("Policy")[0]
    for notebook in ASKED:
        phases: Mapping[str, Any] = permissions.read(notebook).get(PLACES[condition], {}).get(action, {})
        for phase in (each for each in PHASES if each in phases):
            listed = ways(notebook) if phases[phase] == ALWAYS else phases[phase]
            for way in listed:
                if administrated(notebook, way) == (condition == "ManagesStackSets"):
                    return notebook, way, phase
    raise AssertionError(f"Nobody needs {action} in {policy}.")


def sandbox_with(template: str, notebook: str, way: str) -> Environment:
    """Return a fresh sandbox, seen by someone who has the template's role in every account, and nothing else."""
    environment = reset_sandbox()
    attach_role(environment, template, notebook, way)
    return with_role(environment)


def attach_role(environment: Environment, template: str, notebook: str, way: str) -> None:
    """Create the template's role in every account, with what a way through a notebook makes of account a."""
    delegated = environment.account_a if administrated(notebook, way) else ""
    # The service control policy of the sealed account lets nobody make roles, and no notebook works there.
    deploy(environment, template, *({*active_accounts()} - {SEALED}), DelegatedAdministratorId=delegated)


def administrated(notebook: str, way: str) -> bool:
    """Return True if account a manages the stack set, as delegated administrator."""
    return bool(getattr(step_of(notebook, way), "administrator", ""))


def deploy(environment: Environment, template: str, *accounts: str, **parameters: str) -> None:
    """Create the template's stack in accounts, as their administrator."""
    management = environment.account_id("management")
    given = {
        "TrustedPrincipal": f"arn:aws:iam::{management}:root",
        "RoleName": ROLE,
        "BucketAVAccountId": environment.account_a,
        "BucketAVRegion": environment.region,
        "ManagementAccountId": management,
        **parameters,
    }
    clients = [environment.client("cloudformation", account) for account in accounts]
    for client in clients:
        client.create_stack(
            StackName="runbook-role",
            TemplateBody=template,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
    for client in clients:
        client.get_waiter("stack_create_complete").wait(StackName="runbook-role", WaiterConfig={"Delay": 0.1})
