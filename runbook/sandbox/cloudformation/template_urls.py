"""Reads a template from where TemplateURL says: an object in S3, with the rights of whoever asks.

AWS, CreateStack, TemplateURL: "The URL must point to a template ... that's located in an Amazon S3 bucket". S3 User
Guide, "Virtual hosting of general purpose buckets": both ways to write one, with a Region or without.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from moto.s3.models import s3_backends

from runbook.sandbox.authorization import find_bucket, require
from runbook.sandbox.callers import PARTITION, Caller
from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.errors import AccessDenied
from runbook.sandbox.operations import Scope, needs

SIZE_OF_AN_OBJECT = 1_000_000
"""AWS, "CloudFormation quotas": bytes of a template body in an S3 object (1 MB)."""

_S3 = r"s3(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]))?\.amazonaws\.com(?:\.cn)?"
_HOST = re.compile(rf"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*[a-z0-9])\.)?{_S3}")
_SEE = "For more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"


class Place(NamedTuple):
    """What a URL names. `region` is "" when it names none."""

    bucket: str
    key: str
    version: str | None
    region: str


def place_of(url: str) -> Place:
    """Where in S3 a URL leads. Raises ValidationError for one that leads elsewhere."""
    parts = urlsplit(url)
    host = _HOST.fullmatch(parts.netloc)
    path = unquote(parts.path).removeprefix("/")
    if host is None or parts.scheme != "https":
        raise ValidationError("TemplateURL must be a supported URL.")
    bucket, key = (host["bucket"], path) if host["bucket"] else path.split("/", 1) if "/" in path else (path, "")
    if not bucket or not key:
        raise ValidationError("TemplateURL must be a supported URL.")
    return Place(bucket, key, parse_qs(parts.query).get("versionId", [None])[0], host["region"] or "")


def fetch(url: str, caller: Caller, region: str) -> str:
    """The template's text. Raises ValidationError with what S3 answers to `caller`, who asks from `region`.

    AWS, GetObject: who may not list the bucket does not learn that an object does not exist.
    """
    place = place_of(url)
    bucket = find_bucket(place.bucket)
    if bucket is None:
        raise _s3_error("The specified bucket does not exist")
    if place.region not in {"", bucket.region_name}:
        raise _s3_error(
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
            "future requests to this endpoint."
        )
    parameters: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key}
    if place.version is not None:
        parameters["VersionId"] = place.version
    try:
        for need in needs("s3", "GetObject", parameters, Scope(caller, region)):
            require(caller, need.action, need.resource, need.account, need.context)
    except AccessDenied as denied:
        raise _s3_error("Access Denied") from denied
    found = s3_backends[bucket.account_id][PARTITION].get_object(place.bucket, place.key, version_id=place.version)
    if found is None:
        raise _s3_error("The specified key does not exist.")
    if len(found.value) > SIZE_OF_AN_OBJECT:
        raise ValidationError(f"Template may not exceed {SIZE_OF_AN_OBJECT} bytes in size.")
    return str(found.value.decode())


def _s3_error(message: str) -> ValidationError:
    return ValidationError(f"S3 error: {message}\n{_SEE}")
