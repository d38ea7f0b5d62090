"""Keys and buckets of the simulated organization: what a table can say of one, and how it comes into moto's state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, NotificationConfiguration, PublicAccessBlock, S3Backend, s3_backends

from runbook.sandbox.callers import PARTITION
from runbook.sandbox.server import REGION

Policy = Mapping[str, Any]

LOCKED_UNTIL = "2035-11-23T00:00:00Z"
RETENTION_DAYS = 365


@dataclass(frozen=True)
class Key:
    """A customer-managed key and its policy's statements beyond the one for the account root."""

    account: str
    alias: str
    statements: tuple[Policy, ...] = ()


@dataclass(frozen=True)
class Bucket:
    """A bucket with a few objects. `key` is the alias of the key that encrypts it by default, "" for SSE-S3.

    `policy` stands as it was once put, by someone else. `restricts` is RestrictPublicBuckets; `blocks` are the other
    three settings of Block Public Access, which are on for a new bucket. `ownership` is Object Ownership. `locked`
    is Object Lock in governance mode: for a year by default, until 2035 for the objects that are there. `older` are
    objects from before the present default encryption: content, and the alias of their key, "" for no encryption.
    """

    account: str
    name: str
    policy: Policy | None = None
    region: str = REGION
    key: str = ""
    blocks: bool = True
    restricts: bool = True
    ownership: str = "BucketOwnerEnforced"
    versioned: bool = False
    locked: bool = False
    objects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    older: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def make_key(key: Key) -> None:
    """With an id that moto makes up."""
    kms = kms_backends[key.account][REGION]
    root = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{key.account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = {"Version": "2012-10-17", "Id": "key-default-1", "Statement": [root, *key.statements]}
    made = kms.create_key(
        policy=json.dumps(policy),
        key_usage="ENCRYPT_DECRYPT",
        key_spec="SYMMETRIC_DEFAULT",
        description=key.alias.removeprefix("alias/"),
        tags=None,
    )
    kms.create_alias(made.id, key.alias)


def make_bucket(bucket: Bucket) -> None:
    """With everything in it; versions have ids that moto makes up."""
    s3 = s3_backends[bucket.account][PARTITION]
    made = s3.create_bucket(bucket.name, bucket.region)
    made.public_access_block = PublicAccessBlock(bucket.blocks, bucket.blocks, bucket.blocks, bucket.restricts)
    made.ownership_rule = bucket.ownership  # type: ignore[assignment]  # moto keeps the text
    if bucket.key:
        s3.put_bucket_encryption(bucket.name, _encryption(bucket))
    if bucket.versioned or bucket.locked:
        s3.put_bucket_versioning(bucket.name, "Enabled")
    if bucket.locked:
        s3.put_object_lock_configuration(bucket.name, True, "GOVERNANCE", RETENTION_DAYS, 0)
    if bucket.policy:
        made.policy = minified(bucket.policy).encode()  # not put: some of these would be refused today
    mode, until = ("GOVERNANCE", LOCKED_UNTIL) if bucket.locked else (None, None)
    for name, versions in bucket.objects.items():
        for content in versions:
            s3.put_object(bucket.name, name, content.encode(), lock_mode=mode, lock_until=until)
    for name in bucket.deleted:
        s3.delete_object(bucket.name, name)
    for name, (content, key) in bucket.older.items():
        _put_older(s3, made, name, content, key)


def tell_of_new_objects(bucket: str, queue_arn: str) -> None:
    """Let a bucket send S3's event notifications of new objects to a queue."""
    _, account = s3_backends.bucket_accounts[bucket]
    s3_backends[account][PARTITION].buckets[bucket].notification_configuration = NotificationConfiguration(
        queue=[{"Id": "bucketav", "Queue": queue_arn, "Event": ["s3:ObjectCreated:*"]}]
    )


def public_read(bucket: str) -> Policy:
    """A bucket policy that lets everybody read the objects."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PublicRead",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }


def minified(policy: Policy) -> str:
    """As text, without spaces."""
    return json.dumps(policy, separators=(",", ":"))


def _encryption(bucket: Bucket) -> dict[str, Any]:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": _key_arn(bucket.account, bucket.region, bucket.key)}
    return {"Rule": {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": "true"}}


def _key_arn(account: str, region: str, alias: str) -> str:
    if "/aws/" in alias:
        return f"arn:{PARTITION}:kms:{region}:{account}:{alias}"
    kms = kms_backends[account][region]
    return kms.keys[str(kms.get_key_id_from_alias(alias))].arn


def _put_older(s3: S3Backend, bucket: FakeBucket, name: str, content: str, key: str) -> None:
    """AWS, "Default encryption FAQ": since January 2023 all new objects are encrypted, those from before stay as they
    are. Afterwards a default counts for new objects only.
    """
    if key:
        arn = _key_arn(bucket.account_id, bucket.region_name, key)
        s3.put_object(bucket.name, name, content.encode(), encryption="aws:kms", kms_key_id=arn)
    else:
        s3.put_object(bucket.name, name, content.encode()).encryption = None
