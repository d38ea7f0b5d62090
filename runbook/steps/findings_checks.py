"""What stands against getting findings to queues: every answer worked out from one look, nothing called."""

import json
from collections.abc import Iterable

from runbook import markdown
from runbook.aws.confirmation import MOST
from runbook.aws.sqs import Queue
from runbook.aws.subscriptions import PENDING
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.policy import document, lint
from runbook.policy.document import Document
from runbook.policy.evaluate import Decision, Verdict
from runbook.policy.queue_limits import exceeded
from runbook.steps.bucket_look import TAKES
from runbook.steps.findings_access import account_subscribes, not_allowed, topic_encrypts, topic_sends
from runbook.steps.findings_desired import (
    desired_key_policy,
    desired_policy,
    desired_subscription,
    desired_topic_policy,
    key_is_open,
)
from runbook.steps.findings_state import Standing, State
from runbook.steps.merging import parsed
from runbook.steps.policy_checks import OF_USE, key_policy_objection, organization_check, stack_check
from runbook.untrusted import code, text

LOOKED_AT = "The queue can be looked at"
DEAD_LETTER = "What cannot be worked off goes to a dead-letter queue"
ENCRYPTED = "What is encrypted can be sent"
STANDS = "How the subscription stands"
ALONE = "Other messages stay as they are"
TOPIC = "The findings topic is there"
LETS = "The topic lets the queue's account subscribe"

FEW_RECEIPTS = 3
"""A message that goes to a dead-letter queue after so few times cannot be looked at without a risk to it."""


def checks_of(environment: Environment, state: State) -> Iterable[Check]:
    """Everything that stands against it, or should be known before."""
    yield stack_check(state.stack)
    yield from _topic_checks(state)
    accounts = {standing.target.account for standing in state.standings}
    yield organization_check(state.unread, accounts)
    for standing in state.standings:
        if standing.problem:
            name = environment.account_name(standing.target.account)
            remedy = f"The queue has to be one that the role for account {name} may look at."
            yield Check(LOOKED_AT, standing.address, Status.FAILED, standing.problem, remedy)
        elif state.options.action == "remove":
            yield from _removal_checks(standing)
        else:
            yield from _queue_checks(state, standing)


def _topic_checks(state: State) -> Iterable[Check]:
    name = state.topic_arn.rsplit(":", 1)[-1]
    if state.topic_policy is None:
        found = f"There is no topic {state.topic_arn}, although it is the {state.topic_found_in}."
        yield Check(TOPIC, name, Status.FAILED, found, "See what became of bucketAV's stack; was the topic deleted?")
        return
    yield Check(TOPIC, name, Status.OK, f"It is the {state.topic_found_in}.")
    by_owner = [each for each in state.usable if not each.confirmed] if _by_queue_owner(state) else []
    if not by_owner:
        return
    desired = desired_topic_policy(state, by_owner)
    limit = document.SIZE_LIMITS["topic-policy"]
    if desired and desired.size > limit:
        found = f"Its policy would be {desired.size:,} bytes; SNS takes {limit:,}."
        yield Check(LETS, name, Status.FAILED, found, "Shorten the present policy, or let account a subscribe.")
    elif desired and (stale := lint.stale_principals(desired)):
        found = f"Its policy names {', '.join(stale)}, which no longer exists: SNS refuses to store it again."
        yield Check(LETS, name, Status.FAILED, found, "Have that principal removed, or let account a subscribe.")
    else:
        policy = desired.text if desired else None
        answers = {each.address: account_subscribes(state, each, policy) for each in by_owner}
        closed = {address: answer for address, answer in answers.items() if not answer.allowed}
        for address, answer in closed.items():
            yield Check(LETS, address, Status.FAILED, f"It would not: {answer.reason}", "Let account a subscribe.")
        if not closed:
            yield Check(LETS, name, Status.OK, "A statement for each queue will; SNS needs no confirmation then.")


def _by_queue_owner(state: State) -> bool:
    return state.options.subscriber == "queue-owner" and state.options.action == "subscribe"


def _removal_checks(standing: Standing) -> Iterable[Check]:
    title = "There is something to take away"
    if standing.queue is None and standing.subscription is None:
        remedy = "Correct `queues` if another one was meant."
        yield Check(
            title, standing.address, Status.WARNING, "There is no such queue, and no subscription of it.", remedy
        )
    elif standing.subscription is None:
        yield Check(title, standing.address, Status.OK, "It is not subscribed; what its policy has of ours will go.")
    elif standing.subscription.status == PENDING:
        yield Check(title, standing.address, Status.WARNING, "Its subscription waits for confirmation.", _FORGOTTEN)
    else:
        yield Check(title, standing.address, Status.OK, "Its subscription; the queue and what is in it stay.")


_FORGOTTEN = "SNS forgets it after three days, and lets nobody take it back before. Nothing is delivered until then."


def _queue_checks(state: State, standing: Standing) -> Iterable[Check]:
    desired = desired_policy(state, standing)
    assert desired is not None  # something is always wanted
    there = "It is there." if standing.queue else "There is none of that name yet; it will be made."
    yield Check(LOOKED_AT, standing.address, Status.OK, there)
    yield _takes_check(standing, desired)
    yield from _dead_letter_checks(state, standing)
    yield from _key_checks(state, standing)
    yield _of_use_check(standing, topic_sends(state, standing, desired.text))
    yield _subscription_check(state, standing)
    yield from _left_alone_checks(state, standing)


def _takes_check(standing: Standing, desired: Document) -> Check:
    over = exceeded(desired, parsed(standing.queue.policy) if standing.queue else None)
    if over:
        found = f"It would have {', and '.join(over)}."
        remedy = "Have statements joined or dropped by the queue's owner, or take a queue of its own for findings."
        return Check(TAKES, standing.address, Status.FAILED, found, remedy)
    if stale := lint.stale_principals(desired):
        found = (
            f"It names {', '.join(stale)}: a role or user that no longer exists. SQS refuses any policy that names one."
        )
        remedy = "Ask the queue's owner to remove or replace that principal; it is not ours to drop."
        return Check(TAKES, standing.address, Status.FAILED, found, remedy)
    return Check(TAKES, standing.address, Status.OK, "Yes.")


def _dead_letter_checks(state: State, standing: Standing) -> Iterable[Check]:
    if not state.options.dead_letter:
        return
    name, queue = code(state.options.dead_letter), standing.dead_letter
    if queue is None:
        yield Check(DEAD_LETTER, standing.address, Status.OK, f"{name} will be made, and keeps them for 14 days.")
    elif not _allows(queue, standing.arn):
        found = f"{name} does not let this queue send to it (its RedriveAllowPolicy)."
        yield Check(
            DEAD_LETTER, standing.address, Status.FAILED, found, "Have its owner allow it, or name another one."
        )
    else:
        yield Check(DEAD_LETTER, standing.address, Status.OK, f"{name} is there.")
    present = standing.queue.redrive.get("deadLetterTargetArn", "") if standing.queue else ""
    if present and present != standing.dead_letter_arn:
        found = f"It has another dead-letter queue now, {code(present.rsplit(':', 1)[-1])}, which would be replaced."
        yield Check(DEAD_LETTER, standing.address, Status.WARNING, found, "Leave `dead_letter` empty to keep it.")


def _allows(dead_letter: Queue, source_arn: str) -> bool:
    """Source: api, CreateQueue, RedriveAllowPolicy."""
    allowed = json.loads(dead_letter.attributes.get("RedriveAllowPolicy") or "{}")
    by_queue = source_arn in allowed.get("sourceQueueArns", [])
    return {"denyAll": False, "byQueue": by_queue}.get(allowed.get("redrivePermission", "allowAll"), True)


def _key_checks(state: State, standing: Standing) -> Iterable[Check]:
    key, address, choice = standing.key, standing.address, state.options.key_policy
    if standing.key_problem:
        status = Status.WARNING if choice == "skip" else Status.FAILED
        yield Check(ENCRYPTED, address, status, standing.key_problem, "Ask the key's owner to have a look.")
        return
    if key is None:
        yield Check(ENCRYPTED, address, Status.OK, "No key of yours is used for it.")
        return
    shown = f"It is encrypted with {key.arn}"
    if key.aws_managed:
        found = f"{shown}, which AWS manages: its policy cannot let SNS in, so nothing would ever arrive."
        yield Check(ENCRYPTED, address, Status.FAILED, found, "Set `encryption` to `sse-sqs`, or to a key of your own.")
    elif not key.enabled:
        yield Check(ENCRYPTED, address, Status.FAILED, f"{shown}, which is not enabled.", "Enable the key.")
    elif key_is_open(state, key) or not not_allowed(topic_encrypts(state, standing, key.policy)):
        yield Check(ENCRYPTED, address, Status.OK, f"{shown}, which lets SNS use it.")
    elif choice != "change":
        status = Status.WARNING if choice == "skip" else Status.FAILED
        remedy = "`key_policy: change` adds a statement to the key's policy; `skip` leaves the key to its owner."
        yield Check(
            ENCRYPTED, address, status, f"{shown}, which does not let SNS use it: nothing would arrive.", remedy
        )
    else:
        desired = desired_key_policy(state, key)
        denied = not_allowed(topic_encrypts(state, standing, desired.text))
        if objection := key_policy_objection(desired):
            yield Check(ENCRYPTED, address, Status.FAILED, *objection)
        elif denied:
            found = f"{shown}. A statement would be useless there: {denied.reason}"
            yield Check(ENCRYPTED, address, Status.FAILED, found, "Ask the key's owner to make an exception for SNS.")
        else:
            yield Check(ENCRYPTED, address, Status.OK, f"{shown}; a statement will let SNS use it.")


def _of_use_check(standing: Standing, decision: Decision) -> Check:
    """A foreign Deny may still keep the topic out."""
    if decision.verdict is Verdict.ALLOWED:
        return Check(OF_USE, standing.address, Status.OK, "Nothing denies it.")
    if decision.verdict is Verdict.DENIED:
        found = f"The topic would stay denied: {decision.reason}"
        remedy = "Ask the queue's owner to make an exception for the findings topic, or take another queue."
        return Check(OF_USE, standing.address, Status.FAILED, found, remedy)
    found = f"Whether the topic will be allowed to send cannot be told: {decision.reason}"
    return Check(OF_USE, standing.address, Status.WARNING, found, "Look at that statement with the queue's owner.")


def _subscription_check(state: State, standing: Standing) -> Check:
    present = standing.subscription
    if present is None:
        how = "the queue's account will do it, which needs no confirmation" if _by_queue_owner(state) else "it will be"
        return Check(STANDS, standing.address, Status.OK, f"It is not subscribed yet; {how}.")
    if present.status == PENDING:
        return Check(
            STANDS,
            standing.address,
            Status.OK,
            "It was asked for, and waits for its confirmation: the request in the queue is used, or a new one made.",
        )
    return Check(STANDS, standing.address, Status.OK, f"Confirmed: {_receives(standing)}.")


def _receives(standing: Standing) -> str:
    """What a subscription lets through."""
    present = standing.subscription
    assert present is not None
    filters = f"filtered by {text(json.dumps(present.filter_policy))}" if present.filter_policy else "all results"
    return f"{filters}{', raw' if present.raw_delivery else ''}"


def _left_alone_checks(state: State, standing: Standing) -> Iterable[Check]:
    """Whoever looks for the request for confirmation receives other messages on the way."""
    queue = standing.queue
    wanted = json.loads(desired_subscription(state, standing) or "{}")
    if queue is None or not queue.waiting or "Confirm" not in wanted:
        return
    waiting = f"About {markdown.count(queue.waiting, 'message')} are in it, among which the request is looked for"
    count = int(queue.redrive.get("maxReceiveCount", 0))
    if queue.waiting > MOST:
        found = f"{waiting}; of so many, only {MOST:,} are looked at."
        remedy = "Work them off first, or set `subscriber` to `queue-owner`, which needs no confirmation."
        yield Check(ALONE, standing.address, Status.WARNING, found, remedy)
    elif 0 < count <= FEW_RECEIPTS:
        found = (
            f"{waiting}. That counts as receiving them, and a message goes to the dead-letter queue when received "
            f"more than {count} times."
        )
        remedy = (
            "Set `subscriber` to `queue-owner`, which needs no confirmation, or see to the dead-letter queue after."
        )
        yield Check(ALONE, standing.address, Status.WARNING, found, remedy)
    else:
        yield Check(ALONE, standing.address, Status.OK, f"{waiting}; they stay, but each counts as received once more.")
