"""CloudFormation stacks: what bucketAV's own says about itself."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.kinds import Report, register
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Observation, Resource
from runbook.untrusted import NOTHING, Untrusted, code, text

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef


PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds between two looks at an operation; the last again and again."""

WAIT_SECONDS = 3600
"""How long an operation is waited for. bucketAV's own updates take minutes."""


UPDATABLE = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
)
"""The statuses in which a stack takes an update. UPDATE_FAILED would too, but only after a look at what failed."""


class Pauses:
    """Time between looks at something that takes a while, longer and longer."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pauses = iter(PAUSES)

    @property
    def seconds(self) -> int:
        """How long it has been."""
        return round(time.monotonic() - self._began)

    def sleep(self) -> None:
        """Wait until the next look."""
        time.sleep(next(self._pauses, PAUSES[-1]))


class StackError(RunbookError):
    """There is no such stack, or it is not one of bucketAV's."""


class NoSuchStack(StackError):
    """There is no stack of that name."""


@dataclass(frozen=True)
class Stack:
    """A stack's name, status, parameters and outputs; list parameters are one string with commas, as AWS gives them.

    `protected` says that termination protection is on.
    """

    name: str
    status: str
    arn: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    capabilities: tuple[str, ...] = ()
    reason: Untrusted = NOTHING
    tags: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False

    @property
    def busy(self) -> bool:
        """Whether an operation is going on."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def product(self) -> str:
        """`Powered by ClamAV, version 2.19.3`."""
        engine = {"clamav": "ClamAV", "sophos": "Sophos"}.get(self.outputs.get("Engine", ""), "an unknown engine")
        return f"Powered by {engine}, version {text(self.outputs.get('Version', 'unknown'))}"

    def output(self, name: str) -> str:
        """An output's value. Raises StackError when the stack has none of that name."""
        if name not in self.outputs:
            raise StackError(
                f"Stack {code(self.name)} has no output {code(name)}. It is not a bucketAV stack, or one too old to "
                "say: correct `stack_name` in the environment, or update bucketAV."
            )
        return self.outputs[name]

    def parameter_list(self, name: str) -> tuple[str, ...]:
        """A CommaDelimitedList parameter's values; none when it is empty, or the stack does not have it."""
        return tuple(value.strip() for value in self.parameters.get(name, "").split(",") if value.strip())


def read_stack(environment: Environment, name: str | None = None) -> Stack:
    """A stack of account a in bucketAV's Region; bucketAV's own without `name`. Raises StackError if there is none."""
    return read_stack_at(environment, environment.account_a, environment.region, name or environment.stack_name)


def read_stack_at(environment: Environment, account: str, region: str, name: str) -> Stack:
    """A stack by its name or ARN. Raises StackError if there is none."""
    client: CloudFormationClient = environment.client("cloudformation", account, region)
    try:
        found = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        missing = aws_errors.code(error) == "ValidationError" and "does not exist" in str(error)
        raise (NoSuchStack if missing else StackError)(
            f"Stack {code(name)} cannot be read in {region} of account {environment.account_name(account)}: "
            f"{aws_errors.sentence(error)}. Correct `region`, `stack_name` or account `a` in {environment.where}."
        ) from None
    return stack_of(found)


def stack_of(found: "StackTypeDef") -> Stack:
    """A stack as DescribeStacks tells of it."""
    return Stack(
        name=found["StackName"],
        status=found["StackStatus"],
        arn=found["StackId"],
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
        outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        capabilities=tuple(found.get("Capabilities", [])),
        reason=Untrusted(found.get("StackStatusReason", "")),
        tags={each["Key"]: each["Value"] for each in found.get("Tags", [])},
        protected=found.get("EnableTerminationProtection", False),
    )


def read_settled_stack(environment: Environment, account: str, region: str, name: str, report: Report) -> Stack:
    """A stack once no operation is going on in it. Raises StackError when that takes more than WAIT_SECONDS."""
    pauses = Pauses()
    while (stack := read_stack_at(environment, account, region, name)).busy:
        if pauses.seconds > WAIT_SECONDS:
            raise StackError(
                f"Stack {code(stack.name)} has been in {stack.status} for {WAIT_SECONDS // 60} minutes now. "
                "See in CloudFormation what it waits for, and run this again when it is through."
            )
        report(f"Stack {code(stack.name)} is in {stack.status}: waiting until that is over.")
        pauses.sleep()
    return stack


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


@register
class ScanSettings:
    """What a plan for buckets takes from bucketAV's stack: the scan role, and whether it deletes and tags."""

    name = "cloudformation.scan-settings"

    def read(self, environment: Environment, resource: Resource) -> str | None:  # noqa: ARG002 (there is one such stack)
        return scan_settings(environment, read_stack(environment)).value


def scan_settings(environment: Environment, stack: Stack) -> Observation:
    """The observation that makes a plan out of date when these settings change; others may."""
    values = {"ScanRoleArn": stack.output("ScanRoleArn")}
    values |= {name: stack.parameters.get(name, "") for name in ("DeleteInfectedFiles", "TagFiles")}
    resource = Resource(kind=ScanSettings.name, account=environment.account_a, region=environment.region, arn=stack.arn)
    return Observation(resource=resource, value=json.dumps(values, sort_keys=True))
