"""Which accounts are connected to bucketAV: the items of its table in account a, which its dashboard shows too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.untrusted import NOTHING, Untrusted, code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ConnectionsUnreadable(RunbookError):
    """The table of connections cannot be read."""


@dataclass(frozen=True)
class Connection:
    """An account that is connected by IAM role, and from which Region, as bucketAV wrote it down.

    `stack_version` is that of the template its connection stack was made from. Times are texts as they stand there;
    what an item does not say is empty.
    """

    account: str
    region: str
    partition: str = ""
    organization_id: Untrusted = NOTHING
    stack_id: Untrusted = NOTHING
    stack_name: Untrusted = NOTHING
    stack_version: Untrusted = NOTHING
    role_name: Untrusted = NOTHING
    created_at: Untrusted = NOTHING
    updated_at: Untrusted = NOTHING
    pinged_at: Untrusted = NOTHING

    @property
    def names_account(self) -> bool:
        """Return whether the item names an account: nobody is to be asked about anything else that may stand there."""
        return re.fullmatch(r"[0-9]{12}", self.account) is not None

    @property
    def external_id(self) -> str:
        """What bucketAV assumes the role with: the third part of the stack's id; empty where it has none."""
        parts = self.stack_id.raw.split("/")
        return parts[2] if len(parts) == 3 else ""


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
            f"The table {code(table_name(environment))} cannot be read: {aws_errors.sentence(error)}."
        ) from None
    return tuple(sorted(map(_connection, items), key=lambda each: (each.account, each.region)))


def connections_or_problem(environment: Environment, problems: dict[str, str]) -> tuple[Connection, ...] | None:
    """The accounts that are connected; None where that cannot be read, and why as the problem `connections`."""
    try:
        return read_connections(environment)
    except ConnectionsUnreadable as error:
        problems["connections"] = str(error)
        return None


def _connection(item: Mapping[str, Any]) -> Connection:
    """An item as DynamoDB gives it: `{"account_id": {"S": "222222222222"}, …}`."""
    texts = {name: str(next(iter(value.values()))) for name, value in item.items()}
    others = {name: Untrusted(texts.get(name, "")) for name in _WRITTEN_BY_OTHERS}
    account, region, partition = (_plain(texts.get(name, "")) for name in ("account_id", "region", "partition"))
    return Connection(account, region, partition, **others)


def _plain(found: str) -> str:
    """An account, Region or partition; anything else that an item has there is none of ours, and harmless to show."""
    return found if re.fullmatch(r"[a-z0-9-]*", found) else code(found)


_WRITTEN_BY_OTHERS = tuple(each.name for each in fields(Connection) if each.type is Untrusted)


def role_name(stack_name: str) -> str:
    """`bucketav-AccountConnection`: what the role of every connection to bucketAV's stack is called."""
    return f"{stack_name}-AccountConnection"


def table_name(environment: Environment) -> str:
    """`bucketav-AccountConnection`."""
    return f"{environment.stack_name}-AccountConnection"
