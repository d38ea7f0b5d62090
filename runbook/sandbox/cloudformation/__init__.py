"""CloudFormation as on AWS, in place of moto's: its stacks, change sets, events and rollbacks.

    templates, functions, parameters   what a template says, with which values
    template_urls                      where a template is read from
    kinds, replacement                 how each type of resource is made, changed, deleted
    custom_resources                   by whom else
    actions, rights                    what that takes, and with whose rights it is done
    stacks, planning                   what there is, and what an update would change
    engine, clockwork                  operations, step by step, as time passes
    change_sets, handlers              the API

Of moto's engine nothing is left but its reader of templates and its models of resources: it recreates topics at every
update, loses parameters that were never passed, shows no changes, and cannot take a failed update back. Stacks stand
where moto keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import get_model_list, get_model_map, get_name_type_map

from runbook.sandbox.callers import Caller
from runbook.sandbox.cloudformation import clockwork, custom_resources, engine, handlers, parameters, planning
from runbook.sandbox.cloudformation.clockwork import advance
from runbook.sandbox.cloudformation.refusals import AlreadyExists
from runbook.sandbox.cloudformation.stacks import Stack, Target, find
from runbook.sandbox.cloudformation.templates import read

__all__ = ["advance", "change", "create", "install", "remove", "start", "target"]


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    handlers.install()
    custom_resources.install()
    for cached in (get_model_list, get_model_map, get_name_type_map):
        cached.cache_clear()


# Stacks that AWS itself makes in some account, such as those of a stack set. They live under the clock like all others:
# `advance` brings them on, `stack.operation` is None once they have arrived, at the time `stack.ended` of the clock.


def target(template: str, texts: Mapping[str, str], **options: Any) -> Target:
    """What a stack is to be: a template's text with some of its parameters; the others have their defaults.

    `options`: `capabilities`, which are not checked, `tags`, `role_arn`, `notification_arns`. Raises ValidationError.
    """
    parsed = read(template)
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in texts.items()]
    return Target(parsed, parameters.passed(parsed.parameters, given, None), **options)


def start(
    account: str,
    region: str,
    name: str,
    target: Target,
    caller: Caller | None,
    *,
    on_failure: str = "ROLLBACK",
    at: float | None = None,
) -> Stack:
    """Begin to create a stack with the rights of `caller`, as CreateStack does; `callers.role_caller` makes one of a
    role. None: nobody is asked whether he may.

    `at`: the time of the clock at which it begins, now or in the past; by default now. Raises AlreadyExists, and
    ValidationError for what AWS refuses before it begins.
    """
    with clockwork.LOCK:
        if find(account, region, name) is not None:
            raise AlreadyExists(f"Stack [{name}] already exists")
        stack = Stack(account, region, name, target)
        planning.changes(stack, target)
        stacks: dict[str, Any] = cloudformation_backends[account][region].stacks
        stacks[stack.stack_id] = stack
        expected = clockwork.expected_steps(len(target.template.resources))
        clockwork.begin(stack, engine.creation(stack, on_failure=on_failure), expected, caller, at=at)
        return stack


def change(stack: Stack, target: Target, caller: Caller | None, *, at: float | None = None) -> bool:
    """Begin to update a stack, as UpdateStack does; False when there is nothing to update. As `start` otherwise."""
    with clockwork.LOCK:
        stack.require_updatable()
        found = planning.changes(stack, target)
        if not planning.differs(stack, target, found):
            return False
        expected = clockwork.expected_steps(len(found))
        clockwork.begin(stack, engine.update(stack, target), expected, caller, at=at)
        return True


def remove(stack: Stack, caller: Caller | None, *, at: float | None = None) -> None:
    """Begin to delete a stack, as DeleteStack does; nothing happens to one that is deleted. As `start` otherwise."""
    with clockwork.LOCK:
        if stack.status != "DELETE_COMPLETE":
            expected = clockwork.expected_steps(len(stack.resources))
            clockwork.begin(stack, engine.deletion(stack), expected, caller, at=at)


# Stacks at once, for the seeded world


def create(
    account: str,
    region: str,
    name: str,
    template: str,
    texts: Mapping[str, str],
    caller: Caller | None = None,
    **options: Any,
) -> Stack:
    """A stack, complete when this returns.

    It may contain IAM resources. `caller` and `options` as for `start` and `target`. Raises ValidationError as
    CreateStack does; a resource that fails leaves the stack in ROLLBACK_COMPLETE.
    """
    with clockwork.LOCK:
        if find(account, region, name) is not None:
            raise AlreadyExists(f"Stack [{name}] already exists")
        stack = Stack(account, region, name, target(template, texts, **options))
        stack.caller = caller
        stacks: dict[str, Any] = cloudformation_backends[account][region].stacks
        stacks[stack.stack_id] = stack
        clockwork.run(engine.creation(stack))
        return stack
