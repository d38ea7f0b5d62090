"""What stands against changing the allowlist, or should be known before: answers from one look, nothing called."""

from collections.abc import Iterable

from runbook import markdown
from runbook.aws.cloudformation import UPDATABLE, way_out
from runbook.aws.organizations import MANAGEMENT
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.steps.allowlist_state import ACCOUNTS, ORGANIZATIONS, State
from runbook.steps.connection_checks import version_check
from runbook.untrusted import code

VALUE_LIMIT = 4096
"""Bytes of a parameter's value. Source: AWS, "Understand CloudFormation quotas", Parameter values."""


def checks_of(environment: Environment, state: State) -> Iterable[Check]:
    """Everything that stands against the change, or should be known before it is made."""
    yield _stack_check(state)
    yield _parameters_check(state)
    # The lists work in older versions too; connecting by role is what they are mostly for.
    yield version_check(state.stack, needed=False)
    yield from _account_checks(environment, state)
    yield from _organization_checks(state)
    yield from _size_checks(state)
    yield _effects_check(environment, state)
    if state.wish.remove.accounts or state.wish.remove.organizations:
        yield from _removal_checks(environment, state)


def _stack_check(state: State) -> Check:
    title, stack = "bucketAV's stack takes an update", state.stack
    found = f"{stack.product}, {stack.status}."
    if stack.status in UPDATABLE:
        return Check(title, stack.name, Status.OK, found)
    return Check(title, stack.name, Status.FAILED, found, way_out(stack))


def _parameters_check(state: State) -> Check:
    title, stack = "The stack has the two lists", state.stack
    if missing := [name for name in (ACCOUNTS, ORGANIZATIONS) if name not in stack.parameters]:
        return Check(
            title,
            stack.name,
            Status.FAILED,
            f"It has no parameter {' and no '.join(missing)}.",
            "It is not bucketAV's stack, or one too old: correct `stack_name` in the environment, or update bucketAV.",
        )
    accounts, organizations = len(state.present.accounts), len(state.present.organizations)
    found = f"{markdown.count(accounts, 'account')} and {markdown.count(organizations, 'organization')} are on them."
    return Check(title, stack.name, Status.OK, found)


def _account_checks(environment: Environment, state: State) -> Iterable[Check]:
    """A mistyped id lets a stranger in, so every new one is looked up."""
    title, organization = "The account is known", state.organization
    for account in state.wish.add.accounts:
        if account in state.present.accounts:
            yield Check(title, account, Status.OK, "It is on the list already.")
        elif organization is None or organization.members is None:
            yield Check(
                title,
                account,
                Status.WARNING,
                "It could not be looked up: the accounts of the organization may not be listed from here.",
                f"Compare the number, or name the organization's `{MANAGEMENT}` account in {environment.where}.",
            )
        elif account not in organization.members:
            yield Check(
                title,
                account,
                Status.WARNING,
                f"It is not in {organization.id}, the organization of account a.",
                "Compare the number: whose account it is may send bucketAV messages and events from then on.",
            )
        else:
            name, status = organization.members[account]
            found = f"It is {code(name)} of {organization.id}, {status.lower()}."
            if status == "ACTIVE":
                yield Check(title, account, Status.OK, found)
            else:
                yield Check(title, account, Status.WARNING, found, "An account that is not in use needs no access.")


def _organization_checks(state: State) -> Iterable[Check]:
    title, own = "The organization is account a's own", state.organization
    for each in state.wish.add.organizations:
        if own is None:
            found = "Which organization account a is in could not be asked."
            yield Check(title, each, Status.WARNING, found, "Compare the id: every account of it is let in.")
        elif own.id != each:
            found = f"Account a is in {own.id}."
            yield Check(title, each, Status.WARNING, found, "Compare the id: every account of the other one is let in.")
        else:
            number = markdown.count(len(own.active()), "active account") if own.members else "accounts not counted"
            yield Check(title, each, Status.OK, f"Yes ({number}).")


def _size_checks(state: State) -> Iterable[Check]:
    title, wanted = "The lists fit into the stack's parameters", state.wanted_parameters
    for name in (ACCOUNTS, ORGANIZATIONS):
        size = len(wanted.get(name, "").encode())
        if size > VALUE_LIMIT:
            yield Check(
                title,
                name,
                Status.FAILED,
                f"It would be {size:,} bytes; CloudFormation takes {VALUE_LIMIT:,} ({size - VALUE_LIMIT:,} too many).",
                "Allowlist the organization instead of its accounts, or take off accounts that are not in use.",
            )
        elif wanted.get(name) != state.stack.parameters.get(name):
            yield Check(title, name, Status.OK, f"{size:,} of {VALUE_LIMIT:,} bytes.")


def _effects_check(environment: Environment, state: State) -> Check:
    """What an update adds and removes besides; removing is refused later unless it is known now."""
    title, stack = "What else comes or goes is known", state.stack.name
    if state.effects is None:
        empties = state.wanted.empty and not state.present.empty
        return Check(
            title,
            stack,
            Status.FAILED if empties else Status.WARNING,
            f"It cannot be told from the stack's template: {state.problems['effects']}.",
            f"Let {environment.identity(environment.account_a).arn} call cloudformation:GetTemplate, "
            "cloudformation:DescribeStackResource and dynamodb:Scan. Without it nothing may be removed.",
        )
    if not state.effects:
        return Check(title, stack, Status.OK, "Nothing: resources are changed in place, if at all.")
    return Check(title, stack, Status.OK, f"The update will {'; '.join(map(str, state.effects))}.")


def _removal_checks(environment: Environment, state: State) -> Iterable[Check]:
    title = "What is taken off the lists is not in use"
    if state.connections is None:
        yield Check(
            title,
            "all connections",
            Status.WARNING,
            f"Whether accounts are still connected cannot be told. {state.problems['connections']}",
            f"Let {environment.identity(environment.account_a).arn} call dynamodb:Scan on it.",
        )
        return
    connected = _regions(state)
    for account in connected:
        if not state.lets_in(state.wanted, account):
            yield Check(
                title,
                environment.account_name(account),
                Status.WARNING,
                f"It is still connected ({', '.join(connected[account])}); bucketAV takes no events from its buckets "
                "without the list.",
                "Disconnect it first: delete its connection stack in CloudFormation.",
            )
    for account in state.wish.remove.accounts:
        if account not in state.present.accounts:
            yield Check(title, environment.account_name(account), Status.OK, "It is not on the list.")
        elif account not in connected:
            yield Check(title, environment.account_name(account), Status.OK, "It is not connected.")
    for organization in state.wish.remove.organizations:
        if organization not in state.present.organizations:
            yield Check(title, organization, Status.OK, "It is not on the list.")
    if state.wanted.empty and not state.present.empty:
        yield Check(
            "bucketAV keeps its connections",
            state.stack.name,
            Status.WARNING,
            "No: both lists would be empty. bucketAV then deletes its table of connections "
            f"({markdown.count(len(state.connections), 'connection')} in it) and all that belongs to it.",
            "Go on only if no other account is to be scanned any more; undo brings back the table, but empty.",
        )


def _regions(state: State) -> dict[str, list[str]]:
    """The accounts that are connected, and from which Regions."""
    found: dict[str, list[str]] = {}
    for connection in state.connections or ():
        found.setdefault(connection.account, []).append(connection.region)
    return found
