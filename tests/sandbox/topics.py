"""The findings topic and a queue of another account, for tests of SNS and SQS across accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from runbook.policy.statements import findings_queue_statements
from runbook.sandbox.server import Sandbox

A, B, C, D = "111111111111", "222222222222", "333333333333", "444444444444"

Client = Callable[..., Any]


@dataclass(frozen=True)
class Between:
    """A topic of account a and a queue of account b, with a client for each."""

    sandbox: Sandbox
    client: Client
    sns: Any
    sqs: Any
    topic: str
    queue: str
    url: str

    def open(self, *statements: dict[str, Any]) -> None:
        """Give the queue the documentation's policy, or one of these statements."""
        documented = findings_queue_statements(B, self.queue, self.topic)
        self.set(Policy=json.dumps({"Version": "2012-10-17", "Statement": statements or documented}))

    def set(self, **attributes: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes=attributes)

    def subscribe(self, **options: Any) -> str:
        """As the topic's account."""
        answer = self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.queue, **options)
        return str(answer["SubscriptionArn"])

    def confirm(self) -> str:
        """As the queue's account, with the token of the next message in the queue."""
        [message] = self.receive()
        answer = self.client("sns", B).confirm_subscription(TopicArn=self.topic, Token=body_of(message)["Token"])
        return str(answer["SubscriptionArn"])

    def subscribed(self, **attributes: str) -> str:
        """The ARN of a subscription that is confirmed, with nothing left in the queue."""
        self.open()
        self.subscribe(Attributes=attributes)
        return self.confirm()

    def publish(self, message: str = "{}", **attributes: str) -> None:
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        self.sns.publish(TopicArn=self.topic, Message=message, MessageAttributes=typed)

    def receive(self, **options: Any) -> list[dict[str, Any]]:
        """Up to ten messages, which are deleted."""
        asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], **options}
        messages: list[dict[str, Any]] = self.sqs.receive_message(QueueUrl=self.url, **asked).get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def status(self) -> list[str]:
        """What the topic's account sees of the queue's subscription."""
        listed = self.sns.list_subscriptions_by_topic(TopicArn=self.topic)["Subscriptions"]
        return [each["SubscriptionArn"] for each in listed if each["Endpoint"] == self.queue]

    def get(self, url: str) -> tuple[int, str]:
        """Open an address of AWS's at the sandbox."""
        there = urlsplit(url)
        answer = urllib3.request(
            "GET",
            f"{self.sandbox.endpoint_url}{there.path}?{there.query}",
            headers={"Host": there.netloc},
            retries=False,
        )
        return answer.status, answer.data.decode()


def between(sandbox: Sandbox, client: Client) -> Between:
    sns, sqs = client("sns", A), client("sqs", B)
    stack = client("cloudformation", A).describe_stacks(StackName="bucketav")["Stacks"][0]
    [topic] = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "FindingsTopicArn"]
    url = sqs.create_queue(QueueName="findings")["QueueUrl"]
    return Between(sandbox, client, sns, sqs, topic, f"arn:aws:sqs:eu-west-1:{B}:findings", url)


def body_of(message: dict[str, Any]) -> dict[str, Any]:
    """What SNS has put into a queue."""
    found: dict[str, Any] = json.loads(message["Body"])
    return found
