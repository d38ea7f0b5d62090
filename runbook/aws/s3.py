"""Buckets: everything about one that decides who can read it, and its policy as something to change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.kinds import Report, ResourceGone, Told, WholeDocument, look_first, register, replace_document
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Change, Resource
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class BucketError(RunbookError):
    """A bucket cannot be used. `found` says why and `remedy` what to do, for a check to show."""

    def __init__(self, found: str, remedy: str) -> None:
        self.found, self.remedy = found, remedy
        super().__init__(f"{found} {remedy}")


@dataclass(frozen=True)
class Bucket:
    """What one bucket is like, as its own account sees it.

    `policy` is the document to the letter, None without one. `key` is what default encryption names as KMS key (id,
    ARN or alias): empty for the AWS-managed one, None without SSE-KMS. `block_public_policy` and
    `restrict_public_buckets` hold for the bucket, whether they are set on it or on its account; None where that was not
    asked.
    """

    account: str
    name: str
    region: str
    arn: str
    policy: str | None
    encryption: str
    key: str | None
    block_public_policy: bool | None
    restrict_public_buckets: bool | None

    @property
    def policy_resource(self) -> Resource:
        """The bucket's policy, as plans name it."""
        return Resource(kind=BucketPolicy.name, account=self.account, region=self.region, arn=self.arn)


@dataclass(frozen=True)
class PublicAccessBlock:
    """The two settings of Block Public Access that decide over policies, on a bucket or on a whole account."""

    block_public_policy: bool
    restrict_public_buckets: bool

    def joined(self, other: "PublicAccessBlock") -> "PublicAccessBlock":
        """Return the settings that hold where both are in force: the stricter one of each."""
        return PublicAccessBlock(
            self.block_public_policy or other.block_public_policy,
            self.restrict_public_buckets or other.restrict_public_buckets,
        )


def read_account_block(environment: Environment, account: str) -> PublicAccessBlock:
    """Block Public Access of a whole account. Raises BucketError when it may not be read."""
    client = environment.client("s3control", account)
    try:
        return _public_access_block(client.get_public_access_block, AccountId=account)
    except ClientError as error:
        raise _hidden(environment, account, error) from None


def read_bucket(
    environment: Environment, account: str, name: str, account_block: PublicAccessBlock | None = None
) -> Bucket:
    """Read one bucket with four calls, or with three without `account_block`: then nothing is known of that.

    Raises BucketError if it does not exist, is hidden, or not the account's."""
    region = _region(environment, account, name)
    client: S3Client = environment.client("s3", account, region)
    try:
        encryption, key = _encryption(client, account, name)
        block: PublicAccessBlock | None = None
        if account_block is not None:
            own = _public_access_block(client.get_public_access_block, Bucket=name, ExpectedBucketOwner=account)
            block = own.joined(account_block)
        return Bucket(
            account=account,
            name=name,
            region=region,
            arn=f"arn:{environment.identity(account).partition}:s3:::{name}",
            policy=_policy(client, account, name),
            encryption=encryption,
            key=key,
            block_public_policy=block.block_public_policy if block else None,
            restrict_public_buckets=block.restrict_public_buckets if block else None,
        )
    except ClientError as error:
        raise _hidden(environment, account, error) from None


def bucket_names(environment: Environment, account: str) -> list[str]:
    """The names of an account's buckets, sorted. Raises BucketError where they may not be listed."""
    client: S3Client = environment.client("s3", account)
    try:
        return sorted(each["Name"] for each in client.list_buckets()["Buckets"])
    except ClientError as error:
        raise _hidden(environment, account, error) from None


@dataclass(frozen=True)
class Probe:
    """What happened when a bucket was really used with somebody's credentials: action to answer, `ok` or the error."""

    key: str | None
    answers: tuple[tuple[str, str], ...]


def probe_bucket(
    environment: Environment, credentials: dict[str, Any], bucket: Bucket, *, tag: bool, read: bool = True
) -> Probe:
    """List the bucket, if `read` read one byte of its smallest listed object and, if `tag`, put its tags once more.

    Nothing is different afterwards: the tag set written is the one that was just read.
    """
    client: S3Client = environment.client_as(credentials, "s3", bucket.region)
    owner = bucket.account
    answers: list[tuple[str, str]] = []
    try:
        listed = client.list_objects_v2(Bucket=bucket.name, MaxKeys=100, ExpectedBucketOwner=owner).get("Contents", [])
        answers.append(("s3:ListBucket", "ok"))
        keys = [each["Key"] for each in sorted(listed, key=lambda each: each["Size"]) if each["Size"]]
        if not keys or not read:
            return Probe(None, tuple(answers))
        key = keys[0]
        client.get_object(Bucket=bucket.name, Key=key, Range="bytes=0-0", ExpectedBucketOwner=owner)["Body"].read()
        answers.append(("s3:GetObject", "ok"))
        if tag:
            tags = client.get_object_tagging(Bucket=bucket.name, Key=key, ExpectedBucketOwner=owner)["TagSet"]
            answers.append(("s3:GetObjectTagging", "ok"))
            client.put_object_tagging(Bucket=bucket.name, Key=key, Tagging={"TagSet": tags}, ExpectedBucketOwner=owner)
            answers.append(("s3:PutObjectTagging", "ok"))
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        return Probe(None, (*answers, (f"s3:{error.operation_name}", aws_errors.sentence(error))))
    return Probe(key, tuple(answers))


@register
class BucketPolicy(WholeDocument):
    """A bucket's policy document. Replaced as a whole; there is no ETag to guard it, so the caller re-reads first."""

    name = "s3.bucket-policy"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        client = environment.client("s3", resource.account, resource.region)
        try:
            return _policy(client, resource.account, _bucket_name(resource))
        except ClientError as error:
            if aws_errors.code(error) == "NoSuchBucket":
                raise ResourceGone(f"{resource}: there is no such bucket any more.") from None
            raise

    def write(self, environment: Environment, change: Change, report: Report) -> Told:  # noqa: ARG002 (takes no time)
        owner = change.resource.account
        client: S3Client = environment.client("s3", owner, change.resource.region)
        bucket = _bucket_name(change.resource)
        if change.after is None:
            client.delete_bucket_policy(Bucket=bucket, ExpectedBucketOwner=owner)
        else:
            client.put_bucket_policy(Bucket=bucket, Policy=change.after, ExpectedBucketOwner=owner)
        return ()

    def by_hand(self, change: Change) -> str:
        bucket, account = _bucket_name(change.resource), change.resource.account
        way = f"In account {account}: S3 › Buckets › {code(bucket)} › Permissions › Bucket policy"
        call = f"bucket-policy --bucket {bucket} --expected-bucket-owner {account}"
        look = look_first(
            f"aws s3api get-{call} --query Policy --output text",
            change.before,
            without="no policy: the answer is `NoSuchBucketPolicy`",
        )
        if change.after is None:
            delete = markdown.code_block(f"aws s3api delete-{call}", "sh")
            return "\n\n".join([*look, f"{way} › Delete. Or:", delete])
        put = f"aws s3api put-{call} --policy file://policy.json"
        return "\n\n".join([*look, *replace_document(f"{way} › Edit", put, change.after)])


def _bucket_name(resource: Resource) -> str:
    return resource.arn.rsplit(":", 1)[-1]


def _region(environment: Environment, account: str, name: str) -> str:
    client: S3Client = environment.client("s3", account)
    try:
        return client.head_bucket(Bucket=name, ExpectedBucketOwner=account)["BucketRegion"]
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        status = aws_errors.code(error)
        if status == "404":
            raise BucketError("There is no such bucket.", "Correct its name, or take it off the list.") from None
        if status == "403":
            raise BucketError(
                f"It does not belong to account {environment.account_name(account)}, or may not be seen from there.",
                "Name the account that owns it, or take it off the list.",
            ) from None
        raise BucketError(f"It cannot be found: {aws_errors.sentence(error)}.", "Correct its name.") from None


def _policy(client: "S3Client", account: str, name: str) -> str | None:
    try:
        return client.get_bucket_policy(Bucket=name, ExpectedBucketOwner=account)["Policy"]
    except ClientError as error:
        if aws_errors.code(error) == "NoSuchBucketPolicy":
            return None
        raise


def _encryption(client: "S3Client", account: str, name: str) -> tuple[str, str | None]:
    """The algorithm of default encryption and, for SSE-KMS, the key it names."""
    answer = client.get_bucket_encryption(Bucket=name, ExpectedBucketOwner=account)
    default = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    algorithm = default["SSEAlgorithm"]
    return algorithm, default.get("KMSMasterKeyID", "") if algorithm.startswith("aws:kms") else None


def _public_access_block(call: Callable[..., Any], **arguments: str) -> PublicAccessBlock:
    """Ask for a configuration, on a bucket or on an account; where there is none, nothing is blocked."""
    try:
        settings = call(**arguments)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if aws_errors.code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        settings = {}
    return PublicAccessBlock(settings.get("BlockPublicPolicy", False), settings.get("RestrictPublicBuckets", False))


def _hidden(environment: Environment, account: str, error: ClientError) -> BucketError:
    aws_errors.raise_unless_answered(error)
    return BucketError(
        f"It cannot be looked at: {aws_errors.sentence(error)}.",
        f"Let {environment.identity(account).arn} make this call, or use another role in {environment.where}.",
    )
