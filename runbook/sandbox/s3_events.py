"""Event notifications of S3 as on AWS where moto is not: they reach queues of other accounts that let S3 in.

S3 User Guide, "Amazon S3 Event Notifications" and "Granting permissions to publish event notification messages to a
destination".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.moto_api._internal import mock_random
from moto.s3 import notifications
from moto.s3.models import FakeBucket, FakeKey
from moto.sqs.models import Message

from runbook.sandbox.deliveries import deliver
from runbook.sandbox.errors import NotImplementedInSandbox, Refusal
from runbook.sandbox.moto_methods import replace

SERVICE = "s3.amazonaws.com"

delivered: deque[str] = deque()
"""ARNs of the queues that got an event, one for each event, until whoever listens takes them from here."""


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(FakeBucket, "set_notification_configuration", knows_queues_only)
    notifications.send_event = sends_to_queues_that_let_it_in
    notifications.send_test_event = says_which_destination_does_not_let_it_in


# Rules. The first parameter of one that stands before moto's own method is that method.


def knows_queues_only(original: Callable[..., None], bucket: FakeBucket, configuration: dict[str, Any] | None) -> None:
    """PutBucketNotificationConfiguration replaces the configuration, unless it is refused."""
    others = [name for name in configuration or {} if name.endswith("Configuration") and not name.startswith("Queue")]
    if others:
        raise NotImplementedInSandbox(
            f"The sandbox sends events of a bucket to queues only, not by {', '.join(others)}. "
            "Implement it in runbook/sandbox/s3_events.py."
        )
    before = bucket.notification_configuration
    try:
        original(bucket, configuration)
    except Exception:
        bucket.notification_configuration = before
        raise


def sends_to_queues_that_let_it_in(
    account_id: str,  # noqa: ARG001
    event_name: notifications.S3NotificationEvent,
    bucket: FakeBucket,
    key: FakeKey,
) -> None:
    """User Guide, "Event message structure". moto looks for the queue in the bucket's account."""
    configuration = bucket.notification_configuration
    for notification in configuration.queue if configuration else ():
        if notification.matches(event_name, key.name):
            content = notifications._get_s3_event(event_name, bucket, key, notification.id)
            if bucket.is_versioned:
                content["Records"][0]["s3"]["object"]["versionId"] = key.version_id
            if _send(content, notification.arn, bucket):
                delivered.append(notification.arn)


def says_which_destination_does_not_let_it_in(account_id: str, bucket: FakeBucket) -> None:  # noqa: ARG001
    """PutBucketNotificationConfiguration: "Amazon S3 sends test messages to all of the listed destinations [...]. If
    the message fails, the entire PUT action will fail".
    """
    assert bucket.notification_configuration is not None
    for arn in dict.fromkeys(each.arn for each in bucket.notification_configuration.queue):
        if not _send(notifications._get_test_event(bucket.name), arn, bucket):
            raise Refusal("InvalidArgument", "Unable to validate the following destination configurations", 400)


def _send(content: dict[str, Any], queue_arn: str, bucket: FakeBucket) -> bool:
    message = Message(str(mock_random.uuid4()), json.dumps(content))
    source = {"source_arn": bucket.arn, "source_account": bucket.account_id}
    return deliver(queue_arn, message, service=SERVICE, **source)
