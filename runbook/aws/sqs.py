"""Queues: who may send to one."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueueUnreadable(RunbookError):
    """A queue cannot be looked at."""


def read_queue_policy(environment: Environment, arn: str) -> str | None:
    """The policy of a queue, read in its own account; None when it has none. Raises QueueUnreadable."""
    region, account, name = arn.split(":")[3:6]
    client: SQSClient = environment.client("sqs", account, region)
    try:
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        return client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise QueueUnreadable(f"Queue {arn} cannot be looked at: {aws_errors.sentence(error)}.") from None
