"""StackSets' API, in place of moto's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from moto.cloudformation.responses import CloudFormationResponse
from moto.organizations.models import OrganizationsBackend

from runbook.sandbox.callers import organization_of
from runbook.sandbox.cloudformation import handlers
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.stacks import Shown
from runbook.sandbox.errors import NotImplementedInSandbox
from runbook.sandbox.stack_sets import access, drift, targets, work
from runbook.sandbox.stack_sets.refusals import (
    CreatedButModified,
    InvalidOperation,
    NameAlreadyExists,
    StackInstanceNotFound,
    StackSetNotEmpty,
    StackSetNotFound,
)
from runbook.sandbox.stack_sets.requests import Call, Overrides
from runbook.sandbox.stack_sets.sets import Instance, StackSet, find_stack_set, stack_sets_in
from runbook.sandbox.stack_sets.targets import Targets


def install() -> None:
    """Put these in place of moto's handlers."""
    for name, handler in _HANDLERS.items():
        setattr(CloudFormationResponse, name, handlers.locked(handler, Call))


# Trusted access


def activate_organizations_access(call: Call) -> Shown:
    access.activate(_managed(call))
    return {}


def deactivate_organizations_access(call: Call) -> Shown:
    access.deactivate(_managed(call))
    return {}


def describe_organizations_access(call: Call) -> Shown:
    """AWS, DescribeOrganizationsAccess: for the management account or a delegated administrator."""
    return {"Status": "ENABLED" if access.is_active(call.organization()) else "DISABLED"}


def _managed(call: Call) -> OrganizationsBackend:
    """AWS, "Activate trusted access": "you must be an administrator user in the management account"."""
    organization = organization_of(call.caller.account)
    if organization is None or access.management_of(organization) != call.caller.account:
        raise InvalidOperation("You must be the management account of an organization to change organizations access")
    return organization


# Stack sets


def create_stack_set(call: Call) -> Shown:
    name = call.new_name()
    if call.given.get("PermissionModel", "SELF_MANAGED") != "SERVICE_MANAGED":
        raise NotImplementedInSandbox(
            "The sandbox does not simulate stack sets with self-managed permissions. Pass "
            "PermissionModel=SERVICE_MANAGED."
        )
    organization = call.organization()
    access.require_trusted_access(organization)
    call.refuse("StackId")
    call.refuse_what_is_self_managed()
    management = access.management_of(organization)
    there = find_stack_set(management, call.region, name)
    if there is not None:
        if there.created_by == (call.token, call.request) and call.token is not None:
            if there.changes:
                raise CreatedButModified(name)
            return {"StackSetId": there.id}
        raise NameAlreadyExists(name)
    auto_deployment = call.auto_deployment()
    if auto_deployment is None:
        raise ValidationError("AutoDeployment is required for a stack set with SERVICE_MANAGED permissions")
    definition = call.definition(None)
    made = StackSet(management, call.region, name, definition, auto_deployment, call.given.get("Description"))
    made.created_by = (call.token, call.request)
    stack_sets_in(management, call.region)[made.id] = made
    return {"StackSetId": made.id}


def update_stack_set(call: Call) -> Shown:
    """AWS, UpdateStackSet: "Even if the StackSet operation created by updating the StackSet fails ..., the StackSet is
    updated with your changes".
    """
    stack_set = call.stack_set_to_change()
    repeated = call.repeated(stack_set)
    if repeated is not None:
        return repeated
    call.refuse_what_is_self_managed()
    if call.given.get("PermissionModel", "SERVICE_MANAGED") != "SERVICE_MANAGED":
        raise NotImplementedInSandbox("The sandbox does not change the permission model of a stack set.")
    call.require_idle(stack_set)
    auto_deployment = call.auto_deployment()
    if auto_deployment is not None and (call.given.get("DeploymentTargets") or call.given.get("Regions")):
        raise ValidationError("If you specify AutoDeployment, don't specify DeploymentTargets or Regions")
    selected = _to_update(call, stack_set)
    preferred = call.preferences()
    definition = call.definition(stack_set.definition)
    before = stack_set.definition
    # AWS, UpdateStackSet, DeploymentTargets: when template or parameters are specified, "CloudFormation marks all stack
    # instances with a status of OUTDATED". Assumed: when they become different.
    changes = before.template != definition.template or dict(before.texts) != dict(definition.texts)
    stack_set.definition, stack_set.changes = definition, stack_set.changes + 1
    stack_set.auto_deployment = auto_deployment or stack_set.auto_deployment
    stack_set.description_text = call.given.get("Description") or stack_set.description_text
    operable = [instance for instance in stack_set.instances.values() if instance.status != "INOPERABLE"]
    if changes:
        for instance in operable:
            instance.status, instance.detailed_status, instance.reason = "OUTDATED", "PENDING", None
    instances = [each for each in operable if selected is None or each in selected]
    return call.begin(stack_set, "UPDATE", instances, work.deploy, preferred)


def delete_stack_set(call: Call) -> Shown:
    """AWS, DeleteStackSet: "all its member stack instances must be deleted". One that does not exist is no error."""
    try:
        stack_set = call.stack_set()
    except StackSetNotFound:
        return {}
    call.require_idle(stack_set)
    if stack_set.instances:
        raise StackSetNotEmpty
    stack_set.status = "DELETED"
    return {}


def describe_stack_set(call: Call) -> Shown:
    return {"StackSet": call.stack_set(deleted=True).description()}


def list_stack_sets(call: Call) -> Shown:
    """AWS, ListStackSets: with SELF in a member account, the account's self-managed ones, of which there are none."""
    if call.is_self_of_a_member:
        return call.page("Summaries", [])
    there = stack_sets_in(access.management_of(call.organization()), call.region).values()
    wanted = call.given.get("Status")
    return call.page("Summaries", [each.summary() for each in there if wanted in {None, each.status}])


def list_stack_set_auto_deployment_targets(call: Call) -> Shown:
    found = [
        {"OrganizationalUnitId": unit, "Regions": list(regions)} for unit, regions in call.stack_set().targets.items()
    ]
    return call.page("Summaries", found)


# Stack instances


def create_stack_instances(call: Call) -> Shown:
    stack_set = call.stack_set_to_change()
    repeated = call.repeated(stack_set)
    if repeated is not None:
        return repeated
    chosen, regions = call.targets("CREATE"), call.regions()
    overrides = call.overrides(stack_set)
    preferred = call.preferences(regions)
    call.require_idle(stack_set)
    instances: list[Instance] = []
    for region in regions:
        for account, above in targets.members(call.organization()).items():
            if chosen.selects(account, above):
                instance = stack_set.instances.setdefault(
                    (account, region), Instance(account, region, chosen.unit_of(above))
                )
                _override(instance, overrides)
                instances.append(instance)
    for unit in chosen.units:
        stack_set.targets[unit] = tuple(dict.fromkeys([*stack_set.targets.get(unit, ()), *regions]))
    return call.begin(stack_set, "CREATE", instances, work.deploy, preferred, regions)


def update_stack_instances(call: Call) -> Shown:
    """AWS, UpdateStackInstances: "You can only update stack instances in Regions and accounts where they already
    exist". That it also creates what is missing of one is assumed; the API reference only says so of the others.
    """
    stack_set = call.stack_set_to_change()
    repeated = call.repeated(stack_set)
    if repeated is not None:
        return repeated
    chosen, regions = call.targets("UPDATE"), call.regions()
    overrides = call.overrides(stack_set)
    preferred = call.preferences(regions)
    call.require_idle(stack_set)
    instances = [each for each in call.selected(stack_set, chosen, regions) if each.status != "INOPERABLE"]
    if not instances:
        raise StackInstanceNotFound(f"the deployment targets in {', '.join(regions)}")
    for instance in instances:
        _override(instance, overrides)
    return call.begin(stack_set, "UPDATE", instances, work.deploy, preferred, regions)


def delete_stack_instances(call: Call) -> Shown:
    """AWS, "Delete stacks from CloudFormation StackSets": "Deleting stacks from a top-level organizational unit (OU)
    removes that OU as a StackSet target".
    """
    stack_set = call.stack_set_to_change()
    repeated = call.repeated(stack_set)
    if repeated is not None:
        return repeated
    chosen, regions = call.targets("DELETE"), call.regions()
    preferred = call.preferences(regions)
    retain = bool(call.given["RetainStacks"])
    call.require_idle(stack_set)
    instances = call.selected(stack_set, chosen, regions)
    if chosen.filter in {"NONE", "UNION"}:
        _forget(stack_set, chosen, regions, call.organization())
    does = partial(work.remove, retain=retain)
    return call.begin(stack_set, "DELETE", instances, does, preferred, regions, retain=retain)


def describe_stack_instance(call: Call) -> Shown:
    stack_set = call.stack_set()
    return {"StackInstance": call.instance(stack_set).description(stack_set)}


def list_stack_instances(call: Call) -> Shown:
    stack_set = call.stack_set()
    found = [
        instance.summary(stack_set)
        for instance in stack_set.instances.values()
        if call.given.get("StackInstanceAccount") in {None, instance.account}
        and call.given.get("StackInstanceRegion") in {None, instance.region}
        and all(_passes(instance, each) for each in call.given.get("Filters") or ())
    ]
    return call.page("Summaries", found)


def list_stack_instance_resource_drifts(call: Call) -> Shown:
    stack_set = call.stack_set()
    instance, operation = call.instance(stack_set), call.operation(stack_set)
    wanted = call.given.get("StackInstanceResourceDriftStatuses")
    stack = instance.stack
    if stack is None or instance.drift_status == "NOT_CHECKED" or operation.action != "DETECT_DRIFT":
        return call.page("Summaries", [])
    found = [
        {
            "StackId": stack.stack_id,
            "LogicalResourceId": each.resource.logical_id,
            "PhysicalResourceId": each.resource.physical_id,
            "ResourceType": each.resource.type,
            "PropertyDifferences": list(each.differences) or None,
            "StackResourceDriftStatus": each.status,
            "Timestamp": instance.drift_checked,
        }
        for each in drift.of(stack)
        if not wanted or each.status in wanted
    ]
    return call.page("Summaries", found)


# Operations


def describe_stack_set_operation(call: Call) -> Shown:
    return {"StackSetOperation": call.operation(call.stack_set(deleted=True)).description()}


def list_stack_set_operations(call: Call) -> Shown:
    operations = call.stack_set(deleted=True).operations.values()
    return call.page("Summaries", [operation.summary() for operation in reversed(operations)])


def list_stack_set_operation_results(call: Call) -> Shown:
    results = call.operation(call.stack_set(deleted=True)).results
    wanted = [set(each["Values"].split(",")) for each in call.given.get("Filters") or ()]
    found = [result.summary() for result in results if all(result.status in values for values in wanted)]
    return call.page("Summaries", found)


def stop_stack_set_operation(call: Call) -> Shown:
    operation = call.operation(call.stack_set())
    if operation.status not in {"RUNNING", "QUEUED"}:
        raise InvalidOperation(f"Operation {operation.id} is in state {operation.status} and cannot be stopped")
    operation.stop()
    return {}


def detect_stack_set_drift(call: Call) -> Shown:
    stack_set = call.stack_set_to_change()
    repeated = call.repeated(stack_set)
    if repeated is not None:
        return repeated
    preferred = call.preferences()
    call.require_idle(stack_set)
    return call.begin(stack_set, "DETECT_DRIFT", list(stack_set.instances.values()), work.detect, preferred)


# Helpers


def _to_update(call: Call, stack_set: StackSet) -> list[Instance] | None:
    """The instances that UpdateStackSet is to update, None for all. AWS: "To update all the stack instances associated
    with this StackSet, do not specify DeploymentTargets or Regions".
    """
    if not any(call.given.get(name) for name in ("DeploymentTargets", "Regions", "Accounts")):
        return None
    selected = call.selected(stack_set, call.targets("UPDATE"), call.regions())
    if not selected:
        raise StackInstanceNotFound("the deployment targets")
    return selected


def _override(instance: Instance, given: Overrides) -> None:
    """AWS, ParameterOverrides: without the list everything stays; what is not in the list is no longer overridden;
    UsePreviousValue leaves one as it is.
    """
    if given is None:
        return
    before = instance.overrides
    texts = {
        str(each["ParameterKey"]): before.get(str(each["ParameterKey"]))
        if each.get("UsePreviousValue")
        else str(each.get("ParameterValue", ""))
        for each in given
    }
    instance.overrides = {name: text for name, text in texts.items() if text is not None}


def _forget(stack_set: StackSet, chosen: Targets, regions: Sequence[str], organization: OrganizationsBackend) -> None:
    """Accounts that join these OUs later are no longer deployed to. OUs below one that is deleted from go with it."""
    parents = {unit.id: unit.parent_id for unit in organization.ou}
    for unit in list(stack_set.targets):
        above: str | None = unit
        while above is not None and above not in chosen.units:
            above = parents.get(above)
        if above is not None:
            left = tuple(region for region in stack_set.targets[unit] if region not in regions)
            if left:
                stack_set.targets[unit] = left
            else:
                del stack_set.targets[unit]


def _passes(instance: Instance, condition: Mapping[str, Any]) -> bool:
    """AWS, StackInstanceFilter: DETAILED_STATUS, LAST_OPERATION_ID or DRIFT_STATUS, with a value."""
    values = {
        "DETAILED_STATUS": instance.detailed_status,
        "LAST_OPERATION_ID": instance.last_operation,
        "DRIFT_STATUS": instance.drift_status,
    }
    name = str(condition.get("Name"))
    if name not in values:
        raise ValidationError(f"Filter {name} is not one of {', '.join(values)}")
    return values[name] in str(condition.get("Values")).split(",")


_HANDLERS: Mapping[str, Callable[[Call], Shown | None]] = {
    handler.__name__: handler
    for handler in (
        activate_organizations_access,
        create_stack_instances,
        create_stack_set,
        deactivate_organizations_access,
        delete_stack_instances,
        delete_stack_set,
        describe_organizations_access,
        describe_stack_instance,
        describe_stack_set,
        describe_stack_set_operation,
        detect_stack_set_drift,
        list_stack_instance_resource_drifts,
        list_stack_instances,
        list_stack_set_auto_deployment_targets,
        list_stack_set_operation_results,
        list_stack_set_operations,
        list_stack_sets,
        stop_stack_set_operation,
        update_stack_instances,
        update_stack_set,
    )
}
