"""The changes that it takes to get findings to queues, or to take that back, in an order in which they can be made."""

import json
from collections.abc import Collection, Iterable, Mapping

from runbook import markdown
from runbook.aws import sqs, subscriptions
from runbook.aws.kinds import kind_of
from runbook.aws.sns import TopicPolicy
from runbook.aws.subscriptions import CONFIRMED, PENDING
from runbook.plan import Change, Resource
from runbook.policy import actions, document
from runbook.steps.findings_desired import (
    desired_dead_letter,
    desired_key_policy,
    desired_queue,
    desired_subscription,
    desired_topic_policy,
    key_is_open,
    queue_statements,
)
from runbook.steps.findings_state import Standing, State
from runbook.steps.merging import MODES, parsed
from runbook.untrusted import code

QUEUE = ("findings-topic.queue", "findings-topic.queue-policy")
SUBSCRIPTION = (
    "findings-topic.subscription",
    "findings-topic.protocol",
    "findings-topic.endpoint",
    "findings-topic.confirmation",
)

_SHOWN = {
    sqs.VISIBILITY: "visibility timeout",
    sqs.RETENTION: "retention",
    sqs.REDRIVE: "dead-letter queue",
    sqs.SQS_MANAGED: "encryption",
    sqs.KEY: "encryption",
}

_WAYS = {
    "token": "confirm it by its token",
    "open_url": "confirm it by its address",
    "by_hand": "leave confirming it to you",
}

_RESULTS = {
    "infected": "for infected files only",
    "infected-and-unscannable": "for infected and unscannable files",
}


def changes_of(state: State, leave_out: Collection[str]) -> Iterable[Change]:
    """A change for everything that is to be another; none for the addresses in `leave_out`."""
    standings = [standing for standing in state.usable if standing.address not in leave_out]
    queues = [*_queue_changes(state, standings)]
    subscribed = [*_subscription_changes(state, standings)]
    topic = [*_topic_change(state, standings)]
    if state.options.action == "remove":
        yield from (*subscribed, *queues, *topic)
    else:
        yield from (*_key_changes(state, standings), *topic, *_dead_letter_changes(standings), *queues, *subscribed)


def present(state: State) -> Mapping[Resource, str | None]:
    """Return the values in the state, as plans hold them, of queues, their subscriptions and their keys."""
    queues = {sqs.resource_of(each.arn): each.queue.value if each.queue else None for each in state.usable}
    subscribed = {
        subscriptions.resource_of(state.topic_arn, each.arn): each.subscription.value if each.subscription else None
        for each in state.usable
    }
    return queues | subscribed | {key.policy_resource: key.policy for key in state.keys.values()}


def _key_changes(state: State, standings: Iterable[Standing]) -> Iterable[Change]:
    """One change for a key, however many queues use it."""
    if state.options.key_policy != "change":
        return
    keys = {each.key.arn: each.key for each in standings if each.key and each.key.policy is not None}
    for key in keys.values():
        if not key_is_open(state, key):
            yield Change(
                resource=key.policy_resource,
                summary="let SNS encrypt with this key what the findings topic sends",
                before=key.policy,
                after=desired_key_policy(state, key).text,
                outline=QUEUE[:1],
            )


def _topic_change(state: State, standings: list[Standing]) -> Iterable[Change]:
    present, desired = state.topic_policy, desired_topic_policy(state, standings)
    if document.same_meaning(parsed(present), desired):
        return
    names = markdown.joined([each.address for each in standings])
    let = "no longer let" if state.options.action == "remove" else "let"
    yield Change(
        resource=Resource(
            kind=TopicPolicy.name,
            account=state.topic_account,
            region=state.topic_arn.split(":")[3],
            arn=state.topic_arn,
        ),
        summary=f"{let} {names} be subscribed by the account that owns it",
        before=present,
        after=desired.text if desired else None,
        outline=SUBSCRIPTION[:1],
    )


def _dead_letter_changes(standings: Iterable[Standing]) -> Iterable[Change]:
    missing = {each.dead_letter_arn: each for each in standings if each.dead_letter_arn and each.dead_letter is None}
    for arn in missing:
        yield Change(
            resource=sqs.resource_of(arn, dead_letter=True),
            summary=f"make queue {code(arn.rsplit(':', 1)[-1])} for messages that could not be worked off",
            before=None,
            after=desired_dead_letter(),
            outline=QUEUE[:1],
        )


def _queue_changes(state: State, standings: Iterable[Standing]) -> Iterable[Change]:
    for standing in standings:
        before, after = standing.queue.value if standing.queue else None, desired_queue(state, standing)
        resource = sqs.resource_of(standing.arn)
        if not sqs.WholeQueue().same(before, after):
            yield Change(
                resource=resource,
                summary=_queue_summary(state, standing, before, after),
                before=before,
                after=after,
                outline=QUEUE,
            )


def _queue_summary(state: State, standing: Standing, before: str | None, after: str | None) -> str:
    name = standing.target.name
    if before is None:
        return f"make queue {code(name)}, to which the findings topic may send"
    old, new = json.loads(before), json.loads(after or "{}")
    differing = dict.fromkeys(text for key, text in _SHOWN.items() if old.get(key) != new.get(key))
    let = "no longer let" if state.options.action == "remove" else "let"
    parts = [f"{let} the findings topic send to {code(name)}"] if old.get(sqs.POLICY) != new.get(sqs.POLICY) else []
    return " and ".join([*parts, *([f"change its {markdown.joined(list(differing), most=9)}"] if differing else [])])


def _subscription_changes(state: State, standings: Iterable[Standing]) -> Iterable[Change]:
    for standing in standings:
        present = standing.subscription
        change = Change(
            resource=subscriptions.resource_of(state.topic_arn, standing.arn),
            summary=_subscription_summary(state, standing),
            before=present.value if present else None,
            after=desired_subscription(state, standing),
            outline=SUBSCRIPTION,
        )
        if not kind_of(change.resource).made(change, change.before):
            yield change


def _subscription_summary(state: State, standing: Standing) -> str:
    name, options = code(standing.address), state.options
    if options.action == "remove":
        return f"end the subscription of {name}"
    which = f" {_RESULTS[options.statuses]}" if options.statuses in _RESULTS else ""
    if standing.subscription and standing.subscription.status == CONFIRMED:
        return f"change what {name} receives from the findings topic"
    wanted = json.loads(desired_subscription(state, standing) or "{}")
    way = f", and {_WAYS[wanted['Confirm']]}" if "Confirm" in wanted else ""
    again = " once more" if standing.subscription else ""
    return f"subscribe {name} to the findings topic{which}{again}{way}"


# --- what else a plan says -------------------------------------------------------------------------------------------


def notes_of(state: State, changes: Collection[Change]) -> Iterable[str]:
    """Modes, what is fine already, and what waits for a person."""
    usable = state.usable
    if state.options.action == "subscribe" and usable:
        yield _mode_note(state, usable[0])
    touched = {change.resource.arn for change in changes}
    fine = [
        each.address
        for each in usable
        if each.confirmed and not {each.arn, subscriptions.resource_of(state.topic_arn, each.arn).arn} & touched
    ]
    if fine and state.options.action == "subscribe":
        yield f"Subscribed and confirmed already: {markdown.names(fine, most=10)}."
    for each in usable:
        if each.subscription and each.subscription.status == PENDING:
            yield _pending_note(state, each)
    if state.options.action == "remove":
        yield "The queues themselves stay, with what is in them, and so do statements in policies of keys."


def _pending_note(state: State, standing: Standing) -> str:
    """What becomes of a request that somebody has made before."""
    asked = f"The subscription of {code(standing.address)} was asked for before, and waits for its confirmation."
    if state.options.action == "remove":
        return (
            f"{asked} Nothing is delivered until then; SNS forgets it after three days, and lets nobody take it back."
        )
    if state.options.confirm == "by_hand":
        return f"{asked} That is left to you: the address is in the message in the queue (see *By hand*)."
    return f"{asked} If the request in the queue is not valid any more, a new one is asked for."


def _mode_note(state: State, standing: Standing) -> str:
    literal, hardened = (queue_statements(state, standing, mode) for mode in MODES)
    saved = actions.saved(literal, hardened)
    listed = markdown.names(saved, most=4)
    if state.options.mode == "literal":
        return (
            f"Mode `literal`, the documented statements. `hardened` would not grant {len(saved)} actions to the "
            f"queue's account ({listed}), and would name SNS in place of anybody as the one that sends for the topic."
        )
    return (
        f"Mode `hardened`, ours and not confirmed by the vendor: does not grant {len(saved)} actions to the queue's "
        f"account ({listed}), and names SNS as the one that sends for the topic."
    )
