"""Organizations: who may ask, lists in pages, moves, and delegated administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import refusal
from tests.sandbox.stack_sets import (
    MANAGEMENT,
    PRODUCTION,
    ROOT,
    SERVICE,
    WORKLOADS,
    B,
    C,
    D,
    E,
    grow,
)  # fmt: skip

Client = Callable[..., Any]

READ: tuple[tuple[str, dict[str, Any]], ...] = (
    ("describe_account", {"AccountId": B}),
    ("describe_organizational_unit", {"OrganizationalUnitId": PRODUCTION}),
    ("list_accounts", {}),
    ("list_accounts_for_parent", {"ParentId": PRODUCTION}),
    ("list_aws_service_access_for_organization", {}),
    ("list_children", {"ParentId": WORKLOADS, "ChildType": "ACCOUNT"}),
    ("list_delegated_administrators", {}),
    ("list_organizational_units_for_parent", {"ParentId": ROOT}),
    ("list_parents", {"ChildId": B}),
    ("list_roots", {}),
)


@pytest.fixture
def organizations(administrator: Client) -> Any:
    """Organizations in the management account."""
    administrator("cloudformation").activate_organizations_access()
    return administrator("organizations")


@pytest.mark.parametrize(("operation", "arguments"), READ)
def test_a_member_account_may_not_look_around(client: Client, operation: str, arguments: Any) -> None:
    """AWS: "only ... from the management account or a member account that is a delegated administrator"."""
    code, message = refusal(getattr(client("organizations", D), operation), **arguments)
    assert (code, message) == ("AccessDeniedException", "You don't have permissions to access this resource.")


@pytest.mark.parametrize(("operation", "arguments"), READ)
def test_a_delegated_administrator_sees_what_the_management_account_sees(
    organizations: Any, client: Client, operation: str, arguments: Any
) -> None:
    """AWS, RegisterDelegatedAdministrator: "It grants read-only access to Organizations service data"."""
    organizations.register_delegated_administrator(AccountId=B, ServicePrincipal=SERVICE)
    own, others = (getattr(each, operation)(**arguments) for each in (organizations, client("organizations", B)))
    assert {**own, "ResponseMetadata": None} == {**others, "ResponseMetadata": None}


def test_a_delegated_administrator_changes_nothing(organizations: Any, client: Client) -> None:
    organizations.register_delegated_administrator(AccountId=B, ServicePrincipal=SERVICE)
    delegated = client("organizations", B)
    move = {"AccountId": C, "SourceParentId": PRODUCTION, "DestinationParentId": ROOT}
    assert refusal(delegated.move_account, **move)[0] == "AccessDeniedException"
    assert organizations.list_parents(ChildId=C)["Parents"][0]["Id"] == PRODUCTION


def test_every_member_may_know_its_organization(client: Client) -> None:
    found = client("organizations", D).describe_organization()["Organization"]
    assert (found["Id"], found["MasterAccountId"]) == ("o-exampleorg", MANAGEMENT)


def test_lists_come_in_pages_of_twenty(organizations: Any) -> None:
    """AWS, MaxResults: "Maximum value of 20". OUs and accounts of every list, to the last one."""
    before = len(list(organizations.get_paginator("list_accounts").paginate().search("Accounts")))
    counts = {"Grown": 45, **{f"Grown/Unit {number}": 0 for number in range(23)}}
    grown = grow(counts)
    parent = grown.units["Grown"]
    for operation, arguments, key, count in (
        ("list_accounts", {}, "Accounts", before + 45),
        ("list_accounts_for_parent", {"ParentId": parent}, "Accounts", 45),
        ("list_organizational_units_for_parent", {"ParentId": parent}, "OrganizationalUnits", 23),
        ("list_children", {"ParentId": parent, "ChildType": "ACCOUNT"}, "Children", 45),
    ):
        first = getattr(organizations, operation)(**arguments)
        assert len(first[key]) == 20
        pages = organizations.get_paginator(operation).paginate(**arguments)
        assert len({each["Id"] for page in pages for each in page[key]}) == count
        assert len(getattr(organizations, operation)(**arguments, MaxResults=7)[key]) == 7
        assert refusal(getattr(organizations, operation), **arguments, MaxResults=21)[0] == "InvalidInputException"


def test_what_does_not_exist_is_told(organizations: Any) -> None:
    nowhere = "ou-examp-nowhere00"
    for call, arguments, code in (
        (organizations.list_accounts_for_parent, {"ParentId": nowhere}, "ParentNotFoundException"),
        (organizations.list_organizational_units_for_parent, {"ParentId": nowhere}, "ParentNotFoundException"),
        (organizations.list_children, {"ParentId": nowhere, "ChildType": "ACCOUNT"}, "ParentNotFoundException"),
        (organizations.list_parents, {"ChildId": nowhere}, "ChildNotFoundException"),
        (organizations.list_parents, {"ChildId": "000000000000"}, "ChildNotFoundException"),
        (organizations.describe_account, {"AccountId": "000000000000"}, "AccountNotFoundException"),
        (
            organizations.describe_organizational_unit,
            {"OrganizationalUnitId": nowhere},
            "OrganizationalUnitNotFoundException",
        ),
    ):
        assert refusal(call, **arguments)[0] == code


@pytest.mark.parametrize(
    ("account", "source", "destination", "code"),
    [
        (B, ROOT, WORKLOADS, "SourceParentNotFoundException"),
        (B, PRODUCTION, "ou-examp-nowhere00", "DestinationParentNotFoundException"),
        (B, PRODUCTION, PRODUCTION, "DuplicateAccountException"),
        ("000000000000", PRODUCTION, ROOT, "AccountNotFoundException"),
    ],
)
def test_an_account_is_moved_from_where_it_is(
    organizations: Any, account: str, source: str, destination: str, code: str
) -> None:
    move = {"AccountId": account, "SourceParentId": source, "DestinationParentId": destination}
    assert refusal(organizations.move_account, **move)[0] == code
    assert organizations.list_parents(ChildId=B)["Parents"] == [{"Id": PRODUCTION, "Type": "ORGANIZATIONAL_UNIT"}]


def test_the_member_role_of_a_new_account_is_an_administrator(organizations: Any, client: Client) -> None:
    made = organizations.create_account(AccountName="new", Email="new@example.com")["CreateAccountStatus"]
    attached = client("iam", made["AccountId"]).list_attached_role_policies(RoleName="OrganizationAccountAccessRole")
    assert [each["PolicyName"] for each in attached["AttachedPolicies"]] == ["AdministratorAccess"]


def test_registering_needs_trust_and_an_active_member(organizations: Any) -> None:
    register = organizations.register_delegated_administrator
    organizations.close_account(AccountId=C)
    assert refusal(register, AccountId=C, ServicePrincipal=SERVICE)[0] == "ConstraintViolationException"
    assert refusal(register, AccountId=MANAGEMENT, ServicePrincipal=SERVICE)[0] == "ConstraintViolationException"
    assert refusal(register, AccountId="000000000000", ServicePrincipal=SERVICE)[0] == "AccountNotFoundException"
    register(AccountId=B, ServicePrincipal=SERVICE)
    assert refusal(register, AccountId=B, ServicePrincipal=SERVICE)[0] == "AccountAlreadyRegisteredException"
    services = organizations.list_delegated_services_for_account(AccountId=B)["DelegatedServices"]
    assert [each["ServicePrincipal"] for each in services] == [SERVICE]
    listed = organizations.list_delegated_administrators(ServicePrincipal=SERVICE)["DelegatedAdministrators"]
    assert B in [each["Id"] for each in listed]
    removal = {"AccountId": B}
    assert refusal(organizations.remove_account_from_organization, **removal)[0] == "ConstraintViolationException"
    organizations.deregister_delegated_administrator(AccountId=B, ServicePrincipal=SERVICE)
    again = {"AccountId": B, "ServicePrincipal": SERVICE}
    assert refusal(organizations.deregister_delegated_administrator, **again)[0] == "AccountNotRegisteredException"
    organizations.remove_account_from_organization(AccountId=B)
    organizations.disable_aws_service_access(ServicePrincipal=SERVICE)
    assert refusal(register, AccountId=E, ServicePrincipal=SERVICE)[0] == "ConstraintViolationException"


def test_there_are_at_most_five_administrators(organizations: Any) -> None:
    """AWS, "Register a delegated administrator member account"."""
    grown = grow({"Grown": 6})
    there = len(organizations.list_delegated_administrators(ServicePrincipal=SERVICE)["DelegatedAdministrators"])
    for account in grown.all[: 5 - there]:
        organizations.register_delegated_administrator(AccountId=account, ServicePrincipal=SERVICE)
    sixth = {"AccountId": grown.all[-1], "ServicePrincipal": SERVICE}
    assert refusal(organizations.register_delegated_administrator, **sixth)[0] == "ConstraintViolationException"
