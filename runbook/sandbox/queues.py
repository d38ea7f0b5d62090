"""Queues of the simulated organization: what a table can say of one, and how it comes into moto's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.sns.models import Topic
from moto.sqs.models import sqs_backends

from runbook.policy.statements import findings_queue_statements
from runbook.sandbox import subscriptions
from runbook.sandbox.buckets import Policy, minified
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


def make_queue(queue: Queue, findings_topic: Topic) -> None:
    """With everything in it; messages have ids that moto makes up."""
    sqs, arn = sqs_backends[queue.account][REGION], queue_arn(queue.account, queue.name)
    made = sqs.create_queue(queue.name, None, **queue.attributes)
    if queue.policy:
        made.policy = minified(queue.policy)  # not put: one of them would be refused today
    for message in queue.messages:
        sqs.send_message(queue.name, message)
    if queue.subscribed:
        statements = findings_queue_statements(queue.account, arn, findings_topic.arn)
        sqs.set_queue_attributes(queue.name, {"Policy": minified({"Version": "2012-10-17", "Statement": statements})})
        subscription = subscriptions.subscribe(findings_topic, "sqs", arn, {}, findings_topic.account_id)
        subscription.confirm()
        made._messages.clear()  # the owner has deleted what asked for the confirmation
