"""What queues for findings are to be: worked out from how they stand and what is asked for, nothing called."""

import json
from collections.abc import Iterable, Sequence

from runbook.aws import subscriptions
from runbook.aws.kms import Key
from runbook.aws.sqs import KEY, POLICY, REDRIVE, RETENTION, SQS_MANAGED, VISIBILITY, as_text
from runbook.aws.subscriptions import CONFIRMED
from runbook.policy import document
from runbook.policy.document import Document, Statement
from runbook.policy.statements import (
    Mode,
    findings_key_statement,
    findings_queue_statements,
    findings_subscribe_statement,
)
from runbook.steps.findings_parameters import NEW_RECEIVE_COUNT
from runbook.steps.findings_state import Standing, State
from runbook.steps.merging import MODES, among, merged, parsed

LABEL = "Topic"
"""What a Sid is followed by when another statement already has it."""

DEFAULTS = {VISIBILITY: "30", RETENTION: "345600"}
"""What SQS gives a queue of which nothing is said. Source: api, CreateQueue."""

LONGEST_RETENTION = "1209600"
"""Fourteen days, for a dead-letter queue of our making: what is in it keeps the age that it had before."""


# --- the queue -------------------------------------------------------------------------------------------------------


def desired_queue(state: State, standing: Standing) -> str | None:
    """The queue as plans hold it; what is not asked for stays as it is. None where there is none, and none to be."""
    options, queue = state.options, standing.queue
    if options.action == "remove":
        return as_text({**queue.attributes, POLICY: _text(desired_policy(state, standing))}) if queue else None
    wanted = dict(queue.attributes) if queue else {**DEFAULTS, **({} if standing.key else {SQS_MANAGED: "true"})}
    if options.retention:
        wanted[RETENTION] = options.retention
    if options.visibility_timeout:
        wanted[VISIBILITY] = options.visibility_timeout
    if options.dead_letter:
        wanted[REDRIVE] = _redrive(state, standing)
    wanted |= _encryption(state, standing)
    wanted[POLICY] = _text(desired_policy(state, standing))
    return as_text(wanted)


def desired_policy(state: State, standing: Standing) -> Document | None:
    """The queue's policy with the documented statements merged in; or without them, when they are to be removed."""
    policy = standing.queue.policy if standing.queue else None
    wanted = queue_statements(state, standing, state.options.mode) if state.options.action == "subscribe" else ()
    return merged(policy, [(wanted, LABEL)], ours(state, standing))


def queue_statements(state: State, standing: Standing, mode: Mode) -> Sequence[Statement]:
    """The statements of this section for one queue."""
    return findings_queue_statements(standing.target.account, standing.arn, state.topic_arn, mode)


def ours(state: State, standing: Standing) -> list[Statement]:
    """Every statement that this section may have put into the queue's policy.

    The console gives a queue that is made there a statement that says what our first one does. It has a Sid, and ours
    has none: it is the owner's, and not to be taken out.
    """
    present = parsed(standing.queue.policy) if standing.queue else None
    foreign = [each for each in (present.statements if present else ()) if each.get("Sid")]
    known = [each for mode in MODES for each in queue_statements(state, standing, mode)]
    return [each for each in known if not among(each, foreign)]


def desired_dead_letter() -> str:
    """A dead-letter queue that is made because there is none of that name."""
    return as_text({VISIBILITY: DEFAULTS[VISIBILITY], RETENTION: LONGEST_RETENTION, SQS_MANAGED: "true"})


def _redrive(state: State, standing: Standing) -> str:
    """The redrive policy; a queue that has this dead-letter queue already keeps its count unless told otherwise."""
    present = standing.queue.redrive if standing.queue else {}
    there = present.get("deadLetterTargetArn") == standing.dead_letter_arn
    count = state.options.max_receive_count or (there and present["maxReceiveCount"]) or NEW_RECEIVE_COUNT
    return json.dumps({"deadLetterTargetArn": standing.dead_letter_arn, "maxReceiveCount": int(count)})


def _encryption(state: State, standing: Standing) -> dict[str, str]:
    """One way of encryption excludes the other."""
    asked = state.options.encryption
    if not asked or (standing.present_key and standing.key and standing.present_key.arn == standing.key.arn):
        return {}
    if asked == "sse-sqs":
        return {SQS_MANAGED: "true", KEY: ""}
    return {SQS_MANAGED: "false", KEY: asked}


# --- the subscription ------------------------------------------------------------------------------------------------


def desired_subscription(state: State, standing: Standing) -> str | None:
    """The subscription as plans hold it; what is not asked for stays as it is."""
    options, present = state.options, standing.subscription
    if options.action == "remove":
        return None
    there = present if present and present.status == CONFIRMED else None
    by_queue_owner = options.subscriber == "queue-owner" or standing.target.account == state.topic_account
    owner = there.owner if there else standing.target.account if by_queue_owner else state.topic_account
    raw = {"on": True, "off": False}.get(options.raw_delivery, there.raw_delivery if there else False)
    filters, scope = (there.filter_policy, there.filter_scope) if there else (None, "MessageAttributes")
    if options.statuses:
        filters, scope = options.filters, "MessageAttributes"
    to_confirm = "" if there or owner != state.topic_account or by_queue_owner else options.confirm
    return subscriptions.as_text(owner, raw_delivery=raw, filters=filters, scope=scope, confirm=to_confirm)


# --- policies of keys, and of the topic ------------------------------------------------------------------------------


def desired_key_policy(state: State, key: Key) -> Document:
    """The key's policy with a statement that lets SNS encrypt what it sends."""
    known = [findings_key_statement(state.topic_arn, mode) for mode in MODES]
    found = merged(key.policy, [([findings_key_statement(state.topic_arn, state.options.mode)], LABEL)], known)
    assert found is not None  # something is always wanted
    return found


def desired_topic_policy(state: State, standings: Iterable[Standing]) -> Document | None:
    """The topic's policy, with a statement for each queue whose owner is to subscribe; or without those to remove."""
    concerned = [each for each in standings if each.target.account != state.topic_account]
    statements = [subscribe_statement(state, each) for each in concerned]
    if state.options.action == "remove":
        return merged(state.topic_policy, [], statements)
    wanted = statements if state.options.subscriber == "queue-owner" else []
    return merged(state.topic_policy, [(wanted, LABEL)], [])


def subscribe_statement(state: State, standing: Standing) -> Statement:
    """What lets the queue's account subscribe it."""
    return findings_subscribe_statement(standing.target.account, standing.arn, state.topic_arn)


def key_is_open(state: State, key: Key) -> bool:
    """Whether the key's policy holds the statement that is asked for, and no variant of it."""
    return document.same_meaning(parsed(key.policy), desired_key_policy(state, key))


def _text(found: Document | None) -> str:
    return found.text if found else ""
