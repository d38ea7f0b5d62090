"""Where moto's S3 is not like AWS's: bucket owners, Regions, settings of a new bucket, bucket policies, encryption."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from flask import has_request_context, request
from moto.core.utils import ensure_boolean
from moto.kms.models import Key
from moto.s3 import responses
from moto.s3.exceptions import MethodNotAllowed
from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, PublicAccessBlock, S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.s3control.models import s3control_backends

from runbook.policy.document import parse
from runbook.policy.lint import is_public
from runbook.sandbox import kms, objects, s3_events, s3_policies, stored_policies
from runbook.sandbox.authorization import find_bucket, require
from runbook.sandbox.callers import PARTITION, Caller, caller_of
from runbook.sandbox.errors import AccessDenied, Refusal
from runbook.sandbox.moto_methods import replace


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent.

    A policy that S3 would not take, such as one with a principal that was deleted since, can still be put in place by
    setting `policy` of moto's bucket: the rules guard `put_bucket_policy`.
    """
    kms.install()
    objects.install()
    s3_events.install()
    replace(S3Response, "_bucket_response", looks_at_owner_and_region_of_a_bucket_first)
    replace(S3Response, "_key_response", looks_at_owner_and_region_of_an_object_first)
    S3Response.backend = property(backend_of_the_bucket)  # type: ignore[method-assign, assignment]
    replace(S3Backend, "create_bucket", gives_a_new_bucket_its_settings)
    replace(S3Backend, "get_bucket_encryption", says_how_a_bucket_is_encrypted)
    replace(S3Backend, "put_bucket_policy", checks_a_bucket_policy)
    replace(S3Backend, "get_bucket_policy", shows_the_policy_as_s3_writes_it)
    responses.bucket_policy_is_public = _is_public  # type: ignore[attr-defined]
    replace(S3Response, "_tagging_from_xml", takes_an_empty_tag_set)
    replace(S3Backend, "put_object", encrypts_a_new_object)
    replace(S3Backend, "create_multipart_upload", encrypts_a_multipart_upload)
    for part in ("upload_part", "upload_part_copy", "complete_multipart_upload"):
        replace(S3Backend, part, decrypts_the_parts_of_an_upload)
    for read in ("get_object", "copy_object", "upload_part_copy"):
        replace(S3Response, read, decrypts_the_object_that_is_read)


# Rules. The first parameter is moto's own method.


def looks_at_owner_and_region_of_a_bucket_first(
    original: Callable[..., Any], response: S3Response, http: Any, url: str
) -> Any:
    """Of every call about a bucket. CreateBucket is not about one that is there."""
    query = response._get_querystring(http, url)
    bucket = find_bucket(response.bucket_name)
    if bucket is None or (http.method == "PUT" and not query):
        return original(response, http, url)
    _check_expected_owner(response.headers.get("x-amz-expected-bucket-owner"), bucket)
    if "policy" in query:
        _check_caller_is_of_the_owner(response, bucket)
    redirect = _redirect(response, bucket) if "location" not in query else None
    return redirect or original(response, http, url)


def looks_at_owner_and_region_of_an_object_first(
    original: Callable[..., Any], response: S3Response, http: Any, url: str
) -> Any:
    """Of every call about an object."""
    bucket = find_bucket(response.bucket_name)
    if bucket is None:
        return original(response, http, url)
    _check_expected_owner(response.headers.get("x-amz-expected-bucket-owner"), bucket)
    source = find_bucket(_copy_source(response)[0])
    if source is not None:
        _check_expected_owner(response.headers.get("x-amz-source-expected-bucket-owner"), source)
    return _redirect(response, bucket) or original(response, http, url)


def takes_an_empty_tag_set(original: Callable[..., dict[str, str]], response: S3Response) -> dict[str, str]:
    """API Reference, PutObjectTagging: `TagSet` is "a collection for a set of tags", which may hold none."""
    return original(response) if b"<Tag>" in response.body else {}


def _check_expected_owner(expected: str | None, bucket: FakeBucket) -> None:
    """API Reference, `x-amz-expected-bucket-owner`, of nearly every operation: "If the account ID that you provide
    does not match the actual owner of the bucket, the request fails with the HTTP status code 403 Forbidden".

    What is no account id at all has an error of its own (User Guide, "Error responses").
    """
    if expected is None:
        return
    if not re.fullmatch(r"[0-9]{12}", expected):
        message = f"The value of the expected bucket owner parameter must be an AWS Account ID... [{expected}]"
        raise Refusal("InvalidBucketOwnerAWSAccountID", message, 400)
    if expected != bucket.account_id:
        raise AccessDenied("s3", "Access Denied")


def _check_caller_is_of_the_owner(response: S3Response, bucket: FakeBucket) -> None:
    """PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy: "If you have the correct permissions, but you're not using
    an identity that belongs to the bucket owner's account, Amazon S3 returns a 405 Method Not Allowed error."
    """
    if response.current_account != bucket.account_id:
        raise MethodNotAllowed(method=response.method, resource_type="BUCKETPOLICY")


def _redirect(response: S3Response, bucket: FakeBucket) -> tuple[int, dict[str, str], str] | None:
    """A call to another Region than the bucket's is answered 301 with the Region, and SDKs then call that one.

    User Guide, "Error responses": PermanentRedirect. HeadBucket: the header says where the bucket is. On AWS the
    endpoint decides; the sandbox has one for all Regions, so here the Region of the signature does.
    """
    if "Authorization" not in response.headers or response.region == bucket.region_name:
        return None
    body = (
        "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using "
        "the specified endpoint. Please send all future requests to this endpoint.</Message>"
        f"<Endpoint>s3.{bucket.region_name}.amazonaws.com</Endpoint><Bucket>{bucket.name}</Bucket></Error>"
    )
    return 301, {"x-amz-bucket-region": bucket.region_name, "content-type": "application/xml"}, body


def backend_of_the_bucket(response: S3Response) -> S3Backend:
    """What another account does to a bucket happens in the owner's account.

    User Guide, "Controlling ownership of objects": with BucketOwnerEnforced the bucket owner owns every object. moto
    would keep an object and its tags with the account that put them, where the owner does not see them.
    """
    own = (PARTITION, response.current_account)
    partition, account = s3_backends.bucket_accounts.get(getattr(response, "bucket_name", ""), own)
    return s3_backends[account][partition]


def gives_a_new_bucket_its_settings(original: Callable[..., FakeBucket], *arguments: Any, **options: Any) -> FakeBucket:
    """User Guide, "Default settings for new S3 buckets FAQ": since April 2023 all four Block Public Access settings
    are on and ACLs are disabled (BucketOwnerEnforced). Once deleted, either is NotFound.
    """
    bucket = original(*arguments, **options)
    bucket.public_access_block = PublicAccessBlock(True, True, True, True)
    bucket.ownership_rule = "BucketOwnerEnforced"  # type: ignore[assignment]
    return bucket


def says_how_a_bucket_is_encrypted(
    original: Callable[..., dict[str, Any] | None], backend: S3Backend, bucket_name: str
) -> dict[str, Any]:
    """GetBucketEncryption: "By default, all buckets have a default encryption configuration that uses server-side
    encryption with Amazon S3 managed keys (SSE-S3)." There is no bucket without one.
    """
    return original(backend, bucket_name) or {
        "Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}
    }


def checks_a_bucket_policy(
    original: Callable[..., None], backend: S3Backend, bucket_name: str, policy: bytes | str
) -> None:
    """PutBucketPolicy takes the policy only if `s3_policies.check` and Block Public Access let it.

    User Guide, "Blocking public access to your Amazon S3 storage", BlockPublicPolicy: S3 rejects a policy that allows
    public access, whether the setting is the bucket's or the account's. Policies that are there already stay.
    """
    text = policy.decode(errors="replace") if isinstance(policy, bytes) else policy
    bucket = backend.get_bucket(bucket_name)
    s3_policies.check(text, bucket_name)
    if _blocks_public_policies(bucket) and _is_public(text):
        raise AccessDenied(
            "s3",
            f"User: {_caller(bucket).arn} is not authorized to perform: s3:PutBucketPolicy on resource: "
            f'"{bucket.arn}" because public policies are blocked by the BlockPublicPolicy block public access setting.',
        )
    original(backend, bucket_name, text.encode())
    stored_policies.remember_principals(bucket, text)


def shows_the_policy_as_s3_writes_it(
    original: Callable[..., bytes | None], backend: S3Backend, bucket_name: str
) -> bytes | None:
    """GetBucketPolicy answers with S3's own writing of the policy, minified: see `stored_policies.as_written`."""
    policy = original(backend, bucket_name)
    if not policy:
        return policy
    written = stored_policies.as_written(backend.get_bucket(bucket_name), policy.decode())
    return stored_policies.minified(written).encode()


def encrypts_a_new_object(
    original: Callable[..., FakeKey], backend: S3Backend, bucket_name: str, key_name: str, *rest: Any, **options: Any
) -> FakeKey:
    """PutObject, CopyObject and the like: the bucket's default encryption applies unless the request says otherwise.

    User Guide, "Using server-side encryption with AWS KMS keys": to upload, the requester needs kms:GenerateDataKey.
    """
    bucket = backend.get_bucket(bucket_name)
    algorithm, key = _encryption(bucket, options.get("encryption"), options.get("kms_key_id"))
    if key is not None:
        _require("kms:GenerateDataKey", key, bucket, key_name, options.get("bucket_key_enabled"))
    chosen = {"encryption": algorithm, "kms_key_id": key.arn if key else None}
    return original(backend, bucket_name, key_name, *rest, **{**options, **chosen})


def encrypts_a_multipart_upload(
    original: Callable[..., FakeMultipart], backend: S3Backend, bucket_name: str, name: str, *rest: Any
) -> FakeMultipart:
    """CreateMultipartUpload: as PutObject, and all parts are encrypted as it says."""
    *others, algorithm, key_id = rest  # moto passes all by position
    bucket = backend.get_bucket(bucket_name)
    algorithm, key = _encryption(bucket, algorithm, key_id)
    if key is not None:
        _require("kms:GenerateDataKey", key, bucket, name)
    return original(backend, bucket_name, name, *others, algorithm, key.arn if key else None)


def decrypts_the_parts_of_an_upload(
    original: Callable[..., Any], backend: S3Backend, bucket_name: str, upload_id: str, *rest: Any, **options: Any
) -> Any:
    """User Guide, "Multipart upload API and permissions": with SSE-KMS the requester needs kms:Decrypt too, because
    S3 must decrypt and read data from the encrypted file parts before it completes the multipart upload.
    """
    bucket = backend.get_bucket(bucket_name)
    upload = bucket.multiparts.get(upload_id)
    if upload is not None and upload.kms_key_id:
        _require("kms:Decrypt", _usable_key(upload.kms_key_id, bucket), bucket, upload.key_name)
    return original(backend, bucket_name, upload_id, *rest, **options)


def decrypts_the_object_that_is_read(original: Callable[..., Any], response: S3Response) -> Any:
    """User Guide, "Using server-side encryption with AWS KMS keys": to download, the requester needs kms:Decrypt.

    HeadObject and tags need no key. The source of a copy is read like any object.
    """
    if "x-amz-copy-source" in response.headers:
        bucket_name, name, version = _copy_source(response)
    else:
        bucket_name, name = response.bucket_name, response.parse_key_name()
        version = response.querystring.get("versionId", [None])[0]
    bucket = find_bucket(bucket_name)
    found = response.backend.get_object(bucket_name, name, version_id=version) if bucket else None
    if bucket is not None and found is not None and has_request_context():
        require_decryption(_caller(bucket), bucket, found)
    return original(response)


def require_decryption(caller: Caller, bucket: FakeBucket, found: FakeKey) -> None:
    """Raise AccessDenied, or what KMS says of the key, unless `caller` may decrypt an object."""
    if found.kms_key_id and _is_kms(found.encryption):
        key = _usable_key(found.kms_key_id, bucket)
        _require("kms:Decrypt", key, bucket, found.name, found.bucket_key_enabled, caller)


def _encryption(bucket: FakeBucket, algorithm: str | None, key_id: str | None) -> tuple[str, Key | None]:
    """Algorithm and key of a new object: what the request asks for, or else the bucket's default.

    User Guide, "Using SSE-KMS encryption for cross-account operations": a key that is not named by its ARN is looked
    up in the requester's account, and without a key it is that account's AWS-managed key `aws/s3`.
    """
    if algorithm is None:
        default = (bucket.encryption or {"Rule": {}})["Rule"].get("ApplyServerSideEncryptionByDefault", {})
        algorithm, key_id = default.get("SSEAlgorithm", "AES256"), default.get("KMSMasterKeyID")
    return algorithm, _usable_key(key_id or "alias/aws/s3", bucket) if _is_kms(algorithm) else None


def _is_kms(algorithm: str | None) -> bool:
    return algorithm in ("aws:kms", "aws:kms:dsse")


def _usable_key(identifier: str, bucket: FakeBucket) -> Key:
    """The key in the bucket's Region. S3 passes on KMS's errors under codes that begin with `KMS.`."""
    key = kms.find_key(identifier, account=_caller(bucket).account or bucket.account_id, region=bucket.region_name)
    if key is None:
        raise Refusal("KMS.NotFoundException", f"Key '{identifier}' does not exist", 400)
    if key.key_state == "Disabled":
        raise Refusal("KMS.DisabledException", f"{key.arn} is disabled.", 400)
    if key.key_state != "Enabled":
        raise Refusal("KMS.KMSInvalidStateException", f"{key.arn} is pending deletion.", 400)
    return key


def _require(
    action: str, key: Key, bucket: FakeBucket, name: str, bucket_key: Any = None, caller: Caller | None = None
) -> None:
    """S3 calls KMS on behalf of the requester, whose permission counts; S3's error then carries KMS's sentence.

    Developer Guide, "kms:ViaService" and "kms:EncryptionContext": key policies can tell such a call by these keys.
    User Guide, "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys": with one, the encryption context is the
    bucket's ARN instead of the object's. `bucket_key` is what the object says, None when the bucket's setting counts.
    Without `caller` it is who makes the call in hand.
    """
    if caller is None and not has_request_context():
        return  # the sandbox itself, seeding
    if bucket_key is None:
        bucket_key = (bucket.encryption or {"Rule": {}})["Rule"].get("BucketKeyEnabled")
    context = {
        "kms:ViaService": f"s3.{bucket.region_name}.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": bucket.arn if ensure_boolean(bucket_key) else f"{bucket.arn}/{name}",
        "kms:EncryptionContextKeys": ["aws:s3:arn"],
    }
    require(caller or _caller(bucket), action, key.arn, key.account_id, context, service="s3")


def _caller(bucket: FakeBucket) -> Caller:
    """Who makes the call in hand; the bucket's owner when there is none, because the sandbox itself seeds."""
    if has_request_context():
        return caller_of(dict(request.headers), service="s3")
    owner = bucket.account_id
    return Caller(account=owner, arn=f"arn:{PARTITION}:iam::{owner}:root", kind="root", name="root")


def _copy_source(response: S3Response) -> tuple[str, str, str | None]:
    """Bucket, key and version id that `x-amz-copy-source` names; empty without one."""
    source = urlsplit(response.headers.get("x-amz-copy-source", ""))
    bucket, _, name = unquote(source.path).lstrip("/").partition("/")
    return bucket, name, parse_qs(source.query).get("versionId", [None])[0]


def _blocks_public_policies(bucket: FakeBucket) -> bool:
    of_the_account = s3control_backends[bucket.account_id][PARTITION].public_access_block
    return any(each.block_public_policy for each in (bucket.public_access_block, of_the_account) if each is not None)


def _is_public(policy: bytes | str) -> bool:
    """GetBucketPolicyStatus and Block Public Access: public as the User Guide, "The meaning of public", has it."""
    text = policy.decode() if isinstance(policy, bytes) else policy
    return is_public(parse(text, "bucket policy"))
