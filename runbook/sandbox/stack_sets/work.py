"""What an operation does to one stack instance: bring its stack up to date, delete it, or look for drift.

Each is a generator that yields whatever has to be waited for, and returns when it is done. Time passes in between.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from runbook.sandbox import clock, cloudformation
from runbook.sandbox.authorization import require
from runbook.sandbox.callers import PARTITION, Caller, organization_of
from runbook.sandbox.cloudformation.stacks import UPDATABLE, Event, Stack
from runbook.sandbox.errors import Refusal
from runbook.sandbox.stack_sets import drift, targets
from runbook.sandbox.stack_sets.ids import own_ids, unique
from runbook.sandbox.stack_sets.roles import execution_caller
from runbook.sandbox.stack_sets.sets import Instance, StackSet

SUSPENDED = (
    "This account is suspended. To remove this instance from the stack set, run DeleteStackInstances with the "
    "RetainStacks parameter."
)


class Waiting(Protocol):
    """Something that is under way."""

    @property
    def ended(self) -> float | None:
        """When it ended, by the clock; None while it has not."""


Work = Generator[Waiting, None, None]
Clock = Callable[[], float]
"""The operation's present, which may be behind the clock's."""


class WorkFailed(Exception):
    """The stack could not be made what it should be; the message is the StatusReason."""


class Skipped(Exception):
    """There is nothing to do, or nothing can be done; the message is the StatusReason."""


@dataclass(frozen=True)
class _OfStack:
    """A stack that is being created, changed or deleted."""

    stack: Stack

    @property
    def ended(self) -> float | None:
        return self.stack.ended if self.stack.operation is None else None


@dataclass(frozen=True)
class _Until:
    moment: float

    @property
    def ended(self) -> float | None:
        return self.moment if clock.now() >= self.moment else None


def deploy(stack_set: StackSet, instance: Instance, now: Clock) -> Work:
    """Make the stack of an instance what the stack set says: create it, or change it, or leave it.

    AWS, CreateStackInstances and UpdateStackSet, OperationId: "Repeating this StackSet operation with a new operation
    ID retries all stack instances whose status is OUTDATED". A stack instance "can exist without a stack" (user guide,
    "StackSets concepts"), so the retry of a failed creation creates.
    """
    _require_active(instance)
    caller = execution_caller(instance.account, stack_set.management, instance.region)
    stack = instance.stack
    if stack is not None and stack.status == "ROLLBACK_COMPLETE":
        yield from _delete(stack, caller, now)
        stack = None
    if stack is None:
        yield from _create(stack_set, instance, caller, now)
    else:
        yield from _change(stack_set, instance, stack, caller, now)


def remove(stack_set: StackSet, instance: Instance, now: Clock, *, retain: bool) -> Work:
    """Delete the stack of an instance, unless it is to be retained; then only the instance goes.

    AWS, DeleteStackInstances, RetainStacks: "Removes the stack instances from the specified StackSet, but doesn't
    delete the stacks".
    """
    if retain:
        return
    _require_active(instance)
    stack = instance.stack
    if stack is not None:
        caller = execution_caller(instance.account, stack_set.management, instance.region)
        if stack.enable_termination_protection:
            raise WorkFailed(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        yield from _delete(stack, caller, now)


def detect(_stack_set: StackSet, instance: Instance, now: Clock) -> Work:
    """Compare the resources of an instance's stack with what they were made to be."""
    _require_active(instance)
    stack = instance.stack
    if stack is None:
        raise WorkFailed("Drift detection cannot be performed on a stack instance that has no stack")
    yield _Until(now() + clock.OPERATION_SECONDS / 2)
    instance.drift_status = "DRIFTED" if any(found.status != "IN_SYNC" for found in drift.of(stack)) else "IN_SYNC"


def _require_active(instance: Instance) -> None:
    """AWS, StackInstanceComprehensiveStatus: SKIPPED_SUSPENDED_ACCOUNT."""
    organization = organization_of(instance.account)
    if organization is not None and targets.suspended(organization, instance.account):
        raise Skipped(SUSPENDED)


def _create(stack_set: StackSet, instance: Instance, caller: Caller, now: Clock) -> Work:
    """User guide, "Troubleshooting StackSets": the stack of a failed creation "will have a status of DELETED"."""
    instance.attempts += 1
    key = f"{stack_set.id} {instance.account} {instance.region} {instance.attempts}"
    name = f"StackSet-{stack_set.name}-{unique(f'{key} name')}"
    place = f"arn:{PARTITION}:cloudformation:{instance.region}:{instance.account}:stack/{name}"
    target = stack_set.definition.target(instance.overrides)
    try:
        require(caller, "cloudformation:CreateStack", f"{place}/*", instance.account)
        with own_ids(key):
            stack = cloudformation.start(
                instance.account, instance.region, name, target, caller, on_failure="DELETE", at=now()
            )
    except Refusal as refused:
        raise WorkFailed(refused.message) from None
    instance.stack_id = stack.stack_id
    yield _OfStack(stack)
    if stack.status != "CREATE_COMPLETE":
        raise WorkFailed(_why(stack, 0))


def _change(stack_set: StackSet, instance: Instance, stack: Stack, caller: Caller, now: Clock) -> Work:
    target = stack_set.definition.target(instance.overrides)
    before = len(stack.events)
    try:
        require(caller, "cloudformation:UpdateStack", stack.stack_id, instance.account)
        begun = cloudformation.change(stack, target, caller, at=now())
    except Refusal as refused:
        raise WorkFailed(refused.message) from None
    if begun:
        yield _OfStack(stack)
        if stack.status not in UPDATABLE or "ROLLBACK" in stack.status:
            raise WorkFailed(_why(stack, before))


def _delete(stack: Stack, caller: Caller, now: Clock) -> Work:
    before = len(stack.events)
    try:
        require(caller, "cloudformation:DeleteStack", stack.stack_id, stack.account)
        if stack.operation is not None:
            raise WorkFailed(f"Stack [{stack.stack_id}] cannot be deleted while in status {stack.status}")
        cloudformation.remove(stack, caller, at=now())
    except Refusal as refused:
        raise WorkFailed(refused.message) from None
    yield _OfStack(stack)
    if stack.status != "DELETE_COMPLETE":
        raise WorkFailed(_why(stack, before))


def _why(stack: Stack, since: int) -> str:
    """The StatusReason of a stack instance: the first resource that failed, in AWS's form for it."""
    failed: Event | None = next(
        (event for event in stack.events[since:] if event.status.endswith("_FAILED") and event.type != _STACK), None
    )
    if failed is not None:
        reason = (failed.reason or "").removesuffix(".")
        return f"ResourceLogicalId:{failed.logical_id}, ResourceType:{failed.type}, ResourceStatusReason:{reason}."
    reasons = [event.reason for event in stack.events[since:] if event.type == _STACK and event.reason]
    return next((reason for reason in reasons if reason != "User Initiated"), f"Stack is in {stack.status}")


_STACK = "AWS::CloudFormation::Stack"
