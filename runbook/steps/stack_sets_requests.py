"""The calls that a plan's changes come to, worked out from the plan alone; and the console's 24 steps as fields of
them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.aws.stack_instances import StackInstances, preferences_of, requests
from runbook.aws.stack_parameters import StackParameters, from_text
from runbook.aws.stack_set_definition import StackSetDefinition, create_arguments, update_arguments
from runbook.aws.stack_sets import name_of
from runbook.aws.trusted_access import ENABLED, TrustedAccess, as_text
from runbook.plan import Change

CREATE_SET, UPDATE_SET, CREATE_INSTANCES = "CreateStackSet", "UpdateStackSet", "CreateStackInstances"
CHANGE_SET = "CreateChangeSet"


@dataclass(frozen=True)
class PlannedCall:
    """A call to CloudFormation that applying a plan makes, without ids that are made up then."""

    operation: str
    account: str
    arguments: Mapping[str, Any]


def planned_calls(changes: Iterable[Change]) -> list[PlannedCall]:
    """The calls that change something, in order; looking at what becomes of them takes more."""
    return [
        PlannedCall(operation, change.resource.account, arguments)
        for change in changes
        for operation, arguments in _calls(change)
    ]


def _calls(change: Change) -> Iterator[tuple[str, Mapping[str, Any]]]:
    match change.resource.kind:
        case StackParameters.name:
            yield CHANGE_SET, _change_set(change)
            yield "ExecuteChangeSet", {"StackName": change.resource.arn}
        case TrustedAccess.name:
            activate = change.after == as_text(ENABLED)
            yield f"{'Activate' if activate else 'Deactivate'}OrganizationsAccess", {}
        case StackSetDefinition.name:
            yield _definition(change)
        case StackInstances.name:
            for each in requests(change.before, change.after, change.resource.region, preferences_of(change)):
                operation = "".join(part.capitalize() for part in each.call.split("_"))
                yield operation, _named(change) | dict(each.arguments)


def _change_set(change: Change) -> dict[str, Any]:
    before, after = from_text(change.before or "{}"), from_text(change.after or "{}")
    return {
        "StackName": change.resource.arn,
        "UsePreviousTemplate": True,
        "Parameters": [
            {"ParameterKey": name, "UsePreviousValue": True}
            if before.get(name) == value
            else {"ParameterKey": name, "ParameterValue": value}
            for name, value in after.items()
        ],
    }


def _definition(change: Change) -> tuple[str, Mapping[str, Any]]:
    if change.after is None:
        return "DeleteStackSet", _named(change)
    wanted = json.loads(change.after)
    if change.before is None:
        return CREATE_SET, _named(change) | create_arguments(wanted)
    return UPDATE_SET, _named(change) | update_arguments(wanted)


def _named(change: Change) -> dict[str, Any]:
    values = json.loads(change.after or change.before or "{}")
    call_as = {"CallAs": values["CallAs"]} if "CallAs" in values else {}
    return {"StackSetName": name_of(change.resource), **call_as}


# --- the console's steps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConsoleStep:
    """One step of the page: the field of a request that stands for it, or why it needs none.

    `field` is a path such as `AutoDeployment.Enabled`, `member` the name in a list of parameters; without a field
    `why` says why there is none, and with one what there is to say about it.
    """

    entry: str
    operation: str = ""
    field: str = ""
    member: str = ""
    why: str = ""


CLICK = "A click in the console."

CONSOLE_STEPS = (
    ConsoleStep("organization-restriction", CHANGE_SET, "Parameters", "AWSOrganizationRestriction"),
    ConsoleStep("administrator", CREATE_SET, "CallAs", why="with the credentials of the administrator's account"),
    ConsoleStep("console", why="A place in the console: calls go to CloudFormation at once."),
    ConsoleStep("region", why="Every call goes to CloudFormation in bucketAV's Region, {region}."),
    ConsoleStep("list", why=CLICK),
    ConsoleStep("create", why="A click in the console: the call is named after it."),
    ConsoleStep("permissions", CREATE_SET, "PermissionModel"),
    ConsoleStep("template", CREATE_SET, "TemplateBody", why="complete as it was read"),
    ConsoleStep("template-source", CREATE_SET, "TemplateBody", why="read from S3 when the plan was made"),
    ConsoleStep("template-url", CREATE_SET, "TemplateBody", why="from {url}"),
    ConsoleStep("template-done", why=CLICK),
    ConsoleStep("name", CREATE_SET, "StackSetName"),
    ConsoleStep("stack-name-parameter", CREATE_SET, "Parameters", "BucketAVStackName"),
    ConsoleStep("account-id-parameter", CREATE_SET, "Parameters", "BucketAVAccountId"),
    ConsoleStep("parameters-done", why=CLICK),
    ConsoleStep("options", why="Defaults: neither tags nor managed execution are sent."),
    ConsoleStep("deployment", CREATE_INSTANCES, "DeploymentTargets", why="this call creates stacks, it imports none"),
    ConsoleStep("targets", CREATE_INSTANCES, "DeploymentTargets.OrganizationalUnitIds"),
    ConsoleStep("automatic-deployment", CREATE_SET, "AutoDeployment.Enabled"),
    ConsoleStep("account-removal", CREATE_SET, "AutoDeployment.RetainStacksOnAccountRemoval"),
    ConsoleStep("regions", CREATE_INSTANCES, "Regions"),
    ConsoleStep("targets-done", why=CLICK),
    ConsoleStep("capabilities", CREATE_SET, "Capabilities"),
    ConsoleStep("submit", why="Applying the plan makes the calls."),
)
"""Source: the entries of the outline from `stack-sets.organization-restriction` on, in the order of the page."""


def sent(step: ConsoleStep, calls: Iterable[PlannedCall]) -> tuple[str, Any] | None:
    """The operation and the value that a plan sends for a step; None when none of its calls does.

    An existing stack set is updated instead of created, with the same fields.
    """
    operations = (step.operation, UPDATE_SET) if step.operation == CREATE_SET else (step.operation,)
    for call in calls:
        if call.operation in operations and (value := _value(step, call.arguments)) is not None:
            return call.operation, value
    return None


def _value(step: ConsoleStep, arguments: Mapping[str, Any]) -> Any:
    value: Any = arguments
    for part in step.field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    if not step.member:
        return value
    return next((each.get("ParameterValue") for each in value if each["ParameterKey"] == step.member), None)
