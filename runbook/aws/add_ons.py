"""The add-ons of bucketAV that are installed in account a: from their stacks' outputs, and from SSM parameters."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.cloudformation import Stack, read_stack_at, stack_of
from runbook.aws.kinds import register
from runbook.environment import Environment
from runbook.plan import Observation, Resource
from runbook.untrusted import Untrusted

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ssm import SSMClient

ROLE_OUTPUTS: Mapping[str, str] = {
    "move-clean": "MoveRoleArn",
    "move-no": "MoveRoleArn",
    "quarantine": "QuarantineRoleArn",
    "scheduled-bucket-scan": "RoleArn",
}
"""The add-ons that reach other accounts, and the output of their stacks that has the ARN of their role.

Source: outline `add-ons.supported`, `add-ons.target-bucket-role-arn`, `add-ons.scheduled-scan-role-arn`.
"""

CURRENT = "2.0.0"
"""Assumed: that add-ons are published under the number of the account-connection template, the only one that the
documentation states. What is older may not know connected accounts."""


@dataclass(frozen=True)
class AddOn:
    """One add-on's stack. `name` and `version` are as it says itself."""

    name: str
    version: Untrusted
    stack: Stack

    @property
    def reaches_other_accounts(self) -> bool:
        """Whether it is one of those that do."""
        return self.name in ROLE_OUTPUTS

    @property
    def role_arn(self) -> str:
        """Its role; empty where its stack does not say."""
        return self.stack.outputs.get(ROLE_OUTPUTS.get(self.name, ""), "")

    @property
    def target(self) -> str:
        """The bucket that it moves files to, by its own parameters; empty for another kind, or where it is not said."""
        return self.stack.parameters.get("TargetBucketName", "") if self.name != "scheduled-bucket-scan" else ""

    @property
    def scanned(self) -> tuple[str, ...]:
        """The buckets that it scans, by its own parameters: names, in which `*` stands for anything."""
        return self.stack.parameter_list("BucketName") if self.name == "scheduled-bucket-scan" else ()

    @property
    def old(self) -> bool:
        """Whether its version is older than the one that is known; not where that cannot be told."""
        found = re.fullmatch(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)", self.version.raw)
        return found is not None and tuple(map(int, found.groups())) < tuple(map(int, CURRENT.split(".")))


@dataclass(frozen=True)
class Installed:
    """What is installed; `listed` are names of add-ons and stacks that SSM knows of, None where it may not be asked."""

    add_ons: tuple[AddOn, ...]
    listed: Mapping[tuple[str, str], Untrusted] | None

    def called(self, word: str) -> tuple[AddOn, ...]:
        """Those of a name, or the one whose stack is called so."""
        by_stack = tuple(each for each in self.add_ons if each.stack.name == word)
        return by_stack or tuple(each for each in self.add_ons if each.name == word)


def template_url(name: str, version: str = CURRENT) -> str:
    """Where the vendor publishes an add-on's template."""
    return f"https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/{name}/v{version}/bucketav-add-on-{name}.yaml"


def read_add_ons(environment: Environment) -> Installed:
    """Look at the stacks of account a in bucketAV's Region, and at what SSM says of this bucketAV's add-ons."""
    client: CloudFormationClient = environment.client("cloudformation", environment.account_a)
    pages = client.get_paginator("describe_stacks").paginate()
    stacks = [stack_of(each) for page in pages for each in page["Stacks"]]
    found = [
        AddOn(stack.outputs["AddOn"], Untrusted(stack.outputs.get("Version", "")), stack)
        for stack in stacks
        if "AddOn" in stack.outputs and stack.parameters.get("BucketAVStackName") == environment.stack_name
    ]
    return Installed(tuple(sorted(found, key=lambda each: (each.name, each.stack.name))), _listed(environment))


def _listed(environment: Environment) -> Mapping[tuple[str, str], Untrusted] | None:
    """Versions by add-on and stack, from parameters `/bucketAV/<stack>/AddOn/<add-on>/<add-on stack>/Version`."""
    client: SSMClient = environment.client("ssm", environment.account_a)
    path = f"/bucketAV/{environment.stack_name}/AddOn/"
    try:
        pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        values = {each["Name"].removeprefix(path): each["Value"] for page in pages for each in page["Parameters"]}
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return None
    parts: Sequence[tuple[list[str], str]] = [(name.split("/"), value) for name, value in values.items()]
    return {(part[0], part[1]): Untrusted(value) for part, value in parts if len(part) == 3 and part[2] == "Version"}


@register
class AddOnSettings:
    """What a plan takes from an add-on's stack: its role, its version, and which buckets it is for."""

    name = "cloudformation.add-on"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        stack = read_stack_at(environment, resource.account, resource.region, resource.arn)
        return add_on_settings(
            AddOn(stack.outputs.get("AddOn", ""), Untrusted(stack.outputs.get("Version", "")), stack)
        ).value


def add_on_settings(add_on: AddOn) -> Observation:
    """The observation that makes a plan out of date when these settings change; others may."""
    values = {"AddOn": add_on.name, "Version": add_on.version.raw, "Role": add_on.role_arn}
    values |= {"TargetBucketName": add_on.target, "BucketName": ",".join(add_on.scanned)}
    _, _, _, region, account, _ = add_on.stack.arn.split(":", 5)
    resource = Resource(kind=AddOnSettings.name, account=account, region=region, arn=add_on.stack.arn)
    return Observation(resource=resource, value=json.dumps(values, sort_keys=True))
