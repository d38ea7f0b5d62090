"""With whose rights CloudFormation makes, changes and deletes resources."""

from __future__ import annotations

from runbook.sandbox.authorization import decide, find_role, require
from runbook.sandbox.callers import Caller, role_caller, service_caller, through
from runbook.sandbox.cloudformation.refusals import ValidationError

SERVICE = "cloudformation.amazonaws.com"


def acting(caller: Caller, role_arn: str | None, region: str, *, passes: bool) -> Caller:
    """The stack's service role, or else whoever calls.

    AWS, CreateStack, RoleARN: "CloudFormation uses the role's credentials to make calls on your behalf. CloudFormation
    always uses this role for all future operations on the stack." `passes`: the call names the role, so the caller has
    to be allowed to pass it (IAM User Guide, "Grant a user permissions to pass a role to an AWS service"); for an
    operation that only goes on using it, "CloudFormation uses this role ... even if the users ... don't have permission
    to pass it". Raises AccessDenied, or ValidationError for a role that CloudFormation cannot assume.
    """
    if role_arn is None:
        return through(caller, SERVICE)
    if passes:
        require(caller, "iam:PassRole", role_arn, caller.account, {"iam:PassedToService": SERVICE})
    role = find_role(role_arn)
    trusted = decide(service_caller(SERVICE), "sts:AssumeRole", role_arn, caller.account)
    if role is None or role.account_id != caller.account or not trusted.allowed:
        raise ValidationError(f"Role {role_arn} is invalid or cannot be assumed")
    return role_caller(role, "AWSCloudFormation", region)
