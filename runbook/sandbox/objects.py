"""Objects as on AWS where moto is not: to whom one belongs that another account has put, and what Object Lock says.

moto keeps no owner, so it is remembered beside the object, as an attribute of moto's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import has_request_context, request
from moto.s3.exceptions import AccessDeniedByLock
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend, s3_backends
from moto.s3.responses import S3Response

from runbook.sandbox.callers import PARTITION, caller_of
from runbook.sandbox.errors import AccessDenied, Refusal
from runbook.sandbox.moto_methods import replace
from runbook.sandbox.stored_policies import in_force, statements

Policy = Mapping[str, Any]

ENFORCED, PREFERRED = "BucketOwnerEnforced", "BucketOwnerPreferred"
FULL_CONTROL = "bucket-owner-full-control"

_READ = ("s3:GetObject", "s3:GetObjectVersion")
_READ_ACP = ("s3:GetObjectAcl", "s3:GetObjectVersionAcl")
_WRITE_ACP = ("s3:PutObjectAcl", "s3:PutObjectVersionAcl")
GOVERNED = frozenset((*_READ, *_READ_ACP, *_WRITE_ACP))
"""AWS, "ACL overview", "Mapping of ACL permissions and access policy permissions": what an object's ACL is about."""

NEW = "sandbox:NewObject"
"""In the context of a permission: it is about an object that is being put, not about one of that name that is there."""

GRANTED_TO_BUCKET_OWNER: Mapping[str, tuple[str, ...]] = {
    FULL_CONTROL: (*_READ, *_READ_ACP, *_WRITE_ACP),
    "bucket-owner-read": _READ,
}
"""AWS, "ACL overview", "Canned ACL": those that give the bucket's owner something; the others give it nothing."""

_OWNER, _ACL = "sandbox_owner", "sandbox_acl"


@dataclass(frozen=True)
class Foreign:
    """An object that belongs to `owner` (12 digits), another account than its bucket does.

    `policy` is what counts for it in place of the bucket's policy; None when nothing does.
    """

    owner: str
    policy: Policy | None


def foreign(bucket: FakeBucket, name: str, version: str | None) -> Foreign | None:
    """The object, or a version of it, as a foreign one; None when it belongs to the bucket's owner or does not exist.

    AWS, "Controlling ownership of objects and disabling ACLs": with BucketOwnerEnforced the bucket's owner has every
    object, also those that others put before. "Policies and permissions in Amazon S3": a bucket policy's permissions
    apply to the objects that the bucket's owner owns. "How Amazon S3 authorizes a request": for an object of another
    account, what the bucket's owner denies counts still; what it allows does not.
    """
    found = _find(bucket, name, version)
    owner = getattr(found, _OWNER, bucket.account_id)
    if found is None or _ownership(bucket) == ENFORCED or owner == bucket.account_id:
        return None
    denials = [each for each in _statements(bucket) if each["Effect"] == "Deny"]
    granted = GRANTED_TO_BUCKET_OWNER.get(getattr(found, _ACL, None) or "", ())
    acl = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{PARTITION}:iam::{bucket.account_id}:root"},
        "Action": list(granted),
        "Resource": f"{bucket.arn}/*",
    }
    all_statements = [*denials, acl] if granted else denials
    return Foreign(owner, {"Version": "2012-10-17", "Statement": all_statements} if all_statements else None)


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(S3Response, "_bucket_response", refuses_acls_of_a_bucket_where_they_are_disabled)
    replace(S3Response, "_key_response", refuses_acls_of_an_object_where_they_are_disabled)
    replace(S3Backend, "put_object", remembers_who_put_an_object)
    replace(S3Backend, "create_multipart_upload", remembers_the_acl_of_an_upload)
    replace(S3Backend, "put_object_acl", remembers_the_acl_of_an_object)
    replace(S3Response, "delete_object", says_that_object_lock_is_why)


# Rules. The first parameter is moto's own method.


def refuses_acls_of_a_bucket_where_they_are_disabled(
    original: Callable[..., Any], response: S3Response, http: Any, url: str
) -> Any:
    """PutBucketAcl: "If your bucket uses the bucket owner enforced setting for S3 Object Ownership, ACLs are disabled
    [...]. Requests to set ACLs or update ACLs fail and return the AccessControlListNotSupported error code."
    """
    if http.method == "PUT" and "acl" in response._get_querystring(http, url):
        _require_acls(response)
    return original(response, http, url)


def refuses_acls_of_an_object_where_they_are_disabled(
    original: Callable[..., Any], response: S3Response, http: Any, url: str
) -> Any:
    """PutObjectAcl: as PutBucketAcl. PutObject: with that setting S3 "only accepts PUT requests that don't specify an
    ACL or PUT requests that specify bucket owner full control ACLs".
    """
    headers = {name.lower(): value for name, value in response.headers.items()}
    acl = headers.get("x-amz-acl", FULL_CONTROL)
    grants = any(name.startswith("x-amz-grant-") for name in headers)
    updates = http.method == "PUT" and "acl" in response._get_querystring(http, url)
    if updates or acl != FULL_CONTROL or grants:
        _require_acls(response)
    return original(response, http, url)


def remembers_who_put_an_object(
    original: Callable[..., FakeKey], backend: S3Backend, bucket_name: str, *rest: Any, **options: Any
) -> FakeKey:
    """AWS, "Controlling ownership of objects and disabling ACLs": who puts an object owns it, where ACLs are enabled;
    with BucketOwnerPreferred the bucket's owner does, if it was put with the ACL bucket-owner-full-control. A bucket
    without ownership controls is like one with ObjectWriter.
    """
    key = original(backend, bucket_name, *rest, **options)
    if has_request_context():
        bucket = backend.get_bucket(bucket_name)
        acl = _acl_of_request() or (_acl_of(options.get("multipart")) if "uploadId" in request.args else None)
        preferred = _ownership(bucket) == PREFERRED and acl == FULL_CONTROL
        if _ownership(bucket) != ENFORCED and not preferred:
            setattr(key, _OWNER, caller_of(dict(request.headers), service="s3").account or bucket.account_id)
            setattr(key, _ACL, acl)
    return key


def remembers_the_acl_of_an_upload(original: Callable[..., FakeMultipart], *arguments: Any) -> FakeMultipart:
    """CreateMultipartUpload carries the ACL that the object is to have."""
    upload = original(*arguments)
    setattr(upload, _ACL, _acl_of_request())
    return upload


def remembers_the_acl_of_an_object(
    original: Callable[..., None], backend: S3Backend, bucket_name: str, key_name: str, *rest: Any, **options: Any
) -> None:
    """PutObjectAcl with a canned ACL: that is what the bucket's owner may do from then on. It owns no more for it."""
    original(backend, bucket_name, key_name, *rest, **options)
    found = _find(backend.get_bucket(bucket_name), key_name, None)
    if found is not None and has_request_context() and "acl" in request.args:
        setattr(found, _ACL, _acl_of_request())


def says_that_object_lock_is_why(original: Callable[..., Any], response: S3Response) -> Any:
    """DeleteObject of a version under Object Lock is 403 with a message of its own, the one that DeleteObjects has."""
    try:
        return original(response)
    except AccessDeniedByLock:
        raise AccessDenied("s3", "Access Denied because object protected by object lock.") from None


def _require_acls(response: S3Response) -> None:
    partition, account = s3_backends.bucket_accounts.get(response.bucket_name, ("", ""))
    bucket = s3_backends[account][partition].buckets.get(response.bucket_name) if account else None
    if bucket is not None and _ownership(bucket) == ENFORCED:
        raise Refusal("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def _ownership(bucket: FakeBucket) -> str:
    """ObjectOwnership; "" without ownership controls. moto says that it keeps a mapping, and keeps the text."""
    return str(bucket.ownership_rule or "")


def _find(bucket: FakeBucket, name: str, version: str | None) -> FakeKey | None:
    found = bucket.keys.getlist(name) if name in bucket.keys else []
    matching = [each for each in found if version is None or str(each.version_id) == version]
    latest = matching[-1] if matching else None
    return None if isinstance(latest, FakeDeleteMarker) else latest


def _statements(bucket: FakeBucket) -> list[Any]:
    return statements(in_force(bucket, bucket.policy.decode())) if bucket.policy else []


def _acl_of_request() -> str | None:
    return request.headers.get("x-amz-acl") if has_request_context() else None


def _acl_of(upload: FakeMultipart | None) -> str | None:
    return getattr(upload, _ACL, None)
