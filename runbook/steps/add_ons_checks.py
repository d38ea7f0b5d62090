"""What stands against an add-on's working with buckets of other accounts: answers worked out from one look."""

from collections.abc import Iterable

from runbook import commands, markdown
from runbook.aws.add_ons import CURRENT, ROLE_OUTPUTS, AddOn, template_url
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.parameters import did_you_mean
from runbook.steps.add_on_key_checks import KeyQuestions
from runbook.steps.add_on_parts import Part
from runbook.steps.add_on_situations import SCHEDULED, Need
from runbook.steps.add_ons_changes import desired_policy
from runbook.steps.add_ons_state import Route, Site, State, scans
from runbook.steps.bucket_access import DECRYPT, Documents, access
from runbook.steps.bucket_look import BELONGS
from runbook.steps.connection_checks import version_check
from runbook.steps.merging import MODES
from runbook.steps.policy_checks import (
    allowlisted_checks,
    of_use_checks,
    organization_check,
    parts_denied,
    public_check,
    stack_check,
    takes_check,
)
from runbook.untrusted import code

INSTALLED = "The add-on is installed"
SITUATION = "Which situation it is"
ROLE = "The role is there"
OWNERSHIP = "Files belong to the bucket's owner"
DELETION = "Files can be deleted from the source"
SCANNED = "The scan role can read the source"


def checks_of(environment: Environment, state: State, situation: str) -> Iterable[Check]:
    """Everything that stands against it, or should be known before. `situation` is the expected one; empty for any."""
    yield stack_check(state.stack)
    yield from _installed_checks(state)
    if any(route.found.acting for route in state.routes):
        yield version_check(state.stack, needed=True)
    yield from _connection_checks(environment, state)
    for route in state.routes:
        yield _situation_check(route, situation)
        yield from _set_up_checks(environment, route)
    yield from _role_checks(state)
    accounts = dict.fromkeys(site.bucket.account for site in state.sites)
    unread = dict.fromkeys(each for caller in state.callers.values() for each in caller.unread)
    if state.callers:
        yield organization_check(tuple(unread), {*accounts, *(caller.account for caller in state.callers.values())})
    own = next((caller for caller in state.callers.values() if caller.account == environment.account_a), None)
    if own is not None:
        sources = (site.bucket.account for site in state.sites if any(not part.is_target for part in site.parts))
        yield from allowlisted_checks(state.stack, own, dict.fromkeys(sources))
    for problem in state.problems:
        yield problem.check
    keys = KeyQuestions(environment, state)
    for site in state.sites:
        yield from _site_checks(state, site, keys)
    yield from _scan_checks(state)


# --- the add-ons -----------------------------------------------------------------------------------------------------


def _installed_checks(state: State) -> Iterable[Check]:
    words = (*state.wish.add_ons, *state.wish.remove)
    for word in words:
        if not state.installed.called(word):
            yield _missing_check(state, word)
    named = [each for word in words for each in state.installed.called(word)]
    shown = named if words else state.installed.add_ons
    for add_on in dict.fromkeys(each.stack.name for each in shown):
        yield from _add_on_checks(state, state.installed.called(add_on)[0], named=bool(words))
    if not words and not any(each.reaches_other_accounts for each in state.installed.add_ons):
        urls = ", ".join(template_url(name) for name in ROLE_OUTPUTS)
        found = "None that reaches other accounts is."
        yield Check(
            INSTALLED, "all add-ons", Status.FAILED, found, f"Install one in account a, from its template: {urls}"
        )
    for (name, stack), _ in (state.installed.listed or {}).items():
        if name in ROLE_OUTPUTS and not any(each.stack.name == stack for each in state.installed.add_ons):
            found = f"SSM knows of it, but there is no such stack in account {state.stack.arn.split(':')[4]}."
            yield Check(INSTALLED, stack, Status.WARNING, found, "See in CloudFormation what became of it.")


def _missing_check(state: State, word: str) -> Check:
    if word in ROLE_OUTPUTS:
        remedy = f"Create a stack from its template in account a: {template_url(word)}"
        return Check(INSTALLED, word, Status.FAILED, "It is not.", remedy)
    known = [*ROLE_OUTPUTS, *(each.stack.name for each in state.installed.add_ons)]
    remedy = (
        "If it is another add-on of bucketAV's: apart from "
        f"{markdown.names(list(ROLE_OUTPUTS), most=9)}, add-ons work within account a only, and need nothing here."
    )
    found = f"There is no add-on and no stack of one that is called so.{did_you_mean(word, known)}"
    return Check(INSTALLED, word, Status.FAILED, found, remedy)


def _add_on_checks(state: State, add_on: AddOn, *, named: bool) -> Iterable[Check]:
    stack = add_on.stack
    told = f"{code(add_on.name)} {add_on.version or 'of an unknown version'}, {stack.status}."
    update = f"Update stack {code(stack.name)} to the template {template_url(add_on.name)}"
    if not add_on.reaches_other_accounts:
        found = f"{told} It works within account a only, so there is nothing to open to it."
        status, remedy = (Status.FAILED, "Leave it out.") if named else (Status.OK, "")
        yield Check(INSTALLED, stack.name, status, found, remedy)
    elif not add_on.role_arn:
        status = Status.FAILED if named else Status.WARNING
        found = f"{told} Its stack has no output {code(ROLE_OUTPUTS[add_on.name])}: it is too old to say its role."
        yield Check(INSTALLED, stack.name, status, found, update)
    elif add_on.old:
        acting = [route for route in state.routes if route.add_on.stack.name == stack.name and route.found.acting]
        status = Status.FAILED if acting else Status.WARNING
        found = f"{told} It is older than {CURRENT}, and may not know accounts that are connected by role."
        yield Check(INSTALLED, stack.name, status, found, update)
    elif add_on in state.unfit and named:
        wants = "a `source_buckets` to scan" if add_on.name == SCHEDULED else "two different buckets, or one of them"
        yield Check(
            INSTALLED, stack.name, Status.FAILED, f"{told} None of the buckets is for it.", f"It takes {wants}."
        )
    elif add_on in state.unfit:
        where = add_on.target or ", ".join(add_on.scanned)
        yield Check(INSTALLED, stack.name, Status.OK, f"{told} It is set up for {code(where)}, so it is left out here.")
    else:
        yield Check(INSTALLED, stack.name, Status.OK, told)
    listed = (state.installed.listed or {}).get((add_on.name, stack.name))
    if listed is not None and listed != add_on.version:
        found = f"Its stack says version {add_on.version}, SSM says {listed}."
        yield Check(
            INSTALLED, stack.name, Status.WARNING, found, "See in CloudFormation what became of its last update."
        )


def _set_up_checks(environment: Environment, route: Route) -> Iterable[Check]:
    """Whether the add-on's own parameters are about these buckets; opening them to it is in vain otherwise."""
    title, add_on = "The add-on is set up for the bucket", route.add_on
    stack = add_on.stack.name
    target, source = route.target.rpartition("/")[2], route.source.rpartition("/")[2]
    own = route.source.startswith(environment.account_a)
    if add_on.target and target and target != add_on.target:
        found = f"Its stack says TargetBucketName {code(add_on.target)}, not {code(target)}."
        yield Check(
            title, route.name, Status.WARNING, found, f"Change the parameter of stack {code(stack)}, or the list."
        )
    elif add_on.target and not target:
        found = f"It moves files to {code(add_on.target)}, which is not on the list, so that bucket is not looked at."
        yield Check(title, route.name, Status.WARNING, found, "Name it in `target_buckets`, unless it is open already.")
    elif add_on.name == SCHEDULED and add_on.scanned and not scans(add_on, source, own=own):
        found = f"Its stack says BucketName {code(','.join(add_on.scanned))}, which {code(source)} is not."
        yield Check(
            title, route.name, Status.WARNING, found, f"Change the parameter of stack {code(stack)}, or the list."
        )


# --- situations and roles --------------------------------------------------------------------------------------------


def _situation_check(route: Route, expected: str) -> Check:
    found = f"{', '.join(map(code, route.found.situations))}. {route.found.why}"
    if route.found.needs:
        found += f" Also needed: {'; '.join(route.found.needs)}."
    if expected and expected not in route.found.situations:
        remedy = f"`situation` says {code(expected)}: correct the buckets, or leave `situation` empty."
        return Check(SITUATION, route.name, Status.FAILED, found, remedy)
    return Check(SITUATION, route.name, Status.OK, found)


def _connection_checks(environment: Environment, state: State) -> Iterable[Check]:
    title = "It is known which accounts are connected"
    if state.connections is None:
        remedy = f"Let {environment.identity(environment.account_a).arn} call dynamodb:Scan on that table."
        yield Check(title, state.stack.name, Status.FAILED, state.connections_problem, remedy)
        return
    found = "None is."
    if state.connections:
        found = f"{markdown.joined(sorted({each.account for each in state.connections}), most=9)}."
    yield Check(title, state.stack.name, Status.OK, found)
    for each in state.connections:
        if each.region != environment.region and any(site.bucket.account == each.account for site in state.sites):
            found = f"It is connected from {each.region}, not from {environment.region}, where bucketAV runs."
            yield Check(title, each.account, Status.WARNING, found, "Connect it in this Region: 02-iam-role.")


def _role_checks(state: State) -> Iterable[Check]:
    for arn in state.callers:
        yield Check(ROLE, arn.rsplit("/", 1)[-1], Status.OK, f"In account {arn.split(':')[4]}; its policies were read.")
    for arn, problem in state.roles.items():
        remedy = "A policy that names a role which does not exist is refused: connect the account again (02-iam-role)."
        yield Check(ROLE, arn.rsplit("/", 1)[-1], Status.FAILED, problem, remedy)


def _scan_checks(state: State) -> Iterable[Check]:
    """Nothing is moved before it was scanned: a source that is not connected needs the scan role's statements too."""
    caller = state.callers.get(state.scan_role)
    for address in dict.fromkeys(each.source for each in state.routes if Need.SCAN_ROLE in each.found.needs):
        site = next((site for site in state.sites if site.address == address), None)
        if site is None or caller is None or any(part.kind == "scan" for part in site.parts):
            continue
        asked = dict.fromkeys(("s3:ListBucket", "s3:GetObject"), True)
        rows = access(caller, site.bucket, None, site.documents(), site.documents(), asked)
        for each in site.keys:
            if each.key and not each.key.aws_managed:
                documents = site.documents(each.key)
                rows += access(caller, site.bucket, each.key, documents, documents, {DECRYPT: True})
        closed = [row for row in rows if not row.after.allowed]
        if closed:
            found = f"Not {', '.join(row.action for row in closed)}: its files are not scanned, so none is moved."
            line = commands.for_notebook("run", "05-bucket-policy", state.environment, values={"buckets": [address]})
            remedy = f"05-bucket-policy opens it: {code(line)}."
            yield Check(SCANNED, address, Status.WARNING, found, remedy)
        else:
            yield Check(SCANNED, address, Status.OK, "Yes.")


# --- one bucket ------------------------------------------------------------------------------------------------------


def _site_checks(state: State, site: Site, keys: KeyQuestions) -> Iterable[Check]:
    """What stands against one bucket."""
    yield Check(BELONGS, site.address, Status.OK, "Yes.")
    parts = [part for part in site.parts if part.role_arn in state.callers]
    desired = desired_policy(state, site)
    crossing = [part for part in parts if part.crosses(site.bucket.account)]
    if desired is not None and crossing:
        ours = [each for part in parts for mode in MODES for each in part.statements(site.bucket, mode)]
        yield takes_check(site.address, desired, ours)
        yield public_check(site.bucket, site.address, desired, "the add-on")
    after = Documents(desired.body if desired else None, None)
    for part in parts:
        caller = state.callers[part.role_arn]
        rows = access(caller, site.bucket, None, after, after, dict.fromkeys(part.actions, True))
        yield from of_use_checks(
            site.address, rows, f"role {code(part.role_arn.rsplit('/', 1)[-1])}", _own_remedy(state, part)
        )
        action = "s3:PutObject" if part.is_target else "s3:GetObject"
        if part.kind != "scheduled":
            yield from parts_denied(site.address, site.bucket, caller, after, action, "an exception")
        yield from keys.checks(site, part)
    if any(part.is_target for part in parts):
        yield _ownership_check(site, crossing)
    if any(part.kind == "source" for part in parts):
        yield _deletion_check(site)
    for what, problem in site.traits.problems.items():
        yield Check(f"{what[:1].upper()}{what[1:]} could be looked at", site.address, Status.WARNING, f"No: {problem}.")


def _own_remedy(state: State, part: Part) -> str:
    if part.role_arn == state.scan_role:
        return "Add the bucket to S3BucketRestriction and S3ObjectRestriction of bucketAV's stack."
    if part.kind == "connection-target" or part.account != state.scan_role.split(":")[4]:
        return f"Update the connection stack of account {part.account}, or its restrictions: 02-iam-role."
    return "Look at the parameters of the add-on's stack: for a target, TargetBucketName."


def _ownership_check(site: Site, crossing: list[Part]) -> Check:
    ownership = site.traits.ownership
    if not any(part.is_target for part in crossing):
        return Check(OWNERSHIP, site.address, Status.OK, "They are put by a role of the bucket's own account.")
    if ownership == "BucketOwnerEnforced":
        return Check(OWNERSHIP, site.address, Status.OK, "BucketOwnerEnforced: whoever puts them.")
    if not ownership:
        return Check(OWNERSHIP, site.address, Status.WARNING, "Object Ownership could not be read.")
    unless = (
        " unless they are put with the ACL bucket-owner-full-control" if ownership == "BucketOwnerPreferred" else ""
    )
    return Check(
        OWNERSHIP,
        site.address,
        Status.WARNING,
        f"Not with {ownership}: files belong to the account that puts them{unless}, and this account can neither read "
        "them nor open them to others.",
        "Set Object Ownership of the bucket to BucketOwnerEnforced, if nobody needs its ACLs.",
    )


def _deletion_check(site: Site) -> Check:
    """A file that is moved is deleted from the source: versions, locks and MFA delete may keep it there."""
    traits = site.traits
    if traits.mfa_delete:
        return Check(
            DELETION,
            site.address,
            Status.FAILED,
            "MFA delete is on: no version can be deleted without the root user's device, so files are copied only.",
            "Turn it off, or leave the bucket out.",
        )
    if traits.lock:
        kept = "Its default retention" if traits.lock != "on" else "A retention or legal hold, where a file has one,"
        shown = f" ({traits.lock})" if traits.lock != "on" else ""
        return Check(
            DELETION,
            site.address,
            Status.WARNING,
            f"Object Lock is on. {kept}{shown} keeps versions from being deleted: a file is copied to the target and "
            "stays in the source as well.",
            "Read infected files from the findings instead, or end the retention of what is to be moved.",
        )
    if traits.versioning == "Enabled":
        found = "It is versioned: the version that was scanned is deleted, which the statements allow; older ones stay."
        return Check(DELETION, site.address, Status.OK, found)
    return Check(DELETION, site.address, Status.OK, "No versions, no Object Lock.")
