"""AWS Organizations: which organization an account is in, and the policies that bound what its members may do."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from runbook.environment import AccountError, Environment

if TYPE_CHECKING:
    from mypy_boto3_organizations import OrganizationsClient

PolicyType = Literal["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"]

Levels = tuple[tuple[Mapping[str, Any], ...], ...]
"""The policies in force for an account, from the organization's root down to the account itself."""

MANAGEMENT = "management"
"""What an environment calls the organization's management account; only it may read the organization's policies."""


def organization_id(environment: Environment, account: str) -> str | None:
    """The id (`o-…`) of the organization that `account` is in; None when it is in none or may not ask."""
    try:
        answer = environment.client("organizations", account).describe_organization()
    except ClientError:
        return None
    return str(answer["Organization"]["Id"])


def control_policies(environment: Environment, account: str, kind: PolicyType) -> Levels | None:
    """The service or resource control policies in force for `account`; empty where none are, None when not readable.

    They are readable when the environment names the management account and its credentials may list policies.
    """
    management = environment.file.accounts.get(MANAGEMENT)
    if management is None:
        return None
    client: OrganizationsClient = environment.client("organizations", management.account_id)
    try:
        (root,) = client.list_roots()["Roots"]
        enabled = [each["Type"] for each in root["PolicyTypes"] if each["Status"] == "ENABLED"]
        # Service control policies do not bound the management account itself.
        if kind not in enabled or (kind == "SERVICE_CONTROL_POLICY" and account == management.account_id):
            return ()
        targets = [account, *_parents(client, account)]
        return tuple(tuple(_attached(client, target, kind)) for target in reversed(targets))
    except (ClientError, AccountError):
        return None


def _parents(client: "OrganizationsClient", child: str) -> Iterator[str]:
    """What an account is in, from its own organizational unit up to the root."""
    kind = ""
    while kind != "ROOT":
        (parent,) = client.list_parents(ChildId=child)["Parents"]
        child, kind = parent["Id"], parent["Type"]
        yield child


def _attached(client: "OrganizationsClient", target: str, kind: PolicyType) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("list_policies_for_target").paginate(TargetId=target, Filter=kind):
        for policy in page["Policies"]:
            yield json.loads(client.describe_policy(PolicyId=policy["Id"])["Policy"]["Content"])
