"""Updates of CloudFormation stacks by change sets, which are looked at before they are executed."""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.cloudformation import (
    UPDATABLE,
    WAIT_SECONDS,
    Pauses,
    Stack,
    StackError,
    read_settled_stack,
    read_stack_at,
    way_out,
)
from runbook.aws.kinds import Report, Told
from runbook.aws.stack_operations import Operation, OperationFailed
from runbook.environment import Environment
from runbook.plan import Change, Effect
from runbook.untrusted import Untrusted, code

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        DescribeChangeSetOutputTypeDef,
        ResourceChangeDetailTypeDef,
        ResourceChangeTypeDef,
    )

TABLE = "AWS::DynamoDB::Table"


class UpdateRefused(StackError):
    """The update would do more than was planned; it was not made."""


class Update(ABC):
    """One update of a stack: make the change set, look at it, execute it, and wait.

    `stack` is the stack's name or id. What it is to become, and whether it is still as it was when the change was
    planned, is for subclasses to say.
    """

    def __init__(self, environment: Environment, change: Change, stack: str, report: Report) -> None:
        self._environment = environment
        self._change = change
        self._resource = change.resource
        self._where = change.resource.account, change.resource.region, stack
        self._stack = stack
        self._report = report
        self._name = change_set_name(change)
        # Calls that are tried again, because their answer was lost, are known by it to be the same call.
        self._token = f"{self._name}-{time.time_ns()}"
        self._client: CloudFormationClient = environment.client(
            "cloudformation", change.resource.account, change.resource.region
        )

    @abstractmethod
    def _request(self, stack: Stack) -> Mapping[str, Any]:
        """What CreateChangeSet is told about template, parameters and capabilities."""

    @abstractmethod
    def _moved(self, stack: Stack) -> list[str]:
        """What somebody else has changed since the change was planned."""

    def run(self) -> Told:
        """Make the update. Raises UpdateRefused before anything is changed, and OperationFailed."""
        stack = read_settled_stack(self._environment, *self._where, self._report)
        if stack.status not in UPDATABLE:
            raise UpdateRefused(f"Stack {code(stack.name)} is in {stack.status} and takes no update. {way_out(stack)}")
        delete_change_set(self._client, self._stack, self._name)
        self._report(f"Stack {code(stack.name)}: making the change set.")
        changes = self._make_change_set(stack)
        if refused := self._moved_meanwhile() or self._objections(changes):
            delete_change_set(self._client, self._stack, self._name)
            raise UpdateRefused("\n".join(["The update was not made.", *refused]))
        told = [f"CloudFormation: {_shown(each)}." for each in changes]
        self._client.execute_change_set(ChangeSetName=self._name, StackName=self._stack, ClientRequestToken=self._token)
        return (*told, *self._wait(stack, len(changes)))

    def _make_change_set(self, stack: Stack) -> Sequence["ResourceChangeTypeDef"]:
        """What the update would do to each resource. Raises OperationFailed when no such change set is to be had."""
        self._client.create_change_set(
            StackName=self._stack,
            ChangeSetName=self._name,
            ChangeSetType="UPDATE",
            ClientToken=self._token,
            Description="Made by bucketav-runbook.",
            **self._request(stack),
        )
        pauses = Pauses()
        while (found := self._describe_change_set())["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            if pauses.seconds > WAIT_SECONDS:
                raise OperationFailed(f"The change set {self._name} was never finished; the stack was not touched.")
            pauses.sleep()
        if found["Status"] != "CREATE_COMPLETE":
            reason = Untrusted(found.get("StatusReason", "no reason is given"))
            delete_change_set(self._client, self._stack, self._name)
            raise OperationFailed(f"CloudFormation makes no change set: {reason}. The stack was not touched.")
        return [change["ResourceChange"] for change in self._all_changes(found)]

    def _describe_change_set(self, **page: Any) -> "DescribeChangeSetOutputTypeDef":
        return self._client.describe_change_set(ChangeSetName=self._name, StackName=self._stack, **page)

    def _all_changes(self, first: "DescribeChangeSetOutputTypeDef") -> Iterator[Any]:
        page = first
        while True:
            yield from page["Changes"]
            if not (token := page.get("NextToken")):
                return
            page = self._describe_change_set(NextToken=token)

    def _moved_meanwhile(self) -> list[str]:
        """What somebody else has changed before the change set was made, which it would put back as it was.

        What they change from now on is safe: a change set of a stack that was updated since cannot be executed.
        """
        stack = read_stack_at(self._environment, *self._where)
        if stack.busy:
            return [f"- Somebody else is updating stack {code(stack.name)}: it is in {stack.status}."]
        return self._moved(stack)

    def _objections(self, changes: Sequence["ResourceChangeTypeDef"]) -> list[str]:
        """What the change set would replace or remove that was not planned, and what would be lost with it."""
        planned = {effect.name: effect for effect in self._change.effects if effect.action == "remove"}
        stay = staying(changes)
        found = []
        for each in changes:
            name, action = each["LogicalResourceId"], each["Action"]
            if action == "Remove" and name not in planned:
                found.append(f"- It would remove {_named(each)}.")
            elif action == "Remove":
                found += self._lost(each, planned[name])
            elif action not in ("Add", "Modify"):
                found.append(f"- It would {action} {_named(each)}, and what that means is not known.")
            elif action == "Modify" and name not in stay and not _is_custom(each):
                may = "would" if each.get("Replacement") == "True" else "might"
                found.append(f"- It {may} replace {_named(each)}: a new one is made, and the old one deleted.")
        if found:
            found = [
                "It would do more than planned:",
                *found,
                "If that is what you want, make the update in the CloudFormation console.",
            ]
        return found

    def _lost(self, each: "ResourceChangeTypeDef", planned: Effect) -> list[str]:
        """A table may be removed with what it held when that was planned, not with what came later."""
        if each["ResourceType"] != TABLE:
            return []
        table = each["PhysicalResourceId"]
        items = count_items(self._environment, self._resource.account, self._resource.region, table)
        if items <= planned.holds:
            return []
        expected = f"; the plan knew of {planned.holds}" if planned.holds else ""
        return [
            f"- It would remove the table {code(table)} with {markdown.count(items, 'item')}{expected}. "
            "Accounts are connected to bucketAV: disconnect them first."
        ]

    def _wait(self, stack: Stack, number: int) -> Told:
        """Until the update is through. Raises OperationFailed with the reason when CloudFormation took it back."""
        operation = Operation(self._environment, stack.arn, self._token, self._report)
        stack = operation.wait(number)
        if stack.status == "UPDATE_COMPLETE":
            left = [
                f"CloudFormation could not delete {each}. It is left behind, outside the stack: delete it by hand."
                for each in operation.left_behind()
            ]
            return (*left, f"CloudFormation: {stack.status} after {operation.seconds} s.")
        reason = operation.failure() or stack.reason
        if stack.status == "UPDATE_ROLLBACK_COMPLETE":
            raise OperationFailed(
                f"CloudFormation could not make the update, and put everything back as it was. What failed: {reason}\n"
                "Put that right, then run the same command again."
            )
        raise OperationFailed(
            f"CloudFormation could not make the update: {stack.status}. What failed: {reason}\n{way_out(stack)}"
        )


def parameters_to_send(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[Any]:
    """All parameters for an update: those that stay as they are without their value, which may be hidden."""
    return [
        {"ParameterKey": name, "UsePreviousValue": True}
        if present.get(name) == value
        else {"ParameterKey": name, "ParameterValue": value}
        for name, value in wanted.items()
    ]


def commands(named: str, name: str, arguments: str) -> str:
    """An update by a change set of that name with the AWS CLI: made, waited for, shown, executed, waited for.

    `named` are the arguments that say which stack, `arguments` what it is to become.
    """
    return "\n".join(
        [
            f"aws cloudformation create-change-set {named} --change-set-name {name} {arguments}",
            f"aws cloudformation wait change-set-create-complete {named} --change-set-name {name}",
            f"aws cloudformation describe-change-set {named} --change-set-name {name} --query "
            "'Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]' --output table",
            f"aws cloudformation execute-change-set {named} --change-set-name {name}",
            f"aws cloudformation wait stack-update-complete {named}",
        ]
    )


def but_for(change: Change) -> str:
    """` but X`, the resources that a change may remove because that was planned; empty where there are none."""
    removed = [effect.name for effect in change.effects if effect.action == "remove"]
    return f" but {markdown.names(removed, most=len(removed))}" if removed else ""


def change_set_name(change: Change) -> str:
    """The same for the same change, so that what a run left behind is found by the next one."""
    content = json.dumps([change.resource.arn, change.before, change.after])
    return f"bucketav-runbook-{hashlib.sha256(content.encode()).hexdigest()[:20]}"


def delete_change_set(client: "CloudFormationClient", stack: str, name: str) -> None:
    """Delete a change set that may not be there, or be executed already."""
    try:
        client.delete_change_set(ChangeSetName=name, StackName=stack)
    except ClientError as error:
        if aws_errors.code(error) not in ("ChangeSetNotFound", "InvalidChangeSetStatus", "ValidationError"):
            raise


def count_items(environment: Environment, account: str, region: str, table: str) -> int:
    """How many items a table has. DescribeTable's own number is up to six hours old."""
    client = environment.client("dynamodb", account, region)
    pages = client.get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    return sum(page["Count"] for page in pages)


def staying(changes: Sequence["ResourceChangeTypeDef"]) -> set[str]:
    """The logical ids of the resources that are modified and not replaced.

    CloudFormation calls a replacement conditional wherever a property that cannot be changed in place refers to another
    resource that is modified at all: the function of an AWS::Lambda::Permission, for example. What it refers to, the id
    or ARN, stays the same as long as that other resource stays.
    """
    stay = {each["LogicalResourceId"] for each in changes if each.get("Replacement") == "False"}
    in_question = [each for each in changes if each.get("Replacement") == "Conditional"]
    while found := {each["LogicalResourceId"] for each in in_question if _depends_on_ids_of(stay, each)} - stay:
        stay |= found
    return stay


def _depends_on_ids_of(names: Collection[str], each: "ResourceChangeTypeDef") -> bool:
    """Whether a resource would be replaced only if the id or ARN of one of these others changed."""
    deciding = [detail for detail in each["Details"] if detail["Target"].get("RequiresRecreation") != "Never"]
    return bool(deciding) and all(_refers_to_one_of(names, detail) for detail in deciding)


def _refers_to_one_of(names: Collection[str], detail: "ResourceChangeDetailTypeDef") -> bool:
    name, _, attribute = detail.get("CausingEntity", "").partition(".")
    by_reference = detail.get("ChangeSource") in ("ResourceReference", "ResourceAttribute")
    return by_reference and detail.get("Evaluation") == "Dynamic" and name in names and attribute in ("", "Arn")


def _is_custom(each: "ResourceChangeTypeDef") -> bool:
    """A custom resource: whether a change makes a new one of it is up to whoever answers for it."""
    return each["ResourceType"].startswith("Custom::") or each["ResourceType"] == "AWS::CloudFormation::CustomResource"


def _shown(each: "ResourceChangeTypeDef") -> str:
    """`modify ScanQueuePolicy (AWS::SQS::QueuePolicy)`."""
    return f"{each['Action'].lower()} {_named(each)}"


def _named(each: "ResourceChangeTypeDef") -> str:
    return f"{each['LogicalResourceId']} ({each['ResourceType']})"
