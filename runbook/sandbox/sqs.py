"""Where moto's SQS is not like AWS's: queues of other accounts, policies, attributes, receiving, keys."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlparse

from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import QueueDoesNotExist, ReceiptHandleIsInvalid, SQSException
from moto.sqs.models import Message, Queue, SQSBackend, _filter_message_attributes, sqs_backends
from moto.sqs.responses import SQSResponse

from runbook.sandbox import clock, kms, queue_attributes, queue_policies
from runbook.sandbox.authorization import require
from runbook.sandbox.callers import caller_of
from runbook.sandbox.deliveries import KEY_ACTIONS
from runbook.sandbox.errors import AccessDenied, Refusal
from runbook.sandbox.moto_methods import replace

ONLY_BY_THE_OWNER = frozenset(
    {
        "AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks", "ListQueues",
        "ListQueueTags", "RemovePermission", "SetQueueAttributes", "StartMessageMoveTask", "TagQueue", "UntagQueue",
    }
)  # fmt: skip
"""Developer Guide, "Limitations of Amazon SQS custom policies": "Cross-account permissions don't apply to" these."""

_LOOK_AGAIN = 0.2
"""Seconds after which a waiting ReceiveMessage looks again: messages become visible without anybody sending one."""


class NotInFlight(ReceiptHandleIsInvalid):
    """What ChangeMessageVisibility answers about a message that is visible again. In a batch, moto lists those that
    have an exception of this kind. Wording recorded.
    """

    def __init__(self, receipt_handle: str) -> None:
        SQSException.__init__(
            self,
            "InvalidParameterValue",
            f"Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
            "available for visibility timeout change.",
        )


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    SQSResponse.sqs_backend = property(backend_of_the_queue)  # type: ignore[method-assign, assignment]
    replace(Queue, "url", is_the_address_at_aws)
    replace(SQSBackend, "create_queue", checks_a_new_queue)
    replace(SQSBackend, "set_queue_attributes", changes_only_what_is_given)
    replace(SQSBackend, "get_queue_attributes", shows_the_attributes_as_aws_keeps_them)
    replace(SQSBackend, "receive_message", receives_as_sqs_does)
    replace(SQSBackend, "change_message_visibility", changes_the_visibility_of_what_is_in_flight)
    replace(SQSBackend, "delete_message", deletes_without_losing_others)
    replace(SQSBackend, "delete_queue", keeps_the_name_for_a_while)
    replace(SQSResponse, "send_message", needs_the_key_to_send)
    replace(SQSResponse, "send_message_batch", needs_the_key_to_send)
    replace(SQSResponse, "receive_message", needs_the_key_to_receive)


# Rules. The first parameter is moto's own method.


def backend_of_the_queue(response: SQSResponse) -> SQSBackend:
    """A queue's URL, or QueueOwnerAWSAccountId, leads to the queue of another account, for what AWS allows from there.

    That the queue's policy lets the caller in was decided at the gate.
    """
    own = response.current_account
    owner = response._get_param("QueueOwnerAWSAccountId") or _owner(response._get_param("QueueUrl")) or own
    operation = response._get_action()
    if owner != own and operation in ONLY_BY_THE_OWNER:
        caller = caller_of(dict(response.headers), service="sqs")
        name = str(response._get_param("QueueUrl")).rpartition("/")[2]
        raise AccessDenied(
            "sqs",
            f"User: {caller.arn} is not authorized to perform: sqs:{operation.lower()} on resource: "
            f"arn:aws:sqs:{response.region}:{owner}:{name} because no resource-based policy allows the "
            f"sqs:{operation.lower()} action",
        )
    return sqs_backends[owner][response.region]


def is_the_address_at_aws(_original: Callable[..., str], queue: Queue, _request: Any) -> str:
    """CreateQueue, GetQueueUrl: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, as a stack's Ref has it too. SDKs send
    to their endpoint and not there.
    """
    return queue.physical_resource_id


def checks_a_new_queue(
    original: Callable[..., Queue], backend: SQSBackend, name: str, tags: Any = None, **attributes: Any
) -> Queue:
    """CreateQueue: QueueDeletedRecently; attributes as in SetQueueAttributes. moto makes the policy's text a mapping
    whatever it is.
    """
    deleted = _deleted(backend).get(name)
    if deleted is not None and clock.now() < deleted + clock.DELETED_QUEUE_SECONDS:
        raise Refusal(
            "AWS.SimpleQueueService.QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            400,
        )
    # moto's CloudFormation passes the Region and the properties of the resource, its name among them.
    settings = {key: value for key, value in attributes.items() if key not in ("region", "QueueName")}
    queue_attributes.check(settings, account=backend.account_id, region=backend.region_name, name=name)
    if name in backend.queues:
        return original(backend, name, tags, **attributes)
    policy = str(settings.get("Policy") or "")
    if policy:
        queue_policies.check(policy, f"arn:aws:sqs:{backend.region_name}:{backend.account_id}:{name}")
    others = {key: value for key, value in settings.items() if key != "Policy"}
    queue = original(backend, name, tags, **queue_attributes.complete(others))
    if policy:
        queue_policies.put(queue, policy)
    return queue


def changes_only_what_is_given(
    _original: Callable[..., Queue], backend: SQSBackend, name: str, attributes: Mapping[str, Any]
) -> Queue:
    """SetQueueAttributes leaves alone what it does not name; moto takes the policy away. All is checked first."""
    queue = backend.get_queue(name)
    queue_attributes.check(attributes, account=backend.account_id, region=backend.region_name, name=name)
    if attributes.get("Policy"):
        queue_policies.check(attributes["Policy"], queue.queue_arn)
    others = {key: value for key, value in attributes.items() if key != "Policy"}
    queue._set_attributes({**queue_attributes.complete(others), "Policy": queue.policy})
    if "Policy" in attributes:
        queue_policies.put(queue, attributes["Policy"])
    return queue


def shows_the_attributes_as_aws_keeps_them(
    original: Callable[..., dict[str, Any]], backend: SQSBackend, name: str, names: list[str]
) -> dict[str, Any]:
    """GetQueueAttributes: the policy with account ids as ARNs and deleted roles as ids; times in whole seconds."""
    found = original(backend, name, names)
    shown: dict[str, Any] = {
        "Policy": queue_policies.as_written(backend.get_queue(name)),
        **{each: int(found[each]) for each in ("CreatedTimestamp", "LastModifiedTimestamp") if each in found},
    }
    return {each: shown.get(each, value) for each, value in found.items()}


def receives_as_sqs_does(
    _original: Callable[..., list[Message]],
    backend: SQSBackend,
    name: str,
    count: int,
    wait: int,
    visibility: int,
    message_attribute_names: list[str] | None = None,
) -> list[Message]:
    """ReceiveMessage: up to `count` messages that nobody else works on, waiting `wait` seconds for the first.

    Developer Guide, "Amazon SQS short and long polling"; "dead-letter queues": what was received maxReceiveCount times
    goes to the dead-letter queue at the next attempt; MessageRetentionPeriod: what is older is deleted.
    """
    queue, end = backend.get_queue(name), time.monotonic() + min(wait, clock.LONGEST_POLL)
    while True:
        with queue._messages_lock:
            taken, dead = _take(queue, count, visibility)
            left = end - time.monotonic()
            if not taken and not dead and left > 0:
                queue._messages_lock.wait(min(left, _LOOK_AGAIN))
        for message in dead:
            _bury(message, queue)
        if taken or left <= 0:
            return [_with_attributes(message, message_attribute_names or []) for message in taken]


def changes_the_visibility_of_what_is_in_flight(
    _original: Callable[..., None], backend: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    """ChangeMessageVisibility: of a message that was received and is not visible yet."""
    queue = backend.get_queue(queue_name)
    with queue._messages_lock:
        message = next((each for each in queue._messages if each.had_receipt_handle(receipt_handle)), None)
        if message is None:
            raise ReceiptHandleIsInvalid
        if message.visible:
            raise NotInFlight(receipt_handle)
        message.change_visibility(visibility_timeout)
        queue._messages_lock.notify_all()


def deletes_without_losing_others(
    original: Callable[..., None], backend: SQSBackend, queue_name: str, receipt_handle: str
) -> None:
    """DeleteMessage: moto replaces its list, without what another thread adds meanwhile."""
    with backend.get_queue(queue_name)._messages_lock:
        original(backend, queue_name, receipt_handle)


def keeps_the_name_for_a_while(original: Callable[..., None], backend: SQSBackend, queue_name: str) -> None:
    """DeleteQueue: "you must wait at least 60 seconds before creating a queue with the same name"."""
    original(backend, queue_name)
    _deleted(backend)[queue_name] = clock.now()


def needs_the_key_to_send(original: Callable[..., Any], response: SQSResponse) -> Any:
    """Developer Guide, "Key management": the producer needs kms:GenerateDataKey and kms:Decrypt on the queue's key."""
    _require_key(response, KEY_ACTIONS)
    return original(response)


def needs_the_key_to_receive(original: Callable[..., Any], response: SQSResponse) -> Any:
    """Developer Guide, "Key management": the consumer needs kms:Decrypt."""
    _require_key(response, ("kms:Decrypt",))
    return original(response)


def _owner(url: str | None) -> str:
    """The account in a queue's URL; empty when there is none."""
    path = urlparse(url or "").path.strip("/")
    return path.partition("/")[0] if "/" in path else ""


def _deleted(backend: SQSBackend) -> dict[str, float]:
    """Name -> when a queue of that name was deleted, in a moto backend that does not keep it."""
    found: dict[str, float] = vars(backend).setdefault("sandbox_deleted", {})
    return found


def _take(queue: Queue, count: int, visibility: int) -> tuple[list[Message], list[Message]]:
    """Messages to hand out, received once more; and those that were received too often."""
    retention = float(queue.message_retention_period) * 1000  # type: ignore[attr-defined]  # moto's are made by name
    queue._messages = [each for each in queue._messages if _sent(each) + retention > unix_time_millis()]
    busy = {each.group_id for each in queue._messages if queue.fifo_queue and not each.visible}
    redrive: Mapping[str, Any] = queue.redrive_policy if queue.dead_letter_queue and queue.redrive_policy else {}
    most: int | None = redrive.get("maxReceiveCount")
    taken: list[Message] = []
    dead: list[Message] = []
    for message in queue.messages:
        if len(taken) == count:
            break
        if message.group_id is not None and message.group_id in busy:
            continue  # "FIFO delivery logic": one after the other in a message group
        if most is not None and message.approximate_receive_count >= most:
            dead.append(message)
            continue
        message.mark_received(visibility)
        taken.append(message)
    queue._messages = [each for each in queue._messages if each not in dead]
    return taken, dead


def _sent(message: Message) -> float:
    """Milliseconds since 1970."""
    sent: Any = message.sent_timestamp
    return float(sent)


def _bury(message: Message, queue: Queue) -> None:
    """Developer Guide, "dead-letter queues": it keeps its id and, in a standard queue, when it was first sent."""
    assert queue.dead_letter_queue is not None
    queue.dead_letter_queue.add_message(message)


def _with_attributes(message: Message, names: list[str]) -> Message:
    """What the caller gets: the message with the message attributes that it asked for."""
    shown = copy.copy(message)
    _filter_message_attributes(shown, names)
    return shown


def _require_key(response: SQSResponse, actions: Iterable[str]) -> None:
    """SQS calls KMS on behalf of the caller. API Reference, SendMessage, "Errors": KmsAccessDenied, KmsNotFound, ..."""
    queue = response.sqs_backend.queues.get(response._get_queue_name())
    if queue is None:
        raise QueueDoesNotExist
    identifier: str | None = queue.kms_master_key_id  # type: ignore[attr-defined]
    if not identifier:
        return
    key = kms.find_key(identifier, account=queue.account_id, region=queue.region)
    if key is None:
        raise Refusal("KMS.NotFoundException", f"Key '{identifier}' does not exist", 400)
    if key.key_state != "Enabled":
        raise Refusal("KMS.DisabledException", f"{key.arn} is disabled.", 400)
    context = {
        "kms:ViaService": f"sqs.{queue.region}.amazonaws.com",
        "kms:EncryptionContext:aws:sqs:arn": queue.queue_arn,
    }
    caller = caller_of(dict(response.headers), service="sqs")
    for action in actions:
        try:
            require(caller, action, key.arn, key.account_id, context)
        except AccessDenied as denied:
            raise Refusal("KMS.AccessDeniedException", denied.message, 400) from denied
