"""A CloudFormation stack as something to change: created from a template, updated by a change set, or deleted."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws import template
from runbook.aws.change_sets import Update, change_set_name, delete_change_set, parameters_to_send
from runbook.aws.cloudformation import NoSuchStack, Stack, StackError, read_settled_stack
from runbook.aws.kinds import MadeAsPlanned, Report, Told, register
from runbook.aws.likely_causes import likely_cause
from runbook.aws.stack_operations import Operation, OperationFailed
from runbook.aws.stacks_by_hand import LEFTOVER, instructions
from runbook.environment import Environment
from runbook.plan import Change, Effect, Resource
from runbook.policy import document
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

EMPTY = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE")
"""Statuses of a stack that has no resources: there is a name, and nothing behind it."""

BROKEN = ("CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED")
"""Statuses of a stack that has some of its resources, or may have; all that it takes is to be deleted."""

NOT_CREATED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_COMPLETE", "DELETE_FAILED")
"""Statuses in which a creation may have ended that did not succeed, or that was cut short by somebody's deletion."""

CREATE_MINUTES = 30
"""How long a stack may take to be created. A custom resource that nobody answers for would take an hour to fail."""


class CreationRefused(StackError):
    """The stack was not created, because something of its name is there already."""


# --- as plans hold them ----------------------------------------------------------------------------------------------


def resource_of(partition: str, account: str, region: str, name: str) -> Resource:
    """A stack, as plans name it, whether it is there or not."""
    arn = f"arn:{partition}:cloudformation:{region}:{account}:stack/{name}"
    return Resource(kind=WholeStack.name, account=account, region=region, arn=arn)


def as_text(body: str, parameters: Mapping[str, str], capabilities: tuple[str, ...], **more: Any) -> str:
    """A stack as JSON: the lines of its template, all of its parameters, and what was acknowledged.

    `more`: the `TemplateURL` that the template comes from, the `Tags` that a stack has; the `Status` of a broken one.
    """
    # Not splitlines: what is joined again has to be the same to the letter.
    values = {"Template": body.split("\n"), "Parameters": dict(parameters), "Capabilities": list(capabilities)}
    return json.dumps({**values, **{name: value for name, value in more.items() if value}}, ensure_ascii=False)


def body_of(values: Mapping[str, Any]) -> str:
    """The template of a value, to the letter."""
    return "\n".join(values["Template"])


def leftover(name: str) -> Effect:
    """What a plan says of the empty stack of a failed attempt that has to go first."""
    return Effect(action="remove", name=name, kind=LEFTOVER)


def read_stack_if_any(environment: Environment, account: str, region: str, name: str, report: Report) -> Stack | None:
    """A stack once no operation is going on in it; None when there is none. Raises StackError."""
    try:
        return read_settled_stack(environment, account, region, name, report)
    except NoSuchStack:
        return None


def owner_of(environment: Environment, account: str, region: str, physical_id: str) -> str:
    """The id of the stack in this Region that a resource belongs to; empty where there is none, or none to be seen."""
    client: CloudFormationClient = environment.client("cloudformation", account, region)
    try:
        found = client.describe_stack_resources(PhysicalResourceId=physical_id)["StackResources"]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return ""
    return found[0]["StackId"] if found else ""


def value_of(environment: Environment, account: str, region: str, stack: Stack | None) -> str | None:
    """A stack as plans hold it; None for one that has no resources. Raises StackError where it may not be read."""
    if stack is None or stack.status in EMPTY:
        return None
    client: CloudFormationClient = environment.client("cloudformation", account, region)
    try:
        body: Any = client.get_template(StackName=stack.arn, TemplateStage="Original")["TemplateBody"]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise StackError(
            f"The template of stack {code(stack.name)} cannot be read: {aws_errors.sentence(error)}."
        ) from None
    # boto3 hands out templates in JSON decoded.
    text = body if isinstance(body, str) else json.dumps(body, indent=2)
    broken = stack.status if stack.status in BROKEN else ""
    return as_text(text, stack.parameters, stack.capabilities, Tags=dict(stack.tags), Status=broken)


# --- the kind --------------------------------------------------------------------------------------------------------


@register
class WholeStack(MadeAsPlanned):
    """A stack with its template. What one account makes of it is no matter of the others."""

    name = "cloudformation.stack"
    independent = True

    def read(self, environment: Environment, resource: Resource) -> str | None:
        where = resource.account, resource.region
        stack = read_stack_if_any(environment, *where, resource.name, lambda _: None)
        return value_of(environment, *where, stack)

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        return _Write(environment, change, report).run()

    def tidy(self, environment: Environment, change: Change) -> None:
        """Delete the change set of a run that was cut off, and the empty stack that its attempt to create one left."""
        resource = change.resource
        stack = read_stack_if_any(environment, resource.account, resource.region, resource.name, lambda _: None)
        if stack is None:
            return
        client: CloudFormationClient = environment.client("cloudformation", resource.account, resource.region)
        for each in (change, change.reversed()):
            delete_change_set(client, stack.arn, change_set_name(each))
            if stack.status == "ROLLBACK_COMPLETE" and _is_ours(client, stack, each):
                _Write(environment, each, lambda _: None).delete(stack)
                return

    def same(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return one == other
        return bool(_meaning(json.loads(one)) == _meaning(json.loads(other)))

    def in_part(self, change: Change, present: str | None) -> bool:
        """What is left of a stack that could neither be created nor taken away again, or not be deleted completely."""
        if present is None:
            return False
        values, whole = json.loads(present), change.after or change.before
        return "Status" in values and self.same(json.dumps({**values, "Status": ""}), whole)

    def by_hand(self, change: Change) -> str:
        return instructions(change)


def _meaning(values: Mapping[str, Any]) -> Any:
    """What makes two stacks the same: template, parameters, and that both are whole.

    Where a template came from, how it is written down, and what was acknowledged makes no difference.
    """
    body = body_of(values)
    try:
        content: Any = template.parse(body)
    except template.NotKnown:
        content = body
    return content, values["Parameters"], values.get("Status") or ""


def _is_ours(client: "CloudFormationClient", stack: Stack, change: Change) -> bool:
    """Whether what became of a stack came of this very change, begun by an earlier run."""
    events = client.describe_stack_events(StackName=stack.arn)["StackEvents"]
    return any(event.get("ClientRequestToken", "").startswith(change_set_name(change)) for event in events)


class _Write:
    """One change of a stack."""

    def __init__(self, environment: Environment, change: Change, report: Report) -> None:
        self._environment = environment
        self._change = change
        self._resource = change.resource
        self._report = report
        # Calls that are tried again, because their answer was lost, are known by it to be the same call.
        self._token = f"{change_set_name(change)}-{time.time_ns()}"
        self._client: CloudFormationClient = environment.client(
            "cloudformation", change.resource.account, change.resource.region
        )

    def run(self) -> Told:
        """Make it. Raises CreationRefused and UpdateRefused before anything is changed, and OperationFailed."""
        resource = self._resource
        stack = read_stack_if_any(self._environment, resource.account, resource.region, resource.name, self._report)
        if self._change.after is None:
            return self.delete(stack) if stack else ()
        if stack is None:
            return self._create()
        if stack.status == "REVIEW_IN_PROGRESS":
            raise CreationRefused(
                f"Stack {code(stack.name)} is in REVIEW_IN_PROGRESS: somebody made a change set that would create it, "
                "and did not execute it. Delete the stack, or have them do so, and run this again."
            )
        if stack.status == "ROLLBACK_COMPLETE" and leftover(stack.name) not in self._change.effects:
            raise CreationRefused(
                f"Stack {code(stack.name)} is in ROLLBACK_COMPLETE: another attempt to create it has failed since the "
                "plan was made. Make the plan again: it says that what is left of it will be deleted."
            )
        if stack.status in (*EMPTY, *BROKEN):
            return (*self.delete(stack), *self._create())
        return _TemplateUpdate(self._environment, self._change, stack.arn, self._report).run()

    def _create(self) -> Told:
        name, values = self._resource.name, json.loads(self._change.after or "{}")
        if hidden := [each for each, value in values["Parameters"].items() if value and not value.strip("*")]:
            _refuse_hidden(name, values, hidden)
        tags: Any = [{"Key": key, "Value": value} for key, value in values.get("Tags", {}).items()]
        self._report(f"Stack {code(name)}: creating it.")
        stack_id = self._client.create_stack(
            StackName=name,
            TemplateBody=body_of(values),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values["Parameters"].items()],
            Capabilities=values["Capabilities"],
            TimeoutInMinutes=CREATE_MINUTES,
            OnFailure="ROLLBACK",
            ClientRequestToken=self._token,
            Tags=tags,
        )["StackId"]
        operation = Operation(self._environment, stack_id, self._token, self._report)
        stack = operation.wait(len(template.parse(body_of(values))["Resources"]))
        if stack.status not in NOT_CREATED:
            # Somebody else may have updated it since; whoever looks whether it is as planned will tell.
            return (
                f"CloudFormation: {name} in {self._resource.account}: CREATE_COMPLETE after {operation.seconds} s.",
            )
        reason = str(operation.failure() or stack.reason)
        left = "Nothing of it is left."
        try:
            if stack.status != "DELETE_COMPLETE":
                self.delete(stack)
        except OperationFailed as error:
            left = f"What is left of it could not be deleted. {error}"
        told = f"CloudFormation could not create stack {code(name)}. What failed: {reason}\n{left}"
        raise OperationFailed(f"{told} {likely_cause(reason)}".rstrip())

    def delete(self, stack: Stack) -> Told:
        """Delete the stack and wait. Raises OperationFailed."""
        self._report(f"Stack {code(stack.name)}: deleting it.")
        token = f"{self._token}-delete"
        self._client.delete_stack(StackName=stack.arn, ClientRequestToken=token)
        operation = Operation(self._environment, stack.arn, token, self._report)
        ended = operation.wait(_number_of_resources(self._change))
        if ended.status == "DELETE_COMPLETE":
            where = f"{stack.name} in {self._resource.account}"
            return (f"CloudFormation: {where}: {ended.status} after {operation.seconds} s.",)
        reason = str(operation.failure() or ended.reason)
        raise OperationFailed(
            f"CloudFormation could not delete stack {code(stack.name)}: {ended.status}. What failed: {reason}\n"
            f"{likely_cause(reason)}".rstrip()
        )


def _number_of_resources(change: Change) -> int:
    """How many resources the template of a change has; for telling how far it has come."""
    try:
        return len(template.parse(body_of(json.loads(change.before or change.after or "")))["Resources"])
    except (template.NotKnown, ValueError):
        return 0


def _refuse_hidden(name: str, values: Mapping[str, Any], parameters: list[str]) -> None:
    """What was never shown cannot be put back. Raises CreationRefused."""
    declared = template.parse(body_of(values)).get("Parameters", {})
    if hidden := [each for each in parameters if declared.get(each, {}).get("NoEcho") in (True, "true")]:
        raise CreationRefused(
            f"Stack {code(name)} cannot be created again as it was: AWS does not show the value of "
            f"{', '.join(hidden)}. Create it by hand."
        )


class _TemplateUpdate(Update):
    def _request(self, stack: Stack) -> Mapping[str, Any]:
        values = json.loads(self._change.after or "{}")
        return {
            "TemplateBody": body_of(values),
            "Parameters": parameters_to_send(stack.parameters, values["Parameters"]),
            "Capabilities": values["Capabilities"],
        }

    def _moved(self, stack: Stack) -> list[str]:
        present = value_of(self._environment, *self._where[:2], stack)
        if WholeStack().same(present, self._change.before):
            return []
        difference = document.difference(
            self._change.before, present, name=self._resource.kind, sides=("expected", "found")
        )
        return [f"- Somebody else has changed stack {code(stack.name)} meanwhile:", difference]
