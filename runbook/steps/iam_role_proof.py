"""Whether accounts are connected, or disconnected, as they should be: table, role, and who can do what."""

import json
from collections.abc import Iterable, Mapping, Sequence

from runbook import markdown
from runbook.access import Access
from runbook.aws.connection_template import STACK_UNIQUE_ID, StackToBe, TemplateUnreadable, parsed
from runbook.aws.iam import Role
from runbook.aws.stacks import body_of
from runbook.aws.template import NotKnown
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.plan import Change
from runbook.policy.evaluate import Verdict
from runbook.run import Run
from runbook.steps.connection_access import ASSUME, Connected, Surroundings
from runbook.steps.iam_role_plan import Way, version_in, way_of
from runbook.steps.iam_role_state import Standing, State
from runbook.untrusted import code


def connected_accounts(environment: Environment, state: State, run: Run) -> list[Connected]:
    """The accounts with their roles before and after the run.

    What is there is read; what was there, or would be, is worked out from the templates in the plan.
    """
    changes = {change.resource.account: change for change in run.plan.changes}
    found = []
    for account, standing in state.standings.items():
        if standing.problem or standing.role_problem:
            continue
        change, external_id = changes.get(account), _external_id(environment, state, standing)
        before = after = standing.role
        if change and run.applied:
            before = _role(change, change.before, external_id)
        elif change:
            after = _role(change, change.after, external_id)
        if before is not None or after is not None:
            found.append(Connected(account, environment.account_name(account), before, after, external_id))
    return found


def proof(environment: Environment, state: State, run: Run, rows: Mapping[str, Sequence[Access]]) -> Iterable[Check]:
    """Each account as it is after an apply; after a preview, as it would be. `rows` are the answers by account."""
    for account, standing in state.standings.items():
        if standing.problem:
            continue
        subject = environment.account_name(account)
        if account in state.wish.disconnect:
            yield _gone(environment, state, standing, subject) if run.applied else _would_go(subject)
            continue
        if run.applied:
            yield from _known(environment, state, standing, subject)
        yield from access_checks(run, subject, rows.get(account, ()))


def surroundings_checks(surroundings: Surroundings) -> Iterable[Check]:
    """What could not be looked at, and therefore is not proved."""
    title = "Access can be worked out"
    if surroundings.scan is None:
        yield Check(title, "the scan role", Status.WARNING, surroundings.problem, "Let account a's role read it.")
    for account, bounds in surroundings.bounds.items():
        if bounds.problem:
            found = f"No bucket of it was asked about. {bounds.problem}"
            yield Check(title, account, Status.WARNING, found, "")


# --- roles then and now ----------------------------------------------------------------------------------------------


def _role(change: Change, value: str | None, external_id: str) -> Role | None:
    """The role that a stack of this value has; None where there is none, or where it cannot be worked out."""
    if value is None:
        return None
    values = json.loads(value)
    _, partition, _, region, account, _ = change.resource.arn.split(":", 5)
    stack = StackToBe(partition, region, account, change.resource.name, external_id)
    try:
        roles = parsed("", body_of(values).encode()).roles(values["Parameters"], stack)
    except (TemplateUnreadable, NotKnown):
        return None
    return roles[0].role if roles else None


def _external_id(environment: Environment, state: State, standing: Standing) -> str:
    """The third part of the id of the stack that connects the account, its place holder where there is none (yet)."""
    connection = state.connection_of(standing.account, environment.region)
    if standing.stack is not None and standing.value is not None:
        return standing.stack.arn.split("/")[2]
    return connection.external_id if connection and standing.role else STACK_UNIQUE_ID


# --- the checks ------------------------------------------------------------------------------------------------------


def _known(environment: Environment, state: State, standing: Standing, subject: str) -> Iterable[Check]:
    title = "bucketAV knows of the connection"
    if state.connections is None:
        yield Check(title, subject, Status.WARNING, state.problems["connections"], "Let account a's role scan it.")
        return
    known = state.connection_of(standing.account, environment.region)
    if known is None:
        found = "Its table of connections does not have the account."
        yield Check(title, subject, Status.FAILED, found, "See in the events of the stack whether it reported.")
        return
    if way_of(environment, state, standing) is Way.ELSEWHERE:
        yield Check(title, subject, Status.OK, f"By stack {code(known.stack_name)}, version {known.stack_version}.")
        return
    version = version_in(standing.value)
    problems = []
    if standing.stack is None or known.stack_id.raw != standing.stack.arn:
        problems.append(f"its table names another stack, {known.stack_id}")
    if known.role_name.raw != state.role_name:
        problems.append(f"its table names another role, {code(known.role_name)}")
    if version not in ("unknown", known.stack_version.raw):
        problems.append(f"its table says version {known.stack_version}, the stack is of version {version}")
    if problems:
        found = f"Not as it is: {'; '.join(problems)}."
        yield Check(title, subject, Status.FAILED, found, "Disconnect the account, then connect it again.")
    else:
        found = f"Stack, role and version {known.stack_version} are in its table."
        yield Check(title, subject, Status.OK, found)


def _would_go(subject: str) -> Check:
    found = "Its role would be deleted with the stack, which has bucketAV take it out of its table first."
    return Check("The account would be disconnected", subject, Status.OK, found)


def _gone(environment: Environment, state: State, standing: Standing, subject: str) -> Check:
    title = "The account is disconnected"
    left = []
    if state.connections is None:
        left.append(state.problems["connections"])
    elif known := state.connection_of(standing.account, environment.region):
        left.append(f"bucketAV's table still has it, by stack {code(known.stack_name)}.")
    if standing.role is not None:
        left.append(f"Role {code(state.role_name)} is still there.")
    if left:
        remedy = "See in CloudFormation what became of the stack's deletion."
        return Check(title, subject, Status.FAILED, " ".join(left), remedy)
    return Check(title, subject, Status.OK, "Its item in bucketAV's table is gone, and so is the role.")


def access_checks(run: Run, subject: str, rows: Sequence[Access]) -> Iterable[Check]:
    """What the matrix says of one account."""
    if not rows:
        return
    would = "" if run.applied else "would "
    yield from _entrance(run, subject, [row for row in rows if row.action.startswith(ASSUME)], would)
    using = [row for row in rows if not row.action.startswith(ASSUME)]
    title = f"The role {would}{'opens' if run.applied else 'open'} the account's buckets"
    buckets = list(dict.fromkeys(row.resource for row in using))
    closed = [row for row in using if row.granted and not row.after.allowed]
    if closed:
        named = ", ".join(f"{row.action} on {row.resource}" for row in closed[:3])
        found = f"Not for {named}: {closed[0].after.reason}"
        remedy = "Ask the bucket's owner; or open single buckets by their policies (05-bucket-policy)."
        yield Check(title, subject, Status.WARNING, found, remedy)
    elif buckets:
        yield Check(title, subject, Status.OK, f"As its policies say; asked about {markdown.joined(buckets)}.")


def _entrance(run: Run, subject: str, rows: Sequence[Access], would: str) -> Iterable[Check]:
    title = f"Only the scan role, with the ExternalId, {would}{'gets' if run.applied else 'get'} in"
    status = Status.FAILED if run.applied else Status.WARNING
    wrong = [row for row in rows if row.granted and not row.after.allowed]
    open_to = [row for row in rows if not row.granted and row.after.verdict is not Verdict.DENIED]
    if wrong:
        found = f"The scan role cannot: {wrong[0].after.reason}"
        yield Check(title, subject, status, found, "Compare the role's trust policy, and the scan role's own policies.")
    for row in open_to:
        who = row.principal.rsplit(":", 1)[-1]
        told = "can as well" if row.after.allowed else "may be able to as well"
        found = f"{who} {told} ({row.action}): {row.after.reason}"
        yield Check(title, subject, status if row.after.allowed else Status.WARNING, found, "Look at its trust policy.")
    if not wrong and not open_to:
        asked = len({row.principal for row in rows}) - 1
        found = f"Yes. Refused without it, with another one, and to {asked} kinds of others."
        yield Check(title, subject, Status.OK, found)
