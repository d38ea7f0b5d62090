"""What stands against opening buckets to the scan role: every answer worked out from one look, nothing called."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from runbook import markdown
from runbook.access import Access
from runbook.aws.cloudformation import Stack
from runbook.aws.kms import Key
from runbook.aws.organizations import MANAGEMENT
from runbook.checks import Check, Status
from runbook.policy import document, lint
from runbook.policy.document import Document
from runbook.policy.evaluate import Verdict
from runbook.steps.alike import Alike
from runbook.steps.openings import (
    BELONGS,
    TAKES,
    Opening,
    Problem,
    State,
    decrypts,
    desired_bucket_policy,
    desired_key_policy,
    documents,
    known_statements,
)
from runbook.steps.scan_access import DECRYPT, Documents, access, decide, decrypt_half, sample_of

SETTLED = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
)
"""Statuses of a stack whose last operation ended well, be it by going back to what was before."""


def checks_of(alike: Alike) -> Iterable[Check]:
    """Everything that stands against opening the buckets, or should be known before."""
    state = alike.state
    stack = state.stack
    yield _stack_check(stack)
    yield Check("The scan role exists", state.caller.role.arn.rsplit("/", 1)[-1], Status.OK, "Its policies were read.")
    yield _organization_check(state)
    yield from _allowlist_checks(state)
    for problem in state.problems:
        yield problem_check(problem)
    for opening in state.openings:
        yield from alike.checks(_bucket_checks, opening, alike.model(opening))


def _stack_check(stack: Stack) -> Check:
    title, found = "bucketAV is installed", f"{stack.product}, {stack.status}."
    if stack.status in SETTLED:
        return Check(title, stack.name, Status.OK, found)
    if "DELETE" in stack.status or stack.status in ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        return Check(title, stack.name, Status.FAILED, found, "Install bucketAV first.")
    return Check(title, stack.name, Status.WARNING, found, "See in CloudFormation what became of the last update.")


def _organization_check(state: State) -> Check:
    """Whether the organization's own policies are part of what is worked out about access."""
    title = "Policies of the organization are counted in"
    if not state.caller.unread:
        accounts = {opening.bucket.account for opening in state.openings} | {state.caller.account}
        return Check(title, markdown.count(len(accounts), "account"), Status.OK, "They were read.")
    return Check(
        title,
        ", ".join(state.caller.unread),
        Status.WARNING,
        "Service and resource control policies could not be read: one of them may still deny what is worked out below.",
        f"Name the organization's `{MANAGEMENT}` account in the environment, with a role that may list policies.",
    )


def _allowlist_checks(state: State) -> Iterable[Check]:
    """Opening a bucket does not need the allowlist, but bucketAV takes events only from accounts that are on it."""
    title = "The account is allowlisted"
    accounts = state.stack.parameter_list("AWSAccountRestriction")
    organization = state.caller.organization_id
    in_organization = organization in state.stack.parameter_list("AWSOrganizationRestriction")
    for account in dict.fromkeys(opening.bucket.account for opening in state.openings):
        if account in accounts or account == state.caller.account:
            yield Check(title, account, Status.OK, "It is in AWSAccountRestriction of bucketAV's stack.")
        elif in_organization:
            yield Check(title, account, Status.OK, f"bucketAV's stack takes every account of {organization}.")
        else:
            yield Check(
                title,
                account,
                Status.WARNING,
                "It is not in AWSAccountRestriction of bucketAV's stack: bucketAV takes no events from its buckets.",
                "Add it there first: notebook 01-allowlist.",
            )


def problem_check(problem: Problem) -> Check:
    """The failed check of a bucket that cannot be opened at all."""
    return Check(problem.title, problem.address, Status.FAILED, problem.found, problem.remedy)


def _bucket_checks(state: State, opening: Opening) -> tuple[Check, ...]:
    """What stands against one bucket; the later questions are asked only where the earlier ones have an answer."""
    desired = desired_bucket_policy(state, opening)
    return (
        Check(BELONGS, opening.address, Status.OK, "Yes."),
        *_policy_checks(state, opening, desired),
        *_key_checks(state, opening),
        *_access_checks(state, opening, desired),
        *_parts_denied(state, opening, desired),
        *_own_key_access(state, opening),
    )


def _policy_checks(state: State, opening: Opening, desired: Document) -> Iterable[Check]:
    title = TAKES
    limit = document.SIZE_LIMITS["bucket-policy"]
    stale = lint.stale_principals(desired)
    if desired.size > limit:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"It would be {desired.size:,} bytes; S3 takes {limit:,} ({desired.size - limit:,} too many).",
            "Shorten the present policy (join or drop statements), or connect the account by IAM role instead.",
        )
    elif stale:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"It names {', '.join(stale)}: a role or user that no longer exists. S3 refuses any policy that names one.",
            _stale_remedy(state, opening, desired, stale),
        )
    else:
        yield Check(title, opening.address, Status.OK, "Yes.")
    yield from _public_checks(opening, desired)


def _stale_remedy(state: State, opening: Opening, desired: Document, stale: Sequence[str]) -> str:
    """Whose the principal was: bucketAV's own former role leaves the statements of this section behind."""
    ours = known_statements(state, opening)
    for statement in desired.statements:
        if any(principal in json.dumps(statement) for principal in stale):
            as_ours = {**statement, "Principal": {"AWS": state.caller.role.arn}}
            if not any(document.same_meaning(as_ours, each) for each in ours):
                return "Ask the bucket's owner to remove or replace that principal; it is not ours to drop."
    return "Its statements are bucketAV's, for a scan role that was replaced: have them removed, then run this again."


def _public_checks(opening: Opening, desired: Document) -> Iterable[Check]:
    title = "Block Public Access does not stand in the way"
    if not lint.is_public(desired):
        yield Check(title, opening.address, Status.OK, "The policy is not public.")
    elif opening.bucket.block_public_policy:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "The present policy is public and BlockPublicPolicy is on: S3 refuses to store it again, with or without "
            "our statements.",
            "Ask the bucket's owner to take out the public grant.",
        )
    elif opening.bucket.restrict_public_buckets:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "The present policy is public and RestrictPublicBuckets is on: S3 cuts off every other account, the scan "
            "role included.",
            "Ask the bucket's owner to take out the public grant.",
        )
    else:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            "The present policy is public already.",
            "Ask the bucket's owner whether it should be; our statements do not make it so.",
        )


def _key_checks(state: State, opening: Opening) -> Iterable[Check]:
    title = "What is encrypted can be read"
    if opening.key_problem:
        status = Status.WARNING if opening.target.key_policy == "skip" else Status.FAILED
        yield Check(title, opening.address, status, opening.key_problem, "Ask the key's owner to have a look.")
    elif opening.key is None:
        yield Check(
            title, opening.address, Status.OK, f"Default encryption is {opening.bucket.encryption}; no key to open."
        )
    elif opening.key.aws_managed:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "Default encryption uses the AWS-managed key aws/s3; its policy cannot be changed, so no other account can "
            "ever read what it encrypts.",
            "Change the bucket to SSE-S3 or a customer-managed key and copy its objects over themselves, "
            "or run bucketAV in this account.",
        )
    else:
        yield _customer_key_check(state, opening, opening.key, title)


def _customer_key_check(state: State, opening: Opening, key: Key, title: str) -> Check:
    shown, choice = f"Default encryption uses {key.arn}", opening.target.key_policy
    if not key.enabled:
        return Check(title, opening.address, Status.FAILED, f"{shown}, which is not enabled.", "Enable the key.")
    if decrypts(state, opening, key.policy):
        return Check(title, opening.address, Status.OK, f"{shown}, which lets the scan role decrypt.")
    if choice == "skip":
        return Check(
            title,
            opening.address,
            Status.WARNING,
            f"{shown}, which does not let the scan role decrypt: until it does, objects cannot be scanned.",
            "Have the key's owner add kms:Decrypt for the scan role.",
        )
    if choice == "check" and key.arn not in state.keys_to_open:
        return Check(
            title,
            opening.address,
            Status.FAILED,
            f"{shown}, which does not let the scan role decrypt.",
            "`key_policy: change` adds a statement to the key's policy; `skip` leaves the key to its owner.",
        )
    desired = desired_key_policy(state, key)
    limit = document.SIZE_LIMITS["key-policy"]
    if desired.size > limit:
        found = f"The key's policy would be {desired.size:,} bytes; KMS takes {limit:,}."
        return Check(title, opening.address, Status.FAILED, found, "Shorten the key's policy first.")
    if stale := lint.stale_principals(desired):
        found = f"The key's policy names {', '.join(stale)}, which no longer exists: KMS refuses to store it again."
        return Check(title, opening.address, Status.FAILED, found, "Ask the key's owner to remove that principal.")
    decision = decrypt_half(state.caller, opening.bucket, key, desired.body)
    if decision.verdict is Verdict.DENIED and decision.explicit:
        return Check(
            title,
            opening.address,
            Status.FAILED,
            f"{shown}. A statement would be useless there: {decision.reason}",
            "Ask the key's owner to make an exception for the scan role.",
        )
    return Check(title, opening.address, Status.OK, f"{shown}; a statement will let the scan role decrypt.")


def _access_checks(state: State, opening: Opening, desired: Document) -> Iterable[Check]:
    """Whether the statements would be of use: a foreign Deny, or the scan role's own policy, may still keep it out."""
    after = replace(documents(opening), bucket_policy=desired.body)
    asked = {action: granted for action, granted in opening.questions.items() if action.startswith("s3:") and granted}
    rows = access(state.caller, opening.bucket, opening.key, after, after, asked)
    denied = [row for row in rows if row.after.verdict is Verdict.DENIED and row.after.explicit]
    own = [row for row in rows if row.after.verdict is Verdict.DENIED and not row.after.explicit]
    open_questions = [row for row in rows if row.after.verdict is Verdict.INDETERMINATE]
    title = "The grant is of use"
    if denied:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"{action_names(denied)} would stay denied: {denied[0].after.reason}",
            "Ask the bucket's owner to make an exception for the scan role, or leave the bucket out.",
        )
    if own:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            f"The scan role's own policy keeps it from {action_names(own)}: {own[0].after.reason}",
            "Add the bucket to S3BucketRestriction and S3ObjectRestriction of bucketAV's stack (deletion and tagging "
            "follow DeleteInfectedFiles and TagFiles).",
        )
    if open_questions:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            f"Whether {action_names(open_questions)} will be allowed cannot be told: {open_questions[0].after.reason}",
            "Look at that statement with the bucket's owner.",
        )
    if not (denied or own or open_questions):
        yield Check(title, opening.address, Status.OK, "Nothing denies it, and the scan role's own policy allows it.")


def _parts_denied(state: State, opening: Opening, desired: Document) -> Iterable[Check]:
    """A Deny for a part of the bucket's objects does not show when any object is asked about."""
    after = replace(documents(opening), bucket_policy=desired.body)
    patterns = [
        pattern
        for statement in desired.statements
        if statement["Effect"] == "Deny"
        for pattern in _listed(statement.get("Resource", []))
        if pattern.startswith(f"{opening.bucket.arn}/") and pattern != f"{opening.bucket.arn}/*"
    ]
    for pattern in dict.fromkeys(patterns):
        decision = decide(state.caller, opening.bucket, opening.key, after, "s3:GetObject", sample_of(pattern))
        if not decision.allowed:
            yield Check(
                "The grant is of use",
                opening.address,
                Status.WARNING,
                f"Objects like {pattern} are an exception: {decision.reason}",
                "Ask the bucket's owner whether they are to stay unscanned.",
            )


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _own_key_access(state: State, opening: Opening) -> Iterable[Check]:
    """Cross-account, the key's policy is only half of it: KMSKeyRestriction limits the scan role's own half."""
    key = opening.key
    if key is None or key.policy is None or opening.target.key_policy == "skip":
        return
    open_key = Documents(None, desired_key_policy(state, key).body)
    decision = decide(state.caller, opening.bucket, key, open_key, DECRYPT)
    if decision.verdict is Verdict.DENIED and not decision.explicit:
        yield Check(
            "The grant is of use",
            opening.address,
            Status.WARNING,
            f"The scan role's own policy keeps it from {DECRYPT}: {decision.reason}",
            f"Add {key.arn} to KMSKeyRestriction of bucketAV's stack.",
        )


def action_names(rows: Sequence[Access]) -> str:
    """`s3:ListBucket, s3:GetObject`: what the rows ask about."""
    return ", ".join(row.action for row in rows)
