"""The parameters of a CloudFormation stack as something to change: by a change set, looked at before it is executed."""

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws_errors, markdown
from runbook.aws import template
from runbook.aws.cloudformation import WAIT_SECONDS, Pauses, Stack, StackError, read_settled_stack, read_stack_at
from runbook.aws.kinds import AllAtOnce, Report, Told, register
from runbook.environment import Environment
from runbook.plan import Change, Effect, Resource
from runbook.policy import document

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        DescribeChangeSetOutputTypeDef,
        ResourceChangeDetailTypeDef,
        ResourceChangeTypeDef,
    )

UPDATABLE = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
)
"""The statuses in which a stack takes an update. UPDATE_FAILED would too, but only after a look at what failed."""

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")
"""Acknowledged once more because CloudFormation asks again; the template is the one that is there already."""


TABLE = "AWS::DynamoDB::Table"


class UpdateRefused(StackError):
    """The update would do more than was planned; it was not made."""


class UpdateFailed(StackError):
    """CloudFormation could not make the update."""


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
        return _Update(environment, change, report).run()

    def tidy(self, environment: Environment, change: Change) -> None:
        """Delete the change set of a run that was cut off before it was executed, or while it was."""
        client: CloudFormationClient = environment.client(
            "cloudformation", change.resource.account, change.resource.region
        )
        for each in (change, change.reversed()):
            _delete_change_set(client, change.resource.arn, _change_set_name(each))

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
        sent = [
            {"ParameterKey": name, "ParameterValue": after[name]}
            if name in differing
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in after
        ]
        console = "; ".join(f"{name}: `{value}`" if value else f"{name}: empty" for name, value in differing.items())
        commands = (
            f"aws cloudformation create-change-set {named} --change-set-name allowlist --use-previous-template "
            "--parameters file://parameters.json --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM",
            f"aws cloudformation wait change-set-create-complete {named} --change-set-name allowlist",
            f"aws cloudformation describe-change-set {named} --change-set-name allowlist --query "
            "'Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]' --output table",
            f"aws cloudformation execute-change-set {named} --change-set-name allowlist",
            f"aws cloudformation wait stack-update-complete {named}",
        )
        parts = [
            "First look at what is there now. The change was planned against these values; if they differ, do nothing "
            "and make the plan again.",
            markdown.code_block(
                f"aws cloudformation describe-stacks {named} --query 'Stacks[0].Parameters' --output table", "sh"
            ),
            markdown.code_block(json.dumps(expected, indent=2), "json"),
            f"In account {resource.account}, Region {resource.region}: CloudFormation › Stacks › `{stack}` › Update › "
            f"Make a direct update › Use existing template › Next. Set {console}. Leave everything else as it is › "
            "Next, acknowledge that IAM resources might be created › Next. Under Change set preview nothing may be "
            f"removed or replaced{_but_for(change)} › Submit. Or, with the file `parameters.json`:",
            markdown.folded("parameters.json", markdown.code_block(json.dumps(sent, indent=2), "json")),
            markdown.code_block("\n".join(commands), "sh"),
            f"Run the fourth command only if the third shows that nothing is removed or replaced{_but_for(change)}.",
        ]
        return "\n\n".join(parts)


def _but_for(change: Change) -> str:
    removed = [effect.name for effect in change.effects if effect.action == "remove"]
    return f" but {markdown.names(removed, most=len(removed))}" if removed else ""


def _stack_name(resource: Resource) -> str:
    """`bucketav` of `arn:aws:cloudformation:eu-west-1:111111111111:stack/bucketav/1a2b…`."""
    return resource.arn.split("/")[1]


def _change_set_name(change: Change) -> str:
    """The same for the same change, so that what a run left behind is found by the next one."""
    content = json.dumps([change.resource.arn, change.before, change.after])
    return f"bucketav-runbook-{hashlib.sha256(content.encode()).hexdigest()[:20]}"


# --- an update -------------------------------------------------------------------------------------------------------


class _Update:
    """One update: make the change set, look at it, execute it, and wait."""

    def __init__(self, environment: Environment, change: Change, report: Report) -> None:
        self._environment = environment
        self._change = change
        self._resource = change.resource
        self._report = report
        self._name = _change_set_name(change)
        # Calls that are tried again, because their answer was lost, are known by it to be the same call.
        self._token = f"{self._name}-{time.time_ns()}"
        self._client: CloudFormationClient = environment.client(
            "cloudformation", change.resource.account, change.resource.region
        )

    def run(self) -> Told:
        """Make the update. Raises UpdateRefused before anything is changed, and UpdateFailed."""
        stack = read_settled_stack(self._environment, *self._where, self._report)
        if stack.status not in UPDATABLE:
            raise UpdateRefused(f"Stack `{stack.name}` is in {stack.status} and takes no update. {way_out(stack)}")
        _delete_change_set(self._client, self._resource.arn, self._name)
        self._report(f"Stack `{stack.name}`: making the change set.")
        changes = self._make_change_set(stack)
        if refused := self._moved_meanwhile() or self._objections(changes):
            _delete_change_set(self._client, self._resource.arn, self._name)
            raise UpdateRefused("\n".join(["The update was not made.", *refused]))
        told = [f"CloudFormation: {_shown(each)}." for each in changes]
        self._client.execute_change_set(
            ChangeSetName=self._name, StackName=self._resource.arn, ClientRequestToken=self._token
        )
        return (*told, self._wait(len(changes)))

    @property
    def _where(self) -> tuple[str, str, str]:
        return self._resource.account, self._resource.region, self._resource.arn

    def _make_change_set(self, stack: Stack) -> Sequence["ResourceChangeTypeDef"]:
        """What the update would do to each resource. Raises UpdateFailed when there is no such change set to be had."""
        wanted = from_text(self._change.after or "{}")
        self._client.create_change_set(
            StackName=self._resource.arn,
            ChangeSetName=self._name,
            ChangeSetType="UPDATE",
            ClientToken=self._token,
            Description="Made by bucketav-runbook.",
            UsePreviousTemplate=True,
            Parameters=[
                {"ParameterKey": name, "UsePreviousValue": True}
                if stack.parameters.get(name) == value
                else {"ParameterKey": name, "ParameterValue": value}
                for name, value in wanted.items()
            ],
            Capabilities=tuple(dict.fromkeys((*stack.capabilities, *CAPABILITIES))),  # type: ignore[arg-type]
        )
        pauses = Pauses()
        while (found := self._describe_change_set())["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            if pauses.seconds > WAIT_SECONDS:
                raise UpdateFailed(f"The change set {self._name} was never finished; the stack was not touched.")
            pauses.sleep()
        if found["Status"] != "CREATE_COMPLETE":
            reason = found.get("StatusReason", "no reason is given")
            _delete_change_set(self._client, self._resource.arn, self._name)
            raise UpdateFailed(f"CloudFormation makes no change set: {reason}. The stack was not touched.")
        return [change["ResourceChange"] for change in self._all_changes(found)]

    def _describe_change_set(self, **page: Any) -> "DescribeChangeSetOutputTypeDef":
        return self._client.describe_change_set(ChangeSetName=self._name, StackName=self._resource.arn, **page)

    def _all_changes(self, first: "DescribeChangeSetOutputTypeDef") -> Iterator[Any]:
        page = first
        while True:
            yield from page["Changes"]
            if not (token := page.get("NextToken")):
                return
            page = self._describe_change_set(NextToken=token)

    def _moved_meanwhile(self) -> list[str]:
        """What somebody else has changed before the change set was made, which it would put back as it was.

        What they change from now on is safe: a change set of a stack that was updated since cannot be executed.
        """
        stack = read_stack_at(self._environment, *self._where)
        if stack.busy:
            return [f"- Somebody else is updating stack `{stack.name}`: it is in {stack.status}."]
        if stack.parameters == from_text(self._change.before or "{}"):
            return []
        difference = document.difference(
            self._change.before, as_text(stack.parameters), name=self._resource.kind, sides=("expected", "found")
        )
        return [f"- Somebody else has changed the parameters of stack `{stack.name}` meanwhile:", difference]

    def _objections(self, changes: Sequence["ResourceChangeTypeDef"]) -> list[str]:
        """What the change set would replace or remove that was not planned, and what would be lost with it."""
        planned = {effect.name: effect for effect in self._change.effects if effect.action == "remove"}
        stay = staying(changes)
        found = []
        for each in changes:
            name, action = each["LogicalResourceId"], each["Action"]
            if action == "Remove" and name not in planned:
                found.append(f"- It would remove {_named(each)}.")
            elif action == "Remove":
                found += self._lost(each, planned[name])
            elif action not in ("Add", "Modify"):
                found.append(f"- It would {action} {_named(each)}, and what that means is not known.")
            elif action == "Modify" and name not in stay:
                may = "would" if each.get("Replacement") == "True" else "might"
                found.append(f"- It {may} replace {_named(each)}: a new one is made, and the old one deleted.")
        if found:
            found = [
                "It would do more than planned:",
                *found,
                "If that is what you want, make the update in the CloudFormation console.",
            ]
        return found

    def _lost(self, each: "ResourceChangeTypeDef", planned: Effect) -> list[str]:
        """A table may be removed with what it held when that was planned, not with what came later."""
        if each["ResourceType"] != TABLE:
            return []
        table = each["PhysicalResourceId"]
        items = count_items(self._environment, self._resource.account, self._resource.region, table)
        if items <= planned.holds:
            return []
        expected = f"; the plan knew of {planned.holds}" if planned.holds else ""
        return [
            f"- It would remove the table `{table}` with {markdown.count(items, 'item')}{expected}. "
            "Accounts are connected to bucketAV: disconnect them first."
        ]

    def _wait(self, number: int) -> str:
        """Until the update is through. Raises UpdateFailed with the reason when CloudFormation took it back."""
        pauses = Pauses()
        while (stack := read_stack_at(self._environment, *self._where)).busy:
            if pauses.seconds > WAIT_SECONDS:
                raise UpdateFailed(f"Stack `{stack.name}` is in {stack.status} since {pauses.seconds // 60} minutes.")
            self._report(f"Stack `{stack.name}`: {stack.status}, {self._done(number)}.")
            pauses.sleep()
        if stack.status == "UPDATE_COMPLETE":
            return f"CloudFormation: {stack.status} after {pauses.seconds} s."
        raise UpdateFailed(self._why(stack))

    def _done(self, number: int) -> str:
        """`3 of 7 resources done, the last was ScanQueuePolicy`."""
        done = [event for event in self._events() if event["ResourceStatus"].endswith("_COMPLETE")]
        names = list(dict.fromkeys(event["LogicalResourceId"] for event in done if event.get("PhysicalResourceId")))
        last = f", the last was {names[0]}" if names else ""
        return f"{len(names)} of {markdown.count(number, 'resource')} done{last}"

    def _events(self) -> list[Mapping[str, Any]]:
        """What this update has done so far to resources of the stack, the newest first.

        Only for telling it: what keeps us from reading them does not keep the update from going on.
        """
        found: list[Mapping[str, Any]] = []
        try:
            for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self._resource.arn):
                ours = [event for event in page["StackEvents"] if event.get("ClientRequestToken") == self._token]
                found += [event for event in ours if event.get("PhysicalResourceId") != self._resource.arn]
                if len(ours) < len(page["StackEvents"]):
                    break
        except (BotoCoreError, ClientError):
            pass
        return found

    def _why(self, stack: Stack) -> str:
        """What failed first is the reason; what failed after it was cancelled."""
        failed = [event for event in reversed(self._events()) if event["ResourceStatus"].endswith("_FAILED")]
        first = f"{failed[0]['LogicalResourceId']} ({failed[0]['ResourceType']})" if failed else ""
        reason = f"{first}: {failed[0].get('ResourceStatusReason', 'no reason is given')}" if failed else stack.reason
        if stack.status == "UPDATE_ROLLBACK_COMPLETE":
            return (
                f"CloudFormation could not make the update, and put everything back as it was. What failed: {reason}\n"
                "Put that right, then run the same command again."
            )
        return f"CloudFormation could not make the update: {stack.status}. What failed: {reason}\n{way_out(stack)}"


def way_out(stack: Stack) -> str:
    """What to do with a stack that takes no update; empty for one that does."""
    if stack.status in UPDATABLE:
        return ""
    if stack.busy:
        return "Run this again when that is over."
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        return (
            "An update failed, and could not be taken back either. In CloudFormation, put right what the events name, "
            "then choose Stack actions › Continue update rollback."
        )
    if stack.status == "UPDATE_FAILED":
        return "An update failed and was left as it is. In CloudFormation, choose Stack actions › Roll back."
    return "It was never set up completely, or is being deleted. Install bucketAV first."


def count_items(environment: Environment, account: str, region: str, table: str) -> int:
    """How many items a table has. DescribeTable's own number is up to six hours old."""
    client = environment.client("dynamodb", account, region)
    pages = client.get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    return sum(page["Count"] for page in pages)


def staying(changes: Sequence["ResourceChangeTypeDef"]) -> set[str]:
    """The logical ids of the resources that are modified and not replaced.

    CloudFormation calls a replacement conditional wherever a property that cannot be changed in place refers to another
    resource that is modified at all: the function of an AWS::Lambda::Permission, for example. What it refers to, the id
    or ARN, stays the same as long as that other resource stays.
    """
    stay = {each["LogicalResourceId"] for each in changes if each.get("Replacement") == "False"}
    in_question = [each for each in changes if each.get("Replacement") == "Conditional"]
    while found := {each["LogicalResourceId"] for each in in_question if _depends_on_ids_of(stay, each)} - stay:
        stay |= found
    return stay


def _depends_on_ids_of(names: Collection[str], each: "ResourceChangeTypeDef") -> bool:
    """Whether a resource would be replaced only if the id or ARN of one of these others changed."""
    deciding = [detail for detail in each["Details"] if detail["Target"].get("RequiresRecreation") != "Never"]
    return bool(deciding) and all(_refers_to_one_of(names, detail) for detail in deciding)


def _refers_to_one_of(names: Collection[str], detail: "ResourceChangeDetailTypeDef") -> bool:
    name, _, attribute = detail.get("CausingEntity", "").partition(".")
    by_reference = detail.get("ChangeSource") in ("ResourceReference", "ResourceAttribute")
    return by_reference and detail.get("Evaluation") == "Dynamic" and name in names and attribute in ("", "Arn")


def _shown(each: "ResourceChangeTypeDef") -> str:
    """`modify ScanQueuePolicy (AWS::SQS::QueuePolicy)`."""
    return f"{each['Action'].lower()} {_named(each)}"


def _named(each: "ResourceChangeTypeDef") -> str:
    return f"{each['LogicalResourceId']} ({each['ResourceType']})"


def _delete_change_set(client: "CloudFormationClient", stack: str, name: str) -> None:
    """Delete a change set that may not be there, or be executed already."""
    try:
        client.delete_change_set(ChangeSetName=name, StackName=stack)
    except ClientError as error:
        if aws_errors.code(error) not in ("ChangeSetNotFound", "InvalidChangeSetStatus", "ValidationError"):
            raise
