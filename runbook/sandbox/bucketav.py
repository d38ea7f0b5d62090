"""What bucketAV's stack does in the sandbox: its function that answers for the stacks of connected accounts.

Known of it: it assumes the connection role with the third `/`-part of the stack's id as ExternalId and the session name
`bucketav`, reads the organization's id, and keeps one item for each connection, which goes with the stack; an account
is not connected to itself. Assumed: its wordings, the physical id, that times are ISO 8601 texts, and that it has no
organization id to write for an account outside of any organization.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import Role

from runbook.sandbox import clock
from runbook.sandbox.authorization import find_role, require
from runbook.sandbox.callers import PARTITION, Caller, organization_of, role_caller
from runbook.sandbox.cloudformation import custom_resources
from runbook.sandbox.cloudformation.custom_resources import Answer, Request
from runbook.sandbox.cloudformation.stacks import Stack, all_stacks
from runbook.sandbox.errors import AccessDenied

SESSION = "bucketav"
PROPERTIES = ("Partition", "Region", "AccountId", "StackId", "StackName", "StackVersion", "RoleName")
_TOPIC, _FUNCTION, _ROLE = "AccountConnectionTopic", "AccountConnectionFunction", "AccountConnectionRole"
_SUBSCRIPTION, _TABLE = "AccountConnectionSubscription", "AccountConnectionTable"

Properties = Mapping[str, str]


@cache
def install() -> None:
    """Let it answer. Idempotent."""
    custom_resources.serve(answer)


def answer(topic_arn: str, request: Request) -> Answer | None:
    """What the function of the stack answers whose topic this is; None when there is no such stack."""
    stack = _stack_of(topic_arn)
    if stack is None:
        return None
    properties: Properties = request["ResourceProperties"]
    connection_id = ":".join(properties.get(name, "") for name in ("Partition", "Region", "AccountId"))
    try:
        function = _Function(stack)
        if request["RequestType"] == "Delete":
            function.disconnect(str(request["PhysicalResourceId"]), properties)
        else:
            function.connect(connection_id, properties)
    except ConnectionRefused as refused:
        return Answer(connection_id, reason=str(refused))
    except AccessDenied as denied:
        return Answer(connection_id, reason=denied.message)
    return Answer(connection_id)


class ConnectionRefused(Exception):
    """The function does not connect that account; the message is for the stack's events."""


class _Function:
    """The function AccountConnectionFunction of one stack, which works as its role."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        name = stack.resources[_ROLE].physical_id
        role = find_role(f"arn:{PARTITION}:iam::{stack.account}:role/{name}")
        if role is None:
            raise ConnectionRefused(f"The role {name} of bucketAV's function is gone.")
        self._caller = role_caller(role, stack.resources[_FUNCTION].physical_id, stack.region)

    def connect(self, connection_id: str, properties: Properties) -> None:
        """Prove that the role can be assumed, and note the connection."""
        missing = [name for name in PROPERTIES if name not in properties]
        if missing:
            raise ConnectionRefused(f"The custom resource says nothing about {', '.join(missing)}.")
        if properties["AccountId"] == self._stack.account:
            raise ConnectionRefused(
                f"bucketAV runs in AWS account {self._stack.account}: it cannot be connected to itself"
            )
        connected = _assume(self._caller, properties, self._stack.region)
        require(connected, "organizations:DescribeOrganization", "*", properties["AccountId"])
        organization = organization_of(properties["AccountId"])
        before = self._item(connection_id)
        self._require("dynamodb:PutItem")
        item = {
            "account_connection_id": connection_id,
            "partition": properties["Partition"],
            "region": properties["Region"],
            "account_id": properties["AccountId"],
            "organization_id": organization.org.id if organization and organization.org else "",
            "stack_id": properties["StackId"],
            "stack_name": properties["StackName"],
            "stack_version": properties["StackVersion"],
            "role_name": properties["RoleName"],
            "created_at": before.get("created_at", clock.TODAY),
            "updated_at": clock.TODAY,
            "pinged_at": clock.TODAY,
        }
        self._backend.put_item(self._table, {name: {"S": value} for name, value in item.items()})

    def disconnect(self, connection_id: str, properties: Properties) -> None:
        """Forget the connection, unless it is another stack's by now."""
        if self._item(connection_id).get("stack_id") == properties.get("StackId", ""):
            self._require("dynamodb:DeleteItem")
            self._backend.delete_item(self._table, {"account_connection_id": {"S": connection_id}})

    def _item(self, connection_id: str) -> dict[str, str]:
        self._require("dynamodb:GetItem")
        found = self._backend.get_item(self._table, {"account_connection_id": {"S": connection_id}})
        return {name: value["S"] for name, value in found.to_json()["Attributes"].items()} if found else {}

    def _require(self, action: str) -> None:
        arn = f"arn:{PARTITION}:dynamodb:{self._stack.region}:{self._stack.account}:table/{self._table}"
        require(self._caller, action, arn, self._stack.account)

    @property
    def _table(self) -> str:
        name = self._stack.resources[_TABLE].physical_id
        if name not in self._backend.tables:
            raise ConnectionRefused(f"The table {name} is gone.")
        return name

    @property
    def _backend(self) -> Any:
        return dynamodb_backends[self._stack.account][self._stack.region]


def connection_session(caller: Caller, stack: Stack, account: str) -> Caller | None:
    """The connection role of an account, as a role of bucketAV's stack assumes it; None for one that is not connected.

    Raises AccessDenied.
    """
    table, backend = stack.resources.get(_TABLE), dynamodb_backends[stack.account][stack.region]
    if table is None or table.physical_id not in backend.tables:
        return None
    key = {"account_connection_id": {"S": f"{PARTITION}:{stack.region}:{account}"}}
    found = backend.get_item(table.physical_id, key)
    if found is None:
        return None
    item = {name: value["S"] for name, value in found.to_json()["Attributes"].items()}
    named = {"Partition": "partition", "AccountId": "account_id", "RoleName": "role_name", "StackId": "stack_id"}
    return _assume(caller, {name: item[column] for name, column in named.items()}, stack.region)


def _assume(caller: Caller, properties: Properties, region: str) -> Caller:
    """The connection role that a custom resource's properties describe. Raises AccessDenied."""
    arn = f"arn:{properties['Partition']}:iam::{properties['AccountId']}:role/{properties['RoleName']}"
    context = {"sts:ExternalId": properties["StackId"].split("/")[2], "sts:RoleSessionName": SESSION}
    require(caller, "sts:AssumeRole", arn, properties["AccountId"], context)
    role: Role | None = find_role(arn)
    assert role is not None  # it has a trust policy that allows this
    return role_caller(role, SESSION, region)


def _stack_of(topic_arn: str) -> Stack | None:
    """The stack that has this topic, with the function, its subscription and the table."""
    for stack in all_stacks():
        topic = stack.resources.get(_TOPIC)
        if topic is not None and topic.physical_id == topic_arn:
            there = {name for name, each in stack.resources.items() if not each.status.startswith("DELETE")}
            return stack if {_FUNCTION, _SUBSCRIPTION, _ROLE, _TABLE} <= there else None
    return None
