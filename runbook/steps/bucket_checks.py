"""What stands against opening buckets to the scan role: every answer worked out from one look, nothing called."""

from collections.abc import Iterable
from dataclasses import replace

from runbook.aws.kms import Key
from runbook.checks import Check, Status
from runbook.policy.document import Document
from runbook.policy.evaluate import Verdict
from runbook.steps.alike import Alike
from runbook.steps.bucket_access import DECRYPT, Documents, access, decide, key_half
from runbook.steps.bucket_look import BELONGS
from runbook.steps.openings import (
    Opening,
    State,
    decrypts,
    desired_bucket_policy,
    desired_key_policy,
    documents,
    known_statements,
)
from runbook.steps.policy_checks import (
    OF_USE,
    allowlisted_checks,
    key_policy_objection,
    of_use_checks,
    organization_check,
    parts_denied,
    public_check,
    stack_check,
    takes_check,
)

SCAN_ROLE = "the scan role"


def checks_of(alike: Alike) -> Iterable[Check]:
    """Everything that stands against opening the buckets, or should be known before."""
    state = alike.state
    yield stack_check(state.stack)
    yield Check("The scan role exists", state.caller.role.arn.rsplit("/", 1)[-1], Status.OK, "Its policies were read.")
    accounts = dict.fromkeys(opening.bucket.account for opening in state.openings)
    yield organization_check(state.caller.unread, {*accounts, state.caller.account})
    yield from allowlisted_checks(state.stack, state.caller, accounts)
    for problem in state.problems:
        yield problem.check
    for opening in state.openings:
        yield from alike.checks(_bucket_checks, opening, alike.model(opening))


def _bucket_checks(state: State, opening: Opening) -> tuple[Check, ...]:
    """What stands against one bucket; the later questions are asked only where the earlier ones have an answer."""
    desired = desired_bucket_policy(state, opening)
    return (
        Check(BELONGS, opening.address, Status.OK, "Yes."),
        takes_check(opening.address, desired, known_statements(state, opening)),
        public_check(opening.bucket, opening.address, desired, SCAN_ROLE),
        *_key_checks(state, opening),
        *_access_checks(state, opening, desired),
        *_own_key_access(state, opening),
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
    if objection := key_policy_objection(desired):
        return Check(title, opening.address, Status.FAILED, *objection)
    decision = key_half(state.caller, opening.bucket, key, desired.body)
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
    """Whether the statements would be of use, for all objects and for a part of them."""
    after = replace(documents(opening), bucket_policy=desired.body)
    asked = {action: granted for action, granted in opening.questions.items() if action.startswith("s3:") and granted}
    rows = access(state.caller, opening.bucket, opening.key, after, after, asked)
    remedy = (
        "Add the bucket to S3BucketRestriction and S3ObjectRestriction of bucketAV's stack (deletion and tagging "
        "follow DeleteInfectedFiles and TagFiles)."
    )
    yield from of_use_checks(opening.address, rows, SCAN_ROLE, remedy)
    yield from parts_denied(opening.address, opening.bucket, state.caller, after, "s3:GetObject", "unscanned")


def _own_key_access(state: State, opening: Opening) -> Iterable[Check]:
    """Cross-account, the key's policy is only half of it: KMSKeyRestriction limits the scan role's own half."""
    key = opening.key
    if key is None or key.policy is None or opening.target.key_policy == "skip":
        return
    open_key = Documents(None, desired_key_policy(state, key).body)
    decision = decide(state.caller, opening.bucket, key, open_key, DECRYPT)
    if decision.verdict is Verdict.DENIED and not decision.explicit:
        yield Check(
            OF_USE,
            opening.address,
            Status.WARNING,
            f"The scan role's own policy keeps it from {DECRYPT}: {decision.reason}",
            f"Add {key.arn} to KMSKeyRestriction of bucketAV's stack.",
        )
