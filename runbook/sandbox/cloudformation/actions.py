"""Which IAM actions it takes to make, change or delete a resource: what CloudFormation calls the services for.

From the `handlers` of the types' schemas in the CloudFormation registry, and the API references: of the actions that a
handler may call, those that it does call for the properties at hand. Types that are not in the table need nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from string import ascii_uppercase, digits
from typing import Any, NamedTuple

from runbook.sandbox.callers import PARTITION
from runbook.sandbox.cloudformation.kinds import Properties, Resource


class Action(NamedTuple):
    """One action that has to be allowed on an ARN. `passed_to`: the service that a role is passed to."""

    name: str
    resource: str
    passed_to: str = ""


Arns = Callable[[Resource, Properties], Iterable[str]]
"""The ARNs that a resource with these properties is about."""


@dataclass(frozen=True)
class Part:
    """What a property needs that the service has calls of its own for: one that is `put` on a new resource, one that is
    changed later (the same, if nothing else is said), and one that is taken away, or a member of it.
    """

    put: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    change: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rights:
    """The actions of a type, and those of some of its properties. `passes`: properties that are a role, and the service
    that gets it.
    """

    arns: Arns
    create: tuple[str, ...]
    delete: tuple[str, ...]
    update: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    passes: Mapping[str, str] = field(default_factory=dict)


def to_create(resource: Resource) -> list[Action]:
    """For a resource that does not exist yet, with its properties."""
    rights = _RIGHTS.get(resource.type)
    if rights is None:
        return []
    new = resource.properties
    parts = (name for key, part in rights.parts.items() if new.get(key) for name in part.put)
    return [*_on(rights, resource, new, (*rights.create, *parts)), *_passed(rights, resource, new, set(new))]


def to_update(resource: Resource, properties: Properties) -> list[Action]:
    """For a resource that is about to get other properties."""
    rights = _RIGHTS.get(resource.type)
    if rights is None:
        return []
    old, new = resource.properties, properties
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    names = list(rights.update if changed - set(rights.parts) else ())
    for key, part in rights.parts.items():
        if key in changed:
            names += (part.change or part.put) if new.get(key) else ()
            names += part.remove if _lost(old.get(key), new.get(key)) else ()
    return [*_on(rights, resource, new, names), *_passed(rights, resource, new, changed)]


def to_delete(resource: Resource) -> list[Action]:
    """For a resource that exists."""
    rights = _RIGHTS.get(resource.type)
    if rights is None:
        return []
    old = resource.properties
    parts = (name for key, part in rights.parts.items() if old.get(key) for name in part.remove)
    return _on(rights, resource, old, (*parts, *rights.delete))


def _on(rights: Rights, resource: Resource, properties: Properties, names: Iterable[str]) -> list[Action]:
    arns = list(rights.arns(resource, properties))
    return [Action(name, arn) for name in dict.fromkeys(names) for arn in arns]


def _passed(rights: Rights, resource: Resource, properties: Properties, changed: set[str]) -> Iterator[Action]:
    """IAM User Guide, "Grant a user permissions to pass a role to an AWS service"."""
    for key, service in rights.passes.items():
        for role in _list(properties.get(key)) if key in changed else ():
            arn = role if role.startswith("arn:") else f"arn:{PARTITION}:iam::{resource.account}:role/{role}"
            yield Action("iam:PassRole", arn, service)


def _lost(old: Any, new: Any) -> bool:
    """Whether a property is gone, or a member of a list."""
    if isinstance(old, list) and isinstance(new, list):
        return bool({*map(_identity, old)} - {*map(_identity, new)})
    return bool(old) and not new


def _identity(member: Any) -> str:
    return str(member.get("PolicyName") or member.get("Key") if isinstance(member, Mapping) else member)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


# What a resource is called


def _name(resource: Resource, properties: Properties, key: str) -> str:
    """Its name; one that is not made yet and has none gets one as CloudFormation makes it up."""
    known = resource.physical_id or properties.get(key)
    if known:
        return str(known)
    letters = Random(f"{resource.stack_id} {resource.logical_id}")
    suffix = "".join(letters.choices(ascii_uppercase + digits, k=12))
    return f"{resource.stack_name}-{resource.logical_id}-{suffix}"


def _regional(service: str, form: str, key: str) -> Arns:
    """ARNs of a service that has them by Region. `form` holds `{}` for the name."""

    def arns(resource: Resource, properties: Properties) -> Iterator[str]:
        name = _name(resource, properties, key)
        start = f"arn:{PARTITION}:{service}:{resource.region}:{resource.account}:"
        yield name if name.startswith("arn:") else start + form.format(name.rpartition("/")[2])

    return arns


def _iam(kind: str, key: str) -> Arns:
    def arns(resource: Resource, properties: Properties) -> Iterator[str]:
        name = _name(resource, properties, key)
        path = properties.get("Path", "/")
        yield name if name.startswith("arn:") else f"arn:{PARTITION}:iam::{resource.account}:{kind}{path}{name}"

    return arns


def _parameter(resource: Resource, properties: Properties) -> Iterator[str]:
    name = _name(resource, properties, "Name").removeprefix("/")
    yield f"arn:{PARTITION}:ssm:{resource.region}:{resource.account}:parameter/{name}"


def _dashboard(resource: Resource, properties: Properties) -> Iterator[str]:
    yield f"arn:{PARTITION}:cloudwatch::{resource.account}:dashboard/{_name(resource, properties, 'DashboardName')}"


def _bucket(resource: Resource, properties: Properties) -> Iterator[str]:
    yield f"arn:{PARTITION}:s3:::{_name(resource, properties, 'BucketName').lower()}"


def _bucket_of_policy(_resource: Resource, properties: Properties) -> Iterator[str]:
    yield f"arn:{PARTITION}:s3:::{properties['Bucket']}"


def _queues(resource: Resource, properties: Properties) -> Iterator[str]:
    for url in _list(properties["Queues"]):
        yield f"arn:{PARTITION}:sqs:{resource.region}:{resource.account}:{url.rpartition('/')[2]}"


def _topics(_resource: Resource, properties: Properties) -> Iterator[str]:
    yield from _list(properties["Topics"])


def _topic_of_subscription(_resource: Resource, properties: Properties) -> Iterator[str]:
    if "TopicArn" in properties:
        yield properties["TopicArn"]


def _function_of_permission(resource: Resource, properties: Properties) -> Iterator[str]:
    name = str(properties.get("FunctionName"))
    start = f"arn:{PARTITION}:lambda:{resource.region}:{resource.account}:function:"
    yield name if name.startswith("arn:") else start + name


def _roles(resource: Resource, properties: Properties) -> Iterator[str]:
    """The roles of an inline policy. Users and groups are not in this world."""
    for name in _list(properties.get("Roles")):
        yield f"arn:{PARTITION}:iam::{resource.account}:role/{name}"


_RIGHTS: Mapping[str, Rights] = {
    "AWS::CloudWatch::Dashboard": Rights(
        _dashboard,
        create=("cloudwatch:PutDashboard", "cloudwatch:GetDashboard"),
        update=("cloudwatch:PutDashboard", "cloudwatch:GetDashboard"),
        delete=("cloudwatch:DeleteDashboards",),
    ),
    "AWS::DynamoDB::Table": Rights(
        _regional("dynamodb", "table/{}", "TableName"),
        create=("dynamodb:CreateTable", "dynamodb:DescribeTable"),
        update=("dynamodb:UpdateTable", "dynamodb:DescribeTable"),
        delete=("dynamodb:DeleteTable", "dynamodb:DescribeTable"),
        parts={"Tags": Part(("dynamodb:TagResource",), ("dynamodb:UntagResource",))},
    ),
    "AWS::IAM::InstanceProfile": Rights(
        _iam("instance-profile", "InstanceProfileName"),
        create=("iam:CreateInstanceProfile", "iam:GetInstanceProfile"),
        delete=("iam:DeleteInstanceProfile",),
        parts={"Roles": Part(("iam:AddRoleToInstanceProfile",), ("iam:RemoveRoleFromInstanceProfile",))},
        passes={"Roles": "ec2.amazonaws.com"},
    ),
    "AWS::IAM::ManagedPolicy": Rights(
        _iam("policy", "ManagedPolicyName"),
        create=("iam:CreatePolicy", "iam:GetPolicy"),
        update=("iam:CreatePolicyVersion", "iam:ListPolicyVersions"),
        delete=("iam:DeletePolicy", "iam:ListPolicyVersions"),
    ),
    "AWS::IAM::Policy": Rights(
        _roles,
        create=("iam:PutRolePolicy",),
        update=("iam:PutRolePolicy",),
        delete=("iam:DeleteRolePolicy",),
    ),
    "AWS::IAM::Role": Rights(
        _iam("role", "RoleName"),
        create=("iam:CreateRole", "iam:GetRole"),
        delete=("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:DeleteRole"),
        parts={
            "AssumeRolePolicyDocument": Part(change=("iam:UpdateAssumeRolePolicy",)),
            "Description": Part(change=("iam:UpdateRole",)),
            "ManagedPolicyArns": Part(("iam:AttachRolePolicy",), ("iam:DetachRolePolicy",)),
            "MaxSessionDuration": Part(change=("iam:UpdateRole",)),
            "PermissionsBoundary": Part(("iam:PutRolePermissionsBoundary",), ("iam:DeleteRolePermissionsBoundary",)),
            "Policies": Part(("iam:PutRolePolicy",), ("iam:DeleteRolePolicy",)),
            "Tags": Part(("iam:TagRole",), ("iam:UntagRole",)),
        },
    ),
    "AWS::Lambda::Function": Rights(
        _regional("lambda", "function:{}", "FunctionName"),
        create=("lambda:CreateFunction", "lambda:GetFunction"),
        update=("lambda:UpdateFunctionConfiguration", "lambda:GetFunction"),
        delete=("lambda:DeleteFunction",),
        parts={"Code": Part(change=("lambda:UpdateFunctionCode",))},
        passes={"Role": "lambda.amazonaws.com"},
    ),
    "AWS::Lambda::Permission": Rights(
        _function_of_permission,
        create=("lambda:AddPermission",),
        delete=("lambda:RemovePermission",),
    ),
    "AWS::Logs::LogGroup": Rights(
        _regional("logs", "log-group:{}", "LogGroupName"),
        create=("logs:CreateLogGroup",),
        delete=("logs:DeleteLogGroup",),
        parts={"RetentionInDays": Part(("logs:PutRetentionPolicy",))},
    ),
    "AWS::S3::Bucket": Rights(
        _bucket,
        create=("s3:CreateBucket",),
        delete=("s3:DeleteBucket",),
        parts={
            "BucketEncryption": Part(("s3:PutEncryptionConfiguration",)),
            "LifecycleConfiguration": Part(("s3:PutLifecycleConfiguration",)),
            "NotificationConfiguration": Part(("s3:PutBucketNotification",)),
            "OwnershipControls": Part(("s3:PutBucketOwnershipControls",)),
            "PublicAccessBlockConfiguration": Part(("s3:PutBucketPublicAccessBlock",)),
            "Tags": Part(("s3:PutBucketTagging",)),
            "VersioningConfiguration": Part(("s3:PutBucketVersioning",)),
        },
    ),
    "AWS::S3::BucketPolicy": Rights(
        _bucket_of_policy,
        create=("s3:GetBucketPolicy", "s3:PutBucketPolicy"),
        update=("s3:GetBucketPolicy", "s3:PutBucketPolicy"),
        delete=("s3:GetBucketPolicy", "s3:DeleteBucketPolicy"),
    ),
    "AWS::SNS::Subscription": Rights(
        _topic_of_subscription,
        create=("sns:Subscribe",),
        update=("sns:SetSubscriptionAttributes",),
        delete=("sns:Unsubscribe",),
    ),
    "AWS::SNS::Topic": Rights(
        _regional("sns", "{}", "TopicName"),
        create=("sns:CreateTopic",),
        update=("sns:SetTopicAttributes",),
        delete=("sns:DeleteTopic",),
        parts={"Tags": Part(("sns:TagResource",), ("sns:UntagResource",))},
    ),
    "AWS::SNS::TopicPolicy": Rights(
        _topics,
        create=("sns:SetTopicAttributes",),
        update=("sns:SetTopicAttributes",),
        delete=("sns:SetTopicAttributes",),
    ),
    "AWS::SQS::Queue": Rights(
        _regional("sqs", "{}", "QueueName"),
        create=("sqs:CreateQueue", "sqs:GetQueueAttributes"),
        update=("sqs:SetQueueAttributes", "sqs:GetQueueAttributes"),
        delete=("sqs:DeleteQueue", "sqs:GetQueueAttributes"),
        parts={"Tags": Part(("sqs:TagQueue",), ("sqs:UntagQueue",))},
    ),
    "AWS::SQS::QueuePolicy": Rights(
        _queues,
        create=("sqs:SetQueueAttributes",),
        update=("sqs:SetQueueAttributes",),
        delete=("sqs:SetQueueAttributes",),
    ),
    "AWS::SSM::Parameter": Rights(
        _parameter,
        create=("ssm:PutParameter", "ssm:GetParameters"),
        update=("ssm:PutParameter", "ssm:GetParameters"),
        delete=("ssm:DeleteParameter",),
    ),
}
