"""Looking into the sandbox's queues and topics past SQS and SNS: to receive a message would change something."""

import json
from typing import Any


def stored_queues() -> dict[str, str | None]:
    """Every queue, topic policy and subscription of the organization as text, by ARN; what is in queues aside.

    A subscription, whose ARN is another one each time, stands under its topic and its endpoint.
    """
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    from runbook.sandbox import queue_policies, stored_policies

    found: dict[str, str | None] = {}
    for _, regions in sqs_backends.items():
        queues: list[Any] = [queue for backend in regions.values() for queue in backend.queues.values()]
        for queue in queues:
            # Not `queue.attributes`: it goes through all messages.
            redrive = json.dumps(queue.redrive_policy) if queue.redrive_policy else "None"
            values = [str(queue.visibility_timeout), str(queue.message_retention_period), redrive]
            values.append(str(queue.sqs_managed_sse_enabled).lower())
            found[queue.queue_arn] = json.dumps([*values, queue_policies.as_written(queue), queue.kms_master_key_id])
    for _, topics in sns_backends.items():
        for region in topics.values():
            for topic in region.topics.values():
                found[topic.arn] = stored_policies.minified(stored_policies.as_written(topic, topic.policy))
            for each in region.subscriptions.values():
                told = [each.confirmed, each.owner, each.attributes]
                found[f"{each.topic.arn} {each.endpoint}"] = json.dumps(told, sort_keys=True)
    return found


def stored_messages(arn: str) -> list[str]:
    """The bodies of all messages that are in a queue, sorted; each of them visible."""
    messages = _queue(arn)._messages
    assert all(message.visible for message in messages), "some are hidden from others"
    return sorted(message.body for message in messages)


def queued() -> dict[str, str | None]:
    """What is in every queue, as text, by its ARN: bodies, whether others see them, how often they were received."""
    from moto.sqs.models import sqs_backends

    queues: list[Any] = [
        queue
        for _, regions in sqs_backends.items()
        for backend in regions.values()
        for queue in backend.queues.values()
    ]
    return {
        f"messages of {queue.queue_arn}": json.dumps(
            [[each.body, each.visible, each.approximate_receive_count] for each in queue._messages]
        )
        for queue in queues
    }


def receive_counts(arn: str) -> set[int]:
    """How often the messages of a queue have been received."""
    return {message.approximate_receive_count for message in _queue(arn)._messages}


def _queue(arn: str) -> Any:
    from moto.sqs.models import sqs_backends

    region, account, name = arn.split(":")[3:6]
    return sqs_backends[account][region].queues[name]
