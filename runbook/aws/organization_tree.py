"""The organization as a tree: its root, OUs at any depth, and accounts, as stack sets target it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import AccountError, Environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, did_you_mean
from runbook.progress import Progress, in_parallel, silent
from runbook.untrusted import Untrusted, code

if TYPE_CHECKING:
    from mypy_boto3_organizations import OrganizationsClient

ORGANIZATION = "organization"
"""How parameters name the root: everybody."""

STACK_SETS_MEMBER = "member.org.stacksets.cloudformation.amazonaws.com"
"""The service that a delegated administrator for StackSets is registered for. Source: AWS, "Register a delegated
administrator", StackSets."""


class TreeUnreadable(RunbookError):
    """The organization cannot be read from the account that was asked."""


@dataclass(frozen=True)
class Unit:
    """The root or an OU. `path` leads from the root to it by names, `Workloads/Production`; the root's is empty."""

    id: str
    name: Untrusted
    path: Untrusted
    parent: str

    @property
    def shown(self) -> Untrusted:
        """What people call it."""
        return self.path or Untrusted(ORGANIZATION)


@dataclass(frozen=True)
class Member:
    """An account of the organization and the id of what it is in; its state is `ACTIVE` or `SUSPENDED`, say."""

    id: str
    name: Untrusted
    state: str
    parent: str

    @property
    def active(self) -> bool:
        """Whether it is in use: a stack set makes nothing in others."""
        return self.state == "ACTIVE"


@dataclass(frozen=True)
class Tree:
    """An organization: id, management account, and what is in it, by id. Units come before those inside them.

    `policy_types` are those that are enabled in it, such as SERVICE_CONTROL_POLICY.
    """

    id: str
    management: str
    units: Mapping[str, Unit]
    members: Mapping[str, Member]
    policy_types: tuple[str, ...] = ()

    @property
    def root(self) -> Unit:
        """Everybody."""
        return next(iter(self.units.values()))

    def find(self, target: str) -> Unit:
        """The unit that a target names: `organization`, an id, or a path. Raises ParameterError for an unknown one."""
        path = target.strip("/")
        found = [unit for unit in self.units.values() if unit.path and unit.path.raw == path]
        if target == ORGANIZATION:
            found.append(self.root)
        elif target in self.units and self.units[target] not in found:
            found.append(self.units[target])
        if len(found) == 1:
            return found[0]
        if found and target in (ORGANIZATION, *self.units):
            ids = ", ".join(code(unit.id) for unit in found)
            raise ParameterError(
                [f"{code(target)}: an organizational unit of {self.id} is called so. Write the id of one: {ids}."]
            )
        if found:
            ids = ", ".join(code(unit.id) for unit in found)
            raise ParameterError(
                [f"{code(target)}: {len(found)} organizational units of {self.id} have this path: {ids}."]
            )
        known = list(self.units) if target.startswith(("r-", "ou-")) else self._paths
        raise ParameterError(
            [f"{code(target)}: {self.id} has no such organizational unit.{did_you_mean(path or target, known)}"]
        )

    def contains(self, outer: str, inner: str) -> bool:
        """Whether a unit is another one, or lies inside it."""
        return outer in self._above(inner)

    def within(self, unit: str) -> tuple[Member, ...]:
        """The accounts in a unit and in the units inside it, the management account among them."""
        return tuple(member for member in self.members.values() if unit in self._above(member.parent))

    def inside(self, unit: str) -> tuple[Unit, ...]:
        """The units right inside another, by name."""
        return tuple(sorted((each for each in self.units.values() if each.parent == unit), key=lambda each: each.name))

    def directly_in(self, unit: str) -> tuple[Member, ...]:
        """The accounts right inside a unit."""
        return self._by_parent.get(unit, ())

    def name(self, account: str) -> str:
        """`222222222222 (uploads)`."""
        member = self.members.get(account)
        return f"{account} ({member.name})" if member else account

    @property
    def _paths(self) -> list[str]:
        return [ORGANIZATION, *(unit.path.raw for unit in self.units.values() if unit.path)]

    @cached_property
    def _by_parent(self) -> dict[str, tuple[Member, ...]]:
        found: dict[str, list[Member]] = {}
        for member in self.members.values():
            found.setdefault(member.parent, []).append(member)
        return {parent: tuple(members) for parent, members in found.items()}

    def _above(self, unit: str) -> tuple[str, ...]:
        return self._ways[unit]

    @cached_property
    def _ways(self) -> dict[str, tuple[str, ...]]:
        """For each unit its own id and those of all that it lies in."""
        ways: dict[str, tuple[str, ...]] = {}
        for unit in self.units.values():
            ways[unit.id] = (unit.id, *ways.get(unit.parent, ()))
        return ways


def read_tree(environment: Environment, account: str, progress: Progress = silent) -> Tree:
    """The organization as `account` sees it, its management account or a delegated administrator.

    Two paged calls for each unit, many units at a time. Raises TreeUnreadable when the account may not look.
    """
    client: OrganizationsClient = environment.client("organizations", account)
    try:
        organization = client.describe_organization()["Organization"]
        _MANAGEMENT.setdefault(environment, {})[account] = organization["MasterAccountId"]
        found_root = client.list_roots()["Roots"][0]
        root = found_root["Id"]
        units = {root: Unit(root, Untrusted("Root"), Untrusted(""), "")}
        level = [units[root]]
        while level:
            level = [unit for found in in_parallel(lambda unit: _inside(client, unit), level) for unit in found]
            units |= {unit.id: unit for unit in level}
        members = in_parallel(
            lambda unit: _members(client, unit), list(units.values()), what="OUs looked at", progress=progress
        )
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise TreeUnreadable(
            f"The organization cannot be read from account {environment.account_name(account)}: "
            f"{aws_errors.sentence(error)}."
        ) from None
    return Tree(
        id=organization["Id"],
        management=organization["MasterAccountId"],
        units=units,
        members={member.id: member for found in members for member in found},
        policy_types=enabled_in(found_root),
    )


_MANAGEMENT: WeakKeyDictionary[Environment, dict[str, str]] = WeakKeyDictionary()
"""The management account of the organization of each account that was asked, which nobody can move to another one."""


def management_account(environment: Environment, account: str) -> str:
    """The management account of the organization that `account` is in; any account may ask, and is asked once.

    Raises TreeUnreadable.
    """
    known = _MANAGEMENT.setdefault(environment, {})
    if account not in known:
        known[account] = _read_management_account(environment, account)
    return known[account]


def _read_management_account(environment: Environment, account: str) -> str:
    client: OrganizationsClient = environment.client("organizations", account)
    try:
        return client.describe_organization()["Organization"]["MasterAccountId"]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise TreeUnreadable(
            f"Account {environment.account_name(account)} is in no organization, or may not ask which: "
            f"{aws_errors.sentence(error)}."
        ) from None


def delegated_administrators(environment: Environment, account: str) -> tuple[str, ...] | None:
    """The member accounts that may manage stack sets for the organization; None where `account` may not ask."""
    client: OrganizationsClient = environment.client("organizations", account)
    try:
        pages = client.get_paginator("list_delegated_administrators").paginate(ServicePrincipal=STACK_SETS_MEMBER)
        return tuple(each["Id"] for page in pages for each in page["DelegatedAdministrators"])
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return None
    except AccountError:
        return None


def enabled_in(root: Mapping[str, Any]) -> tuple[str, ...]:
    """The types of policies that are enabled in an organization, as ListRoots shows its root."""
    return tuple(each["Type"] for each in root["PolicyTypes"] if each["Status"] == "ENABLED")


def state_of(account: Mapping[str, Any]) -> str:
    """An account's state as Organizations lists it; `Status`, which it replaces, goes away in September 2026."""
    return str(account.get("State") or account.get("Status", ""))


def _inside(client: "OrganizationsClient", unit: Unit) -> Sequence[Unit]:
    pages = client.get_paginator("list_organizational_units_for_parent").paginate(ParentId=unit.id)
    return [
        Unit(each["Id"], Untrusted(each["Name"]), Untrusted(f"{unit.path.raw}/{each['Name']}".strip("/")), unit.id)
        for page in pages
        for each in page["OrganizationalUnits"]
    ]


def _members(client: "OrganizationsClient", unit: Unit) -> Sequence[Member]:
    def listed() -> Iterator[Any]:
        for page in client.get_paginator("list_accounts_for_parent").paginate(ParentId=unit.id):
            yield from page["Accounts"]

    return [Member(each["Id"], Untrusted(each["Name"]), state_of(each), unit.id) for each in listed()]
