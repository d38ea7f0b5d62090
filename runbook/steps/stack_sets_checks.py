"""What stands against connecting accounts by a stack set, or should be known before: answers from one look."""

from collections.abc import Iterable

from runbook import markdown
from runbook.aws.connection_template import ACCOUNT_PARAMETER, BODY_LIMIT, STACK_NAME_PARAMETER
from runbook.aws.stack_instances import MOST_UNITS
from runbook.aws.trusted_access import ENABLED
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.parameters import did_you_mean
from runbook.steps import allowlist_checks
from runbook.steps.connection_checks import allowlist_command, let_in_by, version_check
from runbook.steps.stack_sets_account_checks import account_checks
from runbook.steps.stack_sets_accounts import Fate
from runbook.steps.stack_sets_plan import wanted_parameters
from runbook.steps.stack_sets_state import State
from runbook.untrusted import code


def checks_of(environment: Environment, state: State) -> Iterable[Check]:
    """Everything that stands against it, or should be known before anything is changed."""
    yield from _administrator_checks(environment, state)
    if state.administrator is None or state.tree is None:
        return
    yield _access_check(environment, state)
    yield version_check(state.allowlist.stack, needed=state.wish.deploys)
    yield from _target_checks(state)
    yield from _stack_set_checks(environment, state)
    if state.wish.deploys:
        yield from _template_checks(environment, state)
    yield from _allowlist_checks(environment, state)
    yield from account_checks(environment, state)


# --- who does it -----------------------------------------------------------------------------------------------------


def _administrator_checks(environment: Environment, state: State) -> Iterable[Check]:
    title, account = "The account may manage the organization's stack sets", state.wish.administrator
    subject = environment.account_name(account)
    if state.administrator is None:
        yield Check(
            title,
            subject,
            Status.FAILED,
            state.problems["administrator"],
            "Name the management account or a delegated administrator as `administrator`.",
        )
        return
    known = state.administrators
    if state.administrator.call_as == "SELF":
        yield Check(title, subject, Status.OK, "It is the management account; calls say CallAs SELF.")
    elif known is not None and account in known:
        yield Check(title, subject, Status.OK, "It is a delegated administrator; calls say CallAs DELEGATED_ADMIN.")
    else:
        others = markdown.names([environment.account_name(each) for each in known or ()])
        found = "It is neither the organization's management account nor a delegated administrator for StackSets"
        yield Check(
            title,
            subject,
            Status.FAILED,
            f"{found}{f'; that is {others}.' if known else '.'}",
            "Name another `administrator`, or have the management account register this one: CloudFormation › "
            "StackSets › Register delegated administrator.",
        )
        return
    if state.tree is None:
        yield Check(
            title,
            subject,
            Status.FAILED,
            state.problems["tree"],
            f"Let {environment.identity(account).arn} call organizations:ListRoots, "
            "organizations:ListOrganizationalUnitsForParent and organizations:ListAccountsForParent.",
        )
    elif "stack set" in state.problems:
        yield Check(
            title,
            subject,
            Status.FAILED,
            state.problems["stack set"],
            f"Let {environment.identity(account).arn} call cloudformation:DescribeStackSet, "
            "cloudformation:ListStackInstances and cloudformation:ListStackSetOperations.",
        )


def _access_check(environment: Environment, state: State) -> Check:
    assert state.tree is not None
    assert state.administrator is not None
    title, subject = "StackSets has trusted access to the organization", state.tree.id
    if state.access == ENABLED:
        return Check(title, subject, Status.OK, "Yes.")
    if state.access is None:
        return Check(
            title,
            subject,
            Status.WARNING,
            "That may not be asked from here.",
            f"Let {environment.identity(state.wish.administrator).arn} call "
            "cloudformation:DescribeOrganizationsAccess.",
        )
    own = state.administrator.call_as == "SELF"
    if state.wish.activate and own:
        return Check(title, subject, Status.OK, "Not yet; the plan activates it first.")
    if state.wish.activate:
        return Check(
            title,
            subject,
            Status.FAILED,
            "No, and only the management account can activate it; this is a delegated administrator.",
            f"Name the management account, {state.tree.management}, as `administrator`.",
        )
    where = "" if own else f" with `administrator: {state.tree.management}`, the management account,"
    return Check(
        title,
        subject,
        Status.FAILED,
        f"No ({state.access}): service-managed permissions do not work without it.",
        f"Set{where} `activate_trusted_access: true`.",
    )


# --- where to --------------------------------------------------------------------------------------------------------


def _target_checks(state: State) -> Iterable[Check]:
    title, wish = "The targets are in the organization", state.wish
    assert state.tree is not None
    if "targets" in state.problems:
        for line in state.problems["targets"].splitlines():
            yield Check(title, line.split("`")[3] if line.count("`") > 3 else wish.name, Status.FAILED, line, "")
        return
    assert state.choice is not None
    for unit in (*state.choice.targets, *state.choice.removed):
        number = len([member for member in state.tree.within(unit.id) if member.active])
        yield Check(title, f"{unit.shown}", Status.OK, f"{code(unit.id)}, {markdown.count(number, 'active account')}.")
    if not wish.targets and state.found is None and not wish.delete and "stack set" not in state.problems:
        yield Check(
            title,
            wish.name,
            Status.FAILED,
            f"There is no stack set {code(wish.name)} yet, and nothing is named to deploy it to.",
            "Set `targets`: `organization`, or OUs by path or id; or correct `stack_set_name`.",
        )
    units = state.fates.new_units if state.fates else ()
    if len(units) > MOST_UNITS:
        batches = -(-len(units) // MOST_UNITS)
        found = f"{len(units)} OUs; CloudFormation takes {MOST_UNITS} in one operation. There will be {batches}."
        yield Check("The targets fit into one operation", wish.name, Status.OK, found)


# --- the stack set ---------------------------------------------------------------------------------------------------


def _stack_set_checks(environment: Environment, state: State) -> Iterable[Check]:
    wish, found = state.wish, state.found
    if state.running:
        yield Check(
            "No operation is going on in the stack set",
            wish.name,
            Status.WARNING,
            f"{state.running.action} {state.running.id} is {state.running.status}; there can be one at a time.",
            "The plan waits until it is over.",
        )
    if found is None:
        title = "The stack set can be made"
        if wish.delete:
            yield Check(title, wish.name, Status.OK, f"There is no stack set {code(wish.name)}: nothing to delete.")
        else:
            yield Check(title, wish.name, Status.OK, f"There is none of that name in {environment.region} yet.")
        return
    title = "The stack set that is there can be used"
    if found.permission_model != "SERVICE_MANAGED":
        yield Check(
            title,
            wish.name,
            Status.FAILED,
            f"Its permissions are {found.permission_model}: it does not deploy to OUs, and that cannot be changed.",
            "Choose another `stack_set_name`, or delete it in CloudFormation.",
        )
        return
    own = {STACK_NAME_PARAMETER: environment.stack_name, ACCOUNT_PARAMETER: environment.account_a}
    others = {name: found.parameters.get(name, "") for name in own if found.parameters.get(name) != own[name]}
    if others and not wish.delete:
        shown = ", ".join(f"{name} {code(value)}" for name, value in others.items())
        yield Check(
            title,
            wish.name,
            Status.FAILED,
            f"It connects accounts to another bucketAV: {shown}.",
            "Choose another `stack_set_name`.",
        )
        return
    yield from _region_checks(environment, state)
    parts = [f"{markdown.count(len(state.instances), 'stack instance')}"]
    if state.wish.deploys and state.template:
        wanted = wanted_parameters(environment, state)
        differing = [
            f"{name} {code(found.parameters.get(name, '(none)'))} → {code(value)}"
            for name, value in wanted.items()
            if found.parameters.get(name, value) != value
        ]
        parts += [f"parameters that differ: {', '.join(differing)}"] if differing else ["no parameter differs"]
    yield Check(title, wish.name, Status.OK, f"It is service-managed; {'; '.join(parts)}.")


def _region_checks(environment: Environment, state: State) -> Iterable[Check]:
    title = "The stack set is in bucketAV's Region and no other"
    elsewhere = sorted({each.region for each in state.instances} - {environment.region})
    if elsewhere:
        accounts = sorted({each.account for each in state.instances if each.region in elsewhere})
        yield Check(
            title,
            state.wish.name,
            Status.FAILED,
            f"It has instances in {markdown.names(elsewhere)} too ({markdown.joined(accounts)}), where the role, which "
            "has the same name in every Region, cannot be made twice.",
            f"Delete these in CloudFormation, so that {environment.region} is left; or choose another "
            "`stack_set_name`.",
        )
    else:
        yield Check(title, state.wish.name, Status.OK, f"{environment.region}.")


def _template_checks(environment: Environment, state: State) -> Iterable[Check]:
    title, wish, template = "The template can be used", state.wish, state.template
    subject = wish.url.rsplit("/", 1)[-1]
    if template is None:
        yield Check(title, subject, Status.FAILED, state.problems["template"], state.template_remedy)
        return
    problems = [
        (
            f"It has no parameter {code(name)}.",
            f"Correct `template_parameters`.{did_you_mean(name, list(template.parameters))}",
        )
        for name in (STACK_NAME_PARAMETER, ACCOUNT_PARAMETER, *wish.parameters)
        if name not in template.parameters
    ]
    given = wanted_parameters(environment, state)
    problems += [
        (f"Its parameter {code(name)} has no default and is not given.", "Add it to `template_parameters`.")
        for name in template.parameters
        if name not in given
    ]
    if template.size > BODY_LIMIT:
        problems.append(
            (
                f"It has {template.size:,} bytes; CloudFormation takes {BODY_LIMIT:,} with the call.",
                "Use a version that is smaller.",
            )
        )
    for found, remedy in problems:
        yield Check(title, subject, Status.FAILED, found, remedy)
    if not problems:
        resources = ", ".join(f"{name} ({kind})" for name, kind in template.resources)
        yield Check(title, subject, Status.OK, f"{template.size:,} bytes of {BODY_LIMIT:,}; makes {resources}.")


# --- the list --------------------------------------------------------------------------------------------------------


def _allowlist_checks(environment: Environment, state: State) -> Iterable[Check]:
    """The organization's id, which also lets in the accounts to come, or at least each account that is connected."""
    assert state.tree is not None
    title, lists, organization = "bucketAV lets the organization in", state.allowlist.present, state.tree.id
    if state.wish.allowlist and organization not in lists.organizations:
        failed = [
            each
            for each in allowlist_checks.checks_of(environment, state.allowlist)
            if each.status is Status.FAILED and each.title != "The version can connect accounts by IAM role"
        ]
        yield from failed
        if not failed:
            yield Check(title, organization, Status.OK, "Not yet; the plan puts it on the list first.")
        return
    if organization in lists.organizations:
        yield Check(title, organization, Status.OK, "Yes.")
    elif state.wish.deploys:
        accounts = state.fates.to_connect if state.fates else ()
        missing = [each for each in accounts if let_in_by(lists, each, None) is None]
        offer = (
            "Set `allowlist_organization: true`, which lets it in first. Or: "
            f"{allowlist_command(environment, [organization], 'organizations')}"
        )
        if missing:
            found = (
                f"No, and of the accounts to connect {len(missing)} are not on its list by themselves either "
                f"({markdown.joined([state.tree.name(each) for each in missing])}): their stacks could not report to "
                "bucketAV, and would fail."
            )
            yield Check(title, organization, Status.FAILED, found, offer)
        else:
            found = "No. The accounts of now are on its list by themselves, those that join later are not."
            yield Check(title, organization, Status.WARNING, found, offer)
    elif not state.allowlist.present.empty:
        return
    elif state.fates and state.fates.that(Fate.DISCONNECT):
        yield Check(
            title,
            organization,
            Status.FAILED,
            "Both of its lists are empty, so that connection stacks have no topic to report to: they cannot even be "
            "deleted.",
            "Set the list as it was first, disconnect, and only then take the last entry off it. "
            f"{allowlist_command(environment, [organization], 'organizations')}",
        )
