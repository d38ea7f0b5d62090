"""CloudFormation as on AWS, in place of moto's: its stacks, change sets, events and rollbacks.

    templates, functions, parameters   what a template says, with which values
    kinds, replacement                 how each type of resource is made, changed, deleted
    stacks, planning                   what there is, and what an update would change
    engine                             operations, step by step, as time passes
    change_sets, handlers              the API

Of moto's engine nothing is left but its reader of templates and its models of resources: it recreates topics at every
update, loses parameters that were never passed, shows no changes, and cannot take a failed update back. Stacks stand
where moto keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from moto.cloudformation.models import CloudFormationBackend, cloudformation_backends
from moto.cloudformation.parsing import get_model_list, get_model_map, get_name_type_map

from runbook.sandbox.cloudformation import engine, handlers, parameters
from runbook.sandbox.cloudformation.engine import advance
from runbook.sandbox.cloudformation.refusals import AlreadyExists
from runbook.sandbox.cloudformation.stacks import Stack, Target, find
from runbook.sandbox.cloudformation.templates import read
from runbook.sandbox.moto_methods import replace

__all__ = ["advance", "create", "delete", "install"]


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    handlers.install()
    replace(CloudFormationBackend, "create_stack", creates_a_stack)
    replace(CloudFormationBackend, "delete_stack", deletes_a_stack)
    for cached in (get_model_list, get_model_map, get_name_type_map):
        cached.cache_clear()


def create(account: str, region: str, name: str, template: str, texts: Mapping[str, str], **options: Any) -> Stack:
    """A stack, complete when this returns: for the seeded world, and for whatever in moto creates one.

    It may contain IAM resources. Raises ValidationError as CreateStack does; a resource that fails leaves the stack in
    ROLLBACK_COMPLETE.
    """
    with engine.LOCK:
        if find(account, region, name) is not None:
            raise AlreadyExists(f"Stack [{name}] already exists")
        parsed = read(template)
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in texts.items()]
        target = Target(parsed, parameters.passed(parsed.parameters, given, None), **options)
        stack = Stack(account, region, name, target)
        stacks: dict[str, Any] = cloudformation_backends[account][region].stacks
        stacks[stack.stack_id] = stack
        engine.run(engine.creation(stack))
        return stack


def delete(account: str, region: str, name: str) -> None:
    """Delete a stack, at once; nothing happens when there is none."""
    with engine.LOCK:
        stack = find(account, region, name)
        if stack is not None and stack.status != "DELETE_COMPLETE":
            engine.run(engine.deletion(stack))


# Rules. The first parameter is moto's own method.


def creates_a_stack(
    _original: Callable[..., Any],
    backend: CloudFormationBackend,
    name: str,
    template: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    **_: Any,
) -> Stack:
    """moto's stack sets create their stacks through this."""
    return create(backend.account_id, backend.region_name, name, template, parameters, tags=dict(tags or {}))


def deletes_a_stack(_original: Callable[..., Any], backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    """moto's stack sets delete their stacks through this."""
    delete(backend.account_id, backend.region_name, name_or_stack_id)
