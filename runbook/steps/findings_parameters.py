"""What notebook 06-findings-topic takes: which queues, how they are to be, and how they are to be subscribed."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from runbook.aws.sqs import arn_of
from runbook.environment import AccountError, Environment
from runbook.parameters import Number, ParameterError, Parameters, Several, YesOrNo, build, quoted, shortened
from runbook.policy.statements import Mode
from runbook.steps.inventory import Account, FindingsQueue, KeyPolicyChoice
from runbook.untrusted import code

FIFO = ".fifo"
NEW_RECEIVE_COUNT = 5
"""How often a message is received before a new dead-letter queue gets it, unless told otherwise."""

Statuses = Literal["", "all", "infected", "infected-and-unscannable"]

FILTERS: dict[str, dict[str, list[str]] | None] = {
    "all": None,
    "infected": {"status": ["infected"]},
    "infected-and-unscannable": {"status": ["infected", "no"]},
}
"""The filter policy, on message attributes, for each choice of statuses. `no` is unscannable."""


def _queue_name(value: str) -> str:
    if value.endswith(FIFO):
        raise ValueError(
            f"is {quoted(value)}, a FIFO queue. bucketAV's findings topic is a standard topic, and those deliver to "
            "standard queues only (findings have no order to keep). Name a standard queue, or a new one."
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", value):
        raise ValueError(
            f"is {quoted(value)}, which is not a queue's name (1 to 80 letters, digits, hyphens, underscores)."
        )
    return value


QueueName = Annotated[str, AfterValidator(_queue_name)]
"""A standard queue's name. Source: api, CreateQueue."""

QueueNameOrNothing = Annotated[str, AfterValidator(lambda value: _queue_name(value) if value else value)]


def _number_or_nothing(least: int, most: int, unit: str) -> tuple[BeforeValidator, AfterValidator]:
    def as_text(value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def check(value: str) -> str:
        if value and not (re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most):
            raise ValueError(f"is {quoted(value)}; {least:,} to {most:,} {unit} were expected, or nothing.")
        return value

    return BeforeValidator(as_text), AfterValidator(check)


_seconds = _number_or_nothing(60, 1_209_600, "seconds")
Retention = Annotated[str, *_seconds]
"""How long messages are kept, in seconds. Source: api, CreateQueue."""

_hidden = _number_or_nothing(0, 43_200, "seconds")
Visibility = Annotated[str, *_hidden]
"""For how long a message that somebody has received is hidden from others, in seconds. Source: api, CreateQueue."""

_times = _number_or_nothing(1, 1_000, "times")
ReceiveCount = Annotated[str, *_times]
"""After how many times that it was received a message goes to the dead-letter queue. Source: api, CreateQueue."""


def _encryption(value: str) -> str:
    key_id = r"[0-9a-f]{8}-[0-9a-f-]{27}|mrk-[0-9a-f]{32}"
    arn = rf"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{{12}}:(key/({key_id})|alias/[A-Za-z0-9_/-]+)"
    if not re.fullmatch(rf"|sse-sqs|alias/[A-Za-z0-9_/-]+|{key_id}|{arn}", value):
        raise ValueError(
            f"is {quoted(value)}; it can be `sse-sqs`, or a KMS key by its ARN, its id or its alias (alias/NAME)."
        )
    return value


Encryption = Annotated[str, AfterValidator(_encryption)]


class QueueAddress(Parameters):
    """A queue as people name it."""

    account: Account
    queue: QueueName


@dataclass(frozen=True)
class Target:
    """One queue, by account id and name."""

    account: str
    name: str

    @property
    def address(self) -> str:
        """`222222222222/bucketav-findings`."""
        return f"{self.account}/{self.name}"

    def arn(self, environment: Environment, name: str = "") -> str:
        """The ARN that it has, or will have, in bucketAV's Region; or that of another queue beside it."""
        return arn_of(environment.partition, environment.region, self.account, name or self.name)


class FindingsOptions(Parameters):
    """Parameters of notebook 06-findings-topic."""

    queues: Several[FindingsQueue] = Field(
        description="queues for findings, each as ACCOUNT/QUEUE; made where there is none"
    )
    action: Literal["subscribe", "remove"] = Field("subscribe", description="subscribe them, or take that back")
    statuses: Statuses = Field("", description="results to receive; not given: as it is, or all")
    mode: Mode = Field("literal", description="the documented statements, or narrower ones")
    raw_delivery: Literal["", "on", "off"] = Field(
        "", description="the finding alone, without SNS's envelope; not given: as it is, or off"
    )
    dead_letter: QueueNameOrNothing = Field("", description="a queue for what could not be worked off")
    max_receive_count: ReceiveCount = Field("", description="a message goes there when received so often; else 5")
    retention: Retention = Field("", description="seconds that messages are kept")
    visibility_timeout: Visibility = Field("", description="seconds that a received message is hidden from others")
    encryption: Encryption = Field("", description="sse-sqs, or a customer-managed KMS key (ARN, id, alias/NAME)")
    key_policy: KeyPolicyChoice = Field(
        "check", description="key of an encrypted queue: must be open, open it, leave it"
    )
    subscriber: Literal["topic-owner", "queue-owner"] = Field(
        "topic-owner", description="who subscribes: account a, as documented, or the queue's account"
    )
    confirm: Literal["token", "open_url", "by_hand"] = Field(
        "token", description="confirm with the token, open the SubscribeURL, or leave it to a person"
    )
    test_message: YesOrNo = Field(False, description="send a test message through the topic; all subscribers see it")
    listen: Number = Field(0, ge=0, le=43_200, description="seconds to listen to the queues at the end")
    acknowledge: YesOrNo = Field(False, description="delete findings from the queue once they are shown")

    @model_validator(mode="after")
    def _makes_sense(self) -> "FindingsOptions":
        if not self.queues:
            raise ValueError("which queues? `queues` is empty. Write each as ACCOUNT/QUEUE.")
        for address in self.queues:
            parse_queue(address)
        if self.max_receive_count and not self.dead_letter:
            raise ValueError("`max_receive_count` is for a dead-letter queue: name one in `dead_letter`.")
        return self

    def targets(self, environment: Environment) -> tuple[Target, ...]:
        """The queues with account ids. Raises ParameterError for an unknown or repeated one."""
        found: dict[str, Target] = {}
        problems = []
        for address in map(parse_queue, self.queues):
            try:
                account = environment.account_id(address.account)
            except AccountError as error:
                problems.append(f"`queues`: {address.account}/{address.queue}: {error}")
                continue
            target = Target(account, address.queue)
            if target.address in found:
                problems.append(f"`queues`: {code(target.address)} is listed twice.")
            if address.queue == self.dead_letter:
                problems.append(f"`queues`: {code(target.address)} cannot be its own dead-letter queue.")
            found[target.address] = target
        if problems:
            raise ParameterError(problems)
        return tuple(found.values())

    @property
    def filters(self) -> dict[str, list[str]] | None:
        """The filter policy that is asked for; None for all results."""
        return FILTERS[self.statuses or "all"]


def parse_queue(address: str) -> QueueAddress:
    """`ACCOUNT/QUEUE`. Raises ParameterError."""
    account, slash, queue = address.partition("/")
    if not slash:
        raise ParameterError(
            [
                f"`queues`: {quoted(address)} does not say whose queue it is. "
                f"Write ACCOUNT/QUEUE: 222222222222/{shortened(address)}."
            ]
        )
    return build(QueueAddress, {"account": account, "queue": queue}, f"`queues`: {quoted(address)}")
