"""Who can do what in the accounts of a stack set: from their live roles, or from those that the plan would make."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runbook import markdown
from runbook.access import Access
from runbook.aws.connection_template import STACK_UNIQUE_ID, StackToBe, TemplateUnreadable, parsed
from runbook.aws.connections import role_name
from runbook.aws.iam import Role, RoleError, read_role
from runbook.aws.stack_instances import StackInstances
from runbook.aws.stack_set_definition import StackSetDefinition
from runbook.aws.template import NotKnown
from runbook.checks import Check, Status
from runbook.environment import AccountError, Environment
from runbook.progress import Progress
from runbook.run import Run
from runbook.steps.connection_access import Connected, Surroundings, access, look_around
from runbook.steps.iam_role_proof import access_checks, surroundings_checks
from runbook.steps.stack_sets_accounts import Fate
from runbook.steps.stack_sets_state import State

LOOKED_INTO = 3
"""So many accounts are looked into: the stacks of a stack set are alike, the buckets that are asked about are not."""


@dataclass(frozen=True)
class Connections:
    """The accounts whose roles were read, those whose could not be, and how many others there are."""

    connected: tuple[Connected, ...] = ()
    unreached: tuple[str, ...] = ()
    others: int = 0
    surroundings: Surroundings | None = None


def read_connections(environment: Environment, state: State, run: Run, progress: Progress) -> Connections:
    """Read the roles of the first accounts, new ones before others, and what decides about them."""
    if state.fates is None or state.tree is None:
        return Connections()
    accounts = state.fates.that(Fate.CONNECTED, *(() if run.applied else (Fate.CONNECT, Fate.AGAIN)))
    connected: list[Connected] = []
    unreached: list[str] = []
    for account in sorted(accounts, key=lambda each: (each not in _new(run), each)):
        if len(connected) == LOOKED_INTO:
            break
        try:
            connected.append(_connected(environment, state, run, account))
        except (AccountError, RoleError):
            unreached.append(account)
    return Connections(
        connected=tuple(connected),
        unreached=tuple(unreached),
        others=len(accounts) - len(connected) - len(unreached),
        surroundings=_surroundings(environment, state, connected, progress) if connected else None,
    )


def access_of(state: State, run: Run, read: Connections) -> tuple[Sequence[Access], list[Check]]:
    """The answers about these accounts, and what they mean; how many others there are is told."""
    title = "Who gets in, and what the role opens, is worked out"
    checks = []
    if read.unreached:
        assert state.tree is not None
        names = markdown.joined([state.tree.name(each) for each in read.unreached])
        found, remedy = "Its role could not be read.", "It takes iam:GetRole and the like in the account."
        checks.append(Check(title, names, Status.WARNING, found, remedy))
    if read.others:
        found = f"{markdown.count(read.others, 'more account')} with a role from the same template."
        checks.append(Check(title, state.wish.name, Status.OK, f"In {len(read.connected)} accounts; {found}"))
    if read.surroundings is None:
        return (), checks
    rows = {each.account: access(read.surroundings, each) for each in read.connected}
    for each in read.connected:
        checks += access_checks(run, each.name, rows[each.account])
    checks += surroundings_checks(read.surroundings)
    return [row for of_account in rows.values() for row in of_account], checks


def _surroundings(
    environment: Environment, state: State, connected: Sequence[Connected], progress: Progress
) -> Surroundings:
    scan_role = state.allowlist.stack.output("ScanRoleArn")
    return look_around(environment, scan_role, connected, progress, state.control_policies)


def _connected(environment: Environment, state: State, run: Run, account: str) -> Connected:
    """The role of an account before and after the run. Raises AccountError or RoleError where it cannot be read."""
    assert state.tree is not None
    instance = next((each for each in state.instances if each.account == account and each.stack), None)
    unique = instance.stack.split("/")[2] if instance and instance.current else STACK_UNIQUE_ID
    stack = StackToBe(environment.partition, environment.region, account, f"StackSet-{state.wish.name}", unique)
    live = _live(environment, account) if instance and instance.current else None
    before, after = live, live
    if run.applied:
        before = None if account in _new(run) else _planned(run, stack, "before") or live
    else:
        after = _planned(run, stack, "after") or live
    return Connected(account, state.tree.name(account), before, after, unique)


def _live(environment: Environment, account: str) -> Role:
    environment.identity(account)
    return read_role(
        environment, f"arn:{environment.partition}:iam::{account}:role/{role_name(environment.stack_name)}"
    )


def _planned(run: Run, stack: StackToBe, side: str) -> Role | None:
    """The role that the stack set of before or after the plan makes; None where the plan does not change it."""
    for change in run.plan.changes:
        text = change.before if side == "before" else change.after
        if change.resource.kind == StackSetDefinition.name and text is not None:
            values: Mapping[str, list[str]] = json.loads(text)
            try:
                template = parsed("", "\n".join(values["Template"]).encode())
                roles = template.roles(json.loads(text)["Parameters"], stack)
            except (TemplateUnreadable, NotKnown):
                return None
            return roles[0].role if roles else None
    return None


def _new(run: Run) -> set[str]:
    """The accounts that the plan connects."""
    found: set[str] = set()
    for change in run.plan.changes:
        if change.resource.kind == StackInstances.name:
            found |= set(_up_to_date(change.after)) - set(_up_to_date(change.before))
    return found


def _up_to_date(text: str | None) -> Iterable[str]:
    units = json.loads(text).get("UpToDate", {}) if text else {}
    return (account for accounts in units.values() for account in accounts)
