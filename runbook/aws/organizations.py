"""AWS Organizations, as far as any member account may ask."""

from botocore.exceptions import ClientError

from runbook.environment import Environment


def organization_id(environment: Environment, account: str) -> str | None:
    """The id (`o-…`) of the organization that `account` is in; None when it is in none or may not ask."""
    try:
        answer = environment.client("organizations", account).describe_organization()
    except ClientError:
        return None
    return str(answer["Organization"]["Id"])
