"""Organizations as on AWS where moto is not: who may ask, lists in pages, moves, delegated administrators.

Ids may have any length that AWS allows. Of everything else here each rule names the API that it is from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from moto.iam.models import iam_backends
from moto.organizations import utils
from moto.organizations.models import (
    FakeAccount,
    FakeDelegatedAdministrator,
    FakeServiceAccess,
    OrganizationsBackend,
    organizations_backends,
)
from moto.organizations.responses import OrganizationsResponse

from runbook.sandbox.callers import PARTITION, Caller, organization_of
from runbook.sandbox.errors import Refusal
from runbook.sandbox.iam import ADMINISTRATOR_ACCESS
from runbook.sandbox.moto_methods import replace

STACK_SETS = "member.org.stacksets.cloudformation.amazonaws.com"
"""AWS, "CloudFormation StackSets and AWS Organizations": the service principal that is trusted and delegated."""

PAGE = 20
"""AWS, ListAccounts and the other lists, MaxResults: "Maximum value of 20"."""

MOST_ADMINISTRATORS = 5
"""AWS, "Register a delegated administrator member account": an organization can have up to five for StackSets."""

FOR_MEMBERS = frozenset(
    {
        "AcceptHandshake",
        "CancelHandshake",
        "CreateOrganization",
        "DeclineHandshake",
        "DescribeHandshake",
        "DescribeOrganization",
        "LeaveOrganization",
        "ListHandshakesForAccount",
    }
)
"""What any account may call."""

Parameters = Mapping[str, Any]
Shown = dict[str, Any]


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    # AWS, Organizations API: a root id is `r-` and 4 to 32 letters or digits, an OU's suffix has 8 to 32.
    utils.ROOT_ID_REGEX = r"r-[a-z0-9]{4,32}"
    utils.OU_ID_REGEX = r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}"
    # moto knows StackSets by a principal that EnableAWSServiceAccess does not recognise, and not as one to delegate.
    FakeServiceAccess.TRUSTED_SERVICES.remove("stacksets.cloudformation.amazonaws.com")
    FakeDelegatedAdministrator.SUPPORTED_SERVICES.append(STACK_SETS)
    OrganizationsResponse.organizations_backend = property(backend_of_the_organization)  # type: ignore[assignment]
    for name, members in LISTS.items():
        setattr(OrganizationsResponse, name, _in_pages(name, members))
    replace(OrganizationsBackend, "create_account", gives_the_member_role_its_policy)
    replace(OrganizationsBackend, "deregister_delegated_administrator", knows_who_is_registered)
    replace(OrganizationsBackend, "list_parents", knows_its_children)
    replace(OrganizationsBackend, "move_account", moves_from_where_the_account_is)
    replace(OrganizationsBackend, "register_delegated_administrator", registers_whom_it_can)
    replace(OrganizationsBackend, "remove_account_from_organization", keeps_delegated_administrators)


def require_management(caller: Caller, operation: str) -> None:
    """AWS, ListAccounts and others: "You can only call this operation from the management account or a member account
    that is a delegated administrator"; of operations that change something, only from the management account.

    AWS, RegisterDelegatedAdministrator: "It grants read-only access to Organizations service data".
    """
    organization = organization_of(caller.account)
    if organization is None or organization.org is None or operation in FOR_MEMBERS:
        return
    if organization.org.master_account_id == caller.account:
        return
    reads = operation.startswith(("Describe", "List"))
    if not (reads and is_delegated_administrator(organization, caller.account)):
        raise Refusal("AccessDeniedException", "You don't have permissions to access this resource.", 400)


def is_delegated_administrator(organization: OrganizationsBackend, account: str, service: str = "") -> bool:
    """Whether a member account is registered for `service` (a principal), or, without one, for any."""
    return any(
        admin.account.id == account and (not service or service in admin.services) for admin in organization.admins
    )


def is_trusted(organization: OrganizationsBackend, service: str) -> bool:
    """Whether service access is enabled for a service principal."""
    return any(each["ServicePrincipal"] == service for each in organization.services)


def backend_of_the_organization(response: OrganizationsResponse) -> OrganizationsBackend:
    """A delegated administrator looks at the organization; moto shows it one of its own, which is empty."""
    own: OrganizationsBackend = organizations_backends[response.current_account][response.partition]
    return organization_of(response.current_account) or own


# Lists. AWS: always in pages.


def _parent(backend: OrganizationsBackend, given: Parameters) -> str:
    parent: str = backend.validate_parent_id(str(given["ParentId"]))
    return parent


def _accounts(backend: OrganizationsBackend, _given: Parameters) -> Iterator[Shown]:
    return (account.describe() for account in backend.accounts)


def _accounts_of_parent(backend: OrganizationsBackend, given: Parameters) -> Iterator[Shown]:
    parent = _parent(backend, given)
    return (account.describe() for account in backend.accounts if account.parent_id == parent)


def _units_of_parent(backend: OrganizationsBackend, given: Parameters) -> Iterator[Shown]:
    parent = _parent(backend, given)
    return (unit.describe()["OrganizationalUnit"] for unit in backend.ou if unit.parent_id == parent)


def _children(backend: OrganizationsBackend, given: Parameters) -> Iterator[Shown]:
    return iter(backend.list_children(ParentId=_parent(backend, given), ChildType=given["ChildType"])["Children"])


def _administrators(backend: OrganizationsBackend, given: Parameters) -> Iterator[Shown]:
    found = backend.list_delegated_administrators(ServicePrincipal=given.get("ServicePrincipal", ""))
    return iter(found["DelegatedAdministrators"])


def _delegated_services(backend: OrganizationsBackend, given: Parameters) -> Iterator[Shown]:
    return iter(backend.list_delegated_services_for_account(AccountId=given["AccountId"])["DelegatedServices"])


def _trusted_services(backend: OrganizationsBackend, _given: Parameters) -> Iterator[Shown]:
    return iter(backend.services)


LISTS: Mapping[str, tuple[str, Callable[[OrganizationsBackend, Parameters], Iterator[Shown]]]] = {
    "list_accounts": ("Accounts", _accounts),
    "list_accounts_for_parent": ("Accounts", _accounts_of_parent),
    "list_aws_service_access_for_organization": ("EnabledServicePrincipals", _trusted_services),
    "list_children": ("Children", _children),
    "list_delegated_administrators": ("DelegatedAdministrators", _administrators),
    "list_delegated_services_for_account": ("DelegatedServices", _delegated_services),
    "list_organizational_units_for_parent": ("OrganizationalUnits", _units_of_parent),
}
"""moto's handler -> the key of the answer, and what is in it."""


def _in_pages(
    name: str, answer: tuple[str, Callable[[OrganizationsBackend, Parameters], Iterator[Shown]]]
) -> Callable[[OrganizationsResponse], str]:
    key, members = answer

    def handle(response: OrganizationsResponse) -> str:
        given = response.request_params
        found = list(members(response.organizations_backend, given))
        size, token = int(given.get("MaxResults", PAGE)), str(given.get("NextToken", "0"))
        if not 1 <= size <= PAGE or not (token.isascii() and token.isdecimal()):
            raise _refused("InvalidInputException", "You specified an invalid value.")
        start = int(token)
        page: Shown = {key: found[start : start + size]}
        if start + size < len(found):
            page["NextToken"] = str(start + size)
        return json.dumps(page)

    handle.__name__ = name
    return handle


# Rules. The first parameter is moto's own method.


def gives_the_member_role_its_policy(
    original: Callable[..., Shown], backend: OrganizationsBackend, **given: Any
) -> Shown:
    """AWS, "Accessing a member account": OrganizationAccountAccessRole "has full administrative permissions"."""
    status = original(backend, **given)
    iam = iam_backends[status["CreateAccountStatus"]["AccountId"]][PARTITION]
    role = given.get("RoleName", "OrganizationAccountAccessRole")
    if ADMINISTRATOR_ACCESS not in iam.get_role(role).managed_policies:
        iam.attach_role_policy(ADMINISTRATOR_ACCESS, role)
    return status


def knows_its_children(original: Callable[..., Shown], backend: OrganizationsBackend, **given: Any) -> Shown:
    """AWS, ListParents: ChildNotFoundException, for an OU and for an account."""
    if given["ChildId"] not in {*(account.id for account in backend.accounts), *(unit.id for unit in backend.ou)}:
        raise _refused(
            "ChildNotFoundException", "We can't find an organizational unit (OU) or account with the ChildId specified."
        )
    return original(backend, **given)


def moves_from_where_the_account_is(original: Callable[..., None], backend: OrganizationsBackend, **given: Any) -> None:
    """AWS, MoveAccount: the source has to be the parent that the account has, the destination another one."""
    source, destination = str(given["SourceParentId"]), str(given["DestinationParentId"])
    account = _account(backend, str(given["AccountId"]))
    units = {unit.id for unit in backend.ou}
    if source not in units or account.parent_id != source:
        raise _refused(
            "SourceParentNotFoundException", "We can't find a source root or OU with the ParentId that you specified."
        )
    if destination not in units:
        raise _refused(
            "DestinationParentNotFoundException",
            "We can't find the destination container (a root or OU) with the ParentId that you specified.",
        )
    if destination == source:
        raise _refused("DuplicateAccountException", "That account is already present in the specified destination.")
    original(backend, **given)


def registers_whom_it_can(original: Callable[..., None], backend: OrganizationsBackend, **given: Any) -> None:
    """AWS, RegisterDelegatedAdministrator, ConstraintViolationException: the service is trusted, the account is active,
    and there are not too many.
    """
    service = str(given["ServicePrincipal"])
    if service == STACK_SETS:
        if not is_trusted(backend, service):
            raise _violated(
                "You attempted to register a delegated administrator before you enabled service access. Call the "
                "EnableAWSServiceAccess API first."
            )
        if _account(backend, str(given["AccountId"])).status != "ACTIVE":
            raise _violated("You cannot register a suspended account as a delegated administrator.")
        if sum(service in admin.services for admin in backend.admins) >= MOST_ADMINISTRATORS:
            raise _violated(
                "You attempted to register more delegated administrators than allowed for the service principal."
            )
    original(backend, **given)


def knows_who_is_registered(original: Callable[..., None], backend: OrganizationsBackend, **given: Any) -> None:
    """AWS, DeregisterDelegatedAdministrator: AccountNotRegisteredException, also for one of another service."""
    account, service = str(given["AccountId"]), str(given["ServicePrincipal"])
    if is_delegated_administrator(backend, account) and not is_delegated_administrator(backend, account, service):
        raise _refused(
            "AccountNotRegisteredException",
            "The specified account is not a delegated administrator for this Amazon Web Services service.",
        )
    original(backend, **given)


def keeps_delegated_administrators(original: Callable[..., None], backend: OrganizationsBackend, **given: Any) -> None:
    """AWS, RemoveAccountFromOrganization: "The account that you want to leave must not be a delegated administrator
    account for any Amazon Web Services service enabled for your organization".
    """
    if is_delegated_administrator(backend, str(given["AccountId"])):
        raise _violated(
            "You attempted to remove an account from the organization that is a delegated administrator for an "
            "Amazon Web Services service. You must first deregister it."
        )
    original(backend, **given)


def _account(backend: OrganizationsBackend, account: str) -> FakeAccount:
    found: FakeAccount = backend.get_account_by_id(account)
    return found


def _refused(code: str, message: str) -> Refusal:
    return Refusal(code, message, 400)


def _violated(message: str) -> Refusal:
    return _refused("ConstraintViolationException", message)
