"""CloudFormation stacks: what bucketAV's own says about itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from runbook.aws import errors
from runbook.aws.kinds import register
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Observation, Resource


class StackError(RunbookError):
    """There is no such stack, or it is not one of bucketAV's."""


@dataclass(frozen=True)
class Stack:
    """A stack's name, status, parameters and outputs; list parameters are one string with commas, as AWS gives them."""

    name: str
    status: str
    arn: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    def output(self, name: str) -> str:
        """An output's value. Raises StackError when the stack has none of that name."""
        if name not in self.outputs:
            raise StackError(
                f"Stack `{self.name}` has no output `{name}`. It is not a bucketAV stack, or one too old to say: "
                "correct `stack_name` in the environment, or update bucketAV."
            )
        return self.outputs[name]

    def parameter_list(self, name: str) -> tuple[str, ...]:
        """A CommaDelimitedList parameter's values; none when it is empty, or the stack does not have it."""
        return tuple(value.strip() for value in self.parameters.get(name, "").split(",") if value.strip())


def read_stack(environment: Environment, name: str | None = None) -> Stack:
    """A stack of account a in bucketAV's Region; bucketAV's own without `name`. Raises StackError if there is none."""
    name = name or environment.stack_name
    client = environment.client("cloudformation", environment.account_a)
    try:
        found = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        raise StackError(
            f"Stack `{name}` cannot be read in {environment.region} of account "
            f"{environment.account_name(environment.account_a)}: {errors.sentence(error)}. "
            f"Correct `region`, `stack_name` or account `a` in {environment.where}."
        ) from None
    return Stack(
        name=found["StackName"],
        status=found["StackStatus"],
        arn=found["StackId"],
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
        outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
    )


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
