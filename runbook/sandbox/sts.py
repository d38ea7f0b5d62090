"""STS as on AWS where moto is not: how long a session may last.

That the role exists, that its trust policy lets the caller in (with the right ExternalId) and that the caller's own
policies allow it, is decided at the gate like every other permission.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from moto.sts.exceptions import STSValidationError
from moto.sts.responses import TokenResponse

from runbook.sandbox.authorization import find_role
from runbook.sandbox.callers import caller_of
from runbook.sandbox.moto_methods import replace

ONE_HOUR = 3600
SHORTEST, LONGEST = 900, 43200


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(TokenResponse, "assume_role", limits_the_duration_of_a_session)


def limits_the_duration_of_a_session(original: Callable[..., Any], response: TokenResponse) -> Any:
    """AssumeRole, DurationSeconds: checked before moto, which takes any, makes the session."""
    duration = int(response._get_param("DurationSeconds", ONE_HOUR))
    role = find_role(response._get_param("RoleArn"))
    caller = caller_of(response.headers)
    _check_range(duration)
    if caller.kind == "role":
        _check_chaining(duration)
    elif role is not None:
        _check_role_maximum(duration, int(role.max_session_duration or ONE_HOUR))
    return original(response)


def _check_range(duration: int) -> None:
    """AWS, AssumeRole: "Valid Range: Minimum value of 900. Maximum value of 43200." """
    for wrong, bound, limit in ((duration < SHORTEST, "greater", SHORTEST), (duration > LONGEST, "less", LONGEST)):
        if wrong:
            raise STSValidationError(
                f"1 validation error detected: Value '{duration}' at 'durationSeconds' failed to satisfy constraint: "
                f"Member must have value {bound} than or equal to {limit}",
            )


def _check_chaining(duration: int) -> None:
    """AWS, AssumeRole: role chaining limits a session to one hour, whatever the role's maximum is."""
    if duration > ONE_HOUR:
        raise STSValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )


def _check_role_maximum(duration: int, maximum: int) -> None:
    """AWS, AssumeRole: a duration over the role's maximum session duration fails."""
    if duration > maximum:
        raise STSValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
