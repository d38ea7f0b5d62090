"""What an update would change: the present stack against the new template and parameters, both resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.sandbox.cloudformation.functions import ABSENT
from runbook.sandbox.cloudformation.kinds import Resource
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.replacement import requires_recreation
from runbook.sandbox.cloudformation.stacks import Shown, Stack, Target
from runbook.sandbox.cloudformation.templates import Reference

KNOWN_LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""What a change set shows for a value that only exists once another resource is made."""


@dataclass(frozen=True)
class Change:
    """One resource that an update adds, modifies or removes, and why."""

    action: str
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: str | None = None
    details: tuple[Shown, ...] = ()
    policy_action: str | None = None

    @property
    def scope(self) -> list[str]:
        return list(dict.fromkeys(str(detail["Target"]["Attribute"]) for detail in self.details))

    def description(self) -> Shown:
        """As DescribeChangeSet shows it."""
        return {
            "Type": "Resource",
            "ResourceChange": {
                "PolicyAction": self.policy_action,
                "Action": self.action,
                "LogicalResourceId": self.logical_id,
                "PhysicalResourceId": self.physical_id,
                "ResourceType": self.type,
                "Replacement": self.replacement,
                "Scope": self.scope,
                "Details": list(self.details),
            },
        }


def changes(stack: Stack, target: Target) -> tuple[Change, ...]:
    """What becomes of the stack's resources, by logical id. Raises ValidationError for what AWS refuses beforehand."""
    return _Comparison(stack, target).changes()


def differs(stack: Stack, target: Target, found: tuple[Change, ...]) -> bool:
    """Whether there is anything to update.

    AWS, "Troubleshooting CloudFormation": an update has to change the template or parameter values.
    Outputs count, as cross-stack references need (the documentation says they do not; CDK relies on it).
    """
    present = stack.target
    return bool(
        found
        or dict(present.texts) != dict(target.texts)
        or present.template.outputs != target.template.outputs
        or dict(present.tags) != dict(target.tags)
        or present.role_arn != target.role_arn
        or present.notification_arns != target.notification_arns
    )


class _Comparison:
    def __init__(self, stack: Stack, target: Target) -> None:
        self._stack = stack
        self._target = target
        self._found: dict[str, Change] = {}
        self._resolver = stack.resolver(target)
        self._resolver._resource = self._reference
        before, after = stack.values(stack.target), stack.values(target)
        self._changed_values = {name for name in after if before.get(name, ABSENT) != after[name]}

    def changes(self) -> tuple[Change, ...]:
        active = self._resolver.active()
        self._refuse_other_types(active)
        for logical_id in active:
            change = self._change(logical_id)
            if change is not None:
                self._found[logical_id] = change
        for logical_id, resource in self._stack.resources.items():
            if logical_id not in active:
                retained = resource.definition.get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}
                self._found[logical_id] = Change(
                    "Remove",
                    logical_id,
                    resource.type,
                    resource.physical_id,
                    policy_action="Retain" if retained else "Delete",
                )
        return tuple(self._found[name] for name in sorted(self._found))

    def _refuse_other_types(self, active: list[str]) -> None:
        resources = self._target.template.resources
        other = [
            name
            for name in active
            if name in self._stack.resources and self._stack.resources[name].type != resources[name]["Type"]
        ]
        if other:
            raise ValidationError(
                "Update of resource type is not permitted. The new template modifies resource type of the following "
                f"resources: [{', '.join(other)}]"
            )

    def _change(self, logical_id: str) -> Change | None:
        definition = self._target.template.resources[logical_id]
        resource = self._stack.resources.get(logical_id)
        if resource is None:
            self._resolved(definition.get("Properties") or {})  # raises what AWS would
            return Change("Add", logical_id, definition["Type"])
        details = self._details(resource, definition)
        if not details:
            return None
        replacement = _replacement(details)
        retained = definition.get("UpdateReplacePolicy") == "Retain"
        return Change(
            "Modify",
            logical_id,
            resource.type,
            resource.physical_id,
            replacement,
            tuple(details),
            ("ReplaceAndRetain" if retained else "ReplaceAndDelete") if replacement == "True" else None,
        )

    def _details(self, resource: Resource, definition: Mapping[str, Any]) -> list[Shown]:
        """Why a resource changes, property by property.

        AWS, "Troubleshooting CloudFormation", no updates to perform: changes to a deletion policy, an update policy or
        a condition are not recognized as an update, those to a resource's metadata are.
        """
        old, new = resource.definition.get("Properties") or {}, definition.get("Properties") or {}
        details: list[Shown] = []
        for name in dict.fromkeys((*old, *new)):
            details += self._details_of_property(resource, name, old.get(name, ABSENT), new.get(name, ABSENT))
        if resource.definition.get("Metadata") != definition.get("Metadata"):
            details.append(_detail({"Attribute": "Metadata", "RequiresRecreation": "Never"}, "DirectModification"))
        return details

    def _details_of_property(self, resource: Resource, name: str, old: Any, new: Any) -> list[Shown]:
        """Why one property changes. AWS, ResourceChangeDetail, ChangeSource and Evaluation.

        Static: "CloudFormation can determine that the target value will change, and its value". Dynamic: it "can't
        determine the target value because it depends on the result of an intrinsic function, such as a Ref or
        Fn::GetAtt ... when the stack is updated". A parameter's change is there twice, as AWS shows it: the parameter
        reference is static, and beside it stands a dynamic direct modification.
        """
        self._resolver.seen.clear()
        value = ABSENT if new is ABSENT else self._resolved(new)
        seen = list(dict.fromkeys(self._resolver.seen))
        different = value != resource.properties.get(name, ABSENT)
        target = _target(resource.type, name)
        causes = [cause for each in seen if (cause := self._cause(each)) is not None]
        details = [
            _detail(target, source, entity, dynamic=True) for source, entity in causes if source != "ParameterReference"
        ]
        if not different:
            return details
        from_parameters = [
            _detail(target, source, entity) for source, entity in causes if source == "ParameterReference"
        ]
        if from_parameters:
            return [*from_parameters, _detail(target, "DirectModification", dynamic=True), *details]
        if old != new or not details:
            return [_detail(target, "DirectModification", dynamic=bool(details)), *details]
        return details

    def _resolved(self, expression: Any) -> Any:
        """The value, as far as it is known: what splits an ARN that does not exist yet has none."""
        start = len(self._resolver.seen)
        try:
            return self._resolver.value(expression)
        except Exception:
            if any(self._unknown(each.name) for each in self._resolver.seen[start:]):
                return KNOWN_LATER
            raise

    def _unknown(self, logical_id: str) -> bool:
        change = self._found.get(logical_id)
        return change is not None and (change.action == "Add" or change.replacement == "True")

    def _cause(self, reference: Reference) -> tuple[str, str] | None:
        """The change behind what an expression refers to, if there is one."""
        if reference.name in self._changed_values:
            return "ParameterReference", reference.name
        change = self._found.get(reference.name)
        if change is None:
            return None
        if reference.attribute:
            return "ResourceAttribute", f"{reference.name}.{reference.attribute}"
        moves = change.action == "Add" or change.replacement in {"True", "Conditional"}
        return ("ResourceReference", reference.name) if moves else None

    def _reference(self, logical_id: str, attribute: str) -> Any:
        if self._unknown(logical_id):
            return f"{KNOWN_LATER}{logical_id}.{attribute}"
        return self._stack.reference(logical_id, attribute)


def _target(kind: str, name: str) -> Shown:
    if name == "Tags":
        return {"Attribute": "Tags", "RequiresRecreation": "Never"}
    return {"Attribute": "Properties", "Name": name, "RequiresRecreation": requires_recreation(kind, name)}


def _detail(target: Shown, source: str, entity: str | None = None, *, dynamic: bool = False) -> Shown:
    return {
        "Target": target,
        "Evaluation": "Dynamic" if dynamic else "Static",
        "ChangeSource": source,
        "CausingEntity": entity,
    }


def _replacement(details: list[Shown]) -> str:
    """AWS, ResourceChange, Replacement: "if the RequiresRecreation field is Always and the Evaluation field is Static,
    Replacement is True. If the RequiresRecreation field is Always and the Evaluation field is Dynamic, Replacement is
    Conditional. If you have multiple changes with different RequiresRecreation values, the Replacement value depends on
    the change with the most impact."
    """
    impacts = {(detail["Target"]["RequiresRecreation"], detail["Evaluation"]) for detail in details}
    if ("Always", "Static") in impacts:
        return "True"
    return "Conditional" if any(recreation != "Never" for recreation, _ in impacts) else "False"
