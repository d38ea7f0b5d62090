"""A stack and what belongs to it: resources, events, change sets, outputs; and how the API shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from moto.cloudformation.models import CloudFormationBackend, cloudformation_backends
from moto.cloudformation.parsing import Export
from moto.cloudformation.utils import generate_stack_id
from moto.core.utils import iso_8601_datetime_with_milliseconds, utcnow
from moto.moto_api._internal import mock_random

from runbook.sandbox.callers import PARTITION, Caller
from runbook.sandbox.cloudformation import parameters
from runbook.sandbox.cloudformation.functions import Resolver
from runbook.sandbox.cloudformation.kinds import Properties, Resource, kind_of
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.templates import Reference, Template

if TYPE_CHECKING:
    from runbook.sandbox.cloudformation.change_sets import ChangeSet
    from runbook.sandbox.cloudformation.clockwork import Operation
    from runbook.sandbox.cloudformation.engine import Rollback

Shown = dict[str, Any]
"""A structure of the API, under its names in boto3."""

UPDATABLE = frozenset(
    {"CREATE_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
)
"""AWS, "Stack status codes": what an update can start from. ROLLBACK_COMPLETE: "only a delete operation"."""


@dataclass(frozen=True)
class Target:
    """What a stack is, or is about to be: a template with a text for each of its parameters."""

    template: Template
    texts: Mapping[str, str]
    capabilities: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    role_arn: str | None = None
    notification_arns: tuple[str, ...] = ()


class Event(NamedTuple):
    """One line of a stack's history. `unique` is its id, where that is random."""

    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    time: datetime
    token: str | None
    properties: Properties | None = None
    unique: str = ""

    @property
    def id(self) -> str:
        """As AWS makes it up: random, or the resource's name with the status and the time."""
        return self.unique or (f"{self.logical_id}-{self.status}-{iso_8601_datetime_with_milliseconds(self.time)}")


class Stack:
    """A stack of the sandbox. It stands among moto's stacks, and has the attributes that moto looks at."""

    def __init__(self, account: str, region: str, name: str, target: Target, **options: Any) -> None:
        self.stack_id = generate_stack_id(name, region, account)
        self.name = name
        self.account = account
        self.region = region
        self.target = target
        self.creation_time = utcnow()
        self.updated: datetime | None = None
        self.deleted: datetime | None = None
        self.status = ""
        self.reason: str | None = None
        self.disable_rollback = bool(options.get("disable_rollback"))
        self.enable_termination_protection = bool(options.get("termination_protection"))
        self.timeout_in_minutes: int | None = options.get("timeout")
        self.policy: str = options.get("policy") or ""
        self.resources: dict[str, Resource] = {}
        self.outputs: list[Shown] = []
        self.events: list[Event] = []
        self.change_sets: dict[str, ChangeSet] = {}
        self.executed_change_sets: list[ChangeSet] = []
        self.change_set_id: str | None = None
        self.operation: Operation | None = None
        self.caller: Caller | None = None  # with whose rights the latest operation acts; None: the seeded world's
        self.ended: float | None = None  # when the latest operation did, by the clock
        self.operations = 0
        self.unfinished_rollback: Rollback | None = None
        self.tokens: dict[str, str] = {}
        self.token: str | None = None

    # What moto looks at

    @property
    def tags(self) -> Mapping[str, str]:
        return self.target.tags

    @property
    def stack_resources(self) -> list[Resource]:
        return list(self.resources.values())

    @property
    def backend(self) -> CloudFormationBackend:
        backend: CloudFormationBackend = cloudformation_backends[self.account][self.region]
        return backend

    # Values

    def values(self, target: Target) -> dict[str, Any]:
        """The parameters of a target and the pseudo parameters, as templates see them."""
        return {
            "AWS::AccountId": self.account,
            "AWS::NotificationARNs": list(target.notification_arns),
            "AWS::Partition": PARTITION,
            "AWS::Region": self.region,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
            **parameters.values(target.template.parameters, target.texts, self.account, self.region),
        }

    def resolver(self, target: Target, *, masked: bool = False) -> Resolver:
        """Expressions of a target's template, with the resources that the stack has now.

        `masked`: with asterisks for what is secret, unless it is an empty parameter.
        """
        exports = {name: export.value for name, export in self.backend.exports.items()}
        values = self.values(target)
        if masked:
            values.update({name: parameters.MASK for name in target.template.secrets if target.texts[name]})
        return Resolver(target.template, values, self._masked if masked else self.reference, exports)

    def is_secret(self, reference: Reference) -> bool:
        """Whether it is a parameter that says NoEcho, or an attribute of a custom resource whose provider does."""
        resource = self.resources.get(reference.name)
        of_a_resource = resource is not None and resource.secret and bool(reference.attribute)
        return of_a_resource or reference.name in self.target.template.secrets

    def _masked(self, logical_id: str, attribute: str) -> Any:
        found = self.reference(logical_id, attribute)
        return parameters.MASK if self.is_secret(Reference(logical_id, attribute)) else found

    def reference(self, logical_id: str, attribute: str) -> Any:
        """A resource's physical id, or an attribute of it."""
        resource = self.resources.get(logical_id)
        if resource is None:
            raise ValidationError(
                f"Template error: instance of Fn::GetAtt references undefined resource {logical_id}"
                if attribute
                else f"Unresolved resource dependencies [{logical_id}] in the Resources block of the template"
            )
        if not attribute:
            return resource.physical_id
        return kind_of(resource.type).attribute(resource, attribute)

    # History

    def at(self) -> datetime:
        """When what happens now happens: an operation has times of its own, and no two events the same millisecond."""
        present = self.operation.time if self.operation is not None else utcnow()
        return max(present, self.events[-1].time + MILLISECOND) if self.events else present

    def becomes(self, status: str, reason: str | None = None) -> None:
        """Give the stack a status, with an event."""
        self.status, self.reason = status, reason
        unique = str(mock_random.uuid4())
        self.events.append(
            Event(
                self.name,
                self.stack_id,
                "AWS::CloudFormation::Stack",
                status,
                reason,
                self.at(),
                self.token,
                unique=unique,
            )
        )

    def resource_becomes(
        self,
        resource: Resource,
        status: str,
        reason: str | None = None,
        shown: Properties | None = None,
    ) -> None:
        """Give one of the resources a status, with an event. `shown`: the properties that it is about to have."""
        time = self.at()
        resource.status, resource.reason, resource.since = status, reason, time
        deletes = status.startswith("DELETE")
        self.events.append(
            Event(
                resource.logical_id,
                resource.physical_id,
                resource.type,
                status,
                reason,
                time,
                self.token,
                None if deletes else resource.shown if shown is None else shown,
                f"{resource.logical_id}-{mock_random.uuid4()}" if deletes else "",
            )
        )

    # Outputs

    def resolve_outputs(self) -> None:
        """Work out the outputs, and export those that say so. Raises ValidationError."""
        resolver = self.resolver(self.target)
        outputs: list[Shown] = []
        exports: dict[str, Export] = {}
        for key, output in self.target.template.outputs.items():
            if not resolver.condition(output.get("Condition")):
                continue
            value = resolver.value(output["Value"])
            name = resolver.value(output["Export"]["Name"]) if output.get("Export") else None
            if name is not None:
                exports[name] = Export(self.stack_id, name, str(value))
            outputs.append(
                {
                    "OutputKey": key,
                    "OutputValue": str(value),
                    "Description": output.get("Description"),
                    "ExportName": name,
                }
            )
        self._export(exports)
        self.outputs = outputs

    def withdraw_exports(self) -> None:
        """The stack is gone, and with it what it exported."""
        self._export({})

    def _export(self, exports: Mapping[str, Export]) -> None:
        there = self.backend.exports
        for name in exports:
            if name in there and there[name].exporting_stack_id != self.stack_id:
                other = there[name].exporting_stack_id.split("/")[1]
                raise ValidationError(f"Export with name {name} is already exported by stack {other}")
        for name in [name for name, export in there.items() if export.exporting_stack_id == self.stack_id]:
            del there[name]
        there.update(exports)

    # How the API shows it

    def description(self) -> Shown:
        """As DescribeStacks shows it."""
        target = self.target
        review = self.status == "REVIEW_IN_PROGRESS"
        return {
            "StackId": self.stack_id,
            "StackName": self.name,
            "ChangeSetId": self.change_set_id,
            "Description": None if review else target.template.description,
            "Parameters": [] if review else parameters.shown(target.template, target.texts),
            "CreationTime": self.creation_time,
            "LastUpdatedTime": self.updated,
            "DeletionTime": self.deleted,
            "RollbackConfiguration": {},
            "StackStatus": self.status,
            "StackStatusReason": self.reason,
            "DisableRollback": self.disable_rollback,
            "NotificationARNs": list(target.notification_arns),
            "TimeoutInMinutes": self.timeout_in_minutes,
            "Capabilities": list(target.capabilities),
            "Outputs": self.outputs or None,
            "RoleARN": target.role_arn,
            "Tags": [{"Key": key, "Value": value} for key, value in target.tags.items()],
            "EnableTerminationProtection": self.enable_termination_protection,
            "DriftInformation": NOT_CHECKED,
        }

    def summary(self) -> Shown:
        """As ListStacks shows it."""
        return {
            "StackId": self.stack_id,
            "StackName": self.name,
            "TemplateDescription": self.target.template.description,
            "CreationTime": self.creation_time,
            "LastUpdatedTime": self.updated,
            "DeletionTime": self.deleted,
            "StackStatus": self.status,
            "StackStatusReason": self.reason,
            "DriftInformation": NOT_CHECKED,
        }

    def resource_description(self, resource: Resource) -> Shown:
        """As DescribeStackResources shows a resource."""
        return {
            "StackName": self.name,
            "StackId": self.stack_id,
            "LogicalResourceId": resource.logical_id,
            "PhysicalResourceId": resource.physical_id,
            "ResourceType": resource.type,
            "Timestamp": resource.since,
            "ResourceStatus": resource.status,
            "ResourceStatusReason": resource.reason,
            "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
        }

    def event_description(self, event: Event) -> Shown:
        """As DescribeStackEvents shows it."""
        return {
            "StackId": self.stack_id,
            "EventId": event.id,
            "StackName": self.name,
            "LogicalResourceId": event.logical_id,
            "PhysicalResourceId": event.physical_id,
            "ResourceType": event.type,
            "Timestamp": event.time,
            "ResourceStatus": event.status,
            "ResourceStatusReason": event.reason,
            "ResourceProperties": None if event.properties is None else json.dumps(event.properties, default=str),
            "ClientRequestToken": event.token,
        }

    def require_updatable(self) -> None:
        """Raise ValidationError unless an update may begin."""
        if self.status not in UPDATABLE:
            raise ValidationError(f"Stack:{self.stack_id} is in {self.status} state and can not be updated.")


NOT_CHECKED = {"StackDriftStatus": "NOT_CHECKED"}
MILLISECOND = timedelta(milliseconds=1)


def all_stacks() -> Iterator[Stack]:
    """Every stack of every account and Region that is not deleted."""
    for regions in list(cloudformation_backends.values()):
        for backend in list(regions.values()):
            stacks: list[Any] = list(backend.stacks.values())
            yield from stacks


def find(account: str, region: str, name: str) -> Stack | None:
    """A stack by its name or its ARN; a deleted one only by its ARN."""
    backend = cloudformation_backends[account][region]
    stacks: list[Any] = list(backend.stacks.values())
    found: Stack | None = next((each for each in stacks if name in {each.name, each.stack_id}), None)
    if found is not None:
        return found
    deleted: Any = backend.deleted_stacks.get(name)
    gone: Stack | None = deleted
    return gone
