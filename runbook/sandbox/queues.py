"""Queues of the simulated organization: what a table can say of one, and how it comes into moto's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.moto_api._internal import mock_random
from moto.sns.models import Topic
from moto.sqs.models import Message, sqs_backends

from runbook.policy.statements import findings_queue_statements
from runbook.sandbox import subscriptions
from runbook.sandbox.accounts import PILOT, C, E, F
from runbook.sandbox.buckets import Key, Policy, minified
from runbook.sandbox.findings import Finding
from runbook.sandbox.server import REGION


@dataclass(frozen=True)
class Queue:
    """A queue with a few messages. `policy` stands as it was once put, by someone else.

    `subscribed`: as the documentation says, with its policy, and confirmed.
    """

    account: str
    name: str
    policy: Policy | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    subscribed: bool = False


def queue_arn(account: str, name: str) -> str:
    """In the Region of the sandbox's world."""
    return f"arn:aws:sqs:{REGION}:{account}:{name}"


KEYS_OF_QUEUES = (Key(C, "alias/events"),)

MONITORING = "Monitoring"
"""A role of account c that reads its queue."""

NIGHTLY = f"arn:aws:events:{REGION}:{C}:rule/nightly-inventory"


def _queue_policy(account: str, queue: str, *statements: Policy) -> Policy:
    """Statements about one queue."""
    resource = {"Resource": queue_arn(account, queue)}
    return {"Version": "2012-10-17", "Statement": [{**statement, **resource} for statement in statements]}


def _event(number: int) -> str:
    """What EventBridge has put into a queue for somebody else."""
    return minified({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"run": number}})


EVENTS_POLICY = _queue_policy(
    C,
    "security-events",
    {
        "Sid": "EventBridgeRule",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Condition": {"ArnEquals": {"aws:SourceArn": NIGHTLY}},
    },
    {
        "Sid": "Monitoring",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{C}:role/{MONITORING}"},
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    },
)

CROWDED_QUEUE_POLICY = _queue_policy(
    # As many statements as a queue's policy may have.
    E,
    "crowded-events",
    *(
        {
            "Sid": f"Topic{number:02}",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:sns:{REGION}:{E}:events-{number:02}"}},
        }
        for number in range(1, 21)
    ),
)

ALERTS_POLICY = _queue_policy(
    # What is left of a role that was deleted: SQS shows its id.
    E,
    "alerts",
    {
        "Sid": "OldPager",
        "Effect": "Allow",
        "Principal": {"AWS": "AROAQBVPAGER4EXAMPLES"},
        "Action": "sqs:ReceiveMessage",
    },
)

QUEUES = (
    Queue(C, "security-events", EVENTS_POLICY, messages=tuple(_event(number) for number in range(1, 4))),
    Queue(PILOT, "bucketav-findings", subscribed=True),
    Queue(F, "old-findings", subscribed=True),
    Queue(E, "crowded-events", CROWDED_QUEUE_POLICY),
    Queue(E, "orders.fifo", attributes={"FifoQueue": "true"}),
    Queue(E, "alerts", ALERTS_POLICY),
    Queue(E, "full-events", messages=tuple(_event(number) for number in range(1, 61))),
)

FINDINGS_OF_THE_PILOT = (
    # Published when the pilot's queue was the only one that listened.
    Finding("camera-pilot", "2025-11-20.txt", "clean", 7),
    Finding("camera-pilot", "upload/eicar.com.txt", "infected", 69, finding="Eicar-Signature"),
    Finding("camera-pilot", "2025-11-21.txt", "clean", 7),
    Finding("camera-pilot", "archive/2024.zip", "no", 6_442_450_944),
)
NOT_A_FINDING = "Somebody has sent this by hand, to see whether it arrives.\n"


def make_queue(queue: Queue, findings_topic: Topic) -> None:
    """With everything in it; messages have ids that moto makes up."""
    sqs, arn = sqs_backends[queue.account][REGION], queue_arn(queue.account, queue.name)
    made = sqs.create_queue(queue.name, None, **queue.attributes)
    if queue.policy:
        made.policy = minified(queue.policy)  # not put: one of them would be refused today
    for body in queue.messages:
        # Not sent: for each message moto looks at all that are there, a few times.
        message = Message(str(mock_random.uuid4()), body)
        message.mark_sent()
        made.add_message(message)
    if queue.subscribed:
        statements = findings_queue_statements(queue.account, arn, findings_topic.arn)
        sqs.set_queue_attributes(queue.name, {"Policy": minified({"Version": "2012-10-17", "Statement": statements})})
        subscription = subscriptions.subscribe(findings_topic, "sqs", arn, {}, findings_topic.account_id)
        subscription.confirm()
        made._messages.clear()  # the owner has deleted what asked for the confirmation
