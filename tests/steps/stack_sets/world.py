"""What tests of the stack set step share: the seeded world's names, a look at all of it, and the way through."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from runbook.aws.connections import read_connections
from runbook.aws.stack_set_definition import definition
from runbook.aws.stack_sets import administrator_of, read_instances, read_stack_set, service_managed
from runbook.aws.trusted_access import read_access
from runbook.checks import Checks, Status
from runbook.environment import Environment
from runbook.jobs import procedure_of
from runbook.plan import Plan
from runbook.procedure import Procedure
from tests.world import WholeStack, whole_stack

MANAGEMENT, A, B, C = "999999999999", "111111111111", "222222222222", "333333333333"
D, E, F, PILOT, SEALED = "444444444444", "555555555555", "777777777777", "888888888888", "121212121212"
DORMANT = "131313131313"
ORGANIZATION = "o-exampleorg"
NAME, PILOT_SET = "bucketav-account-connection", "bucketav-account-connection-pilot"
ROLE = "bucketav-AccountConnection"

Through = Callable[..., Procedure]
Elsewhere = Callable[..., Environment]
PRODUCTION: dict[str, Any] = {"targets": ["Workloads/Production"]}


@dataclass(frozen=True)
class World:
    """Everything that the step may change. Ids that are made up are left out: what is made again has others."""

    stack: WholeStack
    access: str | None
    stack_sets: dict[str, Any]
    connections: dict[str, Any]
    roles: dict[str, Any]


def organization_world(environment: Environment) -> World:
    """The world as it is now."""
    administrator = administrator_of(environment, MANAGEMENT, environment.region)
    sets = {}
    for name in service_managed(environment, administrator):
        found = read_stack_set(environment, administrator, name)
        assert found
        there = [(each.account, each.unit, each.status) for each in read_instances(environment, administrator, name)]
        sets[name] = (definition(found), sorted(found.units), there)
    connections = {
        each.account: (each.region, each.stack_version, _without_id(each.stack_name.raw))
        for each in read_connections(environment)
    }
    roles = {account: _role(environment, account) for account in (A, B, C, D, E, F, PILOT, SEALED, DORMANT)}
    return World(whole_stack(environment), read_access(environment, administrator), sets, connections, roles)


def go(procedure: Procedure) -> Path:
    """Check, plan, apply and verify; the run folder."""
    procedure.check()
    procedure.verify(procedure.apply(procedure.plan()))
    assert procedure.folder
    return procedure.folder


def instances(environment: Environment, name: str = NAME) -> dict[str, str]:
    """The accounts that have an instance, and its status."""
    administrator = administrator_of(environment, MANAGEMENT, environment.region)
    return {each.account: each.status for each in read_instances(environment, administrator, name)}


def unseal(environment: Environment) -> None:
    """Somebody takes the policy off that keeps roles from being made."""
    client = environment.client("organizations", MANAGEMENT)
    for policy in client.list_policies_for_target(TargetId="ou-examp-regulated", Filter="SERVICE_CONTROL_POLICY")[
        "Policies"
    ]:
        if policy["Name"] != "FullAWSAccess":
            client.detach_policy(PolicyId=policy["Id"], TargetId="ou-examp-regulated")
    for policy in client.list_policies_for_target(TargetId=SEALED, Filter="SERVICE_CONTROL_POLICY")["Policies"]:
        if policy["Name"] != "FullAWSAccess":
            client.detach_policy(PolicyId=policy["Id"], TargetId=SEALED)


def procedure_in(folder: Path) -> Procedure:
    """The procedure of a run that stands in a folder, as `runbook apply FOLDER` has it."""
    return procedure_of(Plan.load(folder), folder=folder, progress=lambda *_: None)


def deny(environment: Environment, account: str, *actions: str) -> None:
    """Keep the role that the environment works with in an account from something."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": list(actions), "Resource": "*"}]}
    environment.client("iam", account).put_role_policy(
        RoleName="OrganizationAccountAccessRole", PolicyName="deny", PolicyDocument=json.dumps(policy)
    )


def checks(procedure: Through, **given: Any) -> Checks:
    """What the checks say."""
    return procedure(**given).check()


def answer(checks: Any, title: str, status: Status) -> str:
    """What the checks of a title that came out as `status` say, all together."""
    found = [f"{check.subject}: {check.answer}" for check in checks if check.title == title and check.status is status]
    assert found, f"{title} is not {status}: {checks!r}"
    return "\n".join(found)


def _without_id(stack: str) -> str:
    return stack.rsplit("-", 5)[0] if stack.startswith("StackSet-") else stack


def _role(environment: Environment, account: str) -> Any:
    client = environment.client("iam", account)
    try:
        names = client.list_role_policies(RoleName=ROLE)["PolicyNames"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            return None
        raise
    return {
        name: json.dumps(client.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]) for name in names
    }
