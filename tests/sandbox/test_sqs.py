"""Queues: who may do what with one, which policy and attributes it takes, and how messages are received."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sqs.models import sqs_backends

from runbook.sandbox import clock, server
from runbook.sandbox.server import Sandbox
from tests.sandbox.topics import A, B, Between, C, Client, between, body_of

E = "555555555555"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


@pytest.fixture
def both(sandbox: Sandbox, client: Client) -> Between:
    return between(sandbox, client)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until the test moves it on, by seconds."""
    moment = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: moment[0])

    def move(seconds: float) -> None:
        moment[0] += seconds

    return move


def error_of(call: Any, *positional: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(*positional, **parameters)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def allow(principal: Any, actions: Any, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resource, **more}


def test_another_account_needs_the_queues_policy_and_administers_nothing(both: Between) -> None:
    """Developer Guide, "Limitations of Amazon SQS custom policies": "Cross-account permissions don't apply to the
    following actions", SetQueueAttributes and DeleteQueue among them.
    """
    other, url = both.client("sqs", C), {"QueueUrl": both.url}
    code, message = error_of(other.receive_message, **url)
    assert (code, "sqs:receivemessage on resource: " + both.queue in message) == ("AccessDenied", True)
    both.open(allow({"AWS": C}, "sqs:*", both.queue))
    other.send_message(**url, MessageBody="hello")
    assert [message["Body"] for message in other.receive_message(**url)["Messages"]] == ["hello"]
    assert other.get_queue_url(QueueName="findings", QueueOwnerAWSAccountId=B)["QueueUrl"] == both.url
    assert error_of(other.get_queue_url, QueueName="findings")[0] == NO_QUEUE
    for call in (other.delete_queue, other.list_queue_tags):
        assert error_of(call, **url)[0] == "AccessDenied"
    assert error_of(other.set_queue_attributes, **url, Attributes={"DelaySeconds": "5"})[0] == "AccessDenied"
    both.open({**allow({"AWS": C}, "sqs:ReceiveMessage", both.queue), "Effect": "Deny"})
    assert error_of(other.receive_message, **url)[0] == "AccessDenied"


def test_a_change_leaves_everything_else_as_it_is(both: Between) -> None:
    """moto took the policy away with every change."""
    both.open()
    before = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    assert json.loads(before)["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{B}:root"}
    both.set(VisibilityTimeout="60")
    shown = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["All"])["Attributes"]
    assert (shown["Policy"], shown["VisibilityTimeout"], shown["SqsManagedSseEnabled"]) == (before, "60", "true")
    both.set(KmsMasterKeyId="alias/aws/sqs")
    shown = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["All"])["Attributes"]
    assert (shown["KmsMasterKeyId"], shown["SqsManagedSseEnabled"]) == ("alias/aws/sqs", "false")
    both.set(SqsManagedSseEnabled="true", Policy="")
    shown = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["All"])["Attributes"]
    assert (shown["SqsManagedSseEnabled"], {"KmsMasterKeyId", "Policy"} & set(shown)) == ("true", set())


QUEUE = f"arn:aws:sqs:eu-west-1:{B}:findings"
ONE = allow({"AWS": B}, "sqs:SendMessage", QUEUE)
ARNS = [f"arn:aws:sns:eu-west-1:{A}:topic-{number}" for number in range(60)]
INVALID = ("InvalidAttributeValue", "Invalid value for the parameter Policy.")
REFUSED: Mapping[str, tuple[Any, tuple[str, str]]] = {
    "no JSON": ("no policy", INVALID),
    "no statement": ([], INVALID),
    "no principal": ([{key: value for key, value in ONE.items() if key != "Principal"}], INVALID),
    "another queue": ([{**ONE, "Resource": "arn:aws:sqs:eu-west-1:222222222222:other"}], INVALID),
    "an action of another service": ([{**ONE, "Action": "s3:GetObject"}], INVALID),
    "no such action": ([{**ONE, "Action": "sqs:Receive"}], INVALID),
    "a role that does not exist": ([{**ONE, "Principal": {"AWS": f"arn:aws:iam::{B}:role/Nobody"}}], INVALID),
    "an account that does not exist": ([{**ONE, "Principal": {"AWS": "123456789012"}}], INVALID),
    "the id of a role that is gone": ([{**ONE, "Principal": {"AWS": "AROAQBVPAGER4EXAMPLES"}}], INVALID),
    "8,193 bytes": (
        [{**ONE, "Sid": "x" * 8_192}],
        ("OverLimit", "Submitted policy is over max allowed size."),
    ),
    "21 statements": (
        [ONE] * 21,
        ("OverLimit", "21 statements were found in the submitted policy, max allowed is 20"),
    ),
    "8 actions": (
        [{**ONE, "Action": ["sqs:SendMessage"] * 8}],
        ("OverLimit", "8 actions were found in a statement from the submitted policy, max allowed is 7"),
    ),
    "51 principals": (
        [{**ONE, "Principal": {"AWS": [B] * 51}}],
        ("OverLimit", "51 principals were found in the submitted policy, max allowed is 50"),
    ),
    "11 conditions": (
        [{**ONE, "Condition": {"StringEquals": {f"aws:PrincipalTag/{each}": "x" for each in range(11)}}}],
        ("OverLimit", "11 conditions were found in the submitted policy, max allowed is 10"),
    ),
}


def test_a_policy_that_is_malformed_or_too_large_is_refused_and_one_at_the_limits_is_not(both: Between) -> None:
    """Developer Guide, "Amazon SQS policy quotas"; a refused policy changes nothing."""
    both.open()
    before = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["Policy"])["Attributes"]
    for name, (found, error) in REFUSED.items():
        text = found if isinstance(found, str) else json.dumps({"Version": "2012-10-17", "Statement": found})
        assert (name, error_of(both.set, Policy=text, DelaySeconds="7")) == (name, error)
    assert error_of(both.sqs.create_queue, QueueName="new", Attributes={"Policy": "no policy"}) == INVALID
    shown = both.sqs.get_queue_attributes(QueueUrl=both.url, AttributeNames=["Policy", "DelaySeconds"])["Attributes"]
    assert shown == {**before, "DelaySeconds": "0"}
    both.open(
        *[{**ONE, "Principal": {"AWS": [B, C]}} for _ in range(18)],
        {**ONE, "Action": ["sqs:SendMessage"] * 7, "Principal": {"AWS": [B] * 13}},
        {**ONE, "Condition": {"ArnEquals": {"aws:SourceArn": ARNS}, "Null": {f"aws:{n}": "true" for n in range(9)}}},
    )


def test_queues_of_the_world_are_at_the_limits_and_show_what_is_gone(both: Between) -> None:
    own = both.client("sqs", E)
    for name, statement in (("crowded-events", ONE), ("alerts", None)):
        url = own.get_queue_url(QueueName=name)["QueueUrl"]
        policy = json.loads(own.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
        if statement:
            policy["Statement"].append({**statement, "Resource": policy["Statement"][0]["Resource"]})
        code, _ = error_of(own.set_queue_attributes, QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        assert (name, code) == (name, "OverLimit" if statement else "InvalidAttributeValue")


def test_a_policy_counts_after_a_while(
    both: Between, now: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SetQueueAttributes: "the change can take up to 60 seconds for most of the attributes to propagate"."""
    monkeypatch.setattr(clock, "QUEUE_POLICY_SECONDS", 60)
    both.open()
    both.subscribe()
    assert both.receive() == []
    now(61)
    both.subscribe()
    both.confirm()
    both.set(Policy="")
    both.publish("still")
    now(61)
    both.publish("no more")
    assert [body_of(message)["Message"] for message in both.receive()] == ["still"]


ATTRIBUTES: Mapping[str, tuple[dict[str, str], tuple[str, str]]] = {
    "retention": (
        {"MessageRetentionPeriod": "59"},
        ("InvalidAttributeValue", "Invalid value for the parameter MessageRetentionPeriod."),
    ),
    "visibility": (
        {"VisibilityTimeout": "43201"},
        ("InvalidAttributeValue", "Invalid value for the parameter VisibilityTimeout."),
    ),
    "name": ({"Visibility": "1"}, ("InvalidAttributeName", "Unknown Attribute Visibility.")),
    "two encryptions": (
        {"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "alias/aws/sqs"},
        ("InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time."),
    ),
    "dead letters nowhere": (
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE}-none", "maxReceiveCount": 3})},
        ("InvalidParameterValue", "Dead letter target does not exist."),
    ),
    "dead letters elsewhere": (
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": QUEUE.replace(B, C), "maxReceiveCount": 3})},
        ("InvalidParameterValue", "Dead-letter target owner should be same as the source."),
    ),
    "dead letters in order": (
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE}.fifo", "maxReceiveCount": 3})},
        ("InvalidParameterValue", "Dead-letter queue must be same type of queue as the source."),
    ),
    "never received": (
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": QUEUE, "maxReceiveCount": 0})},
        ("InvalidParameterValue", "valid values are from 1 to 1000 both inclusive."),
    ),
    "half a redrive policy": (
        {"RedrivePolicy": json.dumps({"deadLetterTargetArn": QUEUE})},
        ("InvalidParameterValue", "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
    ),
}


def test_attributes_out_of_range_are_refused(both: Between) -> None:
    for name, (attributes, (code, part)) in ATTRIBUTES.items():
        found = error_of(both.set, **attributes)
        assert (name, found[0], part in found[1]) == (name, code, True)
        assert error_of(both.sqs.create_queue, QueueName="new", Attributes=attributes) == found
    assert both.sqs.list_queues(QueueNamePrefix="new").get("QueueUrls", []) == []


def test_a_deleted_queues_name_is_free_after_a_while(both: Between, now: Callable[[float], None]) -> None:
    """CreateQueue: QueueDeletedRecently."""
    both.sqs.delete_queue(QueueUrl=both.url)
    assert error_of(both.sqs.create_queue, QueueName="findings")[0] == "AWS.SimpleQueueService.QueueDeletedRecently"
    now(clock.DELETED_QUEUE_SECONDS)
    both.sqs.create_queue(QueueName="findings")


def test_what_is_received_too_often_becomes_a_dead_letter(both: Between) -> None:
    """Developer Guide, "dead-letter queues": at the attempt after the maxReceiveCount-th; it keeps its id."""
    dead = both.sqs.create_queue(QueueName="dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": f"arn:aws:sqs:eu-west-1:{B}:dead", "maxReceiveCount": 2}
    both.set(RedrivePolicy=json.dumps(policy))
    sent = both.sqs.send_message(QueueUrl=both.url, MessageBody="x")["MessageId"]
    asked = {"AttributeNames": ["ApproximateReceiveCount"], "VisibilityTimeout": 0}
    received = [both.sqs.receive_message(QueueUrl=both.url, **asked).get("Messages", []) for _ in range(3)]
    counts = [[each["Attributes"]["ApproximateReceiveCount"] for each in messages] for messages in received]
    assert counts == [["1"], ["2"], []]
    [letter] = both.sqs.receive_message(QueueUrl=dead, **asked)["Messages"]
    assert (letter["MessageId"], letter["Attributes"]["ApproximateReceiveCount"]) == (sent, "3")


def test_what_somebody_works_on_nobody_else_gets(both: Between) -> None:
    """ChangeMessageVisibility to 0 gives a message back; afterwards it is not in flight. Old messages are deleted."""
    url = {"QueueUrl": both.url}
    for body in ("one", "two"):
        both.sqs.send_message(**url, MessageBody=body)
    received = both.sqs.receive_message(**url, MaxNumberOfMessages=10)["Messages"]
    assert "Messages" not in both.sqs.receive_message(**url)
    handles = {each["Body"]: {**url, "ReceiptHandle": each["ReceiptHandle"]} for each in received}
    both.sqs.change_message_visibility(**handles["two"], VisibilityTimeout=0)
    code, message = error_of(both.sqs.change_message_visibility, **handles["two"], VisibilityTimeout=0)
    assert (code, "is not available for visibility timeout change" in message) == ("InvalidParameterValue", True)
    batch = both.sqs.change_message_visibility_batch(
        QueueUrl=both.url,
        Entries=[
            {"Id": body, "ReceiptHandle": handle["ReceiptHandle"], "VisibilityTimeout": 9}
            for body, handle in handles.items()
        ],
    )
    assert [[each["Id"] for each in batch[name]] for name in ("Successful", "Failed")] == [["one"], ["two"]]
    both.sqs.delete_message(**handles["one"])
    assert [each["Body"] for each in both.sqs.receive_message(**url, VisibilityTimeout=0)["Messages"]] == ["two"]
    both.set(MessageRetentionPeriod="60")
    [waiting] = sqs_backends[B]["eu-west-1"].queues["findings"]._messages
    vars(waiting)["sent_timestamp"] -= 61_000
    assert "Messages" not in both.sqs.receive_message(**url)


def test_a_long_poll_ends_when_a_message_comes_or_its_time_is_over(
    both: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Developer Guide, "Amazon SQS short and long polling"."""
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.extend(both.receive(WaitTimeSeconds=20)), daemon=True)
    waiting.start()
    both.sqs.send_message(QueueUrl=both.url, MessageBody="x")
    waiting.join(15)
    assert [message["Body"] for message in found] == ["x"]
    monkeypatch.setattr(clock, "LONGEST_POLL", 0)
    assert both.receive(WaitTimeSeconds=20) == []
    # Whoever waits does not keep the process: the threads of calls are daemons, and nobody joins them.
    running = server._this_process.running
    assert running is not None
    assert vars(type(running.server))["daemon_threads"] is True


def test_a_customer_managed_key_has_to_let_the_topic_and_the_reader_in(both: Between) -> None:
    """SNS Developer Guide, "Key management": the queue's key has to allow sns.amazonaws.com kms:GenerateDataKey and
    kms:Decrypt; an AWS-managed key never does.
    """
    both.subscribed()
    kms = both.client("kms", B)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    for encrypted in ("alias/aws/sqs", key):
        both.set(KmsMasterKeyId=encrypted)
        both.publish("lost")
    service = {"Service": "sns.amazonaws.com"}
    source = {"ArnEquals": {"aws:SourceArn": both.topic}}
    policy["Statement"].append(allow(service, ["kms:GenerateDataKey*", "kms:Decrypt"], "*", Condition=source))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    both.publish("through")
    both.open(allow({"AWS": C}, "sqs:*", both.queue))
    code, message = error_of(both.client("sqs", C).receive_message, QueueUrl=both.url)
    assert (code, "kms:Decrypt" in message) == ("KMS.AccessDeniedException", True)
    assert error_of(both.client("sqs", C).send_message, QueueUrl=both.url, MessageBody="x")[0] == code
    assert [body_of(message)["Message"] for message in both.receive()] == ["through"]
