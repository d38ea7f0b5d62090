"""The parameters of a CloudFormation stack as something to change: by a change set, looked at before it is executed."""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws import template
from runbook.aws.change_sets import (
    TABLE,
    Update,
    but_for,
    change_set_name,
    commands,
    count_items,
    delete_change_set,
    parameters_to_send,
)
from runbook.aws.cloudformation import Stack, read_settled_stack
from runbook.aws.kinds import AllAtOnce, Report, Told, register
from runbook.environment import Environment
from runbook.plan import Change, Effect, Resource
from runbook.policy import document
from runbook.untrusted import code, text

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")
"""Acknowledged once more because CloudFormation asks again; the template is the one that is there already."""


# --- as plans hold them ----------------------------------------------------------------------------------------------


def resource_of(environment: Environment, stack: Stack) -> Resource:
    """The parameters of a stack of account a, as plans name them."""
    return Resource(kind=StackParameters.name, account=environment.account_a, region=environment.region, arn=stack.arn)


def as_text(parameters: Mapping[str, str]) -> str:
    """All parameters as JSON. What has commas is a list there, so that differences show member by member."""
    shown = {name: value.split(",") if "," in value else value for name, value in parameters.items()}
    return json.dumps(shown, ensure_ascii=False)


def from_text(text: str) -> dict[str, str]:
    """The parameters that `as_text` wrote down, to the letter."""
    return {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in json.loads(text).items()
    }


def effects(environment: Environment, stack: Stack, wanted: Mapping[str, str]) -> tuple[Effect, ...]:
    """Which of the stack's resources come or go with the update, from its template; tables with what they hold.

    Raises template.NotKnown when the template, or what goes, cannot be read or worked out.
    """
    client: CloudFormationClient = environment.client("cloudformation", environment.account_a)
    try:
        body = client.get_template(StackName=stack.arn)["TemplateBody"]
        found = template.differences(template.parse(body), stack.parameters, wanted)
        return tuple(_with_items(environment, client, stack, effect) for effect in found)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise template.NotKnown(aws_errors.sentence(error)) from None


def _with_items(environment: Environment, client: "CloudFormationClient", stack: Stack, effect: Effect) -> Effect:
    if (effect.action, effect.kind) != ("remove", TABLE):
        return effect
    detail = client.describe_stack_resource(StackName=stack.arn, LogicalResourceId=effect.name)["StackResourceDetail"]
    items = count_items(environment, environment.account_a, environment.region, detail["PhysicalResourceId"])
    return effect.model_copy(update={"holds": items})


# --- the kind --------------------------------------------------------------------------------------------------------


@register
class StackParameters(AllAtOnce):
    """All parameters of a stack; those that are not shown (NoEcho) as asterisks, which is never sent anywhere.

    An update sends the parameters that differ and lets all others, and the template, be those that are there.
    """

    name = "cloudformation.stack-parameters"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        """The parameters once no operation is going on: in the middle of one they are not yet those that will stay."""
        stack = read_settled_stack(environment, resource.account, resource.region, resource.arn, lambda _: None)
        return as_text(stack.parameters)

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        return _ParametersUpdate(environment, change, change.resource.arn, report).run()

    def tidy(self, environment: Environment, change: Change) -> None:
        """Delete the change set of a run that was cut off before it was executed, or while it was."""
        client: CloudFormationClient = environment.client(
            "cloudformation", change.resource.account, change.resource.region
        )
        for each in (change, change.reversed()):
            delete_change_set(client, change.resource.arn, change_set_name(each))

    def same(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return one == other
        return from_text(one) == from_text(other)

    def by_hand(self, change: Change) -> str:
        before, after = from_text(change.before or "{}"), from_text(change.after or "{}")
        resource, stack = change.resource, _stack_name(change.resource)
        named = f"--region {resource.region} --stack-name {stack}"
        differing = {name: value for name, value in after.items() if before.get(name) != value}
        expected = {name: before.get(name, "") for name in differing}
        sent = parameters_to_send(before, after)
        console = "; ".join(
            f"{text(name)}: {code(value)}" if value else f"{text(name)}: empty" for name, value in differing.items()
        )
        arguments = (
            "--use-previous-template --parameters file://parameters.json "
            "--capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM"
        )
        parts = [
            "First look at what is there now. The change was planned against these values; if they differ, do nothing "
            "and make the plan again.",
            markdown.code_block(
                f"aws cloudformation describe-stacks {named} --query 'Stacks[0].Parameters' --output table", "sh"
            ),
            markdown.code_block(json.dumps(expected, indent=2), "json"),
            f"In account {resource.account}, Region {resource.region}: CloudFormation › Stacks › {code(stack)} › "
            f"Update › Make a direct update › Use existing template › Next. Set {console}. Leave everything else as it "
            "is › Next, acknowledge that IAM resources might be created › Next. Under Change set preview nothing may "
            f"be removed or replaced{but_for(change)} › Submit. Or, with the file `parameters.json`:",
            markdown.folded("parameters.json", markdown.code_block(json.dumps(sent, indent=2), "json")),
            markdown.code_block(commands(named, _by_hand_name(differing), arguments), "sh"),
            f"Run the fourth command only if the third shows that nothing is removed or replaced{but_for(change)}.",
        ]
        return "\n\n".join(parts)


def _by_hand_name(differing: Collection[str]) -> str:
    """What people call the change set: `allowlist`, or what is changed."""
    of_lists = all(name in ("AWSAccountRestriction", "AWSOrganizationRestriction") for name in differing)
    return "allowlist" if of_lists else "-".join(sorted(differing)).lower()


def _stack_name(resource: Resource) -> str:
    """`bucketav` of `arn:aws:cloudformation:eu-west-1:111111111111:stack/bucketav/1a2b…`."""
    return resource.arn.split("/")[1]


class _ParametersUpdate(Update):
    def _request(self, stack: Stack) -> Mapping[str, Any]:
        return {
            "UsePreviousTemplate": True,
            "Parameters": parameters_to_send(stack.parameters, from_text(self._change.after or "{}")),
            "Capabilities": list(dict.fromkeys((*stack.capabilities, *CAPABILITIES))),
        }

    def _moved(self, stack: Stack) -> list[str]:
        if stack.parameters == from_text(self._change.before or "{}"):
            return []
        difference = document.difference(
            self._change.before, as_text(stack.parameters), name=self._resource.kind, sides=("expected", "found")
        )
        return [f"- Somebody else has changed the parameters of stack {code(stack.name)} meanwhile:", difference]
