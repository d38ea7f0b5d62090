"""Topics: who may publish to one."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


class TopicUnreadable(RunbookError):
    """A topic cannot be looked at."""


def read_topic_policy(environment: Environment, arn: str) -> str | None:
    """The policy of a topic, read in its own account; None when there is no such topic. Raises TopicUnreadable."""
    region, account = arn.split(":")[3:5]
    client: SNSClient = environment.client("sns", account, region)
    try:
        return client.get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy")
    except ClientError as error:
        if aws_errors.code(error) in ("NotFound", "NotFoundException"):
            return None
        aws_errors.raise_unless_answered(error)
        raise TopicUnreadable(f"Topic {arn} cannot be looked at: {aws_errors.sentence(error)}.") from None
