"""Queues: what one is like, who may send to it, and a queue as something to make, change and take away."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.cloudformation import Pauses
from runbook.aws.kinds import MadeAsPlanned, Report, Told, document_to_paste, register, same_document
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Change, Resource
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

POLICY = "Policy"
KEY, SQS_MANAGED = "KmsMasterKeyId", "SqsManagedSseEnabled"
VISIBILITY, RETENTION, REDRIVE = "VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy"

PLANNED = (VISIBILITY, RETENTION, REDRIVE, SQS_MANAGED, KEY, POLICY)
"""The attributes that plans are about; a queue's others are left alone."""

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

DELETED_RECENTLY_SECONDS = 75
"""How long a queue's name is tried again: for 60 seconds after a deletion, SQS does not give it again. Source: api."""


class QueueUnreadable(RunbookError):
    """A queue cannot be looked at."""


@dataclass(frozen=True)
class Queue:
    """A queue as its own account sees it. `attributes` are all that SQS shows, the policy to the letter among them."""

    arn: str
    attributes: Mapping[str, str]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.arn.rsplit(":", 1)[-1]

    @property
    def policy(self) -> str | None:
        """The policy to the letter; None without one."""
        return self.attributes.get(POLICY) or None

    @property
    def value(self) -> str:
        """It as plans hold it."""
        return as_text(self.attributes)

    @property
    def redrive(self) -> Mapping[str, Any]:
        """`deadLetterTargetArn` and `maxReceiveCount`; nothing without a dead-letter queue."""
        found: Mapping[str, Any] = json.loads(self.attributes.get(REDRIVE) or "{}")
        return found

    @property
    def waiting(self) -> int:
        """About how many messages are in it, those among them that somebody is at or that come later."""
        return sum(int(self.attributes.get(name, "0")) for name in COUNTS)


def arn_of(partition: str, region: str, account: str, name: str) -> str:
    """The ARN that a queue has, whether it is there or not."""
    return f"arn:{partition}:sqs:{region}:{account}:{name}"


def resource_of(arn: str, *, dead_letter: bool = False) -> Resource:
    """A queue as plans name it, whether it is there or not."""
    region, account = arn.split(":")[3:5]
    kind = DeadLetterQueue.name if dead_letter else WholeQueue.name
    return Resource(kind=kind, account=account, region=region, arn=arn)


def as_text(attributes: Mapping[str, Any]) -> str:
    """What plans are about as JSON; the policy last, as text, so that it can be put back to the letter."""
    told = {name: attributes[name] for name in PLANNED if attributes.get(name)}
    return json.dumps({name: value for name, value in told.items() if value != "false"}, ensure_ascii=False)


def policy_in(value: str | None) -> str | None:
    """The policy in a queue as plans hold it, to the letter; None without one."""
    found: str | None = json.loads(value).get(POLICY) if value else None
    return found


def read_queue(environment: Environment, arn: str) -> Queue | None:
    """A queue, read in its own account; None when there is no such queue. Raises QueueUnreadable."""
    region, account, name = arn.split(":")[3:6]
    client: SQSClient = environment.client("sqs", account, region)
    try:
        return Queue(arn, _attributes(client, name))
    except ClientError as error:
        if _does_not_exist(error):
            return None
        aws_errors.raise_unless_answered(error)
        raise QueueUnreadable(f"Queue {arn} cannot be looked at: {aws_errors.sentence(error)}.") from None


def read_queue_policy(environment: Environment, arn: str) -> str | None:
    """The policy of a queue, read in its own account; None when it has none. Raises QueueUnreadable."""
    region, account, name = arn.split(":")[3:6]
    client: SQSClient = environment.client("sqs", account, region)
    try:
        url = queue_url(client, name)
        return client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise QueueUnreadable(f"Queue {arn} cannot be looked at: {aws_errors.sentence(error)}.") from None


def queue_names(environment: Environment, account: str) -> list[str]:
    """The names of an account's queues in bucketAV's Region, sorted. Raises QueueUnreadable."""
    client: SQSClient = environment.client("sqs", account)
    try:
        pages = client.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 1000})
        return sorted(url.rsplit("/", 1)[-1] for page in pages for url in page.get("QueueUrls", []))
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise QueueUnreadable(
            f"The queues of account {account} cannot be listed: {aws_errors.sentence(error)}."
        ) from None


def queue_url(client: "SQSClient", name: str) -> str:
    """How SQS addresses a queue."""
    known = _URLS.setdefault(client, {})
    if name not in known:
        known[name] = client.get_queue_url(QueueName=name)["QueueUrl"]
    return known[name]


_URLS: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
"""The URLs of queues that were found, by client and name: a queue that is created again has the same one."""


# --- the kinds -------------------------------------------------------------------------------------------------------


@register
class WholeQueue(MadeAsPlanned):
    """A queue with its policy and the attributes that plans are about. Put in one call, so that none is half made.

    What becomes of one queue is no matter of the others. On the way back a queue that was made is deleted only when
    nothing is in it; else it stays, closed: without policy and dead-letter queue.
    """

    name = "sqs.queue"
    independent = True

    def read(self, environment: Environment, resource: Resource) -> str | None:
        client: SQSClient = environment.client("sqs", resource.account, resource.region)
        try:
            return as_text(_attributes(client, resource.name))
        except ClientError as error:
            if _does_not_exist(error):
                return None
            raise

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        client: SQSClient = environment.client("sqs", change.resource.account, change.resource.region)
        if change.after is None:
            return _delete(client, change.name)
        if change.before is None:
            _create(client, change.name, json.loads(change.after), report)
        else:
            _put(client, change.name, json.loads(change.before), json.loads(change.after))
        return ()

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""

    def same(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return one == other
        first, second = json.loads(one), json.loads(other)
        policies = first.pop(POLICY, None), second.pop(POLICY, None)
        return same_document(*policies) and _comparable(first) == _comparable(second)

    def made(self, change: Change, present: str | None) -> bool:
        if change.after is None:
            return present is None or _is_closed(present)
        return self.same(present, change.after)

    def in_part(self, change: Change, present: str | None) -> bool:  # noqa: ARG002 (a protocol's)
        return False

    def thread(self, change: Change) -> str:
        return change.resource.arn

    def by_hand(self, change: Change) -> str:
        return _by_hand(change)


@register
class DeadLetterQueue(WholeQueue):
    """A queue for what could not be worked off. Made before the queues that name it, and taken away after them."""

    name = "sqs.dead-letter-queue"


def _attributes(client: "SQSClient", name: str) -> dict[str, str]:
    found = client.get_queue_attributes(QueueUrl=queue_url(client, name), AttributeNames=["All"])
    return {str(key): value for key, value in found.get("Attributes", {}).items()}


def _create(client: "SQSClient", name: str, wanted: Mapping[str, str], report: Report) -> None:
    """Create a queue; within a minute of a deletion under the same name, wait until SQS lets go of it."""
    pauses = Pauses()
    while True:
        try:
            client.create_queue(QueueName=name, Attributes=dict(wanted))  # type: ignore[arg-type]
            return
        except ClientError as error:
            if "DeletedRecently" not in aws_errors.code(error) or pauses.seconds > DELETED_RECENTLY_SECONDS:
                raise
            report(f"Queue {code(name)} was deleted a moment ago: SQS takes up to a minute to let it be made again.")
            pauses.sleep()


def _put(client: "SQSClient", name: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Set what is to be another; what is to be there no more becomes empty."""
    if differing := _differing(present, wanted):
        client.set_queue_attributes(QueueUrl=queue_url(client, name), Attributes=differing)  # type: ignore[arg-type]


def _differing(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """What has to be set, by name; an attribute is taken away by being set to nothing, a switch by false."""
    off = {SQS_MANAGED: "false"}
    return {key: wanted.get(key, off.get(key, "")) for key in PLANNED if present.get(key) != wanted.get(key)}


def _delete(client: "SQSClient", name: str) -> Told:
    """Delete a queue that nothing is in, or close it. DeleteQueue asks nothing, so this looks first."""
    url = queue_url(client, name)
    attributes = _attributes(client, name)
    seen = client.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=1).get("Messages", [])
    waiting = max(Queue("", attributes).waiting, len(seen))
    if not waiting:
        client.delete_queue(QueueUrl=url)
        return ()
    closing = {key: "" for key in (POLICY, REDRIVE) if attributes.get(key)}
    if closing:
        client.set_queue_attributes(QueueUrl=url, Attributes=closing)  # type: ignore[arg-type]
    return (
        f"Queue {code(name)} was made by this run, but holds about {markdown.count(waiting, 'message')}: it was not "
        "deleted. Nobody is let in by its policy any more. Read what it holds, then delete it.",
    )


def _does_not_exist(error: ClientError) -> bool:
    """As the query protocol and as JSON name it."""
    return "NonExistentQueue" in aws_errors.code(error) or "QueueDoesNotExist" in aws_errors.code(error)


def _comparable(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """SQS gives a redrive policy back in another form than it was sent in."""
    values = dict(attributes)
    if REDRIVE in values:
        redrive = json.loads(values[REDRIVE])
        values[REDRIVE] = (redrive.get("deadLetterTargetArn"), str(redrive.get("maxReceiveCount")))
    return values


def _is_closed(value: str) -> bool:
    found = json.loads(value)
    return not found.get(POLICY) and not found.get(REDRIVE)


def _by_hand(change: Change) -> str:
    """Console steps and the command."""
    account, region, name = change.resource.account, change.resource.region, change.name
    where = f"In account {account}, Region {region}: SQS"
    url = f"--region {region} --queue-url $(aws sqs get-queue-url --region {region} --queue-name {name} --output text)"
    if change.after is None:
        look = f"aws sqs get-queue-attributes {url} --attribute-names All"
        delete = f"aws sqs delete-queue {url}"
        return f"{where} › {code(name)}: see that no messages are in it, then Delete. Or:\n\n" + markdown.code_block(
            f"{look}\n{delete}", "sh"
        )
    wanted, present = json.loads(change.after), json.loads(change.before or "{}")
    differing = _differing(present, wanted)
    attributes = markdown.code_block(json.dumps(differing, indent=2, ensure_ascii=False), "json")
    to_paste = [
        markdown.folded("`attributes.json`, with the policy as a text in it", attributes),
        *([document_to_paste(differing[POLICY])] if differing.get(POLICY) else []),
    ]
    if change.before is None:
        steps = f"{where} › Create queue, type Standard, name {code(name)}; Access policy › Advanced. Or:"
        command = f"aws sqs create-queue --region {region} --queue-name {name} --attributes file://attributes.json"
        return "\n\n".join([steps, markdown.code_block(command, "sh"), *to_paste])
    look = markdown.code_block(f"aws sqs get-queue-attributes {url} --attribute-names All", "sh")
    steps = f"{where} › {code(name)} › Edit, and change what differs. Or:"
    command = f"aws sqs set-queue-attributes {url} --attributes file://attributes.json"
    first = "First look at what is there now; if it is not what the plan shows as before, make the plan again."
    return "\n\n".join([first, look, steps, markdown.code_block(command, "sh"), *to_paste])
