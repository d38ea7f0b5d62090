"""IAM role-based access: connects accounts to bucketAV by a stack in each, updates them, and disconnects them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, model_validator

from runbook import markdown
from runbook.access import Access, AccessMatrix
from runbook.aws.connection_template import (
    ACCOUNT_PARAMETER,
    STACK_NAME_PARAMETER,
    StackToBe,
)
from runbook.aws.console import quick_create_url
from runbook.aws.stacks import resource_of
from runbook.checks import Check, Checks, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError, Several, StackName
from runbook.plan import Change, Plan, Resource
from runbook.progress import Progress, silent
from runbook.run import Run
from runbook.steps.connection_access import Surroundings, access, look_around
from runbook.steps.connection_checks import not_account_a
from runbook.steps.connection_overview import overview_of
from runbook.steps.connection_parameters import Address, Version, published_at
from runbook.steps.connection_probe import probe_checks
from runbook.steps.iam_role_checks import checks_of
from runbook.steps.iam_role_plan import Way, changes_of, other_connection, wanted_parameters, way_of
from runbook.steps.iam_role_proof import connected_accounts, proof, surroundings_checks
from runbook.steps.iam_role_state import Standing, State, Wish, observe
from runbook.steps.inventory import Account, account_ids
from runbook.steps.step import Step, Verification
from runbook.untrusted import code


@dataclass(frozen=True)
class Probed:
    """Facts that decide about the connections beside their roles, answers by account, and what trying them showed."""

    surroundings: Surroundings
    rows: Mapping[str, Sequence[Access]]
    checks: tuple[Check, ...]


class IamRole(Step):
    """Parameters of notebook 02-iam-role."""

    notebook: ClassVar[str] = "02-iam-role"
    title: ClassVar[str] = "Connect accounts: IAM role-based access"
    default_scenario: ClassVar[str] = "one-account"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("accounts", "disconnect"),
        ("template_version", "template_url"),
    )

    accounts: Several[Account] = Field((), description="accounts to connect, or to bring to this template's version")
    disconnect: Several[Account] = Field((), description="accounts to disconnect again")
    template_version: Version = Field("2.0.0", description="the version of the account-connection template")
    template_url: Address = Field("", description="another address of the template in S3; empty for the product's own")
    connection_stack_name: StackName = Field(
        "bucketav-account-connection", description="what the stack in each account is called"
    )
    template_parameters: dict[str, str] = Field({}, description="more parameters of the template, by name")

    @model_validator(mode="after")
    def _something_to_do(self) -> "IamRole":
        if not (self.accounts or self.disconnect):
            raise ValueError(
                "which accounts? Give `accounts` to connect, or `disconnect` to take connections away; neither is."
            )
        for name in (STACK_NAME_PARAMETER, ACCOUNT_PARAMETER):
            if name in self.template_parameters:
                raise ValueError(
                    f"`template_parameters` has {code(name)}, which follows from the environment. Leave it out."
                )
        return self

    def wish(self, environment: Environment) -> Wish:
        """What is asked for, with accounts as ids. Raises ParameterError."""
        problems: list[str] = []
        connect = account_ids(self.accounts, environment, "accounts", problems)
        disconnect = account_ids(self.disconnect, environment, "disconnect", problems)
        problems += [f"`accounts`: {problem}" for problem in not_account_a(environment, connect)]
        problems += [
            f"{environment.account_name(each)} is both to be connected and to be disconnected."
            for each in connect
            if each in disconnect
        ]
        if problems:
            raise ParameterError(problems)
        return Wish(
            connect=connect,
            disconnect=disconnect,
            stack_name=self.connection_stack_name,
            url=self.template_url or published_at(self.template_version),
            version="" if self.template_url else self.template_version,
            parameters=self.template_parameters,
        )

    def examine(self, environment: Environment) -> None:
        self.wish(environment)

    def observe(self, environment: Environment, *, progress: Progress = silent) -> State:
        return observe(environment, self.wish(environment), progress)

    def checks(self, environment: Environment, state: State) -> Checks:
        return Checks.of(checks_of(environment, state))

    def plan(self, environment: Environment, state: State, scenario: str = "") -> Plan:
        failed = {check.subject for check in checks_of(environment, state) if check.status is Status.FAILED}
        accounts = {environment.account_name(each): each for each in state.standings}
        leave_out = {accounts[each] for each in failed if each in accounts}
        if failed - accounts.keys():  # what is wrong with bucketAV or the template is wrong for every account
            leave_out = set(accounts.values())
        changes = tuple(changes_of(environment, state, leave_out))
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=changes,
            notes=tuple(_notes(environment, state)),
            left_out=tuple(sorted(failed)),
            overview=_overview(environment, state, changes),
        )

    def probe(self, environment: Environment, state: State, run: Run, *, progress: Progress = silent) -> Probed:
        connected = connected_accounts(environment, state, run)
        scan_role = state.stack.output("ScanRoleArn")
        surroundings = look_around(environment, scan_role, connected, progress, state.control_policies)
        rows = {each.account: access(surroundings, each) for each in connected}
        there = [each for each in connected if run.applied and each.after and each.account in state.wish.connect]
        return Probed(surroundings, rows, tuple(probe_checks(environment, surroundings, there, rows, progress)))

    def present(self, environment: Environment, state: State) -> Mapping[Resource, str | None]:
        """Return the stacks of the accounts that could be looked at."""
        name, partition, region = state.wish.stack_name, environment.partition, environment.region
        seen = (each for each in state.standings.values() if not each.problem)
        return {resource_of(partition, each.account, region, name): each.value for each in seen}

    def verify(self, environment: Environment, state: State, run: Run, probed: Probed) -> Verification:
        rows = probed.rows
        checks = [*proof(environment, state, run, rows), *surroundings_checks(probed.surroundings), *probed.checks]
        matrix = AccessMatrix(tuple(row for each in rows.values() for row in each), predicted=not run.applied)
        return Verification(Checks.of(checks), matrix)


# --- what else a plan says -------------------------------------------------------------------------------------------


def _notes(environment: Environment, state: State) -> Iterable[str]:
    """What needs nothing, what is kept, and how accounts are connected that cannot be reached from here."""
    seen = [each for each in state.standings.values() if not each.problem]
    ways = {each.account: way_of(environment, state, each) for each in seen if _can_be_told(state, each)}
    fine = [environment.account_name(account) for account, way in ways.items() if way is Way.NOTHING]
    if fine:
        yield f"Connected as they should be: {markdown.names(fine, most=10)}."
    for standing in seen:
        other = other_connection(environment, state, standing)
        if other and ways.get(standing.account) is Way.ELSEWHERE:
            name = environment.account_name(standing.account)
            yield f"{name} stays as it is: stack {code(other.stack_name)} connects it."
    if any(way is Way.UPDATE for way in ways.values()):
        yield "An update keeps the values of parameters that are not given."
    if away := [
        each.account for each in state.standings.values() if each.problem and each.account in state.wish.connect
    ]:
        parameters = {STACK_NAME_PARAMETER: environment.stack_name, ACCOUNT_PARAMETER: environment.account_a}
        url = quick_create_url(
            environment.partition,
            environment.region,
            state.wish.url,
            state.wish.stack_name,
            parameters | dict(state.wish.parameters),
        )
        names = markdown.names([environment.account_name(each) for each in away], most=10)
        link = markdown.link("this link", url)
        yield f"{names} cannot be reached from here. Whoever may create stacks there follows {link}."


def _can_be_told(state: State, standing: Standing) -> bool:
    return state.template is not None or standing.account in state.wish.disconnect


def _overview(environment: Environment, state: State, changes: tuple[Change, ...]) -> str:
    """What the template makes, where an account gets it."""
    made = [change for change in changes if change.after is not None]
    if not made or state.template is None:
        return ""
    first = made[0].resource
    stack = StackToBe(environment.partition, first.region, first.account, first.name)
    parameters = wanted_parameters(environment, state, state.standings[first.account])
    return overview_of(state.template, parameters, stack)
