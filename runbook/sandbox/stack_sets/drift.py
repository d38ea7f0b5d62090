"""What has become of the resources of a stack since CloudFormation made them.

AWS, "Performing drift detection on CloudFormation StackSets": a stack instance has drifted if a resource of its stack
has. Roles are really compared here; every other type counts as IN_SYNC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import Role, iam_backends

from runbook.sandbox.callers import PARTITION
from runbook.sandbox.cloudformation.kinds import Resource
from runbook.sandbox.cloudformation.stacks import Shown, Stack


@dataclass(frozen=True)
class Drift:
    """What a resource has become. `differences`: the structure PropertyDifferences."""

    resource: Resource
    status: str
    differences: tuple[Shown, ...] = ()


def of(stack: Stack) -> tuple[Drift, ...]:
    """Every resource of a stack: IN_SYNC, MODIFIED or DELETED."""
    return tuple(_of(resource) for resource in stack.resources.values())


def _of(resource: Resource) -> Drift:
    if resource.type != "AWS::IAM::Role":
        return Drift(resource, "IN_SYNC")
    roles = iam_backends[resource.account][PARTITION].roles.values()
    role = next((role for role in roles if role.name == resource.physical_id), None)
    if role is None:
        return Drift(resource, "DELETED")
    differences = tuple(_differences(resource.properties, _present(role)))
    return Drift(resource, "MODIFIED" if differences else "IN_SYNC", differences)


def _present(role: Role) -> dict[str, Any]:
    """A role's properties, as a template has them."""
    return {
        "AssumeRolePolicyDocument": _document(role.assume_role_policy_document),
        "ManagedPolicyArns": sorted(role.managed_policies),
        "Policies": {name: _document(text) for name, text in role.policies.items()},
    }


def _differences(expected: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[Shown]:
    """AWS, PropertyDifference: NOT_EQUAL, or for what stands in a list ADD and REMOVE."""
    trust = _document(expected["AssumeRolePolicyDocument"])
    if trust != present["AssumeRolePolicyDocument"]:
        yield _difference("/AssumeRolePolicyDocument", trust, present["AssumeRolePolicyDocument"])
    arns = sorted(expected.get("ManagedPolicyArns") or [])
    if arns != present["ManagedPolicyArns"]:
        yield _difference("/ManagedPolicyArns", arns, present["ManagedPolicyArns"])
    policies = {each["PolicyName"]: _document(each["PolicyDocument"]) for each in expected.get("Policies") or []}
    for number, name in enumerate(dict.fromkeys((*policies, *present["Policies"]))):
        before, after = policies.get(name), present["Policies"].get(name)
        if before != after:
            yield _difference(f"/Policies/{number}", _policy(name, before), _policy(name, after))


def _difference(path: str, expected: Any, present: Any) -> Shown:
    kind = "ADD" if expected is None else "REMOVE" if present is None else "NOT_EQUAL"
    return {
        "PropertyPath": path,
        "ExpectedValue": json.dumps(expected),
        "ActualValue": json.dumps(present),
        "DifferenceType": kind,
    }


def _policy(name: str, document: Any) -> Any:
    return None if document is None else {"PolicyName": name, "PolicyDocument": document}


def _document(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
