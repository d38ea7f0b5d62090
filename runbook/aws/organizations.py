"""AWS Organizations: which organization an account is in, and the policies that bound what its members may do."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.organization_tree import Member, Tree, Unit, enabled_in, state_of
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
    delegated administrator. A member is not asked for its organization: the list tells.
    """
    named = environment.file.accounts.get(MANAGEMENT)
    listed = _listed(environment, named.account_id) if named else None
    own = [each for each in listed or () if each["Id"] == account]
    identifier = own[0]["Arn"].split("/")[1] if own else organization_id(environment, account)
    if identifier is None:
        return None
    if named is None:
        listed = _listed(environment, account)
    members = None if listed is None else {each["Id"]: (Untrusted(each["Name"]), state_of(each)) for each in listed}
    return Organization(identifier, members)


def _listed(environment: Environment, asking: str) -> list[Mapping[str, Any]] | None:
    """The accounts of an organization as it lists them; None where `asking` may not."""
    try:
        pages = environment.client("organizations", asking).get_paginator("list_accounts").paginate()
        return [each for page in pages for each in page["Accounts"]]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return None
    except AccountError:
        return None


class _Once:
    """A function that is called once for the same arguments, however many threads ask; what it raises is not kept."""

    def __init__(self, read: Callable[..., Any]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._locks: dict[tuple[object, ...], threading.Lock] = {}
        self._found: dict[tuple[object, ...], Any] = {}

    def __call__(self, *arguments: object) -> Any:
        with self._lock:
            lock = self._locks.setdefault(arguments, threading.Lock())
        with lock:
            if arguments not in self._found:
                self._found[arguments] = self._read(*arguments)
            return self._found[arguments]


class ControlPolicies:
    """The organization's service and resource control policies, as one look finds them: nothing is asked twice.

    They are readable when the environment names the management account and its credentials may list policies. `tree`:
    the organization, where it was read already.
    """

    def __init__(self, environment: Environment, tree: Tree | None = None) -> None:
        self._environment = environment
        self._tree = tree
        self._members: set[str] = set()
        self._management = environment.file.accounts.get(MANAGEMENT)
        self._client: OrganizationsClient | None = None
        if self._management:
            self._client = environment.client("organizations", self._management.account_id)
        self._root = _Once(self._read_root)
        self._parent = _Once(self._read_parent)
        self._attached = _Once(self._read_attached)
        self._document = _Once(self._read_document)

    def in_force(self, account: str, kind: PolicyType) -> Levels | None:
        """Those that bound `account`; empty where there are none, None when they cannot be read."""
        if self._client is None or self._management is None:
            return None
        try:
            # Service control policies do not bound the management account itself.
            if kind not in self._enabled() or (
                kind == "SERVICE_CONTROL_POLICY" and account == self._management.account_id
            ):
                return ()
            targets = [account]
            while parent := self._parent(targets[-1]):
                targets.append(parent)
            self._members.add(account)
            return tuple(self._attached(target, kind) for target in reversed(targets))
        except ClientError as error:
            aws_errors.raise_unless_answered(error)
            return None
        except AccountError:
            return None

    def organization_of(self, account: str) -> str | None:
        """The id of the account's organization; None when it is in none, or may not ask.

        It is not asked where its policies were found: these are those of one organization.
        """
        if account not in self._members:
            return organization_id(self._environment, account)
        return self._tree.id if self._tree else str(self._root()["Arn"]).split("/")[1]

    def _enabled(self) -> tuple[str, ...]:
        return self._tree.policy_types if self._tree else enabled_in(self._root())

    @property
    def _ask(self) -> "OrganizationsClient":
        assert self._client is not None
        return self._client

    def _read_root(self) -> Mapping[str, Any]:
        (root,) = self._ask.list_roots()["Roots"]
        return root

    def _read_parent(self, child: str) -> str:
        """What an account or organizational unit is in; nothing for the root."""
        if child.startswith("r-"):
            return ""
        known: dict[str, Unit | Member] = {**self._tree.units, **self._tree.members} if self._tree else {}
        if child in known:
            return known[child].parent
        (parent,) = self._ask.list_parents(ChildId=child)["Parents"]
        return parent["Id"]

    def _read_attached(self, target: str, kind: PolicyType) -> tuple[Mapping[str, Any], ...]:
        pages = self._ask.get_paginator("list_policies_for_target").paginate(TargetId=target, Filter=kind)
        return tuple(self._document(policy["Id"]) for page in pages for policy in page["Policies"])

    def _read_document(self, policy: str) -> Mapping[str, Any]:
        content: Mapping[str, Any] = json.loads(self._ask.describe_policy(PolicyId=policy)["Policy"]["Content"])
        return content
