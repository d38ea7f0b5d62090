"""Who may work with service-managed stack sets: trusted access, the management account, delegated administrators.

All of an organization's service-managed stack sets live in its management account. AWS, CreateStackSet, CallAs:
"including StackSets that are created by delegated administrators".
"""

from __future__ import annotations

from moto.organizations.models import OrganizationsBackend

from runbook.sandbox.authorization import decide
from runbook.sandbox.callers import Caller, organization_of
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.organizations import STACK_SETS, is_delegated_administrator, is_trusted
from runbook.sandbox.stack_sets import roles
from runbook.sandbox.stack_sets.refusals import InvalidOperation

NOBODY = (
    "You must be the management account or delegated admin account of an organization before operating a "
    "SERVICE_MANAGED stack set"
)
"""What AWS answers to a member account that says CallAs SELF, a delegated administrator among them."""

_ACTIVATED = "sandbox_stack_sets_activated"
"""Attribute of moto's organization. AWS: EnableAWSServiceAccess of Organizations by itself is not enough."""


def organization_for(caller: Caller, call_as: str) -> OrganizationsBackend:
    """The organization whose stack sets a caller works with. Raises ValidationError.

    AWS, CallAs: SELF in the management account, DELEGATED_ADMIN in a delegated administrator's.
    """
    organization = organization_of(caller.account)
    if call_as not in {"SELF", "DELEGATED_ADMIN"}:
        raise ValidationError(f"CallAs {call_as} is not one of SELF, DELEGATED_ADMIN")
    if call_as == "DELEGATED_ADMIN":
        if organization is None or not _may_act_as_administrator(caller, organization):
            raise ValidationError("Account used is not a delegated administrator")
        return organization
    if organization is None or management_of(organization) != caller.account:
        raise ValidationError(NOBODY)
    return organization


def require_trusted_access(organization: OrganizationsBackend) -> None:
    """AWS, "Activate trusted access": StackSets may do nothing in an organization's accounts before."""
    if not is_active(organization):
        raise ValidationError("You must enable organizations access to operate a service managed stack set")


def is_active(organization: OrganizationsBackend) -> bool:
    return bool(getattr(organization, _ACTIVATED, False)) and is_trusted(organization, STACK_SETS)


def management_of(organization: OrganizationsBackend) -> str:
    return str(organization.org.master_account_id) if organization.org else ""


def activate(organization: OrganizationsBackend) -> None:
    """AWS, "Activate trusted access": the service is enabled in Organizations, and "allows CloudFormation to create a
    service-linked role in the management account".
    """
    if organization.org is not None and organization.org.feature_set != "ALL":
        raise InvalidOperation("The organization must have all features enabled to activate trusted access")
    organization.enable_aws_service_access(ServicePrincipal=STACK_SETS)
    roles.administration_role(management_of(organization))
    setattr(organization, _ACTIVATED, True)


def deactivate(organization: OrganizationsBackend) -> None:
    """AWS, DeactivateOrganizationsAccess: "the management account does not have permissions to create and manage
    service-managed StackSets for your organization". User guide: delegated administrators are deregistered before.
    """
    if any(STACK_SETS in admin.services for admin in organization.admins):
        raise InvalidOperation("Deregister all delegated administrators before deactivating trusted access")
    organization.disable_aws_service_access(ServicePrincipal=STACK_SETS)
    setattr(organization, _ACTIVATED, False)


def _may_act_as_administrator(caller: Caller, organization: OrganizationsBackend) -> bool:
    """AWS, "Register a delegated administrator": "Make sure your delegated administrators have
    organizations:ListDelegatedAdministrators permissions to avoid any potential errors", which is this one.
    """
    if not is_delegated_administrator(organization, caller.account, STACK_SETS):
        return False
    return decide(caller, "organizations:ListDelegatedAdministrators", "*", caller.account).allowed
