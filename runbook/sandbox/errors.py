"""What the sandbox answers when it does not let a call through: AWS's codes, wordings and statuses.

All derive from moto's `S3ClientError`, the one class that the handlers of every moto service turn into a response.
"""

from __future__ import annotations

from moto.core.errors import COMMON_ERROR_CODES
from moto.s3.exceptions import S3ClientError

JSON_SERVICES = frozenset(
    {"cloudtrail", "dynamodb", "events", "kms", "lambda", "logs", "organizations", "secretsmanager", "ssm"}
)
"""moto's services that speak a JSON protocol: their error codes end in `Exception`, their status is 400."""


COMMON_CODES = (
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.NotFoundException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SandboxFailure",
    "SandboxNotImplemented",
    "UnrecognizedClientException",
)
"""Codes that the API models do not list, because every service has them, or because S3 and SQS pass them on from KMS.
moto would warn about each use.
"""


class Refusal(S3ClientError):
    """A call that ends before moto sees it: `code` and `message` as AWS words them, `status` of the response."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(code, message)
        self.status = status


class AccessDenied(Refusal):
    """What a service answers to a caller who may not.

    AWS, "Troubleshoot access denied error messages": the message names the principal, the action, the resource and
    the kind of policy that is to blame. The code depends on the service.
    """

    def __init__(self, service: str, message: str) -> None:
        code = {"sns": "AuthorizationError", "ec2": "UnauthorizedOperation"}.get(
            service, "AccessDeniedException" if service in JSON_SERVICES else "AccessDenied"
        )
        super().__init__(code, message, 400 if service in JSON_SERVICES else 403)


class NotImplementedInSandbox(Refusal):
    """The sandbox cannot judge or simulate this call. A status that botocore does not retry."""

    def __init__(self, message: str) -> None:
        super().__init__("SandboxNotImplemented", message, 400)


class SandboxFailure(Refusal):
    """The sandbox broke. A status that botocore does not retry, and the trace goes to the server's standard error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("SandboxFailure", f"The sandbox failed with {type(error).__name__}: {str(error)[:500]}", 400)


class UnknownAccessKey(Refusal):
    """The access key id does not exist or is inactive."""

    def __init__(self, service: str) -> None:
        match service:
            case "s3":
                super().__init__(
                    "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
                )
            case _ if service in JSON_SERVICES:
                super().__init__(
                    "UnrecognizedClientException", "The security token included in the request is invalid.", 400
                )
            case _:
                super().__init__("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


class InvalidToken(Refusal):
    """The session token does not belong to the access key id."""

    def __init__(self, service: str) -> None:
        if service == "s3":
            super().__init__("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
        else:
            unknown = UnknownAccessKey(service)
            super().__init__(unknown.code, unknown.message, unknown.status)


class ExpiredToken(Refusal):
    """The session has ended: the duration that was asked of AssumeRole is over."""

    def __init__(self, service: str) -> None:
        if service == "s3":
            super().__init__("ExpiredToken", "The provided token has expired.", 400)
        elif service in JSON_SERVICES:
            super().__init__("ExpiredTokenException", "The security token included in the request is expired", 400)
        else:
            super().__init__("ExpiredToken", "The security token included in the request is expired", 403)


class MissingAuthentication(Refusal):
    """A call without credentials to a service that serves nobody anonymously."""

    def __init__(self, service: str) -> None:
        code = "MissingAuthenticationTokenException" if service in JSON_SERVICES else "MissingAuthenticationToken"
        super().__init__(code, "Request is missing Authentication Token", 400 if service in JSON_SERVICES else 403)


def install() -> None:
    """Let moto answer with these codes without a warning."""
    COMMON_ERROR_CODES.extend(code for code in COMMON_CODES if code not in COMMON_ERROR_CODES)
