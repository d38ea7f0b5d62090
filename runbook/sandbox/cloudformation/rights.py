"""With whose rights CloudFormation makes, changes and deletes resources, and whether those suffice."""

from __future__ import annotations

from collections.abc import Iterable

from moto.moto_api._internal import mock_random

from runbook.sandbox.authorization import decide, find_role, require
from runbook.sandbox.callers import Caller, role_caller, service_caller, through
from runbook.sandbox.cloudformation.actions import Action
from runbook.sandbox.cloudformation.kinds import ResourceFailed
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.errors import AccessDenied

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


def check(caller: Caller | None, account: str, actions: Iterable[Action]) -> None:
    """Raise ResourceFailed, with what the service and CloudFormation say, unless `caller` may do all of that.

    AWS, "Controlling access with IAM", "Using temporary credentials": CloudFormation makes calls "based on your
    credentials", so what its caller or a service control policy of the account does not allow fails here. Nobody is
    asked when there is no caller: the seeded world is just there.
    """
    if caller is None:
        return
    for action in actions:
        context = {"iam:PassedToService": action.passed_to} if action.passed_to else {}
        owner = action.resource.split(":")[4] or account
        try:
            require(caller, action.name, action.resource, owner, context)
        except AccessDenied as denied:
            raise ResourceFailed(_sentence(action, denied.message)) from denied


def _sentence(action: Action, message: str) -> str:
    """As the handlers of resource types say it."""
    prefix = action.name.partition(":")[0]
    service = _NAMES.get(prefix, prefix.capitalize())
    return (
        f'Resource handler returned message: "{message} (Service: {service}, Status Code: 403, '
        f'Request ID: {mock_random.uuid4()})" (RequestToken: {mock_random.uuid4()}, HandlerErrorCode: AccessDenied)'
    )


_NAMES = {"cloudwatch": "CloudWatch", "dynamodb": "DynamoDb", "logs": "CloudWatchLogs"}
