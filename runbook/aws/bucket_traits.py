"""What decides over files that come into a bucket or leave it: object ownership, versions, locks, and keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.s3 import Bucket
from runbook.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Answer = TypeVar("Answer")

SAMPLE = 20
"""So many of a bucket's objects are looked at for the keys that they are encrypted with."""


@dataclass(frozen=True)
class Traits:
    """`ownership` is Object Ownership; `versioning` empty, `Enabled` or `Suspended`; `lock` what Object Lock does to
    new files, `on` where it does nothing by default, and empty without it. `keys` are the ARNs that existing objects
    name, each with one that does; `sampled` says how many were looked at.

    What could not be read is in `problems`, by what it was.
    """

    ownership: str = ""
    versioning: str = ""
    mfa_delete: bool = False
    lock: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    sampled: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)


def read_traits(environment: Environment, bucket: Bucket, *, target: bool, source: bool) -> Traits:
    """Ask for object ownership of a target, and of a source for versions, locks and the keys of existing objects."""
    client: S3Client = environment.client("s3", bucket.account, bucket.region)
    problems: dict[str, str] = {}
    found = Traits(problems=problems)
    if target:
        found = Traits(
            ownership=_ask(_ownership, client, bucket, problems, "Object Ownership") or "", problems=problems
        )
    if source:
        versioning, mfa = _ask(_versioning, client, bucket, problems, "versioning") or ("", False)
        keys, sampled = _ask(_keys, client, bucket, problems, "existing objects") or ({}, 0)
        lock = _ask(_lock, client, bucket, problems, "Object Lock") or ""
        found = Traits(found.ownership, versioning, mfa, lock, keys, sampled, problems)
    return found


# --- one call each ---------------------------------------------------------------------------------------------------


def _ask(
    function: Callable[["S3Client", Bucket], Answer],
    client: "S3Client",
    bucket: Bucket,
    problems: dict[str, str],
    what: str,
) -> Answer | None:
    try:
        return function(client, bucket)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        problems[what] = aws_errors.sentence(error)
        return None


def _ownership(client: "S3Client", bucket: Bucket) -> str:
    """Without such a configuration, which older buckets do not have, the writer of an object owns it."""
    try:
        answer = client.get_bucket_ownership_controls(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
    except ClientError as error:
        if aws_errors.code(error) != "OwnershipControlsNotFoundError":
            raise
        return "ObjectWriter"
    return answer["OwnershipControls"]["Rules"][0]["ObjectOwnership"]


def _versioning(client: "S3Client", bucket: Bucket) -> tuple[str, bool]:
    answer = client.get_bucket_versioning(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
    return answer.get("Status", ""), answer.get("MFADelete") == "Enabled"


def _lock(client: "S3Client", bucket: Bucket) -> str:
    """`GOVERNANCE, 30 days` of default retention, or `on`."""
    try:
        answer = client.get_object_lock_configuration(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
    except ClientError as error:
        if aws_errors.code(error) != "ObjectLockConfigurationNotFoundError":
            raise
        return ""
    retention = answer["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
    if not retention:
        return "on"
    long = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years')} years"
    return f"{retention['Mode']}, {long}"


def _keys(client: "S3Client", bucket: Bucket) -> tuple[dict[str, str], int]:
    """The keys of the first objects; each is asked about by itself, for a list does not tell."""
    name, owner = bucket.name, bucket.account
    listed = client.list_objects_v2(Bucket=name, MaxKeys=SAMPLE, ExpectedBucketOwner=owner).get("Contents", [])
    found: dict[str, str] = {}
    for each in listed:
        head = client.head_object(Bucket=name, Key=each["Key"], ExpectedBucketOwner=owner)
        if key := head.get("SSEKMSKeyId", ""):
            found.setdefault(key, each["Key"])
    return found, len(listed)
