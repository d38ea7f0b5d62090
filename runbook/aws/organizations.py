"""AWS Organizations: which organization an account is in, and the policies that bound what its members may do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.organization_tree import state_of
from runbook.environment import AccountError, Environment
from runbook.untrusted import Untrusted

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
        return str(environment.client("organizations", account).describe_organization()["Organization"]["Id"])
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return None


@dataclass(frozen=True)
class Organization:
    """An organization: what its members are called and how they are.

    `members` is None where they may not be listed; a member's status is `ACTIVE` or `SUSPENDED`, say.
    """

    id: str
    members: Mapping[str, tuple[Untrusted, str]] | None

    def active(self) -> tuple[str, ...]:
        """The accounts in use; none where they cannot be listed."""
        return tuple(account for account, (_, status) in (self.members or {}).items() if status == "ACTIVE")


def read_organization(environment: Environment, account: str) -> Organization | None:
    """The organization that `account` is in; None when it is in none or may not ask.

    Members are listed by the management account where the environment names it, else by `account`, which may do so as a
    delegated administrator.
    """
    identifier = organization_id(environment, account)
    if identifier is None:
        return None
    named = environment.file.accounts.get(MANAGEMENT)
    asking = named.account_id if named else account
    try:
        pages = environment.client("organizations", asking).get_paginator("list_accounts").paginate()
        members = {each["Id"]: (Untrusted(each["Name"]), state_of(each)) for page in pages for each in page["Accounts"]}
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        members = None
    except AccountError:
        members = None
    return Organization(identifier, members)


class ControlPolicies:
    """The organization's service and resource control policies, as one look finds them: nothing is asked twice.

    They are readable when the environment names the management account and its credentials may list policies.
    """

    def __init__(self, environment: Environment) -> None:
        self._management = environment.file.accounts.get(MANAGEMENT)
        self._client: OrganizationsClient | None = None
        if self._management:
            self._client = environment.client("organizations", self._management.account_id)
        self._parent = cache(self._read_parent)
        self._attached = cache(self._read_attached)
        self._document = cache(self._read_document)

    def in_force(self, account: str, kind: PolicyType) -> Levels | None:
        """Those that bound `account`; empty where there are none, None when they cannot be read."""
        if self._client is None or self._management is None:
            return None
        try:
            # Service control policies do not bound the management account itself.
            if kind not in self._enabled or (
                kind == "SERVICE_CONTROL_POLICY" and account == self._management.account_id
            ):
                return ()
            targets = [account]
            while parent := self._parent(targets[-1]):
                targets.append(parent)
            return tuple(self._attached(target, kind) for target in reversed(targets))
        except ClientError as error:
            aws_errors.raise_unless_answered(error)
            return None
        except AccountError:
            return None

    @cached_property
    def _enabled(self) -> tuple[str, ...]:
        (root,) = self._ask.list_roots()["Roots"]
        return tuple(each["Type"] for each in root["PolicyTypes"] if each["Status"] == "ENABLED")

    @property
    def _ask(self) -> "OrganizationsClient":
        assert self._client is not None
        return self._client

    def _read_parent(self, child: str) -> str:
        """What an account or organizational unit is in; nothing for the root."""
        if child.startswith("r-"):
            return ""
        (parent,) = self._ask.list_parents(ChildId=child)["Parents"]
        return parent["Id"]

    def _read_attached(self, target: str, kind: PolicyType) -> tuple[Mapping[str, Any], ...]:
        pages = self._ask.get_paginator("list_policies_for_target").paginate(TargetId=target, Filter=kind)
        return tuple(self._document(policy["Id"]) for page in pages for policy in page["Policies"])

    def _read_document(self, policy: str) -> Mapping[str, Any]:
        content: Mapping[str, Any] = json.loads(self._ask.describe_policy(PolicyId=policy)["Policy"]["Content"])
        return content
