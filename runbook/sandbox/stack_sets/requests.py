"""One request to StackSets: who asks for what, everything checked before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.organizations.models import OrganizationsBackend

from runbook.sandbox.callers import organization_of
from runbook.sandbox.cloudformation import handlers, parameters
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.stacks import Shown
from runbook.sandbox.errors import NotImplementedInSandbox
from runbook.sandbox.stack_sets import access, preferences, targets
from runbook.sandbox.stack_sets.ids import unique
from runbook.sandbox.stack_sets.operations import Operation, add
from runbook.sandbox.stack_sets.preferences import Preferences
from runbook.sandbox.stack_sets.refusals import (
    OperationIdAlreadyExists,
    OperationInProgress,
    OperationNotFound,
    StackInstanceNotFound,
    StackSetNotFound,
)
from runbook.sandbox.stack_sets.sets import AutoDeployment, Definition, Instance, StackSet, stack_set_named
from runbook.sandbox.stack_sets.targets import Targets

PAGE = 100
"""AWS, ListStackInstances and the other lists, MaxResults: at most 100."""

MOST_TAGS = 50

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_OPERATION_ID = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")

Overrides = Sequence[Mapping[str, Any]] | None


class Call(handlers.Call):
    """One request to StackSets."""

    # Who asks, about what

    @property
    def call_as(self) -> str:
        return str(self.given.get("CallAs") or "SELF")

    def organization(self) -> OrganizationsBackend:
        """The organization whose stack sets it is about. Raises ValidationError."""
        return access.organization_for(self.caller, self.call_as)

    @property
    def is_self_of_a_member(self) -> bool:
        """AWS, CallAs: SELF means self-managed stack sets in an account that is not the management account."""
        organization = organization_of(self.caller.account)
        management = access.management_of(organization) if organization else ""
        return self.call_as == "SELF" and management != self.caller.account

    def stack_set(self, *, deleted: bool = False) -> StackSet:
        """The stack set that StackSetName names. Raises StackSetNotFound, ValidationError."""
        name = str(self.given["StackSetName"])
        if self.is_self_of_a_member:
            raise StackSetNotFound(name)
        owner = access.management_of(self.organization())
        return stack_set_named(owner, self.region, name, deleted=deleted)

    def stack_set_to_change(self) -> StackSet:
        """The same, for what needs trusted access."""
        stack_set = self.stack_set()
        access.require_trusted_access(self.organization())
        return stack_set

    def operation(self, stack_set: StackSet) -> Operation:
        """The operation that OperationId names. Raises OperationNotFound."""
        identifier = str(self.given["OperationId"])
        if identifier not in stack_set.operations:
            raise OperationNotFound(identifier)
        return stack_set.operations[identifier]

    def instance(self, stack_set: StackSet) -> Instance:
        """The instance that StackInstanceAccount and StackInstanceRegion name. Raises StackInstanceNotFound."""
        place = (str(self.given["StackInstanceAccount"]), str(self.given["StackInstanceRegion"]))
        if place not in stack_set.instances:
            raise StackInstanceNotFound(f"account {place[0]} in {place[1]}")
        return stack_set.instances[place]

    @property
    def request(self) -> str:
        """What is asked for, for comparison with a repeated request."""
        return repr(sorted((name, value) for name, value in self.given.items() if name != "CallAs"))

    # Operations

    def repeated(self, stack_set: StackSet) -> Shown | None:
        """The answer to a request that was made before. Raises OperationIdAlreadyExists, ValidationError.

        AWS, OperationId: "also functions as an idempotency token, to ensure that CloudFormation performs the StackSet
        operation only once, even if you retry the request multiple times".
        """
        identifier = self.given.get("OperationId")
        if identifier is not None:
            _check(str(identifier), "operationId", _OPERATION_ID)
        there = stack_set.operations.get(str(identifier))
        if there is None:
            return None
        if there.request != self.request:
            raise OperationIdAlreadyExists(there.id)
        return {"OperationId": there.id}

    def require_idle(self, stack_set: StackSet) -> None:
        """AWS, ManagedExecution, false: "StackSets performs one operation at a time". Raises OperationInProgress."""
        if stack_set.unfinished:
            raise OperationInProgress(stack_set.arn)

    def begin(
        self,
        stack_set: StackSet,
        action: str,
        instances: Iterable[Instance],
        work: Any,
        preferred: Preferences,
        regions: Sequence[str] = (),
        retain: bool | None = None,
    ) -> Shown:
        """Begin an operation, and answer with its id."""
        identifier = str(self.given.get("OperationId") or unique(f"{stack_set.id} {len(stack_set.operations)}"))
        operation = Operation(
            stack_set,
            identifier,
            action,
            instances,
            work,
            preferences=preferred,
            regions=regions,
            request=self.request,
            retain=retain,
            targets=self.given.get("DeploymentTargets"),
        )
        add(operation)
        return {"OperationId": identifier}

    def page(self, key: str, found: Sequence[Shown]) -> Shown:
        """One page of a list. AWS, NextToken."""
        size, token = int(self.given.get("MaxResults") or PAGE), str(self.given.get("NextToken") or "0")
        if not 1 <= size <= PAGE:
            raise ValidationError(f"MaxResults {size} is not between 1 and {PAGE}")
        if not (token.isascii() and token.isdecimal()) or int(token) > len(found):
            raise ValidationError("The specified NextToken is invalid.")
        start = int(token)
        more = start + size < len(found)
        return {key: list(found[start : start + size]), "NextToken": str(start + size) if more else None}

    # What is asked for

    def new_name(self) -> str:
        """AWS, CreateStackSet, StackSetName."""
        name = str(self.given["StackSetName"])
        _check(name, "stackSetName", _NAME)
        return name

    def refuse_what_is_self_managed(self) -> None:
        """AWS, AdministrationRoleARN, ExecutionRoleName: "Valid only if the permissions model is SELF_MANAGED".
        AWS, ManagedExecution: what conflicts with what is not documented.
        """
        for name in ("AdministrationRoleARN", "ExecutionRoleName"):
            if self.given.get(name):
                raise ValidationError(f"{name} is valid only if the permissions model is SELF_MANAGED")
        if (self.given.get("ManagedExecution") or {}).get("Active"):
            raise NotImplementedInSandbox("The sandbox's StackSets does not simulate ManagedExecution.")

    def auto_deployment(self) -> AutoDeployment | None:
        """AWS, AutoDeployment, RetainStacksOnAccountRemoval: "Specify only if Enabled is set to True"."""
        given = self.given.get("AutoDeployment")
        if not given:
            return None
        if given.get("DependsOn"):
            raise NotImplementedInSandbox("The sandbox's StackSets does not simulate AutoDeployment.DependsOn.")
        enabled, retain = bool(given.get("Enabled")), given.get("RetainStacksOnAccountRemoval")
        if retain and not enabled:
            raise ValidationError("RetainStacksOnAccountRemoval can be specified only if AutoDeployment is enabled")
        return AutoDeployment(enabled, bool(retain))

    def definition(self, present: Definition | None) -> Definition:
        """What the request makes of the stack set.

        AWS, "Create CloudFormation StackSets with service-managed permissions": it "can't deploy nested stacks".
        """
        template = self.template(present.template if present else None)
        nested = [name for name, each in template.resources.items() if each["Type"] == "AWS::CloudFormation::Stack"]
        if nested:
            raise ValidationError(
                f"StackSets with SERVICE_MANAGED permission model cannot deploy nested stacks: [{', '.join(nested)}]"
            )
        previous = present.texts if present else None
        texts = parameters.passed(template.parameters, self.given.get("Parameters", []), previous)
        capabilities = tuple(self.given.get("Capabilities", []))
        template.require(list(capabilities))
        tags = self.given.get("Tags")
        if tags is not None and len(tags) > MOST_TAGS:
            raise ValidationError(f"At most {MOST_TAGS} tags can be specified, not {len(tags)}")
        kept = present.tags if present and tags is None else {tag["Key"]: tag["Value"] for tag in tags or []}
        return Definition(template, texts, capabilities, kept)

    def targets(self, action: str) -> Targets:
        if self.given.get("Accounts"):
            raise ValidationError(
                "StackSets with SERVICE_MANAGED permission model can only have OrganizationalUnit as target"
            )
        return targets.read(self.given.get("DeploymentTargets"), self.organization(), action)

    def regions(self) -> tuple[str, ...]:
        regions = tuple(dict.fromkeys(self.given.get("Regions") or ()))
        if not regions:
            raise ValidationError("At least one value for Regions must be specified")
        unknown = [region for region in regions if region not in cloudformation_backends[self.account].regions]
        if unknown:
            raise ValidationError(f"Regions [{', '.join(unknown)}] do not exist")
        return regions

    def preferences(self, regions: Sequence[str] | None = None) -> Preferences:
        return preferences.read(self.given.get("OperationPreferences"), regions)

    def overrides(self, stack_set: StackSet) -> Overrides:
        """AWS, ParameterOverrides: "You can only override the parameter values that are specified in the StackSet".
        Raises ValidationError, also for values that the template does not allow.
        """
        given: Overrides = self.given.get("ParameterOverrides")
        definition = stack_set.definition
        named = {each.get("ParameterKey") for each in given or ()}
        others = [{"ParameterKey": name, "UsePreviousValue": True} for name in definition.texts if name not in named]
        parameters.passed(definition.template.parameters, [*(given or ()), *others], definition.texts)
        return given

    def selected(self, stack_set: StackSet, chosen: Targets, regions: Sequence[str]) -> list[Instance]:
        """The instances that an operation is about."""
        members = targets.members(self.organization())
        return [
            instance
            for (account, region), instance in stack_set.instances.items()
            if region in regions and chosen.selects(account, members.get(account, ()))
        ]


def _check(value: str, name: str, pattern: re.Pattern[str]) -> None:
    """AWS's sentences for what does not have the form of the API reference."""
    if not pattern.fullmatch(value):
        raise ValidationError(
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must "
            f"satisfy regular expression pattern: {pattern.pattern}"
        )
    if len(value) > 128:
        raise ValidationError(
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have "
            "length less than or equal to 128"
        )
