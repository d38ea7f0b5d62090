"""What can stand against opening a bucket or a key to a role, whichever section asks: answers, nothing called."""

import json
from collections.abc import Collection, Iterable, Sequence

from runbook import markdown
from runbook.access import Access
from runbook.aws.cloudformation import Stack
from runbook.aws.organizations import MANAGEMENT
from runbook.aws.s3 import Bucket
from runbook.checks import Check, Status
from runbook.policy import document, lint
from runbook.policy.document import Document, Statement
from runbook.policy.evaluate import Verdict
from runbook.steps.bucket_access import Caller, Documents, decide, sample_of
from runbook.steps.bucket_look import TAKES
from runbook.untrusted import pattern_text

SETTLED = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
)
"""Statuses of a stack whose last operation ended well, be it by going back to what was before."""

OF_USE = "The grant is of use"


def stack_check(stack: Stack) -> Check:
    """Whether bucketAV's stack is one that works."""
    title, found = "bucketAV is installed", f"{stack.product}, {stack.status}."
    if stack.status in SETTLED:
        return Check(title, stack.name, Status.OK, found)
    if "DELETE" in stack.status or stack.status in ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        return Check(title, stack.name, Status.FAILED, found, "Install bucketAV first.")
    return Check(title, stack.name, Status.WARNING, found, "See in CloudFormation what became of the last update.")


def organization_check(unread: Sequence[str], accounts: Collection[str]) -> Check:
    """Whether the organization's own policies are part of what is worked out about access."""
    title = "Policies of the organization are counted in"
    if not unread:
        return Check(title, markdown.count(len(accounts), "account"), Status.OK, "They were read.")
    return Check(
        title,
        ", ".join(unread),
        Status.WARNING,
        "Service and resource control policies could not be read: one of them may still deny what is worked out below.",
        f"Name the organization's `{MANAGEMENT}` account in the environment, with a role that may list policies.",
    )


def allowlisted_checks(stack: Stack, caller: Caller, accounts: Iterable[str]) -> Iterable[Check]:
    """Opening a bucket does not need the allowlist, but bucketAV takes events only from accounts that are on it."""
    title = "The account is allowlisted"
    listed = stack.parameter_list("AWSAccountRestriction")
    organization = caller.organization_id
    in_organization = organization in stack.parameter_list("AWSOrganizationRestriction")
    for account in accounts:
        if account in listed or account == caller.account:
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


def takes_check(address: str, desired: Document, ours: Sequence[Statement]) -> Check:
    """Whether S3 will store the policy. `ours` are all statements that the section may ever have put there."""
    limit = document.SIZE_LIMITS["bucket-policy"]
    stale = lint.stale_principals(desired)
    if desired.size > limit:
        return Check(
            TAKES,
            address,
            Status.FAILED,
            f"It would be {desired.size:,} bytes; S3 takes {limit:,} ({desired.size - limit:,} too many).",
            "Shorten the present policy (join or drop statements), or connect the account by IAM role instead.",
        )
    if stale:
        return Check(
            TAKES,
            address,
            Status.FAILED,
            f"It names {', '.join(stale)}: a role or user that no longer exists. S3 refuses any policy that names one.",
            _stale_remedy(desired, stale, ours),
        )
    return Check(TAKES, address, Status.OK, "Yes.")


def _stale_remedy(desired: Document, stale: Sequence[str], ours: Sequence[Statement]) -> str:
    """Whose the principal was: a former role of bucketAV's leaves the statements of a section behind."""
    anyone = {"Principal": "*"}
    naming = [each for each in desired.statements if any(principal in json.dumps(each) for principal in stale)]
    if not all(any(document.same_meaning({**each, **anyone}, {**own, **anyone}) for own in ours) for each in naming):
        return "Ask the bucket's owner to remove or replace that principal; it is not ours to drop."
    return "Its statements are bucketAV's, for a role that was replaced: have them removed, then run this again."


def public_check(bucket: Bucket, address: str, desired: Document, who: str) -> Check:
    """Whether Block Public Access lets the policy be stored, and lets it work. `who` is let in by it."""
    title = "Block Public Access does not stand in the way"
    if not lint.is_public(desired):
        return Check(title, address, Status.OK, "The policy is not public.")
    if bucket.block_public_policy:
        return Check(
            title,
            address,
            Status.FAILED,
            "The present policy is public and BlockPublicPolicy is on: S3 refuses to store it again, with or without "
            "our statements.",
            "Ask the bucket's owner to take out the public grant.",
        )
    if bucket.restrict_public_buckets:
        return Check(
            title,
            address,
            Status.FAILED,
            "The present policy is public and RestrictPublicBuckets is on: S3 cuts off every other account, "
            f"{who} included.",
            "Ask the bucket's owner to take out the public grant.",
        )
    return Check(
        title,
        address,
        Status.WARNING,
        "The present policy is public already.",
        "Ask the bucket's owner whether it should be; our statements do not make it so.",
    )


def key_policy_objection(desired: Document) -> tuple[str, str] | None:
    """Why KMS would not store a key's policy, and what to do about it; None when it would."""
    limit = document.SIZE_LIMITS["key-policy"]
    if desired.size > limit:
        found = f"The key's policy would be {desired.size:,} bytes; KMS takes {limit:,}."
        return found, "Shorten the key's policy first."
    if stale := lint.stale_principals(desired):
        found = f"The key's policy names {', '.join(stale)}, which no longer exists: KMS refuses to store it again."
        return found, "Ask the key's owner to remove that principal."
    return None


def of_use_checks(address: str, rows: Sequence[Access], who: str, own_remedy: str) -> Iterable[Check]:
    """Whether statements would be of use: a foreign Deny, or the role's own policy, may still keep it out.

    `rows` are what is to be given, answered on the documents to come; `own_remedy` says how to change the role's own.
    """
    denied = [row for row in rows if row.after.verdict is Verdict.DENIED and row.after.explicit]
    own = [row for row in rows if row.after.verdict is Verdict.DENIED and not row.after.explicit]
    open_questions = [row for row in rows if row.after.verdict is Verdict.INDETERMINATE]
    if denied:
        yield Check(
            OF_USE,
            address,
            Status.FAILED,
            f"{action_names(denied)} would stay denied: {denied[0].after.reason}",
            f"Ask the bucket's owner to make an exception for {who}, or leave the bucket out.",
        )
    if own:
        found = f"{capitalized(who)}'s own policy keeps it from {action_names(own)}: {own[0].after.reason}"
        yield Check(OF_USE, address, Status.WARNING, found, own_remedy)
    if open_questions:
        yield Check(
            OF_USE,
            address,
            Status.WARNING,
            f"Whether {action_names(open_questions)} will be allowed cannot be told: {open_questions[0].after.reason}",
            "Look at that statement with the bucket's owner.",
        )
    if not (denied or own or open_questions):
        yield Check(OF_USE, address, Status.OK, f"Nothing denies it, and {who}'s own policy allows it.")


def parts_denied(
    address: str, bucket: Bucket, caller: Caller, after: Documents, action: str, consequence: str
) -> Iterable[Check]:
    """A Deny for a part of the bucket's objects does not show when any object is asked about."""
    statements = after.bucket_policy["Statement"] if after.bucket_policy else []
    patterns = [
        pattern
        for statement in (statements if isinstance(statements, list) else [statements])
        if statement["Effect"] == "Deny"
        for pattern in _listed(statement.get("Resource", []))
        if pattern.startswith(f"{bucket.arn}/") and pattern != f"{bucket.arn}/*"
    ]
    for pattern in dict.fromkeys(patterns):
        decision = decide(caller, bucket, None, after, action, sample_of(pattern))
        if not decision.allowed:
            yield Check(
                OF_USE,
                address,
                Status.WARNING,
                f"Objects like {pattern_text(pattern)} are an exception: {decision.reason}",
                f"Ask the bucket's owner whether they are to stay {consequence}.",
            )


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def action_names(rows: Sequence[Access]) -> str:
    """`s3:ListBucket, s3:GetObject`: what the rows ask about."""
    return ", ".join(row.action for row in rows)


def capitalized(text: str) -> str:
    """The first letter of a sentence."""
    return text[:1].upper() + text[1:]
