"""Stack sets and their stack instances: what there is, and how the API shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.utils import generate_stackset_arn, generate_stackset_id

from runbook.sandbox.cloudformation import parameters
from runbook.sandbox.cloudformation.stacks import Shown, Stack, Target, find
from runbook.sandbox.cloudformation.templates import Template
from runbook.sandbox.stack_sets.refusals import StackSetNotFound

if TYPE_CHECKING:
    from runbook.sandbox.stack_sets.operations import Operation

Place = tuple[str, str]
"""Account and Region of a stack instance."""


@dataclass(frozen=True)
class Definition:
    """What the stacks of a set are to be: a template with a text for each of its parameters."""

    template: Template
    texts: Mapping[str, str]
    capabilities: tuple[str, ...]
    tags: Mapping[str, str]

    def target(self, overrides: Mapping[str, str]) -> Target:
        """The same for one stack. AWS, UpdateStackSet: overridden parameter values "retain their overridden value"."""
        declared = self.template.parameters
        texts = {**self.texts, **{name: text for name, text in overrides.items() if name in declared}}
        return Target(self.template, texts, self.capabilities, self.tags)


@dataclass(frozen=True)
class AutoDeployment:
    """AWS, AutoDeployment."""

    enabled: bool
    retain: bool = False

    def shown(self) -> Shown:
        return {"Enabled": self.enabled, "RetainStacksOnAccountRemoval": self.retain if self.enabled else None}


@dataclass
class Instance:
    """A stack instance: a stack of the set in one account and Region, or the reason why there is none.

    `unit`: the root or OU through which it was targeted. `attempts`: how often a stack was begun to be created.
    """

    account: str
    region: str
    unit: str
    overrides: dict[str, str] = field(default_factory=dict)
    stack_id: str | None = None
    status: str = "OUTDATED"
    detailed_status: str = "PENDING"
    reason: str | None = None
    drift_status: str = "NOT_CHECKED"
    drift_checked: datetime | None = None
    last_operation: str | None = None
    attempts: int = 0

    @property
    def stack(self) -> Stack | None:
        """The stack, unless it was deleted."""
        found = find(self.account, self.region, self.stack_id) if self.stack_id else None
        return None if found is None or found.status == "DELETE_COMPLETE" else found

    def summary(self, stack_set: StackSet) -> Shown:
        """As ListStackInstances shows it."""
        return {
            "StackSetId": stack_set.id,
            "Region": self.region,
            "Account": self.account,
            "StackId": self.stack_id,
            "Status": self.status,
            "StatusReason": self.reason,
            "StackInstanceStatus": {"DetailedStatus": self.detailed_status},
            "OrganizationalUnitId": self.unit,
            "DriftStatus": self.drift_status,
            "LastDriftCheckTimestamp": self.drift_checked,
            "LastOperationId": self.last_operation,
        }

    def description(self, stack_set: StackSet) -> Shown:
        """As DescribeStackInstance shows it."""
        overrides = [{"ParameterKey": name, "ParameterValue": text} for name, text in self.overrides.items()]
        return {**self.summary(stack_set), "ParameterOverrides": overrides}


class StackSet:
    """A service-managed stack set. It stands where moto keeps its own, in the management account.

    `targets`: the OUs that accounts joining later are deployed to, each with its Regions.
    """

    def __init__(
        self,
        management: str,
        region: str,
        name: str,
        definition: Definition,
        auto_deployment: AutoDeployment,
        description: str | None = None,
    ) -> None:
        self.id = generate_stackset_id(name)
        self.arn = generate_stackset_arn(self.id, region, management)
        self.name = name
        self.management = management
        self.region = region
        self.definition = definition
        self.auto_deployment = auto_deployment
        self.description_text = description
        self.status = "ACTIVE"
        self.instances: dict[Place, Instance] = {}
        self.targets: dict[str, tuple[str, ...]] = {}
        self.operations: dict[str, Operation] = {}
        self.drift: Shown | None = None
        self.created_by: tuple[str | None, Any] = (None, None)
        self.changes = 0

    @property
    def unfinished(self) -> list[Operation]:
        """Operations that have not ended, in the order in which they take their turns."""
        return [operation for operation in self.operations.values() if operation.ended is None]

    def description(self) -> Shown:
        """As DescribeStackSet shows it."""
        defined = self.definition
        return {
            "StackSetName": self.name,
            "StackSetId": self.id,
            "StackSetARN": self.arn,
            "Description": self.description_text,
            "Status": self.status,
            "TemplateBody": defined.template.text,
            "Parameters": parameters.shown(defined.template, defined.texts),
            "Capabilities": list(defined.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in defined.tags.items()],
            "StackSetDriftDetectionDetails": self.drift or {"DriftStatus": "NOT_CHECKED"},
            "AutoDeployment": self.auto_deployment.shown(),
            "PermissionModel": "SERVICE_MANAGED",
            "OrganizationalUnitIds": list(self.targets),
            "ManagedExecution": {"Active": False},
            "Regions": list(dict.fromkeys(region for _, region in self.instances)),
        }

    def summary(self) -> Shown:
        """As ListStackSets shows it."""
        drift = self.drift or {"DriftStatus": "NOT_CHECKED"}
        return {
            "StackSetName": self.name,
            "StackSetId": self.id,
            "Description": self.description_text,
            "Status": self.status,
            "AutoDeployment": self.auto_deployment.shown(),
            "PermissionModel": "SERVICE_MANAGED",
            "DriftStatus": drift["DriftStatus"],
            "LastDriftCheckTimestamp": drift.get("LastDriftCheckTimestamp"),
            "ManagedExecution": {"Active": False},
        }


def stack_sets_in(management: str, region: str) -> dict[str, StackSet]:
    """Every stack set of an organization in a Region by its id, deleted ones among them.

    AWS, "StackSets concepts": "A StackSet is a regional resource".
    """
    found: dict[str, Any] = cloudformation_backends[management][region].stacksets
    return found


def all_stack_sets() -> Iterator[StackSet]:
    """Those of every organization in every Region that are not deleted."""
    for regions in list(cloudformation_backends.values()):
        for backend in list(regions.values()):
            stack_sets: list[Any] = list(backend.stacksets.values())
            yield from (stack_set for stack_set in stack_sets if stack_set.status == "ACTIVE")


def find_stack_set(management: str, region: str, name: str) -> StackSet | None:
    """A stack set by its name or id; a deleted one only by its id."""
    there = stack_sets_in(management, region)
    if name in there:
        return there[name]
    return next((each for each in there.values() if each.name == name and each.status == "ACTIVE"), None)


def stack_set_named(management: str, region: str, name: str, *, deleted: bool = False) -> StackSet:
    """A stack set by its name or id. Raises StackSetNotFound; `deleted`: those that are deleted count too."""
    found = find_stack_set(management, region, name)
    if found is None or (found.status == "DELETED" and not deleted):
        raise StackSetNotFound(name)
    return found
