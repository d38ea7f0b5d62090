"""Topics and queues of two accounts: who has to confirm what, and what arrives where."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from runbook.sandbox import clock
from runbook.sandbox.server import Sandbox
from tests.sandbox.topics import A, B, Between, C, Client, between, body_of

SEND = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
TWO_DAYS = 2 * 24 * 60 * 60


@pytest.fixture
def both(sandbox: Sandbox, client: Client) -> Between:
    return between(sandbox, client)


def error_of(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def test_the_topics_account_subscribes_and_the_queues_account_confirms(both: Between) -> None:
    """Developer Guide, "Sending Amazon SNS messages to an Amazon SQS queue in a different account"."""
    both.open()
    assert both.subscribe() == "pending confirmation"
    assert both.status() == ["PendingConfirmation"]
    both.publish("too early")
    [request] = [body_of(message) for message in both.receive()]
    assert (request["Type"], request["TopicArn"]) == ("SubscriptionConfirmation", both.topic)
    start = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={both.topic}&Token="
    assert request["SubscribeURL"] == start + request["Token"]
    confirm = both.client("sns", B).confirm_subscription
    assert error_of(confirm, TopicArn=both.topic, Token="0" + request["Token"][1:]) == (
        "InvalidParameter",
        "Invalid parameter: Token",
    )
    arn = confirm(TopicArn=both.topic, Token=request["Token"])["SubscriptionArn"]
    assert confirm(TopicArn=both.topic, Token=request["Token"])["SubscriptionArn"] == arn
    assert both.status() == [arn]
    both.publish("now", status="clean")
    [notification] = [body_of(message) for message in both.receive()]
    assert (notification["Type"], notification["Message"]) == ("Notification", "now")
    assert notification["MessageAttributes"] == {"status": {"Type": "String", "Value": "clean"}}
    shown = both.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (shown["PendingConfirmation"], shown["ConfirmationWasAuthenticated"], shown["Owner"]) == (
        "false", "true", A,
    )  # fmt: skip


def test_opening_the_address_in_the_message_confirms_too(both: Between) -> None:
    """L292: "You will see an XML document with a root element named ConfirmSubscriptionResponse"."""
    both.open()
    both.subscribe()
    [request] = [body_of(message) for message in both.receive()]
    status, xml = both.get(request["SubscribeURL"][:-1] + "!")
    assert (status, "<Message>Invalid parameter: Token</Message>" in xml) == (400, True)
    status, xml = both.get(request["SubscribeURL"])
    assert (status, re.match(r"<ConfirmSubscriptionResponse\b", xml) is not None) == (200, True)
    assert both.status()[0] in xml
    status, xml = both.get(request["SubscribeURL"] + "&AuthenticateOnUnsubscribe=true")
    assert (status, "AuthorizationError" in xml) == (403, True)
    both.publish()
    [notification] = [body_of(message) for message in both.receive()]
    shown = both.sns.get_subscription_attributes(SubscriptionArn=both.status()[0])["Attributes"]
    assert shown["ConfirmationWasAuthenticated"] == "false"
    assert both.get(notification["UnsubscribeURL"])[0] == 200
    assert both.status() == []


@pytest.mark.parametrize(("version", "algorithm"), [("1", hashes.SHA1()), ("2", hashes.SHA256())])
def test_messages_are_signed(both: Between, version: str, algorithm: hashes.HashAlgorithm) -> None:
    """Developer Guide, "Verifying the signatures of Amazon SNS messages"; SetTopicAttributes, SignatureVersion."""
    if version != "1":
        both.sns.set_topic_attributes(TopicArn=both.topic, AttributeName="SignatureVersion", AttributeValue=version)
    both.open()
    both.subscribe()
    [request] = [body_of(message) for message in both.receive()]
    both.client("sns", B).confirm_subscription(TopicArn=both.topic, Token=request["Token"])
    both.sns.publish(TopicArn=both.topic, Message="x", Subject="y")
    [notification] = [body_of(message) for message in both.receive()]
    _, pem = both.get(request["SigningCertURL"])
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert re.fullmatch(
        r"https://sns\.eu-west-1\.amazonaws\.com/SimpleNotificationService-[0-9a-f]{32}\.pem", request["SigningCertURL"]
    )
    for message, names in (
        (request, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")),
        (notification, ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")),
    ):
        assert message["SignatureVersion"] == version
        signed = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
        key.verify(base64.b64decode(message["Signature"]), signed, padding.PKCS1v15(), algorithm)


def test_a_token_is_valid_for_two_days(both: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscribe: "Confirmation tokens are valid for two days." Then the subscription is gone too."""
    both.open()
    both.subscribe()
    [request] = [body_of(message) for message in both.receive()]
    later = clock.now() + TWO_DAYS + 1
    monkeypatch.setattr(clock, "now", lambda: later)
    assert both.status() == []
    assert error_of(both.client("sns", B).confirm_subscription, TopicArn=both.topic, Token=request["Token"]) == (
        "InvalidParameter",
        "Invalid parameter: Token",
    )
    both.subscribe()
    assert both.status() == ["PendingConfirmation"]
    both.confirm()


def test_subscribing_again_sends_another_message_while_pending_and_changes_nothing_later(both: Between) -> None:
    """Subscribe: the same topic, protocol and endpoint are the same subscription."""
    both.open()
    both.subscribe()
    pending = both.subscribe(ReturnSubscriptionArn=True)
    first, second = [body_of(message)["Token"] for message in both.receive()]
    assert first != second
    assert error_of(both.sns.unsubscribe, SubscriptionArn=pending) == (
        "InvalidParameter",
        "Invalid parameter: SubscriptionArn Reason: Cannot unsubscribe a subscription that is pending confirmation",
    )
    both.client("sns", B).confirm_subscription(TopicArn=both.topic, Token=first)
    assert both.subscribe(Attributes={"RawMessageDelivery": "false"}) == pending == both.status()[0]
    assert both.receive() == []
    code, message = error_of(both.subscribe, Attributes={"RawMessageDelivery": "true"})
    assert (code, "Subscription already exists with different attributes" in message) == ("InvalidParameter", True)
    change = {"AttributeName": "RawMessageDelivery", "AttributeValue": "true"}
    both.sns.set_subscription_attributes(SubscriptionArn=pending, **change)
    assert both.subscribe(Attributes={"RawMessageDelivery": "true"}) == pending
    both.sns.unsubscribe(SubscriptionArn=pending)
    both.sns.unsubscribe(SubscriptionArn=pending)
    both.publish()
    assert (both.status(), both.receive()) == ([], [])


def test_the_queues_account_needs_the_topics_permission_and_no_confirmation(both: Between) -> None:
    """Developer Guide, "Queue owner creates subscription"."""
    both.open()
    sns = both.client("sns", B)
    subscribe = {"TopicArn": both.topic, "Protocol": "sqs", "Endpoint": both.queue}
    assert error_of(sns.subscribe, **subscribe)[0] == "AuthorizationError"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": B},
        "Action": "sns:Subscribe",
        "Resource": both.topic,
        "Condition": {"StringEquals": {"sns:Protocol": "sqs"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    both.sns.set_topic_attributes(TopicArn=both.topic, AttributeName="Policy", AttributeValue=policy)
    arn = sns.subscribe(**subscribe)["SubscriptionArn"]
    assert both.status() == [arn] == [each["SubscriptionArn"] for each in sns.list_subscriptions()["Subscriptions"]]
    both.publish("through")
    assert [body_of(message)["Message"] for message in both.receive()] == ["through"]
    assert error_of(both.client("sns", C).unsubscribe, SubscriptionArn=arn)[0] == "AuthorizationError"
    sns.unsubscribe(SubscriptionArn=arn)
    assert both.status() == []


REFUSING: dict[str, dict[str, Any] | None] = {
    "no policy": None,
    "for another topic": {**SEND, "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:other"}}},
    "for another service": {**SEND, "Principal": {"Service": "events.amazonaws.com"}},
    "for the topic's account": {**SEND, "Principal": {"AWS": A}},
}


def test_nothing_arrives_where_the_queues_policy_does_not_let_the_topic_in(both: Between) -> None:
    """SNS works as the service sns.amazonaws.com for the topic; not even the request for confirmation gets through."""
    for name, statement in REFUSING.items():
        if statement:
            both.open({**statement, "Resource": both.queue})
        both.subscribe()
        assert (name, both.status(), both.receive()) == (name, ["PendingConfirmation"], [])


def test_messages_go_to_the_right_account(both: Between) -> None:
    """moto looked for the queue in the topic's account."""
    own = both.client("sqs", A)
    url = own.create_queue(QueueName="findings")["QueueUrl"]
    both.subscribed()
    both.publish("x")
    assert "Messages" not in own.receive_message(QueueUrl=url)
    assert [body_of(message)["Message"] for message in both.receive()] == ["x"]


def test_a_fifo_queue_cannot_listen_to_a_standard_topic(both: Between) -> None:
    fifo = f"arn:aws:sqs:eu-west-1:{B}:orders.fifo"
    code, message = error_of(both.sns.subscribe, TopicArn=both.topic, Protocol="sqs", Endpoint=fifo)
    assert (code, "FIFO SQS Queues can not be subscribed to standard SNS topics" in message) == (
        "InvalidParameter",
        True,
    )


FILTERS: dict[str, tuple[str, str, list[str]]] = {
    # scope, filter policy, and the status of what arrives
    "all": ("MessageAttributes", "{}", ["clean", "infected", "no"]),
    "infected": ("MessageAttributes", '{"status": ["infected"]}', ["infected"]),
    "infected and unscannable": ("MessageAttributes", '{"status": ["infected", "no"]}', ["infected", "no"]),
    "an attribute that is missing": ("MessageAttributes", '{"bucket": ["x"]}', []),
    "of the body": ("MessageBody", '{"result": {"status": ["clean"]}}', ["clean"]),
}


def test_a_filter_policy_lets_through_what_it_names(both: Between) -> None:
    """Developer Guide, "Amazon SNS subscription filter policies": by message attributes, or by the body."""
    arn = both.subscribed()

    def change(**attributes: str) -> None:
        for name, value in attributes.items():
            both.sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)

    for name, (scope, policy, arrives) in FILTERS.items():
        change(FilterPolicyScope=scope, FilterPolicy=policy)
        for status in ("clean", "infected", "no"):
            both.publish(json.dumps({"result": {"status": status}}), status=status)
        received = [body_of(each)["MessageAttributes"]["status"]["Value"] for each in both.receive()]
        assert (name, received) == (name, arrives)
    broken = {"AttributeName": "FilterPolicy", "AttributeValue": json.dumps({"status": "infected"})}
    assert error_of(both.sns.set_subscription_attributes, SubscriptionArn=arn, **broken)[0] == "InvalidParameter"


def test_a_subscription_that_cannot_be_is_not_made(both: Between) -> None:
    """A filter policy that is none fails the whole call."""
    both.open()
    for attributes in (
        {"FilterPolicy": '{"status": "infected"}'},
        {"FilterPolicy": "status"},
        {"RawMessageDelivery": "perhaps"},
        {"Colour": "red"},
    ):
        code, _ = error_of(both.subscribe, Attributes=attributes)
        assert (attributes, code, both.status(), both.receive()) == (attributes, "InvalidParameter", [], [])


def test_raw_delivery_gives_the_message_as_it_was_published(both: Between) -> None:
    """Developer Guide, "Raw message delivery": message attributes become those of the queue's message."""
    both.subscribed(RawMessageDelivery="true")
    both.publish('{"key": "x"}', status="clean")
    [message] = both.receive()
    assert message["Body"] == '{"key": "x"}'
    assert message["MessageAttributes"] == {"status": {"StringValue": "clean", "DataType": "String"}}
    both.publish("too many attributes", **{f"a{number}": "x" for number in range(11)})
    assert both.receive() == []


UNACCEPTABLE: dict[str, tuple[str | dict[str, Any], str]] = {
    "no JSON": ("no policy", "failed to parse"),
    "every action": ({"Action": "sns:*"}, "Policy statement action out of service scope!"),
    "confirming": ({"Action": "sns:ConfirmSubscription"}, "Policy statement action out of service scope!"),
    "a role that does not exist": ({"Principal": {"AWS": f"arn:aws:iam::{B}:role/Nobody"}}, "PrincipalNotFound"),
    "another topic": ({"Resource": f"arn:aws:sns:eu-west-1:{A}:other"}, "resource"),
}


def test_a_topic_policy_that_sns_would_not_take_is_refused(both: Between) -> None:
    """SetTopicAttributes, InvalidParameter."""
    statement = {"Effect": "Allow", "Principal": {"AWS": B}, "Action": "sns:Subscribe", "Resource": both.topic}
    before = both.sns.get_topic_attributes(TopicArn=both.topic)["Attributes"]["Policy"]
    for name, (change, part) in UNACCEPTABLE.items():
        text = (
            change
            if isinstance(change, str)
            else json.dumps({"Version": "2012-10-17", "Statement": [{**statement, **change}]})
        )
        code, message = error_of(
            both.sns.set_topic_attributes, TopicArn=both.topic, AttributeName="Policy", AttributeValue=text
        )
        assert (name, code, part in message) == (name, "InvalidParameter", True)
    assert both.sns.get_topic_attributes(TopicArn=both.topic)["Attributes"]["Policy"] == before
