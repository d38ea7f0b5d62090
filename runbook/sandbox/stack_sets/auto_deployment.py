"""Accounts that join or leave what a stack set targets get its stack, or lose it, by themselves.

AWS, "Enable or disable automatic deployments for StackSets in AWS Organizations": "triggered when accounts are added to
a target organization or OU, removed from a target organization or OU, or moved between target OUs"; "Automatic
deployments do not consider account level targeting filters"; overridden parameter values are not used.
AWS, StackSetOperationPreferences: they "don't apply to AutoDeployment".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from moto.organizations.models import OrganizationsBackend

from runbook.sandbox.cloudformation.clockwork import LOCK
from runbook.sandbox.moto_methods import replace
from runbook.sandbox.stack_sets import access, targets, work
from runbook.sandbox.stack_sets.ids import unique
from runbook.sandbox.stack_sets.operations import Operation, add
from runbook.sandbox.stack_sets.sets import Instance, StackSet, all_stack_sets

CHANGES = ("create_account", "move_account", "remove_account_from_organization")
"""moto's methods that change where accounts are. Assumed: one that is reopened joins
nothing; there is no API for it.
"""

Members = Mapping[str, tuple[str, ...]]


def install() -> None:
    """Notice every change of where accounts are."""
    for name in CHANGES:
        replace(OrganizationsBackend, name, notices_who_joins_and_leaves)


def notices_who_joins_and_leaves(original: Callable[..., Any], backend: OrganizationsBackend, **given: Any) -> Any:
    """Compares before and after. The first parameter is moto's own method."""
    with LOCK:
        concerned = [each for each in all_stack_sets() if each.management == access.management_of(backend)]
        before = targets.members(backend) if concerned else {}
        answer = original(backend, **given)
        after = targets.members(backend) if concerned else {}
        moved = {account for account in {*before, *after} if before.get(account) != after.get(account)}
        for stack_set in concerned:
            _follow(stack_set, sorted(moved), before, after, active=access.is_active(backend))
        return answer


def _follow(stack_set: StackSet, moved: list[str], before: Members, after: Members, *, active: bool) -> None:
    joined: list[Instance] = []
    left: list[Instance] = []
    for account in moved:
        was, becomes = _targeted(stack_set, before.get(account, ())), _targeted(stack_set, after.get(account, ()))
        for region in dict.fromkeys((*was, *becomes)):
            unit, there = becomes.get(region, ""), stack_set.instances.get((account, region))
            if there is not None:
                there.unit = unit
                if region not in becomes:
                    left.append(there)
            if region in becomes and region not in was:
                joined.append(there or Instance(account, region, unit))
    if not active or not stack_set.auto_deployment.enabled:
        return
    retain = stack_set.auto_deployment.retain
    if left:
        _add(stack_set, "DELETE", left, partial(work.remove, retain=retain), retain=retain)
    if joined:
        for instance in joined:
            stack_set.instances.setdefault((instance.account, instance.region), instance)
        _add(stack_set, "CREATE", joined, work.deploy)


def _targeted(stack_set: StackSet, above: tuple[str, ...]) -> dict[str, str]:
    """The Regions in which an account with these OUs above it is targeted, each with the OU because of which."""
    found: dict[str, str] = {}
    for unit, regions in stack_set.targets.items():
        if unit in above:
            for region in regions:
                found.setdefault(region, unit)
    return found


def _add(stack_set: StackSet, action: str, instances: list[Instance], does: Any, retain: bool | None = None) -> None:
    identifier = unique(f"{stack_set.id} automatic {len(stack_set.operations)}")
    add(Operation(stack_set, identifier, action, instances, does, retain=retain))
