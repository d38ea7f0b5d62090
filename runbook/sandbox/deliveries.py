"""Messages that a service of AWS puts into a queue on behalf of a topic or a bucket, if the queue's owner lets it."""

from __future__ import annotations

from moto.sqs.models import Message, Queue, sqs_backends

from runbook.policy.evaluate import Verdict
from runbook.sandbox import kms
from runbook.sandbox.authorization import decide
from runbook.sandbox.callers import Caller, ContextValue, organization_context, service_caller
from runbook.sandbox.errors import NotImplementedInSandbox

KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
"""SQS Developer Guide, "Key management", "Configure KMS permissions for producers": what who sends to a queue with
SSE-KMS may have to do with the key."""


def find_queue(arn: str) -> Queue | None:
    """moto's queue with that ARN, whichever account it is in."""
    match arn.split(":"):
        case ["arn", _, "sqs", region, account, name]:
            return sqs_backends[account][region].queues.get(name)
        case _:
            return None


def deliver(queue_arn: str, message: Message, *, service: str, source_arn: str, source_account: str) -> bool:
    """Put a message into a queue as `service` (`sns.amazonaws.com`); answer whether it got there.

    It does not where there is no such queue, or where the queue's policy, or the policy of its key, does not let the
    service in for that source: nobody gets an error for it. Raises NotImplementedInSandbox when that cannot be told.
    """
    queue = find_queue(queue_arn)
    if queue is None:
        return False
    caller = _service(service, source_arn, source_account)
    if not _allowed(caller, "sqs:SendMessage", queue_arn, queue.account_id) or not _may_encrypt(caller, queue):
        return False
    message.mark_sent(int(queue.delay_seconds))  # type: ignore[attr-defined]  # moto's are made by name
    queue.add_message(message)
    return True


def _service(name: str, source_arn: str, source_account: str) -> Caller:
    """With the keys that a service sets when it works for a resource.

    IAM User Guide, "AWS global condition context keys": aws:SourceArn, aws:SourceAccount, aws:SourceOrgID,
    aws:SourceOrgPaths; aws:PrincipalIsAWSService and aws:PrincipalServiceName.
    """
    own: dict[str, ContextValue] = {
        "aws:SourceArn": source_arn,
        "aws:SourceAccount": source_account,
        "aws:PrincipalIsAWSService": "true",
        "aws:PrincipalServiceName": name,
        "aws:SecureTransport": "true",
    }
    return service_caller(name, own | organization_context("Source", source_account))


def _may_encrypt(caller: Caller, queue: Queue) -> bool:
    """SNS Developer Guide, "Key management", "Enable compatibility between event sources from AWS services and
    encrypted topics" and SQS's page of that kind: the key's policy has to name the service. An AWS-managed key's never
    does.
    """
    identifier: str | None = queue.kms_master_key_id  # type: ignore[attr-defined]
    if not identifier:
        return True
    key = kms.find_key(identifier, account=queue.account_id, region=queue.region)
    if key is None or key.key_state != "Enabled":
        return False
    return all(_allowed(caller, action, key.arn, key.account_id) for action in KEY_ACTIONS)


def _allowed(caller: Caller, action: str, arn: str, account: str) -> bool:
    decision = decide(caller, action, arn, account)
    if decision.verdict is Verdict.INDETERMINATE:
        raise NotImplementedInSandbox(
            f"The sandbox cannot tell whether {caller.arn} may {action} on {arn}: {decision.reason} "
            "Add the condition key to the context in runbook/sandbox/deliveries.py."
        )
    return decision.allowed
