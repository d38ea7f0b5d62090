"""Trusted access: whether StackSets may work in the accounts of the organization, as its management account says."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.kinds import AllAtOnce, Report, Told, register
from runbook.aws.stack_sets import Administrator, StackSetError, administrator_of, client_of, service_managed
from runbook.environment import Environment
from runbook.plan import Change, Resource

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

ENABLED, DISABLED = "ENABLED", "DISABLED"


def as_text(status: str) -> str:
    """The value as plans hold it."""
    return json.dumps({"TrustedAccess": status})


def read_access(environment: Environment, administrator: Administrator) -> str | None:
    """`ENABLED`, `DISABLED` or `DISABLED_PERMANENTLY`; None where it may not be asked."""
    try:
        answer = client_of(environment, administrator).describe_organizations_access(CallAs=administrator.call_as)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return None
    return str(answer["Status"])


def resource_of(environment: Environment, organization: str, management: str) -> Resource:
    """Trusted access, as plans name it: it belongs to the organization."""
    arn = f"arn:{environment.partition}:organizations::{management}:organization/{organization}"
    return Resource(kind=TrustedAccess.name, account=management, region=environment.region, arn=arn)


@register
class TrustedAccess(AllAtOnce):
    """On or off. Source: outline `stack-sets.permissions`, and AWS, "Activate trusted access for stack sets"."""

    name = "cloudformation.trusted-access"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        status = read_access(environment, administrator_of(environment, resource.account, resource.region))
        if status is None:
            raise StackSetError(
                f"Whether StackSets has trusted access cannot be asked in {resource.account}: "
                "it takes cloudformation:DescribeOrganizationsAccess."
            )
        return as_text(status)

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        administrator = administrator_of(environment, change.resource.account, change.resource.region)
        client: CloudFormationClient = client_of(environment, administrator)
        report("StackSets: changing trusted access.")
        if change.after == as_text(ENABLED):
            client.activate_organizations_access()
            return ("CloudFormation StackSets has trusted access to the organization.",)
        if others := service_managed(environment, administrator):
            raise StackSetError(
                f"Trusted access was left on: {markdown.names(others)} would stop working without it. Delete these "
                f"stack sets first, or leave trusted access as it is: `--leave {change.resource.arn}`."
            )
        client.deactivate_organizations_access()
        return ("CloudFormation StackSets has no trusted access to the organization any more.",)

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def by_hand(self, change: Change) -> str:
        activate = change.after == as_text(ENABLED)
        verb, resource = ("activate" if activate else "deactivate"), change.resource
        return "\n\n".join(
            [
                f"In the management account {resource.account}: CloudFormation › StackSets › "
                f"{verb.capitalize()} trusted access with AWS Organizations. Or:",
                markdown.code_block(
                    f"aws cloudformation {verb}-organizations-access --region {resource.region}\n"
                    f"aws cloudformation describe-organizations-access --region {resource.region}",
                    "sh",
                ),
            ]
        )
