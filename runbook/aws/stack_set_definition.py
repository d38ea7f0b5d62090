"""A stack set's definition as something to change: created, updated in all of its instances, or deleted."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown, untrusted
from runbook.aws import template
from runbook.aws.kinds import MadeAsPlanned, Report, Told, register
from runbook.aws.stack_set_operations import Operations, wait_until_idle
from runbook.aws.stack_sets import (
    Administrator,
    Instance,
    StackSet,
    StackSetError,
    administrator_of,
    arn_of,
    client_of,
    name_of,
    read_instances,
    read_stack_set,
)
from runbook.environment import Environment
from runbook.plan import Change, Observation, Resource
from runbook.untrusted import code

DEFINITION = (
    "Description",
    "PermissionModel",
    "AutoDeployment",
    "Capabilities",
    "Parameters",
    "Tags",
    "ManagedExecution",
    "Template",
)
"""What a value says about the stack set itself. Besides, a value that was read may say which accounts are
`OutOfDate`, and one that is to be says which are to be `UpToDate` afterwards, and how to go about it."""


def resource_of(environment: Environment, account: str, region: str, name: str) -> Resource:
    """A stack set, as plans name it."""
    return Resource(
        kind=StackSetDefinition.name, account=account, region=region, arn=arn_of(environment, account, region, name)
    )


def definition(found: StackSet) -> dict[str, Any]:
    """What a stack set is made of, as plans hold it. A parameter that it does not name has the template's default."""
    values: dict[str, Any] = {
        "Description": found.description,
        "PermissionModel": found.permission_model,
        "AutoDeployment": dict(found.auto_deployment),
        "Capabilities": sorted(found.capabilities),
        "Parameters": _all_parameters(found),
    }
    values |= {"Tags": dict(found.tags)} if found.tags else {}
    values |= {"ManagedExecution": True} if found.managed_execution else {}
    # Not splitlines: what is joined again has to be the same to the letter.
    return values | {"Template": found.template.split("\n")}


def _all_parameters(found: StackSet) -> dict[str, str]:
    try:
        return template.with_defaults(template.parse(found.template), found.parameters)
    except template.NotKnown:
        return dict(found.parameters)


def as_text(values: Mapping[str, Any], instances: tuple[Instance, ...] = ()) -> str:
    """The value as plans hold it, with the accounts whose stacks are not as the stack set says."""
    behind = sorted({each.account for each in instances if not each.current and not each.skipped})
    return json.dumps({**values, **({"OutOfDate": behind} if behind else {})}, ensure_ascii=False)


def create_arguments(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateStackSet is sent, but for name, token and CallAs."""
    arguments = _common(wanted) | {"PermissionModel": wanted["PermissionModel"]}
    tags = wanted.get("Tags", {})
    return arguments | ({"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {})


def update_arguments(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What UpdateStackSet is sent, but for name, operation id and CallAs: it goes through all instances."""
    return _common(wanted) | _preferences(wanted)


def retry_arguments(wanted: Mapping[str, Any], behind: tuple[Instance, ...]) -> dict[str, Any]:
    """What UpdateStackSet is sent to reach only the accounts that an earlier one has not."""
    return _preferences(wanted) | {
        "UsePreviousTemplate": True,
        "Parameters": [{"ParameterKey": name, "UsePreviousValue": True} for name in wanted["Parameters"]],
        "Capabilities": wanted["Capabilities"],
        "DeploymentTargets": {
            "OrganizationalUnitIds": sorted({each.unit for each in behind}),
            "Accounts": sorted({each.account for each in behind}),
            "AccountFilterType": "INTERSECTION",
        },
        "Regions": sorted({each.region for each in behind}),
    }


def _common(wanted: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {
        "TemplateBody": "\n".join(wanted["Template"]),
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in wanted["Parameters"].items()],
        "Capabilities": wanted["Capabilities"],
        "AutoDeployment": wanted["AutoDeployment"],
    }
    active = {"ManagedExecution": {"Active": True}} if wanted.get("ManagedExecution") else {}
    return arguments | ({"Description": wanted["Description"]} if wanted.get("Description") else {}) | active


def _preferences(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {"OperationPreferences": wanted["OperationPreferences"]} if "OperationPreferences" in wanted else {}


@register
class StackSetDefinition(MadeAsPlanned):
    """A stack set without its instances. An update goes through all of them, so it may be made in part."""

    name = "cloudformation.stack-set"
    independent = False

    def read(self, environment: Environment, resource: Resource) -> str | None:
        """The definition once no operation goes on."""
        administrator = administrator_of(environment, resource.account, resource.region)
        name = name_of(resource)
        wait_until_idle(environment, administrator, name, lambda _: None)
        found = read_stack_set(environment, administrator, name)
        return as_text(definition(found), read_instances(environment, administrator, name)) if found else None

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        administrator = administrator_of(environment, change.resource.account, change.resource.region)
        return _Write(environment, administrator, change, report).run()

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""

    def same(self, one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return one == other
        some, others = json.loads(one), json.loads(other)
        return _definition(some) == _definition(others) and not (_missed(some, others) or _missed(others, some))

    def in_part(self, change: Change, present: str | None) -> bool:
        """All of it but for accounts that it has not reached, or in which a stack could not be made."""
        if present is None or change.after is None:
            return False
        return _definition(json.loads(present)) == _definition(json.loads(change.after))

    def by_hand(self, change: Change) -> str:
        name, resource = name_of(change.resource), change.resource
        where = f"In account {resource.account}, Region {resource.region}: CloudFormation › StackSets"
        if change.after is None:
            console = (
                f"{where} › {code(name)} › Actions › Delete StackSet, once it has no stack instances any more. Or:"
            )
            return f"{console}\n\n{_command('delete-stack-set', change, '')}"
        wanted = json.loads(change.after)
        parameters = "; ".join(f"{untrusted.text(key)}: {code(value)}" for key, value in wanted["Parameters"].items())
        body = markdown.folded("template.yaml", markdown.code_block("\n".join(wanted["Template"]), "yaml"))
        if change.before is None:
            arguments, verb = create_arguments(wanted), "create-stack-set"
            console = (
                f"{where} › Create StackSet › Service-managed permissions › Template is ready › Upload a template file "
                f"(the one below) › Next. StackSet name {code(name)}; {parameters} › Next. Acknowledge that IAM "
                "resources might be created with custom names › Next."
            )
        else:
            arguments, verb = update_arguments(wanted), "update-stack-set"
            console = (
                f"{where} › {code(name)} › Actions › Edit StackSet details › Replace current template (with the one "
                f"below) › Next. {parameters} › Next. Acknowledge that IAM resources might be created with custom "
                "names › Next › Submit."
            )
        request = {each: value for each, value in arguments.items() if each != "TemplateBody"}
        return "\n\n".join(
            [
                f"{console} Or, with the files `template.yaml` and `request.json`:",
                body,
                markdown.folded("request.json", markdown.code_block(json.dumps(request, indent=2), "json")),
                _command(verb, change, " --template-body file://template.yaml --cli-input-json file://request.json"),
            ]
        )


@register
class StackSetContent:
    """What a stack set is made of, for plans that only change where it is deployed to."""

    name = "cloudformation.stack-set-content"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        administrator = administrator_of(environment, resource.account, resource.region)
        found = read_stack_set(environment, administrator, name_of(resource))
        return as_text(definition(found)) if found else None


def content_of(environment: Environment, account: str, region: str, found: StackSet) -> Observation:
    """The observation that makes a plan out of date when the stack set is another one by then."""
    arn = arn_of(environment, account, region, found.name)
    resource = Resource(kind=StackSetContent.name, account=account, region=region, arn=arn)
    return Observation(resource=resource, value=as_text(definition(found)))


def call_as_option(change: Change) -> str:
    """` --call-as DELEGATED_ADMIN` where the plan says that the account has to say so."""
    for text in (change.after, change.before):
        if text is not None and "CallAs" in (values := json.loads(text)):
            return f" --call-as {values['CallAs']}"
    return ""


def _command(verb: str, change: Change, more: str) -> str:
    named = f"--region {change.resource.region} --stack-set-name {name_of(change.resource)}{call_as_option(change)}"
    return markdown.code_block(f"aws cloudformation {verb} {named}{more}", "sh")


def _definition(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in DEFINITION}


def _missed(some: Mapping[str, Any], others: Mapping[str, Any]) -> set[str]:
    """The accounts that are out of date in one value and up to date in the other."""
    return {*some.get("OutOfDate", [])} & {*others.get("UpToDate", [])}


class _Write:
    """One change of a stack set."""

    def __init__(self, environment: Environment, administrator: Administrator, change: Change, report: Report) -> None:
        self._environment = environment
        self._administrator = administrator
        self._change = change
        self._report = report
        self._name = name_of(change.resource)
        self._client: Any = client_of(environment, administrator)
        self._operations = Operations(environment, administrator, self._name, report)

    def run(self) -> Told:
        """Make it. Raises StackSetError, and OperationFailed when an update did not reach every account."""
        self._operations.wait_until_idle()
        found = read_stack_set(self._environment, self._administrator, self._name)
        if found:
            self._refuse_what_somebody_else_wrote(found)
        if self._change.after is None:
            return self._delete() if found else ()
        wanted = json.loads(self._change.after)
        if found is None:
            return self._create(wanted)
        if _definition(definition(found)) != _definition(wanted):
            return (self._operations.run("update_stack_set", update_arguments(wanted), "updated"),)
        instances = read_instances(self._environment, self._administrator, self._name)
        behind = tuple(each for each in instances if not each.current and not each.skipped)
        return (self._operations.run("update_stack_set", retry_arguments(wanted, behind), "updated"),) if behind else ()

    def _refuse_what_somebody_else_wrote(self, found: StackSet) -> None:
        """The last look before the write: an operation may have been waited for since the one before it."""
        known = [_definition(json.loads(text)) for text in (self._change.before, self._change.after) if text]
        if _definition(definition(found)) not in known:
            raise StackSetError(
                f"Stack set {code(self._name)} was made or changed by somebody else meanwhile, and was left as it is "
                "now. Make the plan again."
            )

    def _create(self, wanted: Mapping[str, Any]) -> Told:
        self._report(f"Stack set {code(self._name)}: creating it.")
        self._client.create_stack_set(
            StackSetName=self._name,
            # The same however often the call is repeated, so that a lost answer does no harm.
            ClientRequestToken=f"bucketav-runbook-{uuid.uuid4()}",
            CallAs=self._administrator.call_as,
            **create_arguments(wanted),
        )
        return (f"Stack set {code(self._name)}: created.",)

    def _delete(self) -> Told:
        self._report(f"Stack set {code(self._name)}: deleting it.")
        try:
            self._client.delete_stack_set(StackSetName=self._name, CallAs=self._administrator.call_as)
        except ClientError as error:
            if not aws_errors.code(error).startswith("StackSetNotEmpty"):
                raise
            raise StackSetError(
                f"Stack set {code(self._name)} still has instances, so that it cannot be deleted. Take its OUs out "
                "first (`remove_targets`), or all of them with `delete`."
            ) from None
        return (f"Stack set {code(self._name)}: deleted.",)
