"""What there is before accounts are connected by a stack set: one look at both ends and all between, then values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runbook.aws.connection_template import ConnectionTemplate, TemplateUnreadable, read_template
from runbook.aws.connections import role_name
from runbook.aws.iam import role_exists
from runbook.aws.organization_tree import Tree, TreeUnreadable, delegated_administrators, read_tree
from runbook.aws.organizations import ControlPolicies, Organization, read_organization
from runbook.aws.stack_sets import (
    Administrator,
    Instance,
    Operation,
    StackSet,
    StackSetUnreadable,
    administrator_of,
    look_at,
)
from runbook.aws.trusted_access import read_access
from runbook.environment import AccountError, Environment
from runbook.parameters import ParameterError
from runbook.policy.evaluate import ANYTHING, Request, Verdict, evaluate
from runbook.progress import Progress, in_parallel
from runbook.steps import allowlist_state
from runbook.steps.stack_sets_accounts import Choice, Fates, chosen, fates

CREATE_ROLE = "iam:CreateRole"


@dataclass(frozen=True)
class Wish:
    """What is asked for. Accounts are ids; targets are as they were given, since only the organization knows them."""

    name: str
    administrator: str
    targets: tuple[str, ...]
    remove_targets: tuple[str, ...]
    delete: bool
    only: tuple[str, ...]
    excepted: tuple[str, ...]
    url: str
    parameters: Mapping[str, str]
    activate: bool
    allowlist: bool
    preferences: Mapping[str, Any]

    @property
    def deploys(self) -> bool:
        """Whether the stack set itself is to be as the template says: not where something only goes."""
        return not self.delete and (bool(self.targets) or not self.remove_targets)


@dataclass(frozen=True)
class State:
    """Everything one look found.

    `administrator` is None when the account is in no organization, `tree` when that may not be read; `administrators`
    are the delegated ones, None where they may not be listed. `access` is trusted access, None where it may not be
    asked. `found` is the stack set, `running` the operation that goes on in it. `template` is None when it is not to
    be had, or is not needed. `roles` are accounts where the connection's role is there although no connection is
    known; `unseen` those where that could not be looked for. `forbidden` says of accounts why a control policy keeps
    roles from being made there; None where control policies cannot be read. `problems` says why, for what is missing.
    `control_policies` are the organization's as far as they were read, so that a probe does not read them again.
    """

    wish: Wish
    allowlist: allowlist_state.State
    administrator: Administrator | None
    tree: Tree | None
    administrators: tuple[str, ...] | None
    access: str | None
    found: StackSet | None
    instances: tuple[Instance, ...]
    running: Operation | None
    template: ConnectionTemplate | None
    template_remedy: str
    choice: Choice | None
    fates: Fates | None
    unseen: tuple[str, ...]
    forbidden: Mapping[str, str] | None
    problems: Mapping[str, str]
    control_policies: ControlPolicies | None = field(default=None, compare=False, repr=False)


def observe(environment: Environment, wish: Wish, progress: Progress) -> State:
    """Look at all of it, whether or not an operation goes on in the stack set.

    Raises StackError or AccountError when bucketAV's own stack, or the administrator, cannot be reached.
    """
    problems: dict[str, str] = {}
    environment.identity(wish.administrator)
    organization = read_organization(environment, environment.account_a)
    allowlist = _allowlist(environment, wish, organization, progress)
    tree = _tree(environment, wish, problems, progress)
    administrator = _administrator(environment, wish, problems)
    state = State(
        wish=wish,
        allowlist=allowlist,
        administrator=administrator,
        tree=tree,
        administrators=delegated_administrators(environment, wish.administrator),
        access=None,
        found=None,
        instances=(),
        running=None,
        template=None,
        template_remedy="",
        choice=None,
        fates=None,
        unseen=(),
        forbidden=None,
        problems=problems,
    )
    if administrator:
        state = _with_stack_set(environment, state, administrator)
    if wish.deploys:
        state = _with_template(environment, state)
    return _with_accounts(environment, state, progress) if tree else state


def _allowlist(
    environment: Environment, wish: Wish, organization: Organization | None, progress: Progress
) -> allowlist_state.State:
    """bucketAV's stack, who is on its lists, and who is connected; with account a's organization on the list or not."""
    add = allowlist_state.Lists((), (organization.id,) if organization and wish.allowlist else ())
    wished = allowlist_state.Wish(add, allowlist_state.Lists((), ()))
    return allowlist_state.observe(environment, wished, organization, progress)


def _administrator(environment: Environment, wish: Wish, problems: dict[str, str]) -> Administrator | None:
    try:
        return administrator_of(environment, wish.administrator, environment.region)
    except TreeUnreadable as error:
        problems["administrator"] = str(error)
        return None


def _tree(environment: Environment, wish: Wish, problems: dict[str, str], progress: Progress) -> Tree | None:
    try:
        return read_tree(environment, wish.administrator, progress)
    except TreeUnreadable as error:
        problems["tree"] = str(error)
        return None


def _with_stack_set(environment: Environment, state: State, administrator: Administrator) -> State:
    """Trusted access, and the stack set with its instances; without them where these may not be asked."""
    access = read_access(environment, administrator)
    try:
        look = look_at(environment, administrator, state.wish.name)
    except StackSetUnreadable as error:
        return replace(state, access=access, problems={**state.problems, "stack set": str(error)})
    return replace(state, access=access, running=look.running, found=look.found, instances=look.instances)


def instances_now(environment: Environment, state: State) -> tuple[Instance, ...]:
    """The stack set's instances, read again; those of the state where they may not be read."""
    if state.administrator is None or state.found is None:
        return state.instances
    try:
        return look_at(environment, state.administrator, state.wish.name).instances
    except StackSetUnreadable:
        return state.instances


def _with_template(environment: Environment, state: State) -> State:
    try:
        return replace(state, template=read_template(environment, state.wish.administrator, state.wish.url))
    except TemplateUnreadable as error:
        return replace(state, problems={**state.problems, "template": error.found}, template_remedy=error.remedy)


def _with_accounts(environment: Environment, state: State, progress: Progress) -> State:
    """What becomes of each account, after looking into those that are to be connected."""
    assert state.tree is not None
    try:
        choice = chosen(state.tree, state.wish.targets, state.wish.remove_targets)
    except ParameterError as error:
        return replace(state, problems={**state.problems, "targets": str(error)})
    policies = ControlPolicies(environment, state.tree)
    units, connections = state.found.units if state.found else (), state.allowlist.connections or ()
    found = fates(environment, state.tree, choice, state.wish, units, state.instances, connections, {})
    roles = _roles(environment, found.to_connect, progress)
    there = {account: role_name(environment.stack_name) for account, known in roles.items() if known}
    if there:
        found = fates(environment, state.tree, choice, state.wish, units, state.instances, connections, there)
    return replace(
        state,
        choice=choice,
        fates=found,
        unseen=tuple(account for account, known in roles.items() if known is None),
        forbidden=_forbidden(environment, policies, found.to_connect, progress),
        control_policies=policies,
    )


def _roles(environment: Environment, accounts: Sequence[str], progress: Progress) -> dict[str, bool | None]:
    """Whether the connection's role is there already; None where that cannot be looked for."""
    name = role_name(environment.stack_name)

    def look(account: str) -> bool | None:
        try:
            environment.identity(account)
            return role_exists(environment, account, name)
        except AccountError:
            return None

    found = in_parallel(look, accounts, what="accounts looked into", progress=progress)
    return dict(zip(accounts, found, strict=True))


def _forbidden(
    environment: Environment, policies: ControlPolicies, accounts: Sequence[str], progress: Progress
) -> Mapping[str, str] | None:
    """The accounts in which a service control policy denies the role that StackSets makes, and why."""
    levels = in_parallel(
        lambda account: policies.in_force(account, "SERVICE_CONTROL_POLICY"),
        accounts,
        what="accounts' control policies read",
        progress=progress,
    )
    if any(each is None for each in levels):
        return None
    denied = {}
    for account, each in zip(accounts, levels, strict=True):
        # AWS, "Activate trusted access": StackSets works as a role of this name in each account, as administrator.
        works_as = f"arn:{environment.partition}:iam::{account}:role/stacksets-exec-{'0' * 32}"
        made = f"arn:{environment.partition}:iam::{account}:role/{role_name(environment.stack_name)}"
        request = Request(works_as, CREATE_ROLE, made, account, context={"aws:PrincipalArn": works_as}, unknown=("*",))
        decision = evaluate(request, identity_policies=(ANYTHING,), service_control_policies=each or ())
        if decision.verdict is Verdict.DENIED:
            denied[account] = decision.reason
    return denied
