"""Messages in a queue: looked at and left as they were found, or deleted when they are ours.

SQS lets nobody look without receiving. What is received is hidden from others for a while, and its receive count goes
up; neither can be avoided. So what is not deleted is made visible again as soon as the look is over.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws_errors
from runbook.aws.sqs import queue_url
from runbook.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10
"""So many messages are received, deleted or released in one call, at most. Source: api."""

LONG_POLL_SECONDS = 20
"""How long SQS waits for a message, at most. Source: api."""


VISIBLE_BY_NOW = ("InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid")
"""What SQS answers when a message cannot be made visible, because it is so already or was deleted. Source: api."""


@dataclass(frozen=True)
class Message:
    """One message as it was received; `receipt` is how it is deleted."""

    id: str
    body: str
    receipt: str = field(repr=False)


class Look:
    """A look into a queue, within `with`: what it has received and not deleted is visible to others again at its end.

    `seconds` is how long others do not see it should this process end without a word.
    """

    def __init__(self, environment: Environment, queue_arn: str, seconds: int) -> None:
        region, account, name = queue_arn.split(":")[3:6]
        self._client: SQSClient = environment.client("sqs", account, region)
        self._url = queue_url(self._client, name)
        self._seconds = seconds
        self._held: dict[str, Message] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except (ClientError, BotoCoreError):
            if error is None:  # else that is what there is to tell; messages come back by themselves, only later
                raise

    def receive(self, wait: int = 0) -> list[Message]:
        """The next messages, ten at most, waiting up to `wait` seconds for the first."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=min(wait, LONG_POLL_SECONDS),
            VisibilityTimeout=self._seconds,
        )
        messages = [_message(each) for each in answer.get("Messages", [])]
        # A message that comes again is the same one, but only its newest receipt is good for anything.
        self._held |= {message.id: message for message in messages}
        return messages

    def delete(self, messages: Iterable[Message]) -> int:
        """Delete messages, each by its newest receipt; how many are gone."""
        deleted = 0
        for some in _tens([self._held.get(each.id, each) for each in messages]):
            entries = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(some)]
            answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            for each in answer.get("Successful", []):
                self._held.pop(some[int(each["Id"])].id, None)
                deleted += 1
        return deleted

    def release(self) -> None:
        """Let others see again what was received and not deleted; what they see by now is no matter."""
        for some in _tens(list(self._held.values())):
            entries = [
                {"Id": str(number), "ReceiptHandle": each.receipt, "VisibilityTimeout": 0}
                for number, each in enumerate(some)
            ]
            try:
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            except ClientError as error:
                if aws_errors.code(error) not in VISIBLE_BY_NOW:
                    raise
        self._held.clear()


def _message(found: "MessageTypeDef") -> Message:
    return Message(found["MessageId"], found["Body"], found["ReceiptHandle"])


def _tens(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]
