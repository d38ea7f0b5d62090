"""A queue's subscription to a topic as something to make, change and take away."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.confirmation import Confirmation, Subscribing
from runbook.aws.kinds import MadeAsPlanned, Report, Told, register
from runbook.aws.sns import TopicUnreadable
from runbook.aws.sns_messages import Topic
from runbook.aws.sqs import arn_of
from runbook.environment import Environment
from runbook.plan import Change, Resource
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import SubscriptionTypeDef

PENDING, CONFIRMED = "pending", "confirmed"

ATTRIBUTES = ("RawMessageDelivery", "FilterPolicyScope", "FilterPolicy")
"""The attributes that plans are about, in the order in which they are set."""


@dataclass(frozen=True)
class Subscription:
    """A queue's subscription. One that waits for its confirmation has no ARN yet, and its attributes are not shown."""

    queue_arn: str
    owner: str
    status: str
    arn: str = ""
    raw_delivery: bool = False
    filter_policy: Mapping[str, Any] | None = None
    filter_scope: str = "MessageAttributes"

    @property
    def value(self) -> str:
        """It as plans hold it."""
        if self.status == PENDING:
            return json.dumps({"Status": PENDING, "Owner": self.owner})
        return as_text(self.owner, raw_delivery=self.raw_delivery, filters=self.filter_policy, scope=self.filter_scope)


def as_text(
    owner: str,
    *,
    raw_delivery: bool,
    filters: Mapping[str, Any] | None,
    scope: str = "MessageAttributes",
    confirm: str = "",
) -> str:
    """A subscription as JSON. `confirm` says how it is to be confirmed; `by_hand` leaves that to a person."""
    status = PENDING if confirm == "by_hand" else CONFIRMED
    values: dict[str, Any] = {"Status": status, "Owner": owner} | ({"Confirm": confirm} if confirm else {})
    values["RawMessageDelivery"] = "true" if raw_delivery else "false"
    if filters:
        values |= {"FilterPolicyScope": scope, "FilterPolicy": json.dumps(filters)}
    return json.dumps(values)


def resource_of(topic_arn: str, queue_arn: str) -> Resource:
    """A subscription as plans name it, whether it is there or not: by its topic and its queue."""
    region, account = topic_arn.split(":")[3:5]
    queue_account, queue = queue_arn.split(":")[4:6]
    return Resource(
        kind=QueueSubscription.name, account=account, region=region, arn=f"{topic_arn}:{queue_account}/{queue}"
    )


def subscriptions_of(environment: Environment, topic_arn: str) -> dict[str, Subscription]:
    """The queues that are subscribed to a topic, by ARN, without their attributes. Raises TopicUnreadable."""
    region, account = topic_arn.split(":")[3:5]
    client: SNSClient = environment.client("sns", account, region)
    found: dict[str, Subscription] = {}
    try:
        for page in client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn):
            for each in page["Subscriptions"]:
                if each["Protocol"] != "sqs" or each["SubscriptionArn"] == "Deleted":
                    continue
                if each["Endpoint"] not in found or each["SubscriptionArn"].startswith("arn:"):
                    found[each["Endpoint"]] = _listed(each)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise TopicUnreadable(
            f"The subscriptions of {topic_arn} cannot be listed: {aws_errors.sentence(error)}."
        ) from None
    return found


def with_attributes(environment: Environment, subscription: Subscription) -> Subscription:
    """The same with its attributes, read as its owner: SNS shows them to nobody else for sure.

    Raises TopicUnreadable.
    """
    if subscription.status == PENDING:
        return subscription
    client: SNSClient = environment.client("sns", subscription.owner, subscription.arn.split(":")[3])
    try:
        attributes = client.get_subscription_attributes(SubscriptionArn=subscription.arn)["Attributes"]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise TopicUnreadable(
            f"Subscription {subscription.arn} cannot be looked at: {aws_errors.sentence(error)}."
        ) from None
    waits = attributes.get("PendingConfirmation") == "true"
    return Subscription(
        queue_arn=subscription.queue_arn,
        owner=subscription.owner,
        status=PENDING if waits else CONFIRMED,
        arn=subscription.arn,
        raw_delivery=attributes.get("RawMessageDelivery") == "true",
        filter_policy=json.loads(attributes.get("FilterPolicy") or "{}") or None,
        filter_scope=attributes.get("FilterPolicyScope", "MessageAttributes"),
    )


@register
class QueueSubscription(MadeAsPlanned):
    """A queue's subscription to a topic, confirmed.

    One that waits for its confirmation delivers nothing: it is a subscription made in part, or one not quite taken
    away. What becomes of one queue's is no matter of the others.
    """

    name = "sns.subscription"
    independent = True

    def read(self, environment: Environment, resource: Resource) -> str | None:
        found = self._find(environment, resource)
        return found.value if found else None

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        present = self._find(environment, change.resource)
        wanted = json.loads(change.after) if change.after else None
        if wanted is None or (wanted["Status"] == PENDING and "Confirm" not in wanted):
            return self._take_away(environment, change.resource, present, report)
        if present is None or present.status == PENDING:
            confirmation = Confirmation(environment, self._way(change.resource, wanted), report)
            told = confirmation.run(pending=present is not None)
            if present is None and confirmation.as_asked:
                return told
            present = self._find(environment, change.resource)
        else:
            told = ()
        if present and present.status == CONFIRMED:
            _set_attributes(environment, present, wanted)
        return told

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away: a request that was made is used when the run goes on."""

    def same(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return one == other
        return _comparable(json.loads(one)) == _comparable(json.loads(other))

    def made(self, change: Change, present: str | None) -> bool:
        waits = present is not None and json.loads(present)["Status"] == PENDING
        if change.after is None:
            return present is None or waits
        wanted = json.loads(change.after)
        if wanted["Status"] == PENDING:  # asked for, for a person to confirm; or taken back to where it waited
            return present is not None if "Confirm" in wanted else present is None or waits
        return self.same(present, change.after)

    def in_part(self, change: Change, present: str | None) -> bool:
        """Asked for and not confirmed; or confirmed by now by a person that was left to do it."""
        if present is None or change.after is None:
            return False
        return bool(json.loads(present)["Status"] != json.loads(change.after)["Status"])

    def accounts(self, change: Change) -> set[str]:
        """The topic's, the subscription's owner, and the queue's where a message in it has to be found."""
        values = [json.loads(value) for value in (change.before, change.after) if value]
        queue = {queue_of(change.resource).split(":")[4]} if any("Confirm" in each for each in values) else set()
        return {change.resource.account, *(each["Owner"] for each in values), *queue}

    def thread(self, change: Change) -> str:
        return queue_of(change.resource)

    def by_hand(self, change: Change) -> str:
        return _by_hand(change)

    def _find(self, environment: Environment, resource: Resource) -> Subscription | None:
        topic, queue = topic_of(resource), queue_of(resource)
        found = subscriptions_of(environment, topic).get(queue)
        return with_attributes(environment, found) if found else None

    def _way(self, resource: Resource, wanted: Mapping[str, str]) -> Subscribing:
        attributes = {name: wanted[name] for name in ATTRIBUTES if name in wanted}
        confirm = wanted.get("Confirm", "token")
        return Subscribing(topic_of(resource), queue_of(resource), wanted["Owner"], confirm, attributes)

    def _take_away(
        self, environment: Environment, resource: Resource, present: Subscription | None, report: Report
    ) -> Told:
        if present is None:
            return ()
        if present.status == PENDING:
            way = Subscribing(topic_of(resource), queue_of(resource), present.owner, "token")
            return Confirmation(environment, way, report).withdraw()
        client: SNSClient = environment.client("sns", resource.account, resource.region)
        client.unsubscribe(SubscriptionArn=present.arn)
        return ()


def topic_of(resource: Resource) -> str:
    """The ARN of a subscription's topic."""
    return resource.arn.rpartition(":")[0]


def queue_of(resource: Resource) -> str:
    """The ARN of a subscription's queue, which is in the topic's Region."""
    account, queue = resource.arn.rpartition(":")[2].split("/")
    return arn_of(resource.arn.split(":")[1], resource.region, account, queue)


def _listed(found: "SubscriptionTypeDef") -> Subscription:
    arn = found["SubscriptionArn"] if found["SubscriptionArn"].startswith("arn:") else ""
    return Subscription(found["Endpoint"], found["Owner"], CONFIRMED if arn else PENDING, arn)


def _set_attributes(environment: Environment, present: Subscription, wanted: Mapping[str, str]) -> None:
    """Set what differs; an empty filter policy takes one away."""
    client: SNSClient = environment.client("sns", present.owner, present.arn.split(":")[3])
    there = json.loads(present.value)
    for name in ATTRIBUTES:
        if _comparable(there).get(name) == _comparable(wanted).get(name):
            continue
        if name == "FilterPolicyScope" and name not in wanted:
            continue
        client.set_subscription_attributes(
            SubscriptionArn=present.arn, AttributeName=name, AttributeValue=wanted.get(name, "{}")
        )


def _comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without how it is to be confirmed, which SNS does not tell, and who asked for it; filters by what they say."""
    found = {name: value for name, value in values.items() if name not in ("Confirm", "Owner")}
    if "FilterPolicy" in found:
        found["FilterPolicy"] = json.loads(found["FilterPolicy"])
    return found


def _by_hand(change: Change) -> str:
    """Console steps and commands: those of the documentation, in full."""
    resource = change.resource
    topic, queue = topic_of(resource), queue_of(resource)
    region, account, queue_account = resource.region, resource.account, queue.split(":")[4]
    where = f"In account {account}, Region {region}: SNS › Topics › {code(topic.rsplit(':', 1)[-1])} › Subscriptions"
    listing = markdown.code_block(
        f"aws sns list-subscriptions-by-topic --region {region} --topic-arn {topic} "
        f"--query \"Subscriptions[?Endpoint=='{queue}']\"",
        "sh",
    )
    if change.after is None:
        command = markdown.code_block(
            f"aws sns unsubscribe --region {region} --subscription-arn SUBSCRIPTION_ARN", "sh"
        )
        return "\n\n".join([f"{where}: the one with endpoint {code(queue)} › Delete. Or:", listing, command])
    wanted = json.loads(change.after)
    attributes = {name: wanted[name] for name in ATTRIBUTES if name in wanted}
    if change.before is not None and json.loads(change.before)["Status"] == CONFIRMED:
        commands = "\n".join(
            f"aws sns set-subscription-attributes --region {region} --subscription-arn SUBSCRIPTION_ARN "
            f"--attribute-name {name} --attribute-value '{wanted.get(name, '{}')}'"
            for name in ATTRIBUTES
            if name in attributes or name == "FilterPolicy"
        )
        return "\n\n".join(
            [f"{where}: the one with endpoint {code(queue)} › Edit. Or:", listing, markdown.code_block(commands, "sh")]
        )
    owner = wanted["Owner"]
    subscribe = markdown.code_block(
        f"aws sns subscribe --region {region} --topic-arn {topic} --protocol sqs --notification-endpoint {queue} "
        f"--attributes '{json.dumps(attributes)}'",
        "sh",
    )
    steps = [
        f"{where} › Create subscription, protocol Amazon SQS, endpoint {code(queue)}. Or, in account {owner}:",
        subscribe,
    ]
    if owner != queue_account:
        steps += [*_confirm_by_hand(region, queue_account, queue, topic, account)]
    return "\n\n".join([*steps, f"In account {account}, see that the status is Confirmed:", listing])


def _confirm_by_hand(region: str, queue_account: str, queue: str, topic: str, account: str) -> tuple[str, ...]:
    name = queue.rsplit(":", 1)[-1]
    url = f"--queue-url $(aws sqs get-queue-url --region {region} --queue-name {name} --output text)"
    return (
        f"In account {queue_account}: SQS › {code(name)} › Send and receive messages › Poll for messages. In the "
        f"message of type SubscriptionConfirmation, TopicArn has to be {code(topic)}. Or:",
        markdown.code_block(f"aws sqs receive-message --region {region} {url} --max-number-of-messages 10", "sh"),
        f"Confirm with its Token in account {account}, so that no address out of a message is opened:",
        markdown.code_block(
            f"aws sns confirm-subscription --region {region} --topic-arn {topic} --token TOKEN "
            "--authenticate-on-unsubscribe true",
            "sh",
        ),
        f"Or open its SubscribeURL in a browser, if it begins with `https://{Topic(topic).host}/?` to the letter; the "
        "answer's root element is ConfirmSubscriptionResponse. Either works for two days. Then delete the message.",
    )
