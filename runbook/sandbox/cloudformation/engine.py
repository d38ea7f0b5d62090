"""Creates, updates, rolls back and deletes stacks, step by step, with the rights of the stack's `caller`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from runbook.sandbox.cloudformation import actions, rights
from runbook.sandbox.cloudformation.clockwork import Steps
from runbook.sandbox.cloudformation.functions import Resolver
from runbook.sandbox.cloudformation.kinds import Resource, kind_of
from runbook.sandbox.cloudformation.replacement import requires_recreation
from runbook.sandbox.cloudformation.stacks import Stack, Target
from runbook.sandbox.cloudformation.templates import needs


@dataclass
class Undo:
    """What has to be done to take one change of a resource back. `before` is None for one that was created."""

    logical_id: str
    before: Resource | None
    replaced: bool = False


@dataclass
class Rollback:
    """What is left to do to take an update back. `order` is that of the template which failed."""

    before: Target
    outputs: list[dict[str, Any]]
    order: tuple[str, ...]
    undo: list[Undo] = field(default_factory=list)
    leftovers: list[Resource] = field(default_factory=list)


class _Failed(Exception):
    """Provisioning stopped at a resource."""

    def __init__(self, logical_id: str, verb: str) -> None:
        super().__init__(logical_id)
        self.sentence = f"The following resource(s) failed to {verb}: [{logical_id}]. "


def creation(stack: Stack, *, on_failure: str = "ROLLBACK") -> Steps:
    """Create the resources of the stack's target. AWS, "Stack failure options", CreateStack, OnFailure."""
    stack.becomes("CREATE_IN_PROGRESS", "User Initiated")
    yield None
    undo: list[Undo] = []
    try:
        yield from _provision(stack, undo)
        stack.resolve_outputs()
    except _Failed as failed:
        yield from _creation_failed(stack, failed.sentence, on_failure)
        return
    except Exception as error:  # noqa: BLE001 - an output or a condition that cannot be resolved
        yield from _creation_failed(stack, _reason(error), on_failure)
        return
    stack.becomes("CREATE_COMPLETE")


def _creation_failed(stack: Stack, reason: str, on_failure: str) -> Steps:
    """AWS, "Stack status codes", ROLLBACK_COMPLETE: what was created is deleted. The stack stays, to be looked at and
    deleted.
    """
    if on_failure == "DO_NOTHING":
        stack.becomes("CREATE_FAILED", reason)
        return
    if on_failure == "DELETE":
        yield from deletion(stack, reason=f"{reason}Delete requested by user.")
        return
    stack.becomes("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
    yield None
    failed = yield from _delete_all(stack, list(stack.resources.values()), stack.target.template.order, gone=False)
    if failed:
        stack.becomes("ROLLBACK_FAILED", _failed_to("delete", failed))
        return
    stack.becomes("ROLLBACK_COMPLETE")


def update(stack: Stack, target: Target, ended: Callable[[bool], None] = lambda _: None) -> Steps:
    """Make the stack what `target` says; take everything back when a resource fails.

    AWS, "Update behaviors", and "Stack status codes": new resources are made and others changed first; then, in
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, what is not needed any more is deleted.
    """
    rollback = Rollback(stack.target, stack.outputs, target.template.order)
    stack.target = target
    stack.updated = stack.at()
    stack.becomes("UPDATE_IN_PROGRESS", "User Initiated")
    yield None
    replaced: list[Resource] = []
    try:
        yield from _provision(stack, rollback.undo, replaced)
        stack.resolve_outputs()
    except _Failed as failed:
        ended(False)
        yield from roll_back(stack, rollback, failed.sentence)
        return
    except Exception as error:  # noqa: BLE001 - an output or a condition that cannot be resolved
        ended(False)
        yield from roll_back(stack, rollback, _reason(error))
        return
    stack.becomes("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    yield None
    active = set(stack.resolver(target).active())
    removed = [resource for name, resource in stack.resources.items() if name not in active]
    order = rollback.before.template.order
    failed_deletions = yield from _delete_all(stack, replaced, order, gone=True, policy="UpdateReplacePolicy")
    failed_deletions += yield from _delete_all(stack, removed, order, gone=True)
    for name in [name for name in stack.resources if name not in active]:
        del stack.resources[name]
    ended(True)
    stack.becomes(
        "UPDATE_COMPLETE",
        "Update successful. One or more resources could not be deleted." if failed_deletions else None,
    )


def roll_back(stack: Stack, rollback: Rollback, reason: str | None, skip: tuple[str, ...] = ()) -> Steps:
    """Put everything back as it was before an update, parameters and outputs included.

    AWS, "Continue rolling back an update": a rollback that cannot change a resource back ends in
    UPDATE_ROLLBACK_FAILED, and can go on once that is repaired, or without that resource (`skip`).
    """
    stack.target = rollback.before
    stack.unfinished_rollback = None
    for name, resource in stack.resources.items():
        resource.definition = rollback.before.template.resources.get(name, resource.definition)
    stack.becomes("UPDATE_ROLLBACK_IN_PROGRESS", reason)
    yield None
    failed: list[Undo] = []
    for undo in reversed(rollback.undo):
        if undo.before is None:
            if undo.logical_id in stack.resources:
                rollback.leftovers.append(stack.resources[undo.logical_id])
        elif undo.logical_id in skip:
            stack.resources[undo.logical_id].status = "UPDATE_COMPLETE"
        elif undo.replaced:
            if stack.resources[undo.logical_id] is not undo.before:
                rollback.leftovers.append(stack.resources[undo.logical_id])
            stack.resources[undo.logical_id] = undo.before
            stack.resource_becomes(undo.before, "UPDATE_COMPLETE")
            yield None
        else:
            done = yield from _change_back(stack, undo.before, rollback.leftovers)
            if not done:
                failed.append(undo)
    if failed:
        rollback.undo = list(reversed(failed))
        stack.unfinished_rollback = rollback
        stack.becomes("UPDATE_ROLLBACK_FAILED", _failed_to("update", [undo.logical_id for undo in failed]))
        return
    stack.outputs = rollback.outputs
    stack.becomes("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    yield None
    yield from _delete_all(stack, rollback.leftovers, rollback.order, gone=True)
    for leftover in rollback.leftovers:
        if stack.resources.get(leftover.logical_id) is leftover:
            del stack.resources[leftover.logical_id]
    stack.becomes("UPDATE_ROLLBACK_COMPLETE")


def deletion(stack: Stack, retain: tuple[str, ...] = (), reason: str = "User Initiated") -> Steps:
    """Delete the stack and what is in it. AWS, "Stack status codes": DELETE_FAILED when something cannot be deleted."""
    stack.becomes("DELETE_IN_PROGRESS", reason)
    yield None
    for name in retain:
        if name in stack.resources:
            stack.resource_becomes(stack.resources.pop(name), "DELETE_SKIPPED")
    failed = yield from _delete_all(stack, list(stack.resources.values()), stack.target.template.order, gone=False)
    if failed:
        stack.becomes("DELETE_FAILED", _failed_to("delete", failed))
        return
    stack.withdraw_exports()
    stack.outputs = []
    stack.deleted = stack.at()
    stack.becomes("DELETE_COMPLETE")
    stack.backend.stacks.pop(stack.stack_id, None)
    stack.backend.deleted_stacks[stack.stack_id] = stack  # type: ignore[assignment]  # it stands among moto's


def _provision(stack: Stack, undo: list[Undo], replaced: list[Resource] | None = None) -> Steps:
    """Make and change resources until the stack has those of its target, each after those that it depends on."""
    resolver = stack.resolver(stack.target)
    for logical_id in resolver.active():
        definition = stack.target.template.resources[logical_id]
        resource = stack.resources.get(logical_id)
        if resource is None:
            yield from _create(stack, resolver, logical_id, definition, undo)
        else:
            yield from _change(stack, resolver, resource, definition, undo, [] if replaced is None else replaced)


def _create(
    stack: Stack, resolver: Resolver, logical_id: str, definition: Mapping[str, Any], undo: list[Undo]
) -> Steps:
    resource = stack.resources[logical_id] = _new(stack, logical_id, definition)
    undo.append(Undo(logical_id, None))
    try:
        resource.properties, resource.shown = _resolved(stack, resolver, logical_id)
        stack.resource_becomes(resource, "CREATE_IN_PROGRESS")
        yield None
        yield from _make(stack, resource)
    except Exception as error:
        stack.resource_becomes(resource, "CREATE_FAILED", _reason(error))
        yield None
        raise _Failed(logical_id, "create") from error
    stack.resource_becomes(resource, "CREATE_IN_PROGRESS", "Resource creation Initiated")
    stack.resource_becomes(resource, "CREATE_COMPLETE")
    yield None


def _resolved(stack: Stack, resolver: Resolver, logical_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A resource's properties, and the same as events show them.

    AWS, "Parameters", NoEcho: calls that describe the stack or its events return asterisks. "Custom resource response
    objects", NoEcho: what Fn::GetAtt gives is masked too.
    """
    start = len(resolver.seen)
    properties = resolver.properties(logical_id)
    if not any(stack.is_secret(reference) for reference in resolver.seen[start:]):
        return properties, properties
    return properties, stack.resolver(stack.target, masked=True).properties(logical_id)


def _new(stack: Stack, logical_id: str, definition: Mapping[str, Any]) -> Resource:
    kind = str(definition["Type"])
    return Resource(stack.account, stack.region, stack.stack_id, stack.name, logical_id, kind, definition, {})


def _change(
    stack: Stack,
    resolver: Resolver,
    resource: Resource,
    definition: Mapping[str, Any],
    undo: list[Undo],
    replaced: list[Resource],
) -> Steps:
    """Change a resource, in place or by making another; nothing happens to one whose properties stay as they are."""
    name, kind = resource.logical_id, resource.type
    before = copy(resource)
    try:
        properties, shown = _resolved(stack, resolver, name)
        changed = {
            key
            for key in {*properties, *resource.properties}
            if properties.get(key, _NOTHING) != resource.properties.get(key, _NOTHING)
        }
        if not changed:
            if resource.definition.get("Metadata") != definition.get("Metadata"):
                undo.append(Undo(name, before))
                resource.definition = definition
                stack.resource_becomes(resource, "UPDATE_IN_PROGRESS")
                stack.resource_becomes(resource, "UPDATE_COMPLETE")
                yield None
            resource.definition = definition
            return
        replaces = any(requires_recreation(kind, key) == "Always" for key in changed)
        reason = _ANOTHER if replaces else None
        stack.resource_becomes(resource, "UPDATE_IN_PROGRESS", reason, shown)
        yield None
        if replaces:
            another = _new(stack, name, definition)
            another.properties, another.shown = properties, shown
            yield from _make(stack, another)
            undo.append(Undo(name, before, replaced=True))
            replaced.append(before)
            stack.resources[name] = another
            stack.resource_becomes(stack.resources[name], "UPDATE_IN_PROGRESS", "Resource creation Initiated")
        else:
            undo.append(Undo(name, before))
            yield from _alter(stack, resource, properties)
            resource.properties, resource.shown, resource.definition = properties, shown, definition
            if resource.physical_id != before.physical_id:
                replaced.append(before)
                stack.resource_becomes(resource, "UPDATE_IN_PROGRESS", _MADE_ANOTHER)
    except Exception as error:
        stack.resource_becomes(resource, "UPDATE_FAILED", _reason(error))
        yield None
        raise _Failed(name, "update") from error
    stack.resource_becomes(stack.resources[name], "UPDATE_COMPLETE")
    yield None


_ANOTHER = "Requested update requires the creation of a new physical resource; hence creating one."
_MADE_ANOTHER = "Requested update required the provider to create a new physical resource"
_NOTHING = object()


def _change_back(stack: Stack, before: Resource, leftovers: list[Resource]) -> Generator[float | None, None, bool]:
    """Give a resource its former properties; False when that fails. One that becomes another leaves itself over."""
    resource = stack.resources[before.logical_id]
    present = copy(resource)
    stack.resource_becomes(resource, "UPDATE_IN_PROGRESS", None, before.shown)
    yield None
    try:
        yield from _alter(stack, resource, before.properties)
    except Exception as error:  # noqa: BLE001 - whatever the service answers
        stack.resource_becomes(resource, "UPDATE_FAILED", _reason(error))
        yield None
        return False
    if resource.physical_id != present.physical_id:
        leftovers.append(present)
    resource.properties, resource.shown, resource.definition = before.properties, before.shown, before.definition
    stack.resource_becomes(resource, "UPDATE_COMPLETE")
    yield None
    return True


def _delete_all(
    stack: Stack,
    resources: list[Resource],
    order: tuple[str, ...],
    *,
    gone: bool,
    policy: str = "DeletionPolicy",
) -> Generator[float | None, None, list[str]]:
    """Delete resources, each before those that it depends on; the logical ids of those that could not be.

    `order` is that of the template which they are from. `gone`: they leave the stack. A deleted stack goes on showing
    what it had. `policy` is the attribute that can say Retain. What a resource depends on that could not be deleted,
    and stays in the stack, is left alone.
    """
    failed: list[str] = []
    needed: set[str] = set()
    for resource in sorted(resources, key=lambda each: order.index(each.logical_id), reverse=True):
        if resource.status == "DELETE_COMPLETE":
            continue
        if resource.logical_id in needed and not gone:
            needed.update(needs(resource.definition))
            continue
        if resource.definition.get(policy) in {"Retain", "RetainExceptOnCreate"}:
            stack.resource_becomes(resource, "DELETE_SKIPPED")
        elif not resource.physical_id:  # it never came into being
            stack.resource_becomes(resource, "DELETE_COMPLETE")
        else:
            stack.resource_becomes(resource, "DELETE_IN_PROGRESS")
            yield None
            try:
                rights.check(stack.caller, stack.account, actions.to_delete(resource))
                yield from kind_of(resource.type).delete(resource) or ()
            except Exception as error:  # noqa: BLE001 - whatever the service answers
                stack.resource_becomes(resource, "DELETE_FAILED", _reason(error))
                failed.append(resource.logical_id)
                needed.update(needs(resource.definition))
                yield None
                continue
            stack.resource_becomes(resource, "DELETE_COMPLETE")
        if gone and stack.resources.get(resource.logical_id) is resource:
            del stack.resources[resource.logical_id]
        yield None
    return failed


def _make(stack: Stack, resource: Resource) -> Steps:
    rights.check(stack.caller, stack.account, actions.to_create(resource))
    yield from kind_of(resource.type).create(resource) or ()


def _alter(stack: Stack, resource: Resource, properties: Mapping[str, Any]) -> Steps:
    rights.check(stack.caller, stack.account, actions.to_update(resource, properties))
    yield from kind_of(resource.type).update(resource, properties) or ()


def _failed_to(verb: str, logical_ids: list[str]) -> str:
    return f"The following resource(s) failed to {verb}: [{', '.join(logical_ids)}]. "


def _reason(error: Exception) -> str:
    """What the service answered."""
    return str(getattr(error, "message", None) or str(error) or type(error).__name__)
