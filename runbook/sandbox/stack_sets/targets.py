"""Which accounts an operation on a stack set is about: organizational units at any depth, and the account filter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.organizations.models import OrganizationsBackend

from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.errors import NotImplementedInSandbox

MOST_UNITS = 50
"""AWS, CreateStackInstances and the others: "The maximum number of organizational unit (OUs) supported ... is 50"."""

FILTERS = ("NONE", "INTERSECTION", "DIFFERENCE", "UNION")


@dataclass(frozen=True)
class Targets:
    """The structure DeploymentTargets, checked. `units` are ids of OUs or of the root."""

    units: tuple[str, ...]
    accounts: tuple[str, ...]
    filter: str

    def selects(self, account: str, above: tuple[str, ...]) -> bool:
        """Whether the operation is about an account that has these OUs above it.

        AWS, DeploymentTargets, AccountFilterType: INTERSECTION "only accounts that are both specified in the Accounts
        property and belong to the specified OUs"; DIFFERENCE "all accounts in the selected OUs except for specific
        accounts"; UNION "the specified OUs plus additional individual accounts"; NONE "all accounts".
        """
        inside, listed = any(unit in self.units for unit in above), account in self.accounts
        match self.filter:
            case "INTERSECTION":
                return inside and listed
            case "DIFFERENCE":
                return inside and not listed
            case "UNION":
                return inside or listed
            case _:
                return inside

    def unit_of(self, above: tuple[str, ...]) -> str:
        """AWS, StackInstance, OrganizationalUnitId: the root or OU that was specified and that the account is in."""
        return next((unit for unit in self.units if unit in above), "")


def read(given: Mapping[str, Any] | None, organization: OrganizationsBackend, action: str) -> Targets:
    """A request's DeploymentTargets, for `action` CREATE, UPDATE or DELETE. Raises ValidationError.

    AWS, DeploymentTargets: "For update operations, you can specify either Accounts or OrganizationalUnitIds. For create
    and delete operations, specify OrganizationalUnitIds"; "When performing create operations, if you specify both
    OrganizationalUnitIds and Accounts, you must also specify the AccountFilterType property"; "UNION is not supported
    for CreateStackInstances operations". Of others, UNION "is the default value if AccountFilterType is not provided".
    """
    given = given or {}
    if given.get("AccountsUrl"):
        raise NotImplementedInSandbox("The sandbox's StackSets does not read AccountsUrl. Pass Accounts.")
    units, accounts = tuple(given.get("OrganizationalUnitIds") or ()), tuple(given.get("Accounts") or ())
    chosen = given.get("AccountFilterType")
    if action != "UPDATE" and not units:
        raise ValidationError(
            "StackSets with SERVICE_MANAGED permission model can only have OrganizationalUnit as target"
        )
    if not units and not accounts:
        raise ValidationError("DeploymentTargets must specify OrganizationalUnitIds or Accounts")
    if accounts and chosen is None and action == "CREATE":
        raise ValidationError(
            "AccountFilterType should be specified when both OrganizationalUnitIds and Accounts are provided"
        )
    if action == "CREATE" and chosen == "UNION":
        raise ValidationError("AccountFilterType UNION is not supported for CreateStackInstances")
    chosen = chosen or ("UNION" if accounts else "NONE")
    if chosen not in FILTERS:
        raise ValidationError(f"AccountFilterType {chosen} is not one of {', '.join(FILTERS)}")
    if bool(accounts) != (chosen != "NONE") or (not units and chosen != "UNION"):
        raise ValidationError(
            f"AccountFilterType {chosen} cannot be used with {_named(units, 'OrganizationalUnitIds')} and "
            f"{_named(accounts, 'Accounts')}"
        )
    _check(units, accounts, organization)
    return Targets(tuple(dict.fromkeys(units)), tuple(dict.fromkeys(accounts)), str(chosen))


def members(organization: OrganizationsBackend) -> dict[str, tuple[str, ...]]:
    """The member accounts, each with the ids of all OUs that it is in, and of the root.

    AWS, DeploymentTargets: "CloudFormation doesn't deploy stack instances to the organization management account, even
    if the organization management account is in your organization or in an OU in your organization".
    """
    parents = {unit.id: unit.parent_id for unit in organization.ou}
    management = organization.org.master_account_id if organization.org else ""
    return {
        account.id: _above(account.parent_id, parents) for account in organization.accounts if account.id != management
    }


def suspended(organization: OrganizationsBackend, account: str) -> bool:
    """AWS, Account, Status: ACTIVE, SUSPENDED or PENDING_CLOSURE."""
    return any(each.id == account and each.status != "ACTIVE" for each in organization.accounts)


def _above(parent: str | None, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    above: list[str] = []
    while parent:
        above.append(parent)
        parent = parents.get(parent)
    return tuple(above)


def _named(values: tuple[str, ...], name: str) -> str:
    return name if values else f"no {name}"


def _check(units: tuple[str, ...], accounts: tuple[str, ...], organization: OrganizationsBackend) -> None:
    if len(units) > MOST_UNITS:
        raise ValidationError(f"At most {MOST_UNITS} OrganizationalUnitIds can be specified, not {len(units)}")
    unknown = sorted(set(units) - {unit.id for unit in organization.ou})
    if unknown:
        raise ValidationError(f"OrganizationalUnitIds [{', '.join(unknown)}] do not exist in the organization")
    wrong = [account for account in accounts if not re.fullmatch("[0-9]{12}", account)]
    if wrong:
        raise ValidationError(
            f"1 validation error detected: Value '[{', '.join(wrong)}]' at 'deploymentTargets.accounts' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: ^[0-9]{12}$"
        )
