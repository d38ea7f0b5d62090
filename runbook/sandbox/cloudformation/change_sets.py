"""Change sets: an update that is planned, shown, and then executed or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.utils import generate_changeset_id
from moto.core.utils import utcnow

from runbook.sandbox import clock
from runbook.sandbox.callers import Caller
from runbook.sandbox.cloudformation import clockwork, engine, parameters, planning
from runbook.sandbox.cloudformation.planning import Change
from runbook.sandbox.cloudformation.refusals import (
    AlreadyExists,
    ChangeSetNotFound,
    InvalidChangeSetStatus,
    ValidationError,
    no_such_stack_to_change,
)
from runbook.sandbox.cloudformation.stacks import Shown, Stack, Target, find

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
"""AWS has others: "No updates are to be performed." among them."""


@dataclass(frozen=True)
class Order:
    """What CreateChangeSet was asked for, compared when a name comes again."""

    target: Target
    kind: str
    description: str | None
    client_token: str | None
    on_stack_failure: str | None = None


class ChangeSet:
    """A change set of one stack. Its status depends on the time that has passed since it was asked for."""

    def __init__(self, stack: Stack, name: str, order: Order) -> None:
        self.id = generate_changeset_id(name, stack.region, stack.account)
        self.name = name
        self.stack = stack
        self.order = order
        self.creation_time = utcnow()
        self._asked = clock.now()
        self.execution = ""  # once it is executed or obsolete
        self.token: str | None = None
        self.changes: tuple[Change, ...] = planning.changes(stack, order.target)
        self._fails = order.kind == "UPDATE" and not planning.differs(stack, order.target, self.changes)

    @property
    def status(self) -> str:
        """AWS, DescribeChangeSet, Status: CREATE_PENDING, CREATE_IN_PROGRESS, then CREATE_COMPLETE or FAILED."""
        passed = clock.now() - self._asked
        if passed < clock.PLANNING_SECONDS:
            return "CREATE_PENDING" if passed < clock.PLANNING_SECONDS / 3 else "CREATE_IN_PROGRESS"
        return "FAILED" if self._fails else "CREATE_COMPLETE"

    @property
    def execution_status(self) -> str:
        if self.execution:
            return self.execution
        return "AVAILABLE" if self.status == "CREATE_COMPLETE" else "UNAVAILABLE"

    def summary(self) -> Shown:
        """As ListChangeSets shows it."""
        return {
            "StackId": self.stack.stack_id,
            "StackName": self.stack.name,
            "ChangeSetId": self.id,
            "ChangeSetName": self.name,
            "ExecutionStatus": self.execution_status,
            "Status": self.status,
            "StatusReason": NO_CHANGES if self.status == "FAILED" else None,
            "CreationTime": self.creation_time,
            "Description": self.order.description,
            "IncludeNestedStacks": False,
        }

    def description(self) -> Shown:
        """As DescribeChangeSet shows it, without the changes. NoEcho parameters are asterisks here too."""
        target = self.order.target
        return {
            **self.summary(),
            "Parameters": parameters.shown(target.template, target.texts) or None,
            "NotificationARNs": list(target.notification_arns),
            "RollbackConfiguration": {},
            "Capabilities": list(target.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in target.tags.items()] or None,
            "OnStackFailure": self.order.on_stack_failure,
        }


def create(stack: Stack, name: str, order: Order) -> ChangeSet:
    """A change set of that name; the one that is there when a call is repeated with its ClientToken.

    AWS, CreateChangeSet, ChangeSetName: "must be unique among all change sets that are associated with the specified
    stack"; ClientToken: "You might retry CreateChangeSet requests to ensure that CloudFormation successfully received
    them".
    """
    there = stack.change_sets.get(name)
    if there is not None:
        if order.client_token is not None and there.order == order:
            return there
        raise AlreadyExists(
            f"ChangeSet {name} cannot be created due to a mismatch with existing attribute "
            f"{_mismatch(there.order, order)}"
        )
    stack.change_sets[name] = ChangeSet(stack, name, order)
    return stack.change_sets[name]


def execute(change_set: ChangeSet, token: str | None, caller: Caller) -> None:
    """Begin the update or creation that a change set describes, with the rights of `caller`.

    AWS, ExecuteChangeSet: "When you execute a change set, CloudFormation deletes all other change sets associated with
    the stack because they aren't valid for the updated stack". A repeated call with the same ClientRequestToken
    changes nothing, also once the first has been carried out.
    """
    stack = change_set.stack
    if token is not None and change_set.token == token and change_set.execution.startswith("EXECUTE"):
        return
    if change_set.status != "CREATE_COMPLETE":
        raise InvalidChangeSetStatus(
            f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]"
        )
    if change_set.execution_status != "AVAILABLE":
        raise InvalidChangeSetStatus(
            f"ChangeSet [{change_set.id}] cannot be executed in its current execution status of "
            f"[{change_set.execution_status}]"
        )
    creates = change_set.order.kind == "CREATE"
    if not creates:
        stack.require_updatable()
    stack.change_sets.clear()
    stack.executed_change_sets.append(change_set)
    stack.change_set_id = change_set.id
    change_set.execution, change_set.token = "EXECUTE_IN_PROGRESS", token
    expected = clockwork.expected_steps(len(change_set.changes))
    if creates:
        stack.target = change_set.order.target
        clockwork.begin(stack, _creation(change_set), expected, caller, token=token)
    else:
        steps = engine.update(stack, change_set.order.target, _ended(change_set))
        clockwork.begin(stack, steps, expected, caller, token=token)


def _creation(change_set: ChangeSet) -> clockwork.Steps:
    yield from engine.creation(change_set.stack, on_failure=change_set.order.on_stack_failure or "ROLLBACK")
    _ended(change_set)(change_set.stack.status == "CREATE_COMPLETE")


def _ended(change_set: ChangeSet) -> Any:
    def ended(success: bool) -> None:
        change_set.execution = "EXECUTE_COMPLETE" if success else "EXECUTE_FAILED"

    return ended


def delete(change_set: ChangeSet) -> None:
    """Forget a change set that has not been executed."""
    if change_set.execution.startswith("EXECUTE"):
        raise InvalidChangeSetStatus(
            f"ChangeSet [{change_set.id}] cannot be deleted in its current execution status of "
            f"[{change_set.execution_status}]"
        )
    change_set.stack.change_sets.pop(change_set.name, None)


def make_obsolete(stack: Stack) -> None:
    """AWS, DescribeChangeSet, ExecutionStatus: "an OBSOLETE state because the stack was already updated"."""
    for change_set in stack.change_sets.values():
        change_set.execution = "OBSOLETE"


def by_name(account: str, region: str, stack_name: str | None, name: str) -> ChangeSet:
    """A change set by its ARN, or by its name and its stack's; an executed one too. Raises what AWS answers."""
    stacks: list[Any]
    if stack_name is not None:
        stack = find(account, region, stack_name)
        if stack is None:
            raise no_such_stack_to_change(stack_name)
        stacks = [stack]
    elif not name.startswith("arn:"):
        raise ValidationError("StackName must be specified if ChangeSetName is not specified as an ARN.")
    else:
        backend = cloudformation_backends[account][region]
        stacks = [*backend.stacks.values(), *backend.deleted_stacks.values()]
    for stack in stacks:
        for change_set in (*stack.change_sets.values(), *reversed(stack.executed_change_sets)):
            if name in {change_set.name, change_set.id}:
                found: ChangeSet = change_set
                return found
    raise ChangeSetNotFound(name)


def _mismatch(there: Order, order: Order) -> str:
    """The attribute that AWS names."""
    pairs: Mapping[str, tuple[Any, Any]] = {
        "Template": (there.target.template, order.target.template),
        "Parameters": (there.target.texts, order.target.texts),
        "Capabilities": (there.target.capabilities, order.target.capabilities),
        "Tags": (there.target.tags, order.target.tags),
        "Description": (there.description, order.description),
        "ChangeSetType": (there.kind, order.kind),
    }
    return next((name for name, (one, other) in pairs.items() if one != other), "ClientToken")
