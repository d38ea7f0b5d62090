"""CloudFormation's API for stacks and change sets, in place of moto's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from runbook.sandbox.callers import Caller, caller_of, through
from runbook.sandbox.cloudformation import change_sets, clockwork, engine, parameters, planning, rights
from runbook.sandbox.cloudformation.kinds import Resource
from runbook.sandbox.cloudformation.refusals import (
    AlreadyExists,
    ChangeSetNotFound,
    TokenAlreadyExists,
    ValidationError,
    no_such_stack,
    no_such_stack_to_change,
)
from runbook.sandbox.cloudformation.stacks import Shown, Stack, Target, all_stacks, find
from runbook.sandbox.cloudformation.template_urls import fetch
from runbook.sandbox.cloudformation.templates import SIZE_OF_A_BODY, Template, read
from runbook.sandbox.errors import NotImplementedInSandbox

EVENTS_IN_A_PAGE = 100
"""AWS: up to 1 MB, which is about as many."""

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_CHANGE_SET_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")

Parameters = Mapping[str, Any]
Handler = Callable[["Call"], Shown | None]
AnyCall = TypeVar("AnyCall")


class Call:
    """One request: its parameters under their names in boto3, and where it was sent."""

    def __init__(self, response: CloudFormationResponse) -> None:
        self.given: Parameters = response._get_params()
        self.account: str = response.current_account
        self.region: str = response.region
        self.caller: Caller = caller_of(dict(response.headers), service="cloudformation")

    def find(self, name: str) -> Stack | None:
        return find(self.account, self.region, name)

    def stack(self, missing: Callable[[str], ValidationError] = no_such_stack) -> Stack:
        """The stack that StackName names. Raises what `missing` says when there is none."""
        name = str(self.given["StackName"])
        found = self.find(name)
        if found is None:
            raise missing(name)
        return found

    @property
    def token(self) -> str | None:
        return self.given.get("ClientRequestToken")

    def template(self, present: Template | None) -> Template:
        """AWS, CreateStack: "You must specify either TemplateBody or TemplateURL"; an update may use the previous."""
        body, url = self.given.get("TemplateBody"), self.given.get("TemplateURL")
        if self.given.get("UsePreviousTemplate"):
            if body or url:
                raise ValidationError("You cannot specify both usePreviousTemplate and Template Body/Template URL.")
            if present is None:
                raise ValidationError("UsePreviousTemplate cannot be used to create a stack.")
            return present
        if body and url:
            raise ValidationError("Specify either TemplateBody or TemplateURL, not both.")
        if not body and not url:
            raise ValidationError("Either Template URL or Template Body must be specified.")
        if body and len(str(body).encode()) > SIZE_OF_A_BODY:
            raise ValidationError(
                f"1 validation error detected: Value '{str(body)[:100]}...' at 'templateBody' failed to satisfy "
                f"constraint: Member must have length less than or equal to {SIZE_OF_A_BODY}"
            )
        return read(str(body) if body else fetch(str(url), through(self.caller, rights.SERVICE), self.region))

    def target(self, stack: Stack | None) -> Target:
        """What the request asks for: everything of it checked, nothing changed."""
        present = stack.target if stack is not None and stack.status != "REVIEW_IN_PROGRESS" else None
        template = self.template(present.template if present else None)
        texts = parameters.passed(
            template.parameters, self.given.get("Parameters", []), present.texts if present else None
        )
        capabilities = tuple(self.given.get("Capabilities", []))
        template.require(list(capabilities))
        tags = self.given.get("Tags")
        arns = self.given.get("NotificationARNs")
        return Target(
            template=template,
            texts=texts,
            capabilities=capabilities,
            tags=present.tags if present and tags is None else {tag["Key"]: tag["Value"] for tag in tags or []},
            role_arn=self.given.get("RoleARN") or (present.role_arn if present else None),
            notification_arns=present.notification_arns if present and arns is None else tuple(arns or ()),
        )

    def acting(self, role_arn: str | None) -> Caller:
        """With whose rights CloudFormation works. `role_arn`: the stack's role, or the one that the call names."""
        return rights.acting(self.caller, role_arn, self.region, passes=bool(self.given.get("RoleARN")))

    def refuse(self, *names: str) -> None:
        """Options whose effect the sandbox does not simulate are loud errors."""
        for name in names:
            if self.given.get(name):
                raise NotImplementedInSandbox(f"The sandbox's CloudFormation does not simulate {name}.")


def install() -> None:
    """Put these in place of moto's handlers. What they answer needs no transformation."""
    CloudFormationResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER.clear()
    for name, handler in _HANDLERS.items():
        setattr(CloudFormationResponse, name, locked(handler, Call))


def locked(
    handler: Callable[[AnyCall], Shown | None], read: Callable[[CloudFormationResponse], AnyCall]
) -> Callable[[CloudFormationResponse], ActionResult]:
    """One of moto's handlers out of one of ours. `read` makes a call of moto's request."""

    @wraps(handler)
    def handle(response: CloudFormationResponse) -> ActionResult:
        with clockwork.LOCK:
            shown = handler(read(response))
            return EmptyResult() if shown is None else ActionResult(_without_nothing(shown))

    return handle


def _without_nothing(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {key: _without_nothing(value) for key, value in shown.items() if value is not None}
    return [_without_nothing(item) for item in shown] if isinstance(shown, list) else shown


# Stacks


def create_stack(call: Call) -> Shown:
    name = str(call.given["StackName"])
    _check_name(name)
    call.refuse("RetainExceptOnCreate", "ResourceTypes", "RollbackConfiguration")
    there = call.find(name)
    if there is not None and there.status != "REVIEW_IN_PROGRESS":
        if call.token is not None and there.tokens.get(call.token) == "CreateStack":
            return {"StackId": there.stack_id}
        raise AlreadyExists(f"Stack [{name}] already exists")
    if call.given.get("DisableRollback") and call.given.get("OnFailure"):
        raise ValidationError("You can specify either DisableRollback or OnFailure, but not both.")
    target = call.target(None)
    caller = call.acting(target.role_arn)
    on_failure = "DO_NOTHING" if call.given.get("DisableRollback") else str(call.given.get("OnFailure") or "ROLLBACK")
    stack = there or _new(call, name, target)
    stack.target = target
    stack.disable_rollback = on_failure == "DO_NOTHING"
    planning.changes(stack, target)  # raises what AWS refuses beforehand
    _remember(stack, call.token, "CreateStack")
    change_sets.make_obsolete(stack)
    _stacks_here(call)[stack.stack_id] = stack
    expected = clockwork.expected_steps(len(target.template.resources))
    clockwork.begin(stack, engine.creation(stack, on_failure=on_failure), expected, caller, token=call.token)
    return {"StackId": stack.stack_id}


def update_stack(call: Call) -> Shown:
    stack = call.stack(no_such_stack_to_change)
    call.refuse("DisableRollback", "RetainExceptOnCreate", "ResourceTypes", "RollbackConfiguration")
    if _remember(stack, call.token, f"UpdateStack {sorted(map(str, call.given.items()))}"):
        return {"StackId": stack.stack_id}
    try:
        stack.require_updatable()
        _refuse_stack_policy(stack)
        target = call.target(stack)
        caller = call.acting(target.role_arn)
        found = planning.changes(stack, target)
        if not planning.differs(stack, target, found):
            raise ValidationError("No updates are to be performed.")
    except Exception:
        stack.tokens.pop(call.token or "", None)
        raise
    change_sets.make_obsolete(stack)
    clockwork.begin(stack, engine.update(stack, target), clockwork.expected_steps(len(found)), caller, token=call.token)
    return {"StackId": stack.stack_id}


def delete_stack(call: Call) -> None:
    """AWS, DeleteStack: "If the stack ... doesn't exist", it succeeds all the same."""
    stack = call.find(str(call.given["StackName"]))
    if stack is None or stack.status in {"DELETE_COMPLETE", "DELETE_IN_PROGRESS"}:
        return
    call.refuse("DeletionMode")
    if stack.enable_termination_protection:
        raise ValidationError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    if stack.status.startswith("UPDATE") and stack.status.endswith("IN_PROGRESS"):
        raise ValidationError(f"Stack [{stack.stack_id}] cannot be deleted while in status {stack.status}")
    retain = tuple(call.given.get("RetainResources", ()))
    if retain and stack.status != "DELETE_FAILED":
        raise ValidationError(
            f"Invalid operation on stack [{stack.stack_id}]. Only stacks in DELETE_FAILED state can retain resources."
        )
    caller = call.acting(call.given.get("RoleARN") or stack.target.role_arn)
    stack.change_sets.clear()
    expected = clockwork.expected_steps(len(stack.resources))
    clockwork.begin(stack, engine.deletion(stack, retain), expected, caller, token=call.token)


def continue_update_rollback(call: Call) -> Shown:
    stack = call.stack(no_such_stack_to_change)
    rollback = stack.unfinished_rollback
    if stack.status != "UPDATE_ROLLBACK_FAILED" or rollback is None:
        raise ValidationError(f"Stack:{stack.stack_id} is in {stack.status} state and can not continue rollback.")
    skip = tuple(call.given.get("ResourcesToSkip", ()))
    caller = call.acting(call.given.get("RoleARN") or stack.target.role_arn)
    steps = engine.roll_back(stack, rollback, "User Initiated", skip)
    clockwork.begin(stack, steps, clockwork.expected_steps(len(rollback.undo)), caller, token=call.token)
    return {}


def update_termination_protection(call: Call) -> Shown:
    stack = call.stack(no_such_stack_to_change)
    stack.enable_termination_protection = bool(call.given["EnableTerminationProtection"])
    return {"StackId": stack.stack_id}


def describe_stacks(call: Call) -> Shown:
    """AWS, DescribeStacks: "If you don't pass a parameter to StackName, the API returns a response that describes all
    resources in the account"; a deleted stack needs "the stack ID".
    """
    if call.given.get("StackName"):
        return {"Stacks": [call.stack().description()]}
    return {"Stacks": [stack.description() for stack in all_stacks() if _is_here(stack, call)]}


def list_stacks(call: Call) -> Shown:
    wanted = call.given.get("StackStatusFilter")
    backend = cloudformation_backends[call.account][call.region]
    stacks: list[Any] = [*backend.stacks.values(), *backend.deleted_stacks.values()]
    return {"StackSummaries": [stack.summary() for stack in stacks if not wanted or stack.status in wanted]}


def describe_stack_events(call: Call) -> Shown:
    """AWS, DescribeStackEvents: "in reverse chronological order", in pages."""
    stack = call.stack(no_such_stack_to_change)
    newest_first = stack.events[::-1]
    start = _position(call, [event.id for event in newest_first])
    page = newest_first[start : start + EVENTS_IN_A_PAGE]
    rest = newest_first[start + EVENTS_IN_A_PAGE :]
    return {
        "StackEvents": [stack.event_description(event) for event in page],
        "NextToken": rest[0].id if rest else None,
    }


# Resources and templates


def describe_stack_resources(call: Call) -> Shown:
    physical_id = call.given.get("PhysicalResourceId")
    if not call.given.get("StackName"):
        for stack in all_stacks():
            if _is_here(stack, call) and physical_id in {each.physical_id for each in stack.resources.values()}:
                return {"StackResources": _resources(stack, call.given.get("LogicalResourceId"))}
        raise ValidationError(f"Stack for {physical_id} does not exist")
    return {"StackResources": _resources(call.stack(), call.given.get("LogicalResourceId"))}


def list_stack_resources(call: Call) -> Shown:
    stack = call.stack()
    return {
        "StackResourceSummaries": [
            {**stack.resource_description(each), "LastUpdatedTimestamp": each.since} for each in _shown(stack)
        ]
    }


def describe_stack_resource(call: Call) -> Shown:
    name, logical_id = str(call.given["StackName"]), str(call.given["LogicalResourceId"])
    found = call.find(name)
    if found is None:
        raise ValidationError(f"Stack '{name}' does not exist")
    resource = found.resources.get(logical_id)
    if resource is None:
        raise ValidationError(f"Resource {logical_id} does not exist for stack {name}")
    return {"StackResourceDetail": {**found.resource_description(resource), "LastUpdatedTimestamp": resource.since}}


def get_template(call: Call) -> Shown:
    """AWS, GetTemplate: the template body as it was submitted, of a stack or of a change set."""
    if call.given.get("ChangeSetName"):
        template = _change_set(call).order.target.template
    else:
        stack = call.stack()
        template = stack.target.template
    return {"TemplateBody": template.text, "StagesAvailable": ["Original", "Processed"]}


def get_template_summary(call: Call) -> Shown:
    if call.given.get("StackName"):
        stack = call.stack()
        if stack.status == "REVIEW_IN_PROGRESS":
            raise ValidationError("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
        template = stack.target.template
    else:
        template = call.template(None)
    return {
        **_summary(template),
        "ResourceTypes": list(dict.fromkeys(str(each["Type"]) for each in template.resources.values())),
        "Version": template.sections.get("AWSTemplateFormatVersion"),
    }


def validate_template(call: Call) -> Shown:
    """AWS, ValidateTemplate: the form only. moto asks cfn-lint, which the sandbox does without."""
    return _summary(call.template(None))


# Change sets


def create_change_set(call: Call) -> Shown:
    """AWS, CreateChangeSet, ChangeSetType: "By default, CloudFormation specifies UPDATE"."""
    call.refuse("ResourcesToImport", "ImportExistingResources", "IncludeNestedStacks", "ResourceTypes")
    call.refuse("RollbackConfiguration")
    name, stack_name = str(call.given["ChangeSetName"]), str(call.given["StackName"])
    if not _CHANGE_SET_NAME.fullmatch(name) or len(name) > 128:
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    kind = str(call.given.get("ChangeSetType", "UPDATE"))
    found = call.find(stack_name)
    if found is not None and found.status == "DELETE_COMPLETE":
        found = None
    if kind == "UPDATE":
        if found is None:
            raise no_such_stack_to_change(stack_name)
        found.require_updatable()
        _refuse_stack_policy(found)
        stack, target = found, call.target(found)
    elif kind == "CREATE":
        if found is not None and found.status != "REVIEW_IN_PROGRESS":
            raise ValidationError(
                f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{name}]."
            )
        _check_name(stack_name)
        target = call.target(None)
        stack = found or _in_review(call, stack_name, target)
    else:
        raise NotImplementedInSandbox(f"The sandbox's CloudFormation does not simulate ChangeSetType {kind}.")
    call.acting(target.role_arn)
    order = change_sets.Order(
        target,
        kind,
        call.given.get("Description"),
        call.given.get("ClientToken"),
        call.given.get("OnStackFailure"),
    )
    made = change_sets.create(stack, name, order)
    return {"Id": made.id, "StackId": stack.stack_id}


def describe_change_set(call: Call) -> Shown:
    call.refuse("IncludePropertyValues")
    change_set = _change_set(call)
    complete = change_set.status == "CREATE_COMPLETE"
    return {
        **change_set.description(),
        "Changes": [change.description() for change in change_set.changes] if complete else [],
    }


def list_change_sets(call: Call) -> Shown:
    stack = call.stack(no_such_stack_to_change)
    return {"Summaries": [change_set.summary() for change_set in stack.change_sets.values()]}


def execute_change_set(call: Call) -> Shown:
    call.refuse("DisableRollback", "RetainExceptOnCreate")
    change_set = _change_set(call)
    change_sets.execute(change_set, call.token, call.acting(change_set.order.target.role_arn))
    return {}


def delete_change_set(call: Call) -> Shown:
    """AWS, DeleteChangeSet: deleting one that does not exist is no error."""
    try:
        change_set = _change_set(call)
    except ChangeSetNotFound:
        return {}
    change_sets.delete(change_set)
    return {}


# Helpers


def _stacks_here(call: Call) -> dict[str, Any]:
    """moto's stacks of the account and Region, among which ours stand."""
    stacks: dict[str, Any] = cloudformation_backends[call.account][call.region].stacks
    return stacks


def _new(call: Call, name: str, target: Target) -> Stack:
    return Stack(
        call.account,
        call.region,
        name,
        target,
        termination_protection=call.given.get("EnableTerminationProtection"),
        timeout=call.given.get("TimeoutInMinutes"),
        policy=call.given.get("StackPolicyBody"),
    )


def _in_review(call: Call, name: str, target: Target) -> Stack:
    """AWS, CreateChangeSet: "CloudFormation creates a stack with a unique stack ID, but no template or resources. The
    stack will be in the REVIEW_IN_PROGRESS state until you execute the change set."
    """
    stack = _new(call, name, target)
    _stacks_here(call)[stack.stack_id] = stack
    stack.becomes("REVIEW_IN_PROGRESS", "User Initiated")
    return stack


def _change_set(call: Call) -> change_sets.ChangeSet:
    stack_name = call.given.get("StackName")
    return change_sets.by_name(call.account, call.region, stack_name, str(call.given["ChangeSetName"]))


def _remember(stack: Stack, token: str | None, what: str) -> bool:
    """Whether this very operation was asked for with that token before.

    AWS, UpdateStack, ClientRequestToken: "Specify this token if you plan to retry requests so that CloudFormation knows
    that you're not attempting to update a stack with the same name."
    """
    if token is None:
        return False
    if token in stack.tokens:
        if stack.tokens[token] == what:
            return True
        raise TokenAlreadyExists(token)
    stack.tokens[token] = what
    return False


def _refuse_stack_policy(stack: Stack) -> None:
    if stack.policy:
        raise NotImplementedInSandbox(f"Stack {stack.name} has a stack policy, which the sandbox does not evaluate.")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*"
        )
    if len(name) > 128:
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
            "have length less than or equal to 128"
        )


def _is_here(stack: Stack, call: Call) -> bool:
    return (stack.account, stack.region) == (call.account, call.region)


def _shown(stack: Stack) -> list[Resource]:
    return sorted(stack.resources.values(), key=lambda each: _place(stack, each))


def _place(stack: Stack, resource: Resource) -> int:
    order = list(stack.target.template.resources)
    return order.index(resource.logical_id) if resource.logical_id in order else len(order)


def _resources(stack: Stack, logical_id: str | None) -> list[Shown]:
    return [stack.resource_description(each) for each in _shown(stack) if logical_id in {None, each.logical_id}]


def _position(call: Call, ids: list[str]) -> int:
    token = call.given.get("NextToken")
    if token is None:
        return 0
    if token not in ids:
        raise ValidationError("The specified NextToken is invalid.")
    return ids.index(str(token))


def _summary(template: Template) -> Shown:
    capability, types = template.capability
    reason = f"The following resource(s) require capabilities: [{', '.join(types)}]"
    return {
        "Parameters": [_declaration(template, name) for name in template.parameters],
        "Description": template.description,
        "Capabilities": [capability] if capability else None,
        "CapabilitiesReason": reason if capability else None,
    }


def _declaration(template: Template, name: str) -> Shown:
    declared = template.parameters[name]
    default = declared.get("Default")
    return {
        "ParameterKey": name,
        "DefaultValue": None if default is None else str(default),
        "ParameterType": declared.get("Type", "String"),
        "NoEcho": name in template.secrets,
        "Description": declared.get("Description"),
        "ParameterConstraints": {"AllowedValues": [str(each) for each in declared["AllowedValues"]]}
        if "AllowedValues" in declared
        else {},
    }


_HANDLERS: Mapping[str, Handler] = {
    handler.__name__: handler
    for handler in (
        continue_update_rollback,
        create_change_set,
        create_stack,
        delete_change_set,
        delete_stack,
        describe_change_set,
        describe_stack_events,
        describe_stack_resource,
        describe_stack_resources,
        describe_stacks,
        execute_change_set,
        get_template,
        get_template_summary,
        list_change_sets,
        list_stack_resources,
        list_stacks,
        update_stack,
        update_termination_protection,
        validate_template,
    )
}
