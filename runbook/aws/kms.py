"""KMS keys: who manages one, and its policy as something to change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.kinds import Report, ResourceGone, Told, WholeDocument, look_first, register, replace_document
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Change, Resource
from runbook.policy import document, keys
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

AWS_MANAGED_KEY_FOR_S3 = "alias/aws/s3"
AWS_MANAGED = "alias/aws/"
"""What the aliases of keys begin with that AWS manages."""

OURS = ("kms:Decrypt", "kms:GenerateDataKey")
"""What statements of this package let a role do with a key."""


@dataclass(frozen=True)
class Key:
    """One KMS key. `policy` is its document to the letter; None for an AWS-managed key, where nobody can change it."""

    arn: str
    account: str
    region: str
    aws_managed: bool
    enabled: bool
    policy: str | None

    @property
    def policy_resource(self) -> Resource:
        """The key's policy, as plans name it."""
        return Resource(kind=KeyPolicy.name, account=self.account, region=self.region, arn=self.arn)


class KeyUnreadable(RunbookError):
    """A key cannot be looked at."""


def read_key(environment: Environment, account: str, region: str, key: str) -> Key:
    """Read a key by id, alias or ARN, as default encryption of a bucket of `account`, or a queue of it, names it.

    Empty, as of a bucket, means the AWS-managed one.
    A key of another account is read there. Raises KeyUnreadable when that is not possible.
    """
    if not key or AWS_MANAGED in key:
        # Not asked about: DescribeKey would create it where it was never used.
        alias = key[key.index(AWS_MANAGED) :] if key else AWS_MANAGED_KEY_FOR_S3
        arn = f"arn:{environment.identity(account).partition}:kms:{region}:{account}:{alias}"
        return Key(arn, account, region, aws_managed=True, enabled=True, policy=None)
    owner = key.split(":")[4] if key.startswith("arn:") else account
    client: KMSClient = environment.client("kms", owner, region)
    try:
        metadata = client.describe_key(KeyId=key)["KeyMetadata"]
        aws_managed = metadata.get("KeyManager") == "AWS"
        return Key(
            arn=metadata["Arn"],
            account=metadata["AWSAccountId"],
            region=region,
            aws_managed=aws_managed,
            enabled=metadata.get("KeyState") == "Enabled",
            policy=None if aws_managed else _policy(client, metadata["Arn"]),
        )
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise KeyUnreadable(f"Its key {key} cannot be looked at: {aws_errors.sentence(error)}.") from None


class KeyLockOut(RunbookError):
    """A policy would take something away from those who administer the key; it was not stored."""


@register
class KeyPolicy(WholeDocument):
    """A key's policy document, `default` being the only name there is."""

    name = "kms.key-policy"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        client = environment.client("kms", resource.account, resource.region)
        try:
            return _policy(client, resource.arn)
        except ClientError as error:
            if aws_errors.code(error) == "NotFoundException":
                raise ResourceGone(f"{resource}: there is no such key any more.") from None
            raise

    def write(self, environment: Environment, change: Change, report: Report) -> Told:  # noqa: ARG002 (takes no time)
        if change.after is None:
            raise ValueError("a key always has a policy")
        _refuse_lock_out(change)
        client: KMSClient = environment.client("kms", change.resource.account, change.resource.region)
        client.put_key_policy(KeyId=change.resource.arn, PolicyName="default", Policy=change.after)
        return ()

    def by_hand(self, change: Change) -> str:
        key, account, region = change.resource.arn, change.resource.account, change.resource.region
        named = f"--region {region} --key-id {key} --policy-name default"
        where = (
            f"In account {account}, Region {region}: KMS › Customer managed keys › {code(key.rsplit('/', 1)[-1])} › "
            "Key policy › Switch to policy view › Edit"
        )
        look = f"aws kms get-key-policy {named} --query Policy --output text"
        put = f"aws kms put-key-policy {named} --policy file://policy.json"
        return "\n\n".join(
            [*look_first(look, change.before or "{}"), *replace_document(where, put, change.after or "{}")]
        )


def _refuse_lock_out(change: Change) -> None:
    """Whatever a plan says, nobody who administers the key may be able to do less with it afterwards.

    But for what our own statements give: on the way back they are taken out, even from a role that administers the key.
    """
    arn = change.resource.arn
    before = document.parse(change.before or "", f"policy of key {arn}")
    if lost := keys.lost(before, document.parse(change.after or "", f"planned policy of key {arn}"), arn, but=OURS):
        raise KeyLockOut(
            f"{change.resource}: with this policy, administrators of the key could not do any more what they can do "
            f"now ({markdown.joined(lost)}). The key was left as it is."
        )


def _policy(client: "KMSClient", arn: str) -> str:
    return client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
