"""Accounts as they stand with bucketAV: one look at it, at the template, and at each account; then values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook.aws.cloudformation import Stack, StackError, read_settled_stack
from runbook.aws.cloudwatch import DashboardUnreadable, read_titles
from runbook.aws.connection_template import ConnectionTemplate, TemplateUnreadable, read_template
from runbook.aws.connections import Connection, connections_or_problem, role_name
from runbook.aws.iam import NoSuchRole, Role, RoleError, read_role
from runbook.aws.organizations import ControlPolicies, Levels, organization_id
from runbook.aws.stacks import owner_of, read_stack_if_any, value_of
from runbook.environment import AccountError, Environment
from runbook.progress import Progress, in_parallel
from runbook.steps.allowlist_state import Lists, lists_of
from runbook.untrusted import Untrusted


@dataclass(frozen=True)
class Wish:
    """What is asked for: accounts to connect and to disconnect, by their ids, with which stack, from which template.

    `parameters` are those of the template that are given, beside the two that say where bucketAV is.
    """

    connect: tuple[str, ...]
    disconnect: tuple[str, ...]
    stack_name: str
    url: str
    version: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """One account. `problem` says why it could not be looked at; then nothing else is known.

    `value` is what its stack of the wished name holds, as plans have it. `role` is the role of the fixed name, and
    `role_owner` the id of the stack in bucketAV's Region that made it, empty where none there did. `organization` is
    only asked for where the allowlist has organizations; `control_policies` are None where they cannot be read.
    """

    account: str
    problem: str = ""
    stack: Stack | None = None
    value: str | None = None
    role: Role | None = None
    role_problem: str = ""
    role_owner: str = ""
    organization: str | None = None
    caller: str = ""
    control_policies: Levels | None = None


@dataclass(frozen=True)
class State:
    """Everything one look found. `problems` says why something is None.

    `control_policies` are the organization's as far as they were read, so that a probe does not read them again.
    """

    wish: Wish
    stack: Stack
    connections: tuple[Connection, ...] | None
    template: ConnectionTemplate | None
    tiles: tuple[Untrusted, ...] | None
    standings: Mapping[str, Standing]
    problems: Mapping[str, str] = field(default_factory=dict)
    template_remedy: str = ""
    control_policies: ControlPolicies | None = field(default=None, compare=False, repr=False)

    @property
    def lists(self) -> Lists:
        """The allowlist."""
        return lists_of(self.stack.parameters)

    @property
    def role_name(self) -> str:
        """What the role of every connection is called."""
        return role_name(self.stack.name)

    def connection_of(self, account: str, region: str) -> Connection | None:
        """What bucketAV's table says of an account in a Region."""
        found = [each for each in self.connections or () if (each.account, each.region) == (account, region)]
        return found[0] if found else None

    def elsewhere(self, account: str, region: str) -> Connection | None:
        """A connection of the account from another Region."""
        found = [each for each in self.connections or () if each.account == account and each.region != region]
        return found[0] if found else None


def observe(environment: Environment, wish: Wish, progress: Progress) -> State:
    """Look at bucketAV once no operation goes on in its stack, at the template, and at every account.

    Raises StackError or AccountError when bucketAV itself cannot be read.
    """
    a = environment.account_a
    environment.identity(a)
    stack = read_settled_stack(
        environment, a, environment.region, environment.stack_name, lambda what: progress(0, 0, what)
    )
    problems: dict[str, str] = {}
    template, remedy = None, ""
    if wish.connect:
        try:
            template = read_template(environment, a, wish.url)
        except TemplateUnreadable as error:
            problems["template"], remedy = error.found, error.remedy
    policies = ControlPolicies(environment)
    asks = bool(lists_of(stack.parameters).organizations)
    accounts = (*wish.connect, *wish.disconnect)
    standings = in_parallel(
        lambda account: _standing(environment, wish, policies, account, asks),
        accounts,
        what="accounts looked at",
        progress=progress,
    )
    return State(
        wish=wish,
        stack=stack,
        connections=connections_or_problem(environment, problems),
        template=template,
        tiles=_tiles(environment, problems),
        standings=dict(zip(accounts, standings, strict=True)),
        problems=problems,
        template_remedy=remedy,
        control_policies=policies,
    )


def dashboard_name(environment: Environment) -> str:
    """`bucketav-eu-west-1`. Source: outline `iam-role.dashboard`."""
    return f"{environment.stack_name}-{environment.region}"


def _standing(environment: Environment, wish: Wish, policies: ControlPolicies, account: str, asks: bool) -> Standing:
    """One account, looked at with its own credentials."""
    region = environment.region
    try:
        identity = environment.identity(account)
        stack = read_stack_if_any(environment, account, region, wish.stack_name, lambda _: None)
        value = value_of(environment, account, region, stack)
        organization = organization_id(environment, account) if asks else None
    except (AccountError, StackError) as error:
        return Standing(account, problem=str(error))
    role, problem, owner = None, "", ""
    try:
        name = role_name(environment.stack_name)
        role = read_role(environment, f"arn:{identity.partition}:iam::{account}:role/{name}")
        owner = owner_of(environment, account, region, name)
    except NoSuchRole:
        pass
    except RoleError as error:
        problem = str(error)
    return Standing(
        account=account,
        stack=stack,
        value=value,
        role=role,
        role_problem=problem,
        role_owner=owner,
        organization=organization,
        caller=identity.arn,
        control_policies=policies.in_force(account, "SERVICE_CONTROL_POLICY"),
    )


def _tiles(environment: Environment, problems: dict[str, str]) -> tuple[Untrusted, ...] | None:
    try:
        return read_titles(environment, dashboard_name(environment))
    except DashboardUnreadable as error:
        problems["dashboard"] = str(error)
        return None
