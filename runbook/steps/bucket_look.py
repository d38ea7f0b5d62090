"""One look at buckets and their keys, many at a time; what stands against a single one does not hide the others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runbook.aws.kms import Key, KeyUnreadable, read_key
from runbook.aws.s3 import Bucket, BucketError, PublicAccessBlock, read_account_block, read_bucket
from runbook.checks import Check, Status
from runbook.environment import AccountError, Environment
from runbook.policy import document, naming
from runbook.policy.document import PolicyError
from runbook.progress import Progress, in_parallel
from runbook.steps.inventory import Target

BELONGS = "The bucket is the account's"
TAKES = "Its policy can take the statements"

KeyName = tuple[str, str, str]
"""What it takes to find a key: account and Region of the bucket, and what the bucket calls it."""


@dataclass(frozen=True)
class Problem:
    """A bucket that cannot be opened at all: the check that says so, why, and what to do about it."""

    address: str
    title: str
    found: str
    remedy: str

    @property
    def check(self) -> Check:
        """It as a failed check."""
        return Check(self.title, self.address, Status.FAILED, self.found, self.remedy)


def look_at_buckets(environment: Environment, targets: Sequence[Target], progress: Progress) -> list[Bucket | Problem]:
    """Every bucket as it is, or why it cannot be used, in the order of the targets."""
    accounts = tuple(dict.fromkeys(target.account for target in targets))
    read = in_parallel(
        lambda account: _account_block(environment, account), accounts, what="accounts looked at", progress=progress
    )
    blocks = dict(zip(accounts, read, strict=True))
    return in_parallel(
        lambda target: _read(environment, target, blocks[target.account]),
        targets,
        what="buckets looked at",
        progress=progress,
    )


def look_at_keys(
    environment: Environment, names: Iterable[KeyName | None], progress: Progress
) -> Callable[[KeyName | None], tuple[Key | None, str]]:
    """Read keys, one that many buckets use only once. The answer gives for a name the key, or why there is none."""
    asked = [name for name in dict.fromkeys(names) if name is not None]
    read = in_parallel(lambda name: understood_key(environment, *name), asked, what="keys looked at", progress=progress)
    keys = dict(zip(asked, read, strict=True))
    return lambda name: keys[name] if name is not None else (None, "")


def key_name(bucket: Bucket) -> KeyName | None:
    """The key of default encryption; None where it uses none."""
    return None if bucket.key is None else (bucket.account, bucket.region, bucket.key)


def understood_key(environment: Environment, account: str, region: str, name: str) -> tuple[Key | None, str]:
    """A key as a bucket or a queue names it, or why it cannot be looked at."""
    try:
        key = read_key(environment, account, region, name)
        if key.policy is not None:
            document.parse(key.policy, f"policy of key {key.arn}")
    except (KeyUnreadable, AccountError, PolicyError) as error:
        return None, str(error)
    return key, ""


# --- helpers ---------------------------------------------------------------------------------------------------------


def _account_block(environment: Environment, account: str) -> PublicAccessBlock | BucketError:
    """Block Public Access of an account, once it has proved to be the account that it should be."""
    try:
        environment.identity(account)
        return read_account_block(environment, account)
    except AccountError as error:
        return BucketError(str(error), "")
    except BucketError as error:
        return error


def _read(environment: Environment, target: Target, account_block: PublicAccessBlock | BucketError) -> Bucket | Problem:
    try:
        if isinstance(account_block, BucketError):
            raise account_block
        bucket = read_bucket(environment, target.account, target.bucket, account_block)
        _understand(bucket)
    except BucketError as error:
        return Problem(target.address, BELONGS, error.found, error.remedy)
    except PolicyError as error:
        return Problem(target.address, TAKES, str(error), "Its owner has to repair it first.")
    if target.region and target.region != bucket.region:
        found = f"It is in {bucket.region}; the inventory says {target.region}."
        return Problem(target.address, BELONGS, found, "Correct the inventory: another bucket may have been meant.")
    return bucket


def _understand(bucket: Bucket) -> None:
    """Raise PolicyError for a policy that is none. One that differs from another in the name only is not read again."""
    if bucket.policy is not None:
        other = f"{bucket.arn.removesuffix(bucket.name)}{naming.stand_in(bucket.name)}"
        if naming.renamed(bucket.policy, bucket.arn, other) is None:
            document.parse(bucket.policy, f"bucket policy of {bucket.account}/{bucket.name}")
