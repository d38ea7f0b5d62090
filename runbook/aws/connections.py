"""Which accounts are connected to bucketAV: the items of its table in account a, which its dashboard shows too."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ConnectionsUnreadable(RunbookError):
    """The table of connections cannot be read."""


@dataclass(frozen=True)
class Connection:
    """An account that is connected by IAM role, and from which Region it was connected."""

    account: str
    region: str


def read_connections(environment: Environment) -> tuple[Connection, ...]:
    """The accounts that are connected; none where there is no such table. Raises ConnectionsUnreadable."""
    client: DynamoDBClient = environment.client("dynamodb", environment.account_a)
    try:
        pages = client.get_paginator("scan").paginate(TableName=table_name(environment), ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
    except ClientError as error:
        if aws_errors.code(error) == "ResourceNotFoundException":
            return ()
        aws_errors.raise_unless_answered(error)
        raise ConnectionsUnreadable(
            f"The table `{table_name(environment)}` cannot be read: {aws_errors.sentence(error)}."
        ) from None
    found = [Connection(item["account_id"]["S"], item["region"]["S"]) for item in items]
    return tuple(sorted(found, key=lambda each: (each.account, each.region)))


def table_name(environment: Environment) -> str:
    """`bucketav-AccountConnection`."""
    return f"{environment.stack_name}-AccountConnection"
