"""Organizations as on AWS where moto is not: ids may have any length that AWS allows, and members may ask little."""

from __future__ import annotations

from moto.organizations import utils

from runbook.sandbox.callers import Caller, organization_of
from runbook.sandbox.errors import Refusal

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
"""What any account may call. Delegated administrators, who may call more, are not simulated."""


def install() -> None:
    """AWS, Organizations API: a root id is `r-` and 4 to 32 letters or digits, an OU's suffix has 8 to 32."""
    utils.ROOT_ID_REGEX = r"r-[a-z0-9]{4,32}"
    utils.OU_ID_REGEX = r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}"


def require_management(caller: Caller, operation: str) -> None:
    """AWS, Organizations API, ListAccounts and others: "You can only call this operation from the management account or
    a member account that is a delegated administrator". moto answers a member as if the organization had no accounts.
    """
    organization = organization_of(caller.account)
    member = organization is not None and organization.org is not None
    if member and operation not in FOR_MEMBERS and organization.org.master_account_id != caller.account:  # type: ignore[union-attr]
        raise Refusal("AccessDeniedException", "You don't have permissions to access this resource.", 400)
