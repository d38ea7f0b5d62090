"""How fast an operation on a stack set goes, and how much may fail: the structure OperationPreferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.sandbox.cloudformation.refusals import ValidationError


@dataclass(frozen=True)
class Preferences:
    """The request's OperationPreferences, checked. What is not given has AWS's default."""

    given: Mapping[str, Any]

    @property
    def parallel(self) -> bool:
        """AWS, RegionConcurrencyType: Regions "in parallel or one Region at a time", which is the default."""
        return self.given.get("RegionConcurrencyType") == "PARALLEL"

    @property
    def soft(self) -> bool:
        """AWS, ConcurrencyMode: STRICT_FAILURE_TOLERANCE "is the default behavior"."""
        return self.given.get("ConcurrencyMode") == "SOFT_FAILURE_TOLERANCE"

    def order(self, regions: Sequence[str]) -> tuple[str, ...]:
        """AWS, RegionOrder: "The order of the Regions where you want to perform the stack operation"."""
        first = [region for region in self.given.get("RegionOrder") or () if region in regions]
        return tuple(dict.fromkeys([*first, *regions]))

    def tolerance(self, accounts: int) -> int:
        """How many of so many accounts may fail in a Region.

        AWS, FailureTolerancePercentage: "CloudFormation rounds down to the next whole number"; "By default, 0".
        """
        if "FailureTolerancePercentage" in self.given:
            return accounts * int(self.given["FailureTolerancePercentage"]) // 100
        return int(self.given.get("FailureToleranceCount", 0))

    def concurrency(self, accounts: int, failed: int) -> int:
        """In how many of so many accounts to work at one time, once so many have failed.

        AWS, MaxConcurrentPercentage: rounded down, but never to zero; "By default, 1 is specified".
        AWS, "Choose the Concurrency Mode": strict is "the lower of either the value of the Maximum concurrent accounts,
        or the value of Failure tolerance +1. The actual concurrency is then reduced proportionally by the number of
        failures", so that "the number of failed accounts never exceeds the value of Failure tolerance +1".
        """
        most = int(self.given.get("MaxConcurrentCount", 1))
        if "MaxConcurrentPercentage" in self.given:
            most = max(1, accounts * int(self.given["MaxConcurrentPercentage"]) // 100)
        return most if self.soft else min(most, self.tolerance(accounts) + 1 - failed)


def read(given: Mapping[str, Any] | None, regions: Sequence[str] | None = None) -> Preferences:
    """A request's OperationPreferences. Raises ValidationError.

    AWS: "You can specify either FailureToleranceCount or FailureTolerancePercentage, but not both",
    and the same of MaxConcurrent.
    """
    given = dict(given or {})
    for kind in ("FailureTolerance", "MaxConcurrent"):
        if f"{kind}Count" in given and f"{kind}Percentage" in given:
            raise ValidationError(f"Cannot specify both {kind}Count and {kind}Percentage")
    for name, least, most in (
        ("FailureToleranceCount", 0, None),
        ("FailureTolerancePercentage", 0, 100),
        ("MaxConcurrentCount", 1, None),
        ("MaxConcurrentPercentage", 1, 100),
    ):
        value = given.get(name)
        if value is not None and (int(value) < least or (most is not None and int(value) > most)):
            raise ValidationError(f"{name} {value} is not between {least} and {most or 'the number of accounts'}")
    for name, values in (
        ("ConcurrencyMode", ("STRICT_FAILURE_TOLERANCE", "SOFT_FAILURE_TOLERANCE")),
        ("RegionConcurrencyType", ("SEQUENTIAL", "PARALLEL")),
    ):
        if given.get(name) is not None and given[name] not in values:
            raise ValidationError(f"{name} {given[name]} is not one of {', '.join(values)}")
    other = [region for region in given.get("RegionOrder") or () if regions is not None and region not in regions]
    if other:
        raise ValidationError(f"RegionOrder names [{', '.join(other)}], which are not among the Regions")
    return Preferences(given)
