"""CloudFormation StackSets with service-managed permissions as on AWS, in place of moto's.

    access, roles                      who may work with stack sets, and as whom they work in accounts
    targets, preferences               what an operation is about, and how it goes about it
    sets                               what there is
    work, drift                        what is done to one stack instance
    operations, auto_deployment        what is done to many, and without being asked
    handlers                           the API

moto knows OUs one level deep, deploys to the management account, and forgets what it did. Self-managed stack sets are
not simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from unittest.mock import patch

from moto.organizations.models import OrganizationsBackend

from runbook.sandbox import clock, cloudformation
from runbook.sandbox.cloudformation.clockwork import LOCK
from runbook.sandbox.stack_sets import auto_deployment, handlers, operations, targets, work
from runbook.sandbox.stack_sets.access import activate, management_of
from runbook.sandbox.stack_sets.ids import unique
from runbook.sandbox.stack_sets.operations import Operation
from runbook.sandbox.stack_sets.sets import AutoDeployment, Definition, Instance, StackSet, stack_sets_in

__all__ = ["activate", "advance", "create", "install"]


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    handlers.install()
    auto_deployment.install()


def advance() -> None:
    """Bring every stack set to where it is by now; the stacks have to be there already."""
    with LOCK:
        operations.advance()


def create(
    organization: OrganizationsBackend,
    region: str,
    name: str,
    template: str,
    texts: Mapping[str, str],
    unit: str,
    *,
    capabilities: tuple[str, ...] = (),
    description: str | None = None,
) -> StackSet:
    """A stack set with its instances in one OU, complete when this returns: for the seeded world.

    Accounts that join the OU later get the stack, and lose it when they leave.
    """
    target = cloudformation.target(template, texts, capabilities=capabilities)
    definition = Definition(target.template, target.texts, capabilities, {})
    management = management_of(organization)
    made = StackSet(management, region, name, definition, AutoDeployment(enabled=True), description)
    stack_sets_in(management, region)[made.id] = made
    made.targets[unit] = (region,)
    for account, above in targets.members(organization).items():
        if unit in above:
            made.instances[account, region] = Instance(account, region, unit)
    instances = list(made.instances.values())
    with LOCK, patch.object(clock, "OPERATION_SECONDS", 0):
        operations.add(Operation(made, unique(f"{made.id} 0"), "CREATE", instances, work.deploy))
    return made
