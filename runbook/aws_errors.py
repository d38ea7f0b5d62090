"""What AWS answers when it refuses, as people read it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError, SSLError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from runbook.errors import RunbookError
from runbook.policy import actions
from runbook.responses import CODE as UNREADABLE
from runbook.secrets import redact
from runbook.untrusted import prose, text


class AwsRefused(RunbookError):
    """AWS, or the way there, did not do what was asked of it, in a sentence."""


@contextmanager
def told_in_words() -> Iterator[None]:
    """Inside, what AWS or the way there answers is raised as AwsRefused; a defect of ours stays what it is."""
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        if (words := in_words(error)) is None:
            raise
        raise AwsRefused(words) from error


def code(error: ClientError) -> str:
    """The error's code, for example `AccessDenied`; for calls without a body (HEAD) the HTTP status, `403`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def sentence(error: ClientError) -> str:
    """`AccessDenied (GetBucketPolicy): message`."""
    message = str(error.response.get("Error", {}).get("Message", "")).strip()
    return redact(
        f"{text(code(error))} ({error.operation_name})" + (f": {text(message.rstrip('.'))}" if message else "")
    )


def refused_action(service: str, operation: str, answer: Mapping[str, Any]) -> str:
    """The IAM action, `s3:GetBucketPolicy`, that AWS's answer says one may not do; empty for any other answer.

    `service` is the prefix of its actions. AWS names the action in most of its answers; where it does not, most
    operations are named like the action that they need.
    """
    error = answer.get("Error", {})
    if str(error.get("Code")) not in _REFUSED:
        return ""
    named = re.search(r"not authorized to perform: ([A-Za-z0-9_-]+:[A-Za-z0-9_]+)", str(error.get("Message", "")))
    if not named:
        return f"{service}:{_ACTIONS.get(operation, operation)}"
    # SQS and SNS spell it in their own way: `sqs:createqueue`.
    return next(iter(actions.covered_by(named[1])), named[1])


def remedy(error: ClientError) -> str | None:
    """What to do about an answer that has nothing to do with what was asked; None when it has."""
    status, name = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), code(error)
    if name == UNREADABLE:
        return _NOT_AWS
    if name in _THROTTLED or status == 429:
        return "AWS asks for fewer calls, and went on doing so. Wait a few minutes and run the same command again."
    if name in _EXPIRED:
        return (
            "The credentials have expired. Log in again (for example `aws sso login --profile NAME`), then run the "
            "same command again."
        )
    if name == "400":
        return (
            "A HEAD request is refused without a reason; credentials that have expired are the usual one. Log in again "
            "(for example `aws sso login --profile NAME`), then run the same command again."
        )
    if status >= 500:
        return "That is a problem on the side of AWS. Wait a few minutes and run the same command again."
    return None


def unanswered(error: Exception) -> bool:
    """Whether AWS has not answered what it was asked: too much, too late, in trouble itself, or out of reach."""
    if isinstance(error, ClientError):
        return remedy(error) is not None
    return isinstance(error, NoConnection | HTTPClientError | ResponseParserError)


def raise_unless_answered(error: ClientError) -> None:
    """Raise AwsRefused where AWS did not answer the question at all: too many calls, expired credentials, its own
    trouble.

    For code that takes a refusal for an answer (there is none, it may not be seen): those are not.
    """
    if unanswered(error):
        raise AwsRefused(str(in_words(error))) from error


_THROTTLED = (
    "BandwidthLimitExceeded EC2ThrottledException LimitExceededException PriorRequestNotComplete "
    "ProvisionedThroughputExceededException RequestLimitExceeded RequestThrottled RequestThrottledException SlowDown "
    "ThrottledException Throttling ThrottlingException TooManyRequestsException TransactionInProgressException"
).split()
"""The codes that botocore takes for throttling (botocore.retries.standard)."""

_REFUSED = (
    "403 AccessDenied AccessDeniedException AuthorizationError NotAuthorizedException UnauthorizedOperation".split()
)
_ACTIONS = {"HeadBucket": "ListBucket", "HeadObject": "GetObject", "ListBuckets": "ListAllMyBuckets"}

_NOT_AWS = "A proxy or a captive portal may have answered instead. Check the network, then run the same command again."

_EXPIRED = "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired".split()


def in_words(error: Exception) -> str | None:
    """A sentence for what AWS or the way there answered; None for anything else, defects of ours among it."""
    if isinstance(error, ClientError) and code(error) == UNREADABLE:
        why = str(error.response["Error"]["Message"])
        return f"AWS's answer to {error.operation_name} could not be read: {why}. {_NOT_AWS}"
    if isinstance(error, ResponseParserError):  # from where botocore itself calls, for credentials for example
        return f"An answer of AWS's could not be read. {_NOT_AWS}"
    if isinstance(error, ClientError):
        return " ".join([f"AWS refused a call: {sentence(error)}.", remedy(error) or ""]).strip()
    if isinstance(error, SSLError):
        return (
            f"AWS cannot be reached: {prose(redact(str(error)))}\n"
            "The certificate is not trusted here. Where a proxy or a private endpoint has one of your own CA, name the "
            "file with the CA's certificate in AWS_CA_BUNDLE, or as `ca_bundle` of the profile. Then run the same "
            "command again."
        )
    if isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError):
        return (
            f"AWS cannot be reached: {prose(redact(str(error)))}\n"
            "Check the network, the profile and the Region in params/environments/, and log in "
            "(for example `aws sso login --profile NAME`). Then run the same command again."
        )
    return None
