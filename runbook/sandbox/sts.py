"""STS as on AWS where moto is not: how long a session may last, what it carries, and sessions of users.

That the role exists, that its trust policy lets the caller in (with the right ExternalId, source identity, session tags
and MFA) and that the caller's own policies allow it, is decided at the gate like every other permission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.exceptions import STSValidationError
from moto.sts.models import AssumedRole
from moto.sts.responses import TokenResponse
from moto.sts.utils import random_session_token

from runbook.sandbox import mfa
from runbook.sandbox.authorization import find_role
from runbook.sandbox.callers import PARTITION, caller_of
from runbook.sandbox.moto_methods import replace

ONE_HOUR = 3600
SHORTEST, LONGEST = 900, 43200
LONGEST_OF_A_USER = 129600
MOST_TAGS = 50


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(TokenResponse, "assume_role", assumes_a_role)
    replace(TokenResponse, "get_caller_identity", names_the_user_of_a_session)
    replace(TokenResponse, "get_session_token", makes_a_session_of_a_user)


def assumes_a_role(original: Callable[..., Any], response: TokenResponse) -> Any:
    """AssumeRole: duration and tags are checked before moto, which takes any, makes the session; it carries them."""
    parameters = _parameters(response)
    duration = int(parameters.get("DurationSeconds", ONE_HOUR))
    role = find_role(parameters["RoleArn"])
    caller = caller_of(response.headers)
    _check_range(duration, LONGEST)
    if caller.kind == "role":
        _check_chaining(duration)
    elif role is not None:
        _check_role_maximum(duration, int(role.max_session_duration or ONE_HOUR))
    tags = _checked_tags(parameters)
    # AWS, "Monitor and control actions taken with assumed roles": set once, it stays through role chaining.
    source_identity = parameters.get("SourceIdentity") or caller.context.get("aws:SourceIdentity")
    mfa.use_up(caller, parameters)
    answer = original(response)
    session: AssumedRole = answer.result["Credentials"]
    # Read by `callers` when the session makes a call.
    session.tags, session.source_identity = tags, source_identity  # type: ignore[attr-defined]
    return ActionResult({**answer.result, **({"SourceIdentity": source_identity} if source_identity else {})})


def makes_a_session_of_a_user(_original: Callable[..., Any], response: TokenResponse) -> Any:
    """GetSessionToken: temporary credentials of the user who calls, with MFA if a code was given; moto's are nobody's.

    AWS, GetSessionToken: for users, whose permissions the session has; 12 hours where nothing is said.
    """
    parameters = _parameters(response)
    caller = caller_of(response.headers)
    duration = int(parameters.get("DurationSeconds", LONGEST))
    _check_range(duration, LONGEST_OF_A_USER)
    has_mfa = mfa.present(caller, parameters)
    mfa.use_up(caller, parameters)
    key: Any = iam_backends[caller.account][PARTITION].create_temp_access_key()
    # Read by `callers` when the session makes a call.
    key.user_name, key.session_token, key.has_mfa = caller.name, random_session_token(), has_mfa
    key.expiration = utcnow() + timedelta(seconds=duration)
    credentials = {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "SessionToken": key.session_token,
        "Expiration": key.expiration,
    }
    return ActionResult({"Credentials": credentials})


def names_the_user_of_a_session(original: Callable[..., Any], response: TokenResponse) -> Any:
    """GetCallerIdentity: temporary credentials of a user are the user's, of whom moto knows nothing."""
    caller = caller_of(response.headers)
    if caller.kind != "user":
        return original(response)
    return ActionResult({"UserId": caller.context["aws:userid"], "Account": caller.account, "Arn": caller.arn})


def _parameters(response: TokenResponse) -> Mapping[str, Any]:
    names = ("DurationSeconds", "RoleArn", "SerialNumber", "SourceIdentity", "Tags", "TokenCode")
    found = {name: response._get_param(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _checked_tags(parameters: Mapping[str, Any]) -> Mapping[str, str]:
    """AWS, AssumeRole, Tags: 50 at most, keys of 128 characters, values of 256, keys that differ not only in case."""
    tags = {str(tag["Key"]): str(tag["Value"]) for tag in parameters.get("Tags", ())}
    if len({key.lower() for key in tags}) != len(parameters.get("Tags", ())):
        raise STSValidationError("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key, value in tags.items():
        fits = len(tags) <= MOST_TAGS and 0 < len(key) <= 128 and len(value) <= 256
        if not fits or key.lower().startswith("aws:") or not re.fullmatch(r"[\w\s_.:/=+\-@]*", key + value):
            raise STSValidationError(
                f"1 validation error detected: Value '{key}' at 'tags' failed to satisfy constraint"
            )
    return tags


def _check_range(duration: int, longest: int) -> None:
    """AWS, AssumeRole: "Valid Range: Minimum value of 900. Maximum value of 43200." """
    for wrong, bound, limit in ((duration < SHORTEST, "greater", SHORTEST), (duration > longest, "less", longest)):
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
