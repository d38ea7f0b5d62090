"""What stands against connecting single accounts by a stack set, or should be known of them."""

from collections.abc import Iterable

from runbook import markdown
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.steps.stack_sets_accounts import Fate
from runbook.steps.stack_sets_state import State
from runbook.untrusted import code

ONE_ACCOUNT = "02-iam-role connects it by itself."


def account_checks(environment: Environment, state: State) -> Iterable[Check]:
    """Answers about accounts; nothing where it could not be worked out what becomes of them."""
    yield from _chosen_accounts_check(state)
    if state.fates is None or state.tree is None:
        return
    yield from _elsewhere_checks(environment, state)
    yield from _not_covered_checks(environment, state)
    if state.wish.targets:
        yield from _policy_checks(state)
    yield from _removal_checks(state)


def _chosen_accounts_check(state: State) -> Iterable[Check]:
    """A mistyped account would be left out, or in, without a word."""
    assert state.tree is not None
    title = "The accounts to choose among are in the targets"
    for parameter, accounts in (("only_accounts", state.wish.only), ("except_accounts", state.wish.excepted)):
        for account in accounts:
            member = state.tree.members.get(account)
            inside = state.choice is not None and any(
                member and state.tree.contains(unit.id, member.parent) for unit in state.choice.targets
            )
            if member is None:
                found = f"{code(parameter)}: it is not in {state.tree.id}."
                yield Check(title, account, Status.FAILED, found, "Correct the id.")
            elif not inside and state.choice is not None:
                found = f"{code(parameter)}: it is in none of the targets, so that nothing comes of it."
                yield Check(title, state.tree.name(account), Status.WARNING, found, "Correct the id, or `targets`.")


def _elsewhere_checks(environment: Environment, state: State) -> Iterable[Check]:
    """The role has the same name everywhere, so a second connection of an account collides with the first."""
    assert state.tree is not None
    assert state.fates is not None
    title = "No account is connected twice"
    inside = _in_targets(state)
    for account in state.fates.that(Fate.ELSEWHERE):
        if account in inside:
            found = f"It is connected already, {state.fates.of[account][1]}: left out, so that nothing collides."
            remedy = "To have it in the stack set, disconnect it first, then run this again."
            yield Check(title, state.tree.name(account), Status.WARNING, found, remedy)
    if state.allowlist.connections is None and state.wish.deploys:
        yield Check(
            title,
            "all connections",
            Status.WARNING,
            f"Which accounts are connected cannot be told. {state.allowlist.problems['connections']}",
            f"Let {environment.identity(environment.account_a).arn} call dynamodb:Scan on it.",
        )
    if state.unseen:
        found = (
            f"Whether they have the connection's role already cannot be looked for in "
            f"{markdown.count(len(state.unseen), 'account')}; bucketAV knows of no connection."
        )
        names = markdown.joined([state.tree.name(each) for each in state.unseen])
        remedy = "To have it looked for, name a role for them in the environment, which may call iam:GetRole."
        yield Check(title, names, Status.WARNING, found, remedy)
    looked_at = [each for each in state.fates.to_connect if each not in state.unseen]
    if looked_at:
        found = "Not connected yet, and without the connection's role."
        for account in looked_at:
            yield Check(title, state.tree.name(account), Status.OK, found)


def _not_covered_checks(environment: Environment, state: State) -> Iterable[Check]:
    assert state.tree is not None
    assert state.fates is not None
    title, inside = "Whom the stack set does not cover is known", _in_targets(state)
    if state.tree.management in inside:
        yield Check(
            title,
            state.tree.name(state.tree.management),
            Status.WARNING,
            "It is the management account: a stack set makes nothing there, even when the organization is its target.",
            f"If it has buckets to scan: {ONE_ACCOUNT}",
        )
    for account in inside:
        member = state.tree.members[account]
        if not member.active and account != state.tree.management:
            found = f"It is {member.state.lower().replace('_', ' ')}: left out."
            yield Check(title, state.tree.name(account), Status.OK, found)
    if environment.account_a in inside:
        yield Check(
            title,
            state.tree.name(environment.account_a),
            Status.OK,
            "It runs bucketAV, which refuses to connect its account to itself: left out. Its own buckets are scanned "
            "without a connection.",
        )


def _policy_checks(state: State) -> Iterable[Check]:
    """Where a policy of the organization keeps the role from being made, the stack fails: better known before."""
    assert state.tree is not None
    assert state.fates is not None
    title = "The organization's policies let the role be made"
    if not state.fates.to_connect:
        return
    if state.forbidden is None:
        yield Check(
            title,
            "all accounts",
            Status.WARNING,
            "The organization's service control policies could not be read.",
            "Name the organization's `management` account in the environment to have them counted in.",
        )
        return
    tolerance = state.wish.preferences["FailureToleranceCount"]
    too_many = len(state.forbidden) > tolerance
    for account, why in state.forbidden.items():
        found = f"Its stack would fail: {why.rstrip('.')}."
        remedy = "Leave it out (`except_accounts`), or have the policy let StackSets make roles."
        if too_many:
            found += f" {len(state.forbidden)} would fail, and `failure_tolerance` is {tolerance}."
        status = Status.FAILED if too_many else Status.WARNING
        yield Check(title, state.tree.name(account), status, found, remedy)
    if not state.forbidden:
        number = markdown.count(len(state.fates.to_connect), "account")
        yield Check(title, "all accounts", Status.OK, f"As far as the policies tell, in {number}.")


def _removal_checks(state: State) -> Iterable[Check]:
    """Who is disconnected, and who will be back."""
    assert state.tree is not None
    assert state.fates is not None
    title, gone = "What is taken out is known", state.fates.that(Fate.DISCONNECT)
    for unit in state.choice.removed if state.choice else ():
        inside = [each for each in gone if state.tree.contains(unit.id, state.tree.members[each].parent)]
        targets = {each.account: each.unit for each in state.instances}
        through = {targets[each] for each in inside} - {unit.id}
        above = [state.tree.units[each].shown for each in sorted(through) if each in state.tree.units]
        if above:
            found = (
                f"{markdown.count(len(inside), 'account')} of it are connected as part of {markdown.names(above)}, "
                "which stays a target: an account that joins the OU later is connected all the same."
            )
            remedy = f"To be rid of that, remove {markdown.names(above)} and name the OUs that are to stay as targets."
            yield Check(title, f"{unit.shown}", Status.WARNING, found, remedy)
        else:
            yield Check(
                title, f"{unit.shown}", Status.OK, f"{markdown.count(len(inside), 'account')} of it are connected."
            )
    if state.wish.delete and gone:
        found = f"{markdown.count(len(gone), 'account')} lose their connection; bucketAV scans them no more."
        yield Check(title, state.wish.name, Status.OK, found)


def _in_targets(state: State) -> tuple[str, ...]:
    """The accounts within the targets."""
    assert state.tree is not None
    units = state.choice.targets if state.choice else ()
    return tuple(dict.fromkeys(member.id for unit in units for member in state.tree.within(unit.id)))
