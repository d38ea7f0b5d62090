"""The attributes of a queue: what SQS accepts.

API Reference, CreateQueue and SetQueueAttributes, Attributes. Wordings are those of SQS's answers as others have
published them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.sqs.models import sqs_backends

from runbook.sandbox.errors import NotImplementedInSandbox, Refusal

NUMBERS = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
"""Attribute -> least and greatest value: seconds, and bytes of MaximumMessageSize."""

MOST_RECEIVES = 1_000

_OTHERS = frozenset(
    {
        "ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit", "KmsMasterKeyId",
        "Policy", "RedrivePolicy", "SqsManagedSseEnabled",
    }
)  # fmt: skip

Attributes = Mapping[str, Any]


class InvalidValue(Refusal):
    """API Reference, "Common Error Types": InvalidParameterValue."""

    def __init__(self, name: str, value: Any, reason: str) -> None:
        super().__init__(
            "InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}.", 400
        )


def check(attributes: Attributes, *, account: str, region: str, name: str) -> None:
    """Raise SQS's refusal unless a queue of that name in `account` may have these attributes. Not about the policy."""
    if "RedriveAllowPolicy" in attributes:
        raise NotImplementedInSandbox(
            "The sandbox does not simulate RedriveAllowPolicy. Implement it in runbook/sandbox/queue_attributes.py."
        )
    for attribute, value in attributes.items():
        if attribute not in NUMBERS and attribute not in _OTHERS:
            raise Refusal("InvalidAttributeName", f"Unknown Attribute {attribute}.", 400)
        if attribute in NUMBERS and not _within(value, *NUMBERS[attribute]):
            raise Refusal("InvalidAttributeValue", f"Invalid value for the parameter {attribute}.", 400)
    if attributes.get("KmsMasterKeyId") and _is_true(attributes.get("SqsManagedSseEnabled")):
        raise Refusal(
            "InvalidAttributeName",
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS "
            "SSE.",
            400,
        )
    if attributes.get("RedrivePolicy"):
        _check_redrive(attributes["RedrivePolicy"], account, region, name)


def complete(attributes: Attributes) -> dict[str, Any]:
    """With what follows from them: "only one server-side encryption option is supported per queue", so that the last
    one that is chosen is the one.
    """
    if attributes.get("KmsMasterKeyId"):
        return {**attributes, "SqsManagedSseEnabled": False}
    if "SqsManagedSseEnabled" in attributes:
        wanted = _is_true(attributes["SqsManagedSseEnabled"])
        return {**attributes, "SqsManagedSseEnabled": wanted, **({"KmsMasterKeyId": None} if wanted else {})}
    return dict(attributes)


def _check_redrive(given: Any, account: str, region: str, name: str) -> None:
    """Developer Guide, "dead-letter queues": one of the same account, Region and type, which has to exist."""
    shown = given if isinstance(given, str) else json.dumps(given)
    try:
        policy = json.loads(shown)
    except ValueError:
        policy = None
    if not isinstance(policy, Mapping):
        raise InvalidValue("RedrivePolicy", shown, "Redrive policy is not a valid JSON map")
    for mandatory in ("maxReceiveCount", "deadLetterTargetArn"):
        if mandatory not in policy:
            raise InvalidValue(
                "RedrivePolicy", shown, f"Redrive policy does not contain mandatory attribute: {mandatory}"
            )
    if not _within(policy["maxReceiveCount"], 1, MOST_RECEIVES):
        raise InvalidValue(
            "RedrivePolicy",
            shown,
            f"Invalid value for maxReceiveCount: {policy['maxReceiveCount']}, valid values are from 1 to "
            f"{MOST_RECEIVES} both inclusive",
        )
    _check_dead_letter_queue(str(policy["deadLetterTargetArn"]), shown, account, region, name)


def _check_dead_letter_queue(arn: str, shown: str, account: str, region: str, name: str) -> None:
    match arn.split(":"):
        case ["arn", _, "sqs", its_region, its_account, its_name]:
            pass
        case _:
            raise InvalidValue("RedrivePolicy", shown, "Only SQS queues are valid resources for deadLetterTargetArn")
    if (its_account, its_region) != (account, region):
        raise InvalidValue("RedrivePolicy", shown, "Dead-letter target owner should be same as the source")
    if its_name.endswith(".fifo") != name.endswith(".fifo"):
        raise InvalidValue("RedrivePolicy", shown, "Dead-letter queue must be same type of queue as the source")
    if its_name not in sqs_backends[account][region].queues:
        raise InvalidValue("RedrivePolicy", shown, "Dead letter target does not exist")


def _within(value: Any, least: int, most: int) -> bool:
    try:
        return least <= int(value) <= most
    except (TypeError, ValueError):
        return False


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
