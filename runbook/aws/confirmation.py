"""Subscribing a queue of another account: ask for it, find the request for confirmation in the queue, and confirm it.

What the documentation has people do in a browser. Nothing out of a message is used before its signature, its topic and
its addresses are verified; whatever else is in the queue is left there.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.cloudformation import Pauses
from runbook.aws.kinds import Report, Told
from runbook.aws.queue_messages import Look, Message
from runbook.aws.sns_messages import CONFIRMATION, Envelope, Verifier, cut, read_envelope
from runbook.environment import AddressError, Environment
from runbook.errors import RunbookError
from runbook.secrets import ShownOnce
from runbook.untrusted import code, text

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

REQUESTS = 5
"""How often a subscription is asked for: a queue's new policy may take 60 seconds to count, and until then the request
for confirmation gets nowhere, and is not sent again. Source: api, SetQueueAttributes."""

WAIT_SECONDS = 20.0
"""How long the queue is watched for each."""

GLANCE_SECONDS = 2.0
"""How long it is watched for a request that somebody has made before."""

BUSY_SECONDS = 10.0
"""How much longer a queue is watched that has other messages to give."""

HIDDEN_SECONDS = 180
"""For how long others do not see a message that is looked at here, should this process end without a word: longer than
all of it takes, so that each is received once."""

MOST = 1000
"""Among so many other messages the request is looked for."""

SHOWN = 10
"""Maximum number of messages that are named because they are not believed; the others are counted."""

AUTHORIZATION_SECONDS = 60
"""How long a topic's new policy is given to count."""

ROOT = "ConfirmSubscriptionResponse"
"""The root element of what SNS answers at a SubscribeURL. Source: outline `findings-topic.confirmation`."""


class NotConfirmed(RunbookError):
    """No request for confirmation came that could be used. The subscription is asked for, and waits."""


@dataclass(frozen=True)
class Subscribing:
    """What is to be subscribed, by whom, and how that is to be confirmed: `token`, `open_url` or `by_hand`."""

    topic_arn: str
    queue_arn: str
    owner: str
    confirm: str
    attributes: dict[str, str] = field(default_factory=dict)


class Confirmation:
    """One subscription on its way. `clock` tells seconds.

    `as_asked` says afterwards whether SNS took the attributes with the request.
    """

    def __init__(
        self,
        environment: Environment,
        wanted: Subscribing,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._wanted = wanted
        self._report = report
        self._clock = clock
        self._verifier = Verifier(wanted.topic_arn, environment.fetch_once)
        self._told: list[str] = []
        self._objections: list[str] = []
        self._seen: set[str] = set()
        self.as_asked = False
        region = wanted.topic_arn.split(":")[3]
        self._owner: SNSClient = environment.client("sns", wanted.owner, region)
        self._topic: SNSClient = environment.client("sns", wanted.topic_arn.split(":")[4], region)

    def run(self, *, pending: bool) -> Told:
        """Subscribe and confirm; `pending` says that somebody has asked for it before. Raises NotConfirmed."""
        by_queue_owner = self._wanted.owner not in self._wanted.topic_arn
        if (by_queue_owner or not pending) and self._subscribe():
            return ()
        with self._look() as look:
            if self._found(look, GLANCE_SECONDS if pending else WAIT_SECONDS):
                return self._messages()
            for _ in range(REQUESTS - 1):
                if self._subscribe() or self._found(look, WAIT_SECONDS):
                    return self._messages()
        raise NotConfirmed(
            f"The subscription of queue {self._wanted.queue_arn} was asked for {REQUESTS} times, but no request for "
            "confirmation came that could be used. "
            + " ".join([*self._messages(), "Does the queue's policy, or its key's, keep the topic out?"])
        )

    def withdraw(self) -> Told:
        """Take back a request that was never confirmed. SNS lets nobody do that but by confirming it first."""
        arn = ""
        try:
            with self._look() as look:
                for requests in self._requests(look, GLANCE_SECONDS):
                    arn = arn or self._confirmed(requests)
                    look.delete(requests)
        except NotConfirmed as full:
            self._told.append(str(full))
        if arn:
            self._topic.unsubscribe(SubscriptionArn=arn)
            return self._messages()
        return (
            *self._messages(),
            f"The subscription of {self._wanted.queue_arn} was asked for, but never confirmed: nothing is delivered, "
            "SNS forgets it after three days, and lets nobody take it back before.",
        )

    def _messages(self) -> Told:
        """Return the lines to tell; of messages that were not believed a few by name, and the number of the others."""
        return (*self._told, *markdown.first(self._objections, SHOWN))

    # --- asking for it ---

    def _subscribe(self) -> bool:
        """Ask for it; whether it counts as confirmed at once, as it does when the queue's owner asks."""
        pauses, attributes = Pauses(), self._wanted.attributes
        while True:
            try:
                answer = self._owner.subscribe(
                    TopicArn=self._wanted.topic_arn,
                    Protocol="sqs",
                    Endpoint=self._wanted.queue_arn,
                    Attributes=attributes,
                )
                self.as_asked = attributes == self._wanted.attributes
                return answer["SubscriptionArn"].startswith("arn:")
            except ClientError as error:
                if "already exists with different attributes" in str(error) and attributes:
                    # Somebody has asked for it before. Its attributes can be set once it is confirmed.
                    attributes = {}
                    continue
                # Not allowed by the topic's policy, that is; what our own does not allow, it never will.
                if "resource-based policy" not in str(error) or pauses.seconds > AUTHORIZATION_SECONDS:
                    raise
                self._report("The topic's new policy does not count yet: trying again.")
                pauses.sleep()

    # --- confirming it ---

    def _found(self, look: Look, seconds: float) -> bool:
        """Whether a request came within that time and was confirmed, or told of where a person is to confirm it."""
        self._report(
            f"Queue {code(self._wanted.queue_arn.rsplit(':', 1)[-1])}: looking for the request for confirmation."
        )
        for requests in self._requests(look, seconds):
            if self._wanted.confirm == "by_hand" and requests:
                self._told.append(_told_by_hand(self._wanted, next(iter(requests.values()))))
                return True
            confirmed = self._confirmed(requests)
            look.delete(requests)
            if confirmed:
                return True
        return False

    def _confirmed(self, requests: Mapping[Message, Envelope]) -> str:
        """The ARN of the subscription that one of the requests has confirmed; empty when none is valid any more."""
        arns = (self._confirmed_by(envelope) for envelope in requests.values())
        return next((arn for arn in arns if arn), "")

    def _confirmed_by(self, envelope: Envelope) -> str:
        if self._wanted.confirm == "open_url":
            return self._opened(envelope)
        try:
            # So that nobody can end the subscription with nothing but the address that is in every message.
            return self._topic.confirm_subscription(
                TopicArn=self._wanted.topic_arn, Token=envelope.token, AuthenticateOnUnsubscribe="true"
            )["SubscriptionArn"]
        except ClientError as error:
            if not aws_errors.code(error).startswith(("InvalidParameter", "NotFound")):
                raise
            self._told.append(
                f"A request of {text(cut(envelope.timestamp))} is not valid any more ({aws_errors.sentence(error)})."
            )
            return ""

    def _opened(self, envelope: Envelope) -> str:
        """The documented way, without the browser. The address has been verified with the message."""
        try:
            root = ElementTree.fromstring(self._environment.fetch(envelope.subscribe_url))
        except AddressError as error:
            if not error.refused:
                raise
            self._told.append(f"A request of {text(cut(envelope.timestamp))} is not valid any more ({error})")
            return ""
        except ElementTree.ParseError:
            raise NotConfirmed(f"What SNS answers at the SubscribeURL is not XML with the root `{ROOT}`.") from None
        namespace, _, tag = root.tag.rpartition("}")
        if tag != ROOT:
            raise NotConfirmed(f"What SNS answers at the SubscribeURL has the root {code(cut(tag))}, not `{ROOT}`.")
        return root.findtext(f".//{namespace}{'}' if namespace else ''}SubscriptionArn", "")

    def _look(self) -> Look:
        return Look(self._environment, self._wanted.queue_arn, HIDDEN_SECONDS)

    def _requests(self, look: Look, seconds: float) -> Iterator[Mapping[Message, Envelope]]:
        """The requests for confirmation of this topic, as they come within that time: the newest of a batch first.

        One that was delivered twice is two messages with one token, and both are to be deleted.
        """
        ends = self._clock() + seconds
        while True:
            messages = look.receive(max(0, round(ends - self._clock())))
            began = self._clock()
            new = [message for message in messages if message.id not in self._seen]
            self._seen |= {message.id for message in new}
            requests = {message: envelope for message in new if (envelope := self._believed(message))}
            ends += self._clock() - began  # fetching certificates is not waiting for messages
            yield dict(sorted(requests.items(), key=lambda each: each[1].timestamp, reverse=True))
            if len(self._seen) >= MOST:
                raise NotConfirmed(
                    f"The request for confirmation is not among the first {markdown.count(MOST, 'message')} of queue "
                    f"{self._wanted.queue_arn}. Work them off first, or set `subscriber` to `queue-owner`."
                )
            # Where messages of others keep coming, the request may be among the next.
            if self._clock() >= ends + (BUSY_SECONDS if messages else 0):
                return

    def _believed(self, message: Message) -> Envelope | None:
        """A message as the request for confirmation of this topic that it is; None for any other."""
        envelope = read_envelope(message.body)
        if envelope is None or (envelope.kind, envelope.topic_arn) != (CONFIRMATION, self._wanted.topic_arn):
            return None
        if objection := self._verifier.objection(envelope):
            self._objections.append(
                f"A message that asks for confirmation was not believed, and left there. {objection}"
            )
            return None
        return envelope


def _told_by_hand(wanted: Subscribing, envelope: Envelope) -> ShownOnce:
    """The address confirms the subscription for whoever has it: it is shown when it is needed, and kept nowhere."""
    head = f"To confirm the subscription of {wanted.queue_arn}, open"
    return ShownOnce(
        f"{head} this address within two days; the answer's root element is {ROOT}: {envelope.subscribe_url} "
        "Afterwards delete the message from the queue.",
        f"{head} the address that was shown when this ran, and that message {envelope.message_id} in the queue has, "
        "within two days. Afterwards delete the message from the queue.",
    )
