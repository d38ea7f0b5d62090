"""What the roles that work for add-ons can do, before and after a run, and whether that is what they need."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from runbook.access import Access
from runbook.aws.iam import Role
from runbook.checks import Check, Status
from runbook.plan import Change
from runbook.policy.evaluate import ANYTHING, Verdict
from runbook.run import Run
from runbook.steps.add_on_parts import NEVER, PUT_TAGS, Part
from runbook.steps.add_ons_changes import RESTRICTION, key_uses, owning_stack, predicted_callers, with_restriction
from runbook.steps.add_ons_state import Site, State
from runbook.steps.bucket_access import Caller, access
from runbook.steps.merging import then_and_now
from runbook.steps.policy_checks import action_names
from runbook.untrusted import text


def proof(state: State, run: Run) -> tuple[list[Access], list[Check]]:
    """Every role's answers about every bucket, and what they say. After a preview they are predicted from the plan."""
    rows: list[Access] = []
    checks: list[Check] = []
    earlier, later = _callers(state, run)
    for site, before, after in then_and_now(state.sites, run):
        by_role: dict[str, list[Part]] = {}
        for part in site.parts:
            by_role.setdefault(part.role_arn, []).append(part)
        for role, parts in by_role.items():
            if role in state.callers:
                found = list(_rows(earlier[role], later[role], before, after, parts))
                rows += found
                checks += _checks(state, site, parts, found, run.applied)
        gone = [part for part in site.unwanted if part.role_arn not in by_role]
        checks += _gone_checks(after, gone, run.applied)
    return rows, checks


def _callers(state: State, run: Run) -> tuple[Mapping[str, Caller], Mapping[str, Caller]]:
    """The roles before and after: KMSKeyRestriction is part of their own policies."""
    changed = {change.resource.arn: change for change in run.plan.changes if _of_restriction(change)}
    if not run.applied:
        uses = [use for use in key_uses(state.sites) if use.role in state.callers]
        return state.callers, predicted_callers(state, uses) if changed else state.callers
    earlier = dict(state.callers)
    for role, caller in state.callers.items():
        stack = owning_stack(state, role)
        if stack is not None and stack.arn in changed:
            earlier[role] = with_restriction(caller, stack, _restriction_before(changed[stack.arn]))
    return earlier, state.callers


def _of_restriction(change: Change) -> bool:
    return change.resource.kind == "cloudformation.stack-parameters"


def _restriction_before(change: Change) -> Sequence[str]:
    from runbook.aws.stack_parameters import from_text

    return [each for each in from_text(change.before or "{}").get(RESTRICTION, "").split(",") if each]


def _rows(earlier: Caller, later: Caller, before: Site, after: Site, parts: Sequence[Part]) -> Iterator[Access]:
    """What one role may do with one bucket and its keys."""
    account = after.bucket.account
    asked = {action: True for part in parts for action in part.actions}
    if all(part.crosses(account) for part in parts):
        never = NEVER if all(part.kind != "scan" for part in parts) else ("s3:PutObject",)
        asked |= {action: False for action in never if action not in asked}
    was = access(earlier, before.bucket, None, before.documents(), before.documents(), asked)
    now = access(later, after.bucket, None, after.documents(), after.documents(), asked)
    yield from (replace(then, before=first.before) for first, then in zip(was, now, strict=True))
    for index, each in enumerate(after.keys):
        actions = {action: True for part in parts if each in after.keys_for(part) for action in part.key_actions}
        if each.key is None or each.key.aws_managed or not actions:
            continue
        key_before = before.keys[index].key
        documents_before, documents_after = before.documents(key_before), after.documents(each.key)
        was = access(earlier, before.bucket, key_before, documents_before, documents_before, actions)
        now = access(later, after.bucket, each.key, documents_after, documents_after, actions)
        other = "" if each.default else f", key {each.key.arn.rsplit('/', 1)[-1]}"
        for first, then in zip(was, now, strict=True):
            yield replace(then, before=first.before, resource=f"{then.resource}{other}")


def _checks(state: State, site: Site, parts: Sequence[Part], rows: Sequence[Access], applied: bool) -> Iterator[Check]:
    title = f"The role {'has' if applied else 'would have'} what it needs"
    subject = f"{text(parts[0].role_arn.rsplit('/', 1)[-1])} on {site.address}"
    left = state.wish.key_policy == "skip"
    keys = [row for row in rows if row.action.startswith("kms:") and not row.after.allowed]
    wrong = [row for row in rows if row.granted and row.after.verdict is Verdict.DENIED and not (left and row in keys)]
    untagged = [row for row in wrong if row.action == PUT_TAGS and not row.after.explicit]
    wrong = [row for row in wrong if row not in untagged]
    unknown = [row for row in rows if row.granted and row.after.verdict is Verdict.INDETERMINATE]
    beyond = [row for row in rows if not row.granted and row.after.verdict is not Verdict.DENIED]
    if wrong:
        status = Status.FAILED if applied else Status.WARNING
        found = f"Not so for {action_names(wrong)}: {wrong[0].after.reason}"
        yield Check(title, subject, status, found, "See the checks before the plan.")
    if untagged:
        found = f"Not so for {PUT_TAGS}: a file that has tags cannot be put. {untagged[0].after.reason}"
        yield Check(title, subject, Status.WARNING, found, "Update the connection's stack: 02-iam-role.")
    if left and keys:
        found = f"Its keys do not let the role in yet: {action_names(keys)}."
        yield Check(title, subject, Status.WARNING, found, "Left to the keys' owner (`key_policy: skip`).")
    if unknown:
        found = f"It cannot be told for {action_names(unknown)}: {unknown[0].after.reason}"
        yield Check(title, subject, Status.WARNING, found, "Look at it with the bucket's owner.")
    if beyond:
        found = f"{action_names(beyond)} may be allowed as well, by what was there before; not by this run."
        yield Check(title, subject, Status.WARNING, found, "Ask the bucket's owner whether it should be.")
    if not (wrong or untagged or unknown or beyond or (left and keys)):
        crosses = parts[0].crosses(site.bucket.account)
        found = "Yes, and nothing beyond it." if crosses else "Yes, by its own policy: both are in the same account."
        yield Check(title, subject, Status.OK, found)


def _gone_checks(after: Site, gone: Sequence[Part], applied: bool) -> Iterator[Check]:
    """Whether what is not wanted any more is really gone: somebody else's statement may still let a role in."""
    title = f"The role {'is' if applied else 'would be'} let in no longer"
    for part in gone:
        role = Role(part.role_arn, (ANYTHING,), None, {})
        caller = Caller(role, part.account, None, (), {}, ())
        asked = dict.fromkeys(part.actions, False)
        rows = access(caller, after.bucket, None, after.documents(), after.documents(), asked)
        still = [row for row in rows if row.after.verdict is not Verdict.DENIED]
        subject = f"{text(part.role_arn.rsplit('/', 1)[-1])} on {after.address}"
        if still:
            found = f"{action_names(still)} may still be allowed: {still[0].after.reason}"
            yield Check(title, subject, Status.WARNING, found, "Look at that statement with the bucket's owner.")
        else:
            yield Check(title, subject, Status.OK, "So it is.")


def not_looked_at(state: State, run: Run) -> Iterable[Check]:
    """A change on something that the buckets of now have nothing to do with: the list may have been edited."""
    seen = {site.bucket.arn for site in state.sites} | {each.stack.arn for each in state.installed.add_ons}
    seen |= {each.key.arn for site in state.sites for each in site.keys if each.key} | {state.stack.arn}
    for change in run.plan.changes:
        if change.resource.arn not in seen:
            found = "It was changed, but is none of the buckets any more, so access to it was not worked out."
            yield Check("The proof covers what was changed", change.name, Status.FAILED, found, "Was the list edited?")
