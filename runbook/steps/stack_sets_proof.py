"""Whether all is as planned: every instance, the table of connections, drift, and who can do what."""

import json
from collections.abc import Iterable, Sequence

from runbook import markdown
from runbook.aws.connections import Connection
from runbook.aws.stack_instances import StackInstances
from runbook.aws.stack_set_operations import OperationFailed, Operations
from runbook.aws.stack_sets import Instance
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.progress import Progress
from runbook.run import Run
from runbook.steps.stack_sets_accounts import Fate
from runbook.steps.stack_sets_state import State
from runbook.untrusted import code


def proof(environment: Environment, state: State, run: Run) -> Iterable[Check]:
    """Whether everything is as it should be after an apply; after a preview, what there would be."""
    if state.tree is None or state.fates is None:
        return
    if not run.applied:
        yield from _predicted(state)
        return
    yield from _instances(state)
    yield from _connections(environment, state)
    yield from _gone(environment, state, run)
    yield from _drift(state)


def detect_drift(environment: Environment, state: State, progress: Progress) -> list[Check]:
    """Have CloudFormation compare every stack with its template. Takes an operation of the stack set."""
    title, name = "Drift was looked for", state.wish.name
    if state.administrator is None or state.found is None or not state.instances:
        return [Check(title, name, Status.OK, "There is no stack to look at.")]
    operations = Operations(environment, state.administrator, name, lambda what: progress(0, 0, what))
    preferences = {"OperationPreferences": dict(state.wish.preferences)}
    try:
        told = operations.run("detect_stack_set_drift", preferences, "looked for drift")
    except OperationFailed as error:
        return [Check(title, name, Status.WARNING, str(error), "Look at these accounts in CloudFormation.")]
    return [Check(title, name, Status.OK, told)]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _predicted(state: State) -> Iterable[Check]:
    """The accounts as the plan would leave them."""
    assert state.tree is not None
    assert state.fates is not None
    title = "Every account of the targets would be connected"
    for account in state.fates.that(Fate.CONNECTED, Fate.CONNECT, Fate.AGAIN):
        fate = state.fates.of[account][0]
        found = "It is already." if fate is Fate.CONNECTED else "It would be."
        yield Check(title, state.tree.name(account), Status.OK, found)


def _instances(state: State) -> Iterable[Check]:
    """Every stack instance, by its status."""
    assert state.tree is not None
    assert state.fates is not None
    title = "Every account of the targets has its stack, up to date"
    for each in state.instances:
        subject = state.tree.name(each.account)
        if each.current:
            yield Check(title, subject, Status.OK, "CURRENT.")
        elif each.skipped:
            yield Check(title, subject, Status.WARNING, "SKIPPED: the account is suspended.", "It needs no connection.")
        else:
            reason = f": {each.reason}" if each.reason else ""
            found = f"{each.status} ({each.detail}){reason}."
            yield Check(title, subject, Status.FAILED, found, "Put that right, then run this again.")
    for account in state.fates.that(Fate.CONNECT) if state.wish.targets else ():
        found, remedy = "It has none: it joined the organization, or the OU, meanwhile.", "Run this again."
        yield Check(title, state.tree.name(account), Status.FAILED, found, remedy)


def _connections(environment: Environment, state: State) -> Iterable[Check]:
    """bucketAV's own table against the organization: who is connected, who is not, and why."""
    assert state.tree is not None
    title = "bucketAV knows of the connection"
    connections = state.allowlist.connections
    if connections is None:
        found = state.allowlist.problems["connections"]
        yield Check(title, "all connections", Status.WARNING, found, "Let account a's role call dynamodb:Scan on it.")
        return
    by_stack = {each.stack_id.raw: each for each in connections}
    for each in state.instances:
        if not each.current:
            continue
        subject, known = state.tree.name(each.account), by_stack.get(each.stack)
        if known:
            yield Check(title, subject, Status.OK, _known(environment, known))
        else:
            yield _unknown(title, subject, each, connections)
    for connection in connections:
        if connection.account not in state.tree.members:
            yield Check(
                "Who is connected is in the organization",
                connection.account,
                Status.WARNING,
                f"It is connected, but not in {state.tree.id}.",
                "If it has left: have its connection stack deleted, or the connection stays in bucketAV's table.",
            )


def _known(environment: Environment, connection: Connection) -> str:
    version = f", version {connection.stack_version}" if connection.stack_version else ""
    region = "" if connection.region == environment.region else f" in {connection.region}"
    return f"It is in its table{region}{version}."


def _unknown(title: str, subject: str, instance: Instance, connections: Sequence[Connection]) -> Check:
    other = next((each for each in connections if each.account == instance.account), None)
    if other:
        found = f"Its table names another stack, {code(other.stack_name)}."
        return Check(title, subject, Status.FAILED, found, "Two connections collide: delete one of the two stacks.")
    found = "Its stack is there, but not in bucketAV's table."
    remedy = "Somebody emptied the allowlist meanwhile: set it right, then delete and create the instance again."
    return Check(title, subject, Status.FAILED, found, remedy)


def _gone(environment: Environment, state: State, run: Run) -> Iterable[Check]:
    """Who was disconnected is in bucketAV's table no more."""
    assert state.tree is not None
    before = _accounts_before(run)
    left = {each.account for each in state.instances}
    still = {each.account: each for each in state.allowlist.connections or ()}
    title = "Who was disconnected is not connected any more"
    for account in sorted(before - left):
        known = still.get(account)
        if (
            known
            and known.stack_name.raw.startswith(f"StackSet-{state.wish.name}-")
            and known.region == environment.region
        ):
            found = "Its stack is gone, but bucketAV still has it in its table."
            yield Check(title, state.tree.name(account), Status.FAILED, found, "Look at the log of its connections.")
        else:
            yield Check(title, state.tree.name(account), Status.OK, "No.")


def _accounts_before(run: Run) -> set[str]:
    """The accounts that had an instance when the plan was made."""
    found: set[str] = set()
    for change in run.plan.changes:
        if change.resource.kind == StackInstances.name and change.before:
            values = json.loads(change.before)
            for kind in ("UpToDate", "OutOfDate"):
                found |= {account for accounts in values.get(kind, {}).values() for account in accounts}
    return found


def _drift(state: State) -> Iterable[Check]:
    """What the last drift detection found; nothing is detected here."""
    assert state.tree is not None
    title = "The stacks are as their template says"
    drifted = [each for each in state.instances if each.drift == "DRIFTED"]
    for each in drifted:
        found = "Somebody has changed what its stack made (DRIFTED)."
        remedy = "See in CloudFormation what it is. An update of the stack set need not put it back."
        yield Check(title, state.tree.name(each.account), Status.WARNING, found, remedy)
    looked = [each for each in state.instances if each.drift == "IN_SYNC"]
    if state.instances and not drifted:
        found = (
            f"As far as it was ever looked for: in {markdown.count(len(looked), 'account')}."
            if looked
            else "Drift was never looked for."
        )
        found = f"{found} `detect_drift: true` looks anew."
        yield Check(title, state.wish.name, Status.OK, found)
