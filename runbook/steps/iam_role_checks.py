"""What stands against connecting or disconnecting accounts by role, or should be known: answers from one look."""

from collections.abc import Iterable

from runbook import markdown
from runbook.aws.cloudformation import UPDATABLE
from runbook.aws.connection_template import ACCOUNT_PARAMETER, BODY_LIMIT, STACK_NAME_PARAMETER
from runbook.aws.console import dashboard_url
from runbook.aws.organizations import MANAGEMENT
from runbook.aws.stacks import BROKEN
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.parameters import did_you_mean
from runbook.policy.evaluate import ANYTHING, Decision, Request, Verdict, evaluate
from runbook.steps.connection_checks import allowlist_checks, allowlist_command, let_in_by, version_check
from runbook.steps.iam_role_plan import Way, other_connection, version_in, version_of, wanted_parameters, way_of
from runbook.steps.iam_role_state import Standing, State, dashboard_name
from runbook.untrusted import Untrusted, code, pattern_text

TILE = "AWS accounts"
"""The tile of the dashboard that lists the connections. Source: outline `iam-role.connect-account`."""

CREATES = ("iam:CreateRole", "iam:PutRolePolicy")
DELETES = ("iam:DeleteRolePolicy", "iam:DeleteRole")


def checks_of(environment: Environment, state: State) -> Iterable[Check]:
    """Everything that stands against it, or should be known before anything is changed.

    What is asked of one account has it as subject, and keeps only that one out of the plan when it failed.
    """
    if state.wish.connect:
        yield version_check(state.stack, needed=True)
        yield from _template_checks(environment, state)
    yield _dashboard_check(environment, state)
    seen = [each for each in state.standings.values() if not each.problem]
    for standing in state.standings.values():
        if standing.problem:
            yield _unreachable(environment, standing)
    connect = [each for each in seen if each.account in state.wish.connect]
    if connect:
        organizations = {each.account: each.organization for each in connect}
        yield from allowlist_checks(environment, state.lists, list(organizations), organizations)
    for standing in connect if state.template else ():
        yield from _connection_checks(environment, state, standing)
    for standing in seen:
        if standing.account in state.wish.disconnect:
            yield from _disconnection_checks(environment, state, standing)


def _unreachable(environment: Environment, standing: Standing) -> Check:
    return Check(
        "The account can be looked at",
        environment.account_name(standing.account),
        Status.FAILED,
        standing.problem,
        "Name another role or profile for it; or have its owner connect it: the plan has a link for that.",
    )


# --- bucketAV and the template ---------------------------------------------------------------------------------------


def _dashboard_check(environment: Environment, state: State) -> Check:
    title, name = "bucketAV's dashboard shows the accounts", dashboard_name(environment)
    url = dashboard_url(environment.partition, environment.region, name)
    if state.tiles is None:
        return Check(
            title,
            name,
            Status.WARNING,
            f"It cannot be read: {state.problems['dashboard']}.",
            "Nothing here needs it. If there is none, see in CloudFormation what became of the stack's `Dashboard`.",
        )
    if Untrusted(TILE) not in state.tiles:
        found = f"It has no tile `{TILE}`; there is {markdown.names(state.tiles) or 'nothing'}."
        return Check(title, name, Status.WARNING, found, "Nothing here needs it. Was the dashboard edited?")
    return Check(title, name, Status.OK, f"Its tile `{TILE}` lists the connections: {markdown.link(name, url)}.")


def _template_checks(environment: Environment, state: State) -> Iterable[Check]:
    title, template = "The template can be used", state.template
    subject = f"version {state.wish.version}" if state.wish.version else state.wish.url
    if template is None:
        yield Check(title, subject, Status.FAILED, state.problems["template"], state.template_remedy)
        return
    problems = [
        (
            f"It has no parameter {code(name)}.",
            "It is not the account-connection template: correct `template_version` or `template_url`."
            if name in (STACK_NAME_PARAMETER, ACCOUNT_PARAMETER)
            else f"Correct `template_parameters`.{did_you_mean(name, list(template.parameters))}",
        )
        for name in (STACK_NAME_PARAMETER, ACCOUNT_PARAMETER, *state.wish.parameters)
        if name not in template.parameters
    ]
    # An account without a stack: one with a stack may have a value for what has no default.
    given = wanted_parameters(environment, state, Standing(""))
    problems += [
        (f"Its parameter {code(name)} has no default and is not given.", f"Add {code(name)} to `template_parameters`.")
        for name in template.parameters
        if name not in given and name not in (STACK_NAME_PARAMETER, ACCOUNT_PARAMETER)
    ]
    if template.size > BODY_LIMIT:
        found = f"It has {template.size:,} bytes; CloudFormation takes {BODY_LIMIT:,} with the call."
        problems.append((found, "Have the account's owner create the stack from the template's address."))
    for found, remedy in problems:
        yield Check(title, subject, Status.FAILED, found, remedy)
    if not problems:
        resources = ", ".join(f"{name} ({kind})" for name, kind in template.resources)
        acknowledged = (
            f", to be acknowledged with {' and '.join(template.capabilities)}" if template.capabilities else ""
        )
        found = f"{template.size:,} of {BODY_LIMIT:,} bytes; it makes {resources}{acknowledged}."
        yield Check(title, subject, Status.OK, found)


# --- an account to connect -------------------------------------------------------------------------------------------


def _connection_checks(environment: Environment, state: State, standing: Standing) -> Iterable[Check]:
    way = way_of(environment, state, standing)
    yield _name_check(environment, state, standing)
    yield _stack_check(environment, state, standing, way)
    if way in (Way.CREATE, Way.UPDATE):
        yield _control_policy_check(environment, state, standing, CREATES)


def _name_check(environment: Environment, state: State, standing: Standing) -> Check:
    """IAM roles have no Region: one name, one role, whichever Region's stack it comes from."""
    title, subject, name = "The role's name is free", environment.account_name(standing.account), state.role_name
    if standing.role_problem:
        remedy = f"Let {pattern_text(standing.caller)} call iam:GetRole and the like."
        return Check(title, subject, Status.WARNING, f"That cannot be told. {standing.role_problem}", remedy)
    if standing.role is None:
        return Check(title, subject, Status.OK, f"There is no role {code(name)}.")
    if standing.value is not None:
        return Check(title, subject, Status.OK, f"Role {code(name)} is the connection stack's own.")
    if connection := other_connection(environment, state, standing):
        return _connected_elsewhere(state, subject, connection.stack_name, connection.stack_version)
    if standing.role_owner:
        stack = standing.role_owner.split("/")[1]
        found = (
            f"Stack {code(stack)} in {environment.region} has made the role {code(name)}, but bucketAV does not know "
            "of that connection."
        )
        remedy = (
            f"See in the events of {code(stack)} why it never reported to bucketAV; then delete it and run this again."
        )
        return Check(title, subject, Status.FAILED, found, remedy)
    if elsewhere := state.elsewhere(standing.account, environment.region):
        found = (
            f"The account is connected from {elsewhere.region} by stack {code(elsewhere.stack_name)}, whose role has "
            "the same name; roles belong to no Region, so there cannot be two."
        )
        remedy = f"Delete that stack in {elsewhere.region} first, if {environment.region} is where bucketAV runs now."
        return Check(title, subject, Status.FAILED, found, remedy)
    found = f"There is a role {code(name)} that no stack in {environment.region} has made."
    remedy = "See in IAM who made it, and when it was last used; delete it if nobody needs it, and run this again."
    return Check(title, subject, Status.FAILED, found, remedy)


def _connected_elsewhere(state: State, subject: str, stack: Untrusted, version: Untrusted) -> Check:
    title, found = (
        "The role's name is free",
        f"The account is connected already, by stack {code(stack)}, version {version}",
    )
    newest = version_of(state.template.body) if state.template else "unknown"
    if version.raw in (newest, "") or newest == "unknown":
        return Check(title, subject, Status.OK, f"{found}. Nothing to do.")
    by_set = "StackSet-" in stack.raw
    way = (
        "Update the stack set that made it (03-stack-sets)."
        if by_set
        else f"Update it where it was made: {code(f'connection_stack_name = {stack.raw}')}."
    )
    return Check(title, subject, Status.WARNING, f"{found}; version {newest} is wanted. It is left as it is.", way)


def _stack_check(environment: Environment, state: State, standing: Standing, way: Way) -> Check:
    title, subject = "The connection stack takes the change", environment.account_name(standing.account)
    name, stack = state.wish.stack_name, standing.stack
    if stack is None:
        return Check(title, subject, Status.OK, f"There is no stack {code(name)} yet.")
    here = f"Stack {code(name)} is in {stack.status}"
    if stack.status == "ROLLBACK_COMPLETE":
        found = f"{here}: a failed attempt has left its name and nothing else. The plan deletes it first."
        return Check(title, subject, Status.OK, found)
    if stack.status == "REVIEW_IN_PROGRESS":
        found = f"{here}: somebody made a change set that would create it, and did not execute it."
        return Check(
            title, subject, Status.FAILED, found, f"Delete stack {code(name)}, or have them do so; then run this."
        )
    if stack.status in BROKEN:
        found = f"{here}: it is neither there nor gone."
        remedy = "Delete what is left of it first: `disconnect` names accounts for that. Then connect them."
        return Check(title, subject, Status.FAILED, found, remedy)
    other = {
        key: stack.parameters[key]
        for key, own in ((STACK_NAME_PARAMETER, environment.stack_name), (ACCOUNT_PARAMETER, environment.account_a))
        if stack.parameters.get(key, own) != own
    }
    if other:
        told = ", ".join(f"{key} {code(value)}" for key, value in other.items())
        found = f"Stack {code(name)} connects the account to another bucketAV: {told}."
        return Check(title, subject, Status.FAILED, found, "Choose another `connection_stack_name`.")
    if way is Way.FORGOTTEN:
        found = f"{here} and as it should be, but bucketAV's table of connections does not have the account."
        remedy = "The allowlist was emptied meanwhile, for example. Disconnect the account, then connect it again."
        return Check(title, subject, Status.FAILED, found, remedy)
    if way is Way.UPDATE and stack.status not in UPDATABLE:
        remedy = (
            "In CloudFormation, put right what its events name; then Stack actions › Continue update rollback, or Roll "
            "back."
        )
        return Check(title, subject, Status.FAILED, f"{here} and takes no update.", remedy)
    ready = "ready for the update" if way is Way.UPDATE else "as it should be"
    return Check(title, subject, Status.OK, f"{here}, version {version_in(standing.value)}: {ready}.")


def _control_policy_check(
    environment: Environment, state: State, standing: Standing, actions: tuple[str, ...]
) -> Check:
    """CloudFormation acts with the rights of whoever calls it; what the organization denies them fails in the stack."""
    title, subject = "The organization's policies let the role be made", environment.account_name(standing.account)
    if actions == DELETES:
        title = "The organization's policies let the role be deleted"
    if standing.control_policies is None:
        return Check(
            title,
            subject,
            Status.WARNING,
            "The service control policies of the organization cannot be read from here.",
            f"Name its `{MANAGEMENT}` account in {environment.where}, or go on: if one denies it, the stack fails, and "
            "nothing is left behind.",
        )
    decisions = {action: _control_decision(state, standing, action) for action in actions}
    for verdict, status, told in (
        (Verdict.DENIED, Status.FAILED, "may not be called there"),
        (Verdict.INDETERMINATE, Status.WARNING, "may be denied there"),
    ):
        for action, decision in decisions.items():
            if decision.verdict is verdict:
                found = f"{action} {told}: {decision.reason}"
                remedy = "Have the organization's administrators make an exception for it, or leave the account out."
                return Check(title, subject, status, found, remedy)
    return Check(title, subject, Status.OK, "No service control policy stands against it.")


def _control_decision(state: State, standing: Standing, action: str) -> Decision:
    """What the control policies alone say: whoever calls is taken to be allowed everything by their own policies."""
    partition, principal = standing.caller.split(":")[1], _role_of(standing.caller)
    context = {"aws:PrincipalAccount": standing.account}
    if "/AWSReservedSSO_" not in principal:  # these have a path, which the session's name does not tell
        context["aws:PrincipalArn"] = principal
    if partition == "aws":  # where IAM is: AWS, "Global condition keys", aws:RequestedRegion
        context["aws:RequestedRegion"] = "us-east-1"
    return evaluate(
        Request(
            principal=principal,
            action=action,
            resource=f"arn:{partition}:iam::{standing.account}:role/{state.role_name}",
            resource_account=standing.account,
            context=context,
            unknown=("*",),
        ),
        identity_policies=(ANYTHING,),
        service_control_policies=standing.control_policies or (),
    )


def _role_of(caller: str) -> str:
    """`arn:aws:iam::222222222222:role/Admin` of the session `arn:aws:sts::222222222222:assumed-role/Admin/me`."""
    if ":assumed-role/" not in caller:
        return caller
    start, _, session = caller.partition(":assumed-role/")
    return f"{start.replace(':sts:', ':iam:')}:role/{session.split('/')[0]}"


# --- an account to disconnect ----------------------------------------------------------------------------------------


def _disconnection_checks(environment: Environment, state: State, standing: Standing) -> Iterable[Check]:
    title, subject = "There is a connection to take away", environment.account_name(standing.account)
    name, stack = state.wish.stack_name, standing.stack
    if way_of(environment, state, standing) is Way.ABSENT:
        connection = state.connection_of(standing.account, environment.region)
        if connection is None:
            yield Check(title, subject, Status.OK, f"No: there is no stack {code(name)}, and bucketAV knows of none.")
        else:
            other = connection.stack_name
            remedy = (
                "Take its OU out of that stack set, or exclude the account (03-stack-sets)."
                if "StackSet-" in other.raw
                else f"{code(f'connection_stack_name = {other.raw}')}."
            )
            found = f"There is no stack {code(name)}; the account is connected by stack {code(other)}."
            yield Check(title, subject, Status.FAILED, found, remedy)
        return
    assert stack is not None
    yield Check(title, subject, Status.OK, f"Stack {code(name)}, {stack.status}, version {version_in(standing.value)}.")
    if stack.protected:
        found = f"Termination protection is on for stack {code(name)}."
        remedy = (
            f"Ask who turned it on; then CloudFormation › {code(name)} › Stack actions › Edit termination protection."
        )
        yield Check("The stack may be deleted", subject, Status.FAILED, found, remedy)
    else:
        yield Check("The stack may be deleted", subject, Status.OK, "Termination protection is off.")
    yield _still_let_in(environment, state, standing)
    yield _control_policy_check(environment, state, standing, DELETES)


def _still_let_in(environment: Environment, state: State, standing: Standing) -> Check:
    """Its custom resource reports its own deletion; what cannot report is not deleted."""
    title, subject = "bucketAV can be told of it", environment.account_name(standing.account)
    if by := let_in_by(state.lists, standing.account, standing.organization):
        return Check(title, subject, Status.OK, f"The account is let in {by}.")
    found = "The account is not on bucketAV's allowlist: its stack could not report its deletion, which would fail."
    remedy = f"{allowlist_command(environment, [standing.account])} Take it off the list afterwards."
    return Check(title, subject, Status.FAILED, found, remedy)
