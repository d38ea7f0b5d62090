"""Stack sets with service-managed permissions as CloudFormation shows them: definition, instances, operations.

Which account asks says whether it does so for itself or as a delegated administrator (`CallAs`): the organization's
management account is SELF, any other DELEGATED_ADMIN. So a plan holds the account only, and cannot contradict itself.
Source: CloudFormation API, CreateStackSet, CallAs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.organization_tree import management_account
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Resource
from runbook.untrusted import NOTHING, Untrusted, code

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

CallAs = Literal["SELF", "DELEGATED_ADMIN"]

RUNNING = ("RUNNING", "STOPPING", "QUEUED")
"""The statuses of an operation that is not over."""

SKIPPED = "SKIPPED_SUSPENDED_ACCOUNT"


class StackSetError(RunbookError):
    """A stack set, or what it needs, is not as it has to be."""


class StackSetUnreadable(StackSetError):
    """A stack set may not be read from the account that asks."""


@dataclass(frozen=True)
class StackSet:
    """What a stack set is made of; `units` are the OUs that it is deployed to, the root's id among them if it is.

    `template` is the text as CloudFormation holds it. `drift` is what the last drift detection said.
    """

    name: str
    arn: str
    description: str
    template: str
    parameters: Mapping[str, str]
    capabilities: tuple[str, ...]
    permission_model: str
    auto_deployment: Mapping[str, Any]
    units: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    managed_execution: bool = False
    drift: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """One stack of a stack set, or the record that one could not be made: where, and how it is.

    `status` is CURRENT, OUTDATED or INOPERABLE; `detail` what became of the last operation in that account; `unit` the
    OU (or root) that the operation was given, in which the account lies.
    """

    account: str
    region: str
    unit: str
    status: str
    detail: str = ""
    reason: Untrusted = NOTHING
    stack: str = ""
    drift: str = ""

    @property
    def current(self) -> bool:
        """Whether the stack is there, with the stack set's template and parameters of now."""
        return self.status == "CURRENT"

    @property
    def skipped(self) -> bool:
        """Whether there is nothing because the account is suspended."""
        return self.detail == SKIPPED


@dataclass(frozen=True)
class Operation:
    """Something that goes on, or went on, in a stack set: CREATE, UPDATE, DELETE or DETECT_DRIFT."""

    id: str
    action: str
    status: str

    @property
    def running(self) -> bool:
        """Whether it is not over."""
        return self.status in RUNNING


@dataclass(frozen=True)
class Administrator:
    """The account that stack sets are managed from, in one Region."""

    account: str
    region: str
    call_as: CallAs


def administrator_of(environment: Environment, account: str, region: str) -> Administrator:
    """How `account` has to call. Raises TreeUnreadable when it is in no organization, or may not ask."""
    own = management_account(environment, account) == account
    return Administrator(account, region, "SELF" if own else "DELEGATED_ADMIN")


def client_of(environment: Environment, administrator: Administrator) -> "CloudFormationClient":
    """Where its calls go."""
    client: CloudFormationClient = environment.client("cloudformation", administrator.account, administrator.region)
    return client


def arn_of(environment: Environment, account: str, region: str, name: str) -> str:
    """The ARN of a stack set, without the id at its end, which is another one each time it is created."""
    return f"arn:{environment.partition}:cloudformation:{region}:{account}:stackset/{name}"


def name_of(resource: Resource) -> str:
    """`bucketav-account-connection` of an ARN that ends in `:stackset/bucketav-account-connection` or the like."""
    return resource.arn.rsplit("/", 1)[-1]


def read_stack_set(environment: Environment, administrator: Administrator, name: str) -> StackSet | None:
    """The stack set of a name; None when there is none. Raises what AWS answers otherwise."""
    try:
        answer = client_of(environment, administrator).describe_stack_set(
            StackSetName=name, CallAs=administrator.call_as
        )
    except ClientError as error:
        if aws_errors.code(error) in ("StackSetNotFoundException", "StackSetNotFound"):
            return None
        raise
    found: Mapping[str, Any] = answer["StackSet"]
    if found.get("Status") == "DELETED":
        return None
    return StackSet(
        name=found["StackSetName"],
        arn=found.get("StackSetARN", ""),
        description=found.get("Description", ""),
        template=found.get("TemplateBody", ""),
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
        capabilities=tuple(found.get("Capabilities", [])),
        permission_model=found.get("PermissionModel", "SELF_MANAGED"),
        auto_deployment=dict(found.get("AutoDeployment", {})),
        units=tuple(found.get("OrganizationalUnitIds", [])),
        regions=tuple(found.get("Regions", [])),
        tags={each["Key"]: each["Value"] for each in found.get("Tags", [])},
        managed_execution=bool(found.get("ManagedExecution", {}).get("Active", False)),
        drift=dict(found.get("StackSetDriftDetectionDetails", {})),
    )


def read_instances(environment: Environment, administrator: Administrator, name: str) -> tuple[Instance, ...]:
    """All instances of a stack set, by OU and account; none where there is no such stack set."""
    try:
        found = list(_pages(environment, administrator, "list_stack_instances", StackSetName=name))
    except ClientError as error:
        if aws_errors.code(error) in ("StackSetNotFoundException", "StackSetNotFound"):
            return ()
        raise
    instances = [
        Instance(
            account=each["Account"],
            region=each["Region"],
            unit=each.get("OrganizationalUnitId", ""),
            status=each["Status"],
            detail=each.get("StackInstanceStatus", {}).get("DetailedStatus", ""),
            reason=Untrusted(each.get("StatusReason", "").rstrip(".")),
            stack=each.get("StackId", ""),
            drift=each.get("DriftStatus", ""),
        )
        for each in found
    ]
    return tuple(sorted(instances, key=lambda each: (each.unit, each.account, each.region)))


def running_operation(environment: Environment, administrator: Administrator, name: str) -> Operation | None:
    """What goes on in a stack set right now; None for nothing, or no such stack set."""
    try:
        for each in _pages(environment, administrator, "list_stack_set_operations", StackSetName=name):
            operation = Operation(each["OperationId"], each["Action"], each["Status"])
            if operation.running:
                return operation
    except ClientError as error:
        if aws_errors.code(error) not in ("StackSetNotFoundException", "StackSetNotFound"):
            raise
    return None


@dataclass(frozen=True)
class Look:
    """A stack set, None where there is none, with its instances and what goes on in it."""

    found: StackSet | None
    instances: tuple[Instance, ...]
    running: Operation | None


def look_at(environment: Environment, administrator: Administrator, name: str) -> Look:
    """All of a stack set. Raises StackSetUnreadable where it may not be read."""
    try:
        return Look(
            found=read_stack_set(environment, administrator, name),
            instances=read_instances(environment, administrator, name),
            running=running_operation(environment, administrator, name),
        )
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise StackSetUnreadable(f"Stack set {code(name)} cannot be read: {aws_errors.sentence(error)}.") from None


def service_managed(environment: Environment, administrator: Administrator) -> tuple[str, ...]:
    """The names of the organization's stack sets with service-managed permissions."""
    found = _pages(environment, administrator, "list_stack_sets", Status="ACTIVE")
    return tuple(each["StackSetName"] for each in found if each.get("PermissionModel") == "SERVICE_MANAGED")


def _pages(environment: Environment, administrator: Administrator, call: str, **arguments: Any) -> Iterator[Any]:
    """Every summary that a list call answers with."""
    client: Any = client_of(environment, administrator)
    for page in client.get_paginator(call).paginate(CallAs=administrator.call_as, **arguments):
        yield from page["Summaries"]
