"""Subscriptions to topics: who has to confirm one, with which token, and what then arrives at the endpoint.

SNS Developer Guide, "Sending Amazon SNS messages to an Amazon SQS queue in a different account"; API Reference,
Subscribe, ConfirmSubscription, Unsubscribe. A subscription is kept with its topic, whoever has made it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.utils import ensure_boolean
from moto.moto_api._internal import mock_random
from moto.sns.models import SNSBackend, Topic, sns_backends
from moto.sns.models import Subscription as MotoSubscription
from moto.sqs.models import Message

from runbook.sandbox import clock, sns_messages
from runbook.sandbox.deliveries import deliver
from runbook.sandbox.errors import NotImplementedInSandbox, Refusal
from runbook.sandbox.stored_policies import account_exists

SERVICE = "sns.amazonaws.com"
TOKEN_SECONDS = 2 * 24 * 60 * 60
"""API Reference, Subscribe: "Confirmation tokens are valid for two days." Developer Guide: a subscription that nobody
has confirmed by then is deleted."""

ENDPOINTS_BEYOND = ("email", "email-json", "http", "https")
"""Protocols whose endpoints are never confirmed in the sandbox, because nothing leaves this machine."""

RAW_ATTRIBUTES = 10
"""Developer Guide, "Raw message delivery": a message with more attributes than a queue takes is discarded."""

Attributes = Mapping[str, str]

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_JSON = ("DeliveryPolicy", "FilterPolicy", "RedrivePolicy")


class InvalidParameter(Refusal):
    """API Reference, Subscribe, "Errors"."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameter", f"Invalid parameter: {message}", 400)


class Subscription(MotoSubscription):
    """A subscription. `owner` is the account that has subscribed the endpoint.

    `confirmed`, and `signed`: by a call with a signature. `guarded`: nobody takes it away without one.
    """

    def __init__(self, topic: Topic, protocol: str, endpoint: str, owner: str) -> None:
        super().__init__(topic.account_id, topic, endpoint, protocol)
        self.owner = owner
        self.confirmed = self.signed = self.guarded = owner == _account(endpoint)
        self.tokens: dict[str, float] = {}
        self.attributes = {"RawMessageDelivery": "false"}
        self.since = clock.now()

    @property
    def gone(self) -> bool:
        """Never confirmed, and too late for it."""
        return not self.confirmed and clock.now() - self.since > TOKEN_SECONDS

    def ask_for_confirmation(self) -> None:
        """Send a message with a new token to the endpoint. Those from before stay valid as long as they are."""
        self.since = clock.now()
        token = mock_random.get_random_hex(160)
        self.tokens[token] = self.since
        version = signature_version(self.topic)
        elements = sns_messages.confirmation(
            self.topic.arn, token, message_id=str(mock_random.uuid4()), version=version
        )
        self._put(sns_messages.Signed(elements))

    def confirm(self, *, signed: bool = False, guarded: bool = False) -> None:
        """Once is enough: another time changes nothing."""
        if not self.confirmed:
            self.confirmed, self.signed, self.guarded = True, signed, guarded

    def publish(
        self,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: dict[str, Any] | None = None,
        group_id: str | None = None,  # noqa: ARG002  # of FIFO topics
        deduplication_id: str | None = None,  # noqa: ARG002
        message_structure: str | None = None,
    ) -> None:
        """Send what was published to the endpoint, once that is confirmed and if the filter policy lets it through.

        Developer Guide, "Amazon SNS subscription filter policies": a message that does not match is not delivered.
        """
        attributes = message_attributes or {}
        matcher = self._filter_policy_matcher
        if not self.confirmed or (matcher is not None and not matcher.matches(attributes, message)):
            return
        text = self._parse_message_structure(message, self.protocol) if message_structure == "json" else message
        if ensure_boolean(self.attributes["RawMessageDelivery"]):
            self._put_raw(text, attributes)
            return
        elements = sns_messages.notification(
            self.topic.arn,
            text,
            message_id=message_id,
            subject=subject,
            attributes=attributes,
            subscription_arn=self.arn,
            version=signature_version(self.topic),
        )
        self._put(sns_messages.Signed(elements))

    def _put_raw(self, text: str, attributes: Mapping[str, Any]) -> None:
        """Developer Guide, "Raw message delivery": the message as it was published, its attributes as the queue's."""
        if len(attributes) <= RAW_ATTRIBUTES:
            message = Message(str(mock_random.uuid4()), text)
            message.message_attributes = {name: _as_of_queue(value) for name, value in attributes.items()}
            self._put(message)

    def _put(self, message: Message) -> None:
        if self.protocol == "sqs":
            deliver(
                self.endpoint,
                message,
                service=SERVICE,
                source_arn=self.topic.arn,
                source_account=self.topic.account_id,
            )


def subscribe(topic: Topic, protocol: str, endpoint: str, attributes: Attributes, owner: str) -> Subscription:
    """Subscribe an endpoint on behalf of the account `owner`.

    The account that a queue belongs to subscribes it at once; everybody else gets a subscription that is pending, and
    the queue a message. The same endpoint again is the same subscription. Raises InvalidParameter.
    """
    _check_endpoint(topic, protocol, endpoint)
    there = next((each for each in of_topic(topic) if (each.protocol, each.endpoint) == (protocol, endpoint)), None)
    if there is not None and not all(_is_set(there, name, value) for name, value in attributes.items()):
        raise InvalidParameter("Attributes Reason: Subscription already exists with different attributes")
    found = there or _new(topic, protocol, endpoint, attributes, owner)
    if not found.confirmed:
        found.ask_for_confirmation()
    return found


def confirm(topic_arn: str, token: str, *, signed: bool, guarded: bool) -> Subscription:
    """Confirm the subscription that the token was sent for; once more does no harm.

    `guarded` is AuthenticateOnUnsubscribe.

    Raises InvalidParameter for a token that was never sent for this topic, or is older than two days.
    """
    for subscription in of_topic(_topic(topic_arn)):
        if clock.now() - subscription.tokens.get(token, float("-inf")) <= TOKEN_SECONDS:
            subscription.confirm(signed=signed, guarded=guarded)
            return subscription
    raise InvalidParameter("Token")


def unsubscribe(arn: str) -> None:
    """Take a subscription away; one that is not there is no error. Raises InvalidParameter for a pending one."""
    subscription = find(arn)
    if subscription is None:
        return
    if not subscription.confirmed:
        raise InvalidParameter("SubscriptionArn Reason: Cannot unsubscribe a subscription that is pending confirmation")
    del backend_of(arn).subscriptions[arn]


def find(arn: str) -> Subscription | None:
    """The subscription with that ARN. Raises InvalidParameter for what is none, such as `PendingConfirmation`."""
    parts = len(arn.split(":"))
    if parts < 6:
        raise InvalidParameter(f"SubscriptionArn Reason: An ARN must have at least 6 elements, not {parts}")
    return next((each for each in _alive(backend_of(arn)) if each.arn == arn), None)


def of_topic(topic: Topic) -> list[Subscription]:
    """All subscriptions to a topic, whoever owns them, the oldest first."""
    return [each for each in _alive(topic.sns_backend) if each.topic is topic]


def of_account(account: str, region: str) -> list[Subscription]:
    """The subscriptions that an account owns, to its own topics and to others'."""
    backends = [backends[region] for backends in list(sns_backends.values())]
    return [each for backend in backends for each in _alive(backend) if each.owner == account]


def backend_of(arn: str) -> SNSBackend:
    """Where a topic, or a subscription to it, is kept. Raises InvalidParameter for what is no ARN of SNS's."""
    match arn.split(":", 5):
        case ["arn", _, "sns", region, account, _] if account_exists(account) and _REGION.fullmatch(region):
            backend: SNSBackend = sns_backends[account][region]
            return backend
        case _:
            raise InvalidParameter("TopicArn")


def signature_version(topic: Topic) -> str:
    """API Reference, SetTopicAttributes, SignatureVersion: "By default, SignatureVersion is set to 1"."""
    return str(getattr(topic, "signature_version", "1"))


def check_attribute(name: str, value: str) -> None:
    """Raise InvalidParameter unless a subscription's attribute may have this value, as far as moto does not look.

    API Reference, SetSubscriptionAttributes. Wordings assumed.
    """
    if name == "RedrivePolicy" and value:
        raise NotImplementedInSandbox(
            "The sandbox does not simulate the dead-letter queue of a subscription. "
            "Implement it in runbook/sandbox/subscriptions.py."
        )
    if name == "RawMessageDelivery" and value not in ("true", "false"):
        raise InvalidParameter(f"Attributes Reason: {name}: Invalid value [{value}]. Must be true or false.")
    if name in _JSON and value and not isinstance(_parsed(value), Mapping):
        raise InvalidParameter(f"{name}: failed to parse JSON.")


def _is_set(subscription: Subscription, name: str, value: str) -> bool:
    """Whether an attribute has that value already; JSON may be written differently."""
    there = subscription.attributes.get(name, "MessageAttributes" if name == "FilterPolicyScope" else "")
    return there == value or (name in _JSON and _parsed(there) == _parsed(value) is not None)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _new(topic: Topic, protocol: str, endpoint: str, attributes: Attributes, owner: str) -> Subscription:
    """With its attributes, or not at all. FilterPolicyScope comes first: moto checks a filter policy against it."""
    subscription, backend = Subscription(topic, protocol, endpoint, owner), topic.sns_backend
    backend.subscriptions[subscription.arn] = subscription
    try:
        for name in sorted(attributes, key=lambda each: each != "FilterPolicyScope"):
            backend.set_subscription_attributes(subscription.arn, name, attributes[name])
    except Exception:
        del backend.subscriptions[subscription.arn]
        raise
    return subscription


def _topic(arn: str) -> Topic:
    topic: Topic = backend_of(arn).get_topic(arn)
    return topic


def _alive(backend: SNSBackend) -> Iterator[Subscription]:
    for subscription in list(backend.subscriptions.values()):
        assert isinstance(subscription, Subscription)  # nobody else makes any
        if not subscription.gone:
            yield subscription


def _check_endpoint(topic: Topic, protocol: str, endpoint: str) -> None:
    """Developer Guide, "FIFO topics": a standard topic does not deliver to FIFO queues."""
    if protocol in ENDPOINTS_BEYOND:
        return
    if protocol != "sqs":
        raise NotImplementedInSandbox(
            f"The sandbox does not deliver to endpoints of the protocol {protocol!r}, only to queues. "
            "Implement it in runbook/sandbox/subscriptions.py."
        )
    if endpoint.split(":")[2:3] != ["sqs"] or len(endpoint.split(":")) != 6:
        raise InvalidParameter("SQS endpoint ARN")
    if endpoint.endswith(".fifo") and not topic.fifo_topic:
        raise InvalidParameter(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
        )


def _as_of_queue(attribute: Mapping[str, str]) -> dict[str, Any]:
    """A message attribute as SQS has it, from one as SNS has it."""
    if attribute["Type"].startswith("Binary"):
        return {"DataType": attribute["Type"], "BinaryValue": base64.b64decode(attribute["Value"])}
    return {"DataType": attribute["Type"], "StringValue": str(attribute["Value"])}


def _account(endpoint: str) -> str:
    """Whose a queue is; nobody's for an endpoint that is no ARN."""
    parts = endpoint.split(":")
    return parts[4] if len(parts) > 4 else ""
