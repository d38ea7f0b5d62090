"""How each type of resource is made, changed and deleted in moto's state.

`kind_of(type)` answers with moto's model where it is good, with a rule of our own where it is not, and with an inert
resource for everything that the sandbox does not simulate. `register` adds another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cloudformation.parsing import generate_resource_name, get_model_map
from moto.cloudwatch.models import cloudwatch_backends
from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import Role, iam_backends
from moto.logs.models import logs_backends
from moto.moto_api._internal import mock_random
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import Queue, sqs_backends
from moto.ssm.models import ssm_backends

from runbook.sandbox import queue_attributes, queue_policies, topic_policies
from runbook.sandbox.callers import PARTITION
from runbook.sandbox.errors import Refusal

Properties = Mapping[str, Any]
Waits = Generator[float, None, None]
"""Work that takes time: yields how many seconds it is until it goes on."""


class ResourceFailed(Exception):
    """The service refused to make, change or delete a resource; the message is the event's ResourceStatusReason."""


@dataclass
class Resource:
    """A resource of a stack, and where it is.

    `properties` are those that it was last made or changed with, functions resolved; `definition` is the template's.
    `shown` are the same for events, with asterisks for what is secret. `secret`: its attributes are. `model` is moto's
    object, if it has one.
    """

    account: str
    region: str
    stack_id: str
    stack_name: str
    logical_id: str
    type: str
    definition: Mapping[str, Any]
    properties: Properties
    physical_id: str = ""
    model: Any = None
    status: str = ""
    reason: str | None = None
    shown: Properties = field(default_factory=dict)
    secret: bool = False
    since: datetime | None = None

    @property
    def physical_resource_id(self) -> str:
        """As moto calls it."""
        return self.physical_id


class Kind(Protocol):
    """What the engine asks of a type of resource. Each raises what the service answers when it refuses.

    Most do their work at once, and return nothing.
    """

    def create(self, resource: Resource) -> Waits | None:
        """Make it, with its properties, and note its physical id."""

    def update(self, resource: Resource, properties: Properties) -> Waits | None:
        """Change it in place; its present properties are the former ones. Another physical id is another resource: the
        former one is deleted later.
        """

    def delete(self, resource: Resource) -> Waits | None:
        """Delete it; one that somebody else has deleted is no error."""

    def attribute(self, resource: Resource, name: str) -> Any:
        """What Fn::GetAtt gives."""


def kind_of(type_name: str) -> Kind:
    """The rules for a type such as `AWS::SNS::Topic`."""
    if type_name in _KINDS:
        return _KINDS[type_name]
    return _KINDS.get(f"{type_name.partition('::')[0]}::", _INERT)


def register(type_name: str, kind: Kind) -> None:
    """Simulate a type: `AWS::X::Y`, or a whole prefix (`Custom::`)."""
    _KINDS[type_name] = kind


def generated_name(resource: Resource) -> str:
    """AWS, "Name type": a unique physical id made of the stack's name, the logical id and random characters."""
    return generate_resource_name(resource.type, resource.stack_name, resource.logical_id)


# moto's models


class MotoKind:
    """A type whose model in moto creates and deletes as AWS does."""

    def create(self, resource: Resource) -> None:
        model = get_model_map()[resource.type]
        name = generated_name(resource)
        name = str(resource.properties.get(model.cloudformation_name_type() or "") or name)
        self.must_be_new(resource, name)
        resource.model = model.create_from_cloudformation_json(
            name,
            _as_moto(resource, resource.properties),
            resource.account,
            resource.region,
            LogicalId=resource.logical_id,
            StackId=resource.stack_id,
            ResourceType=resource.type,
        )
        resource.physical_id = str(resource.model.physical_resource_id)

    def update(self, resource: Resource, properties: Properties) -> None:
        model = get_model_map()[resource.type]
        if hasattr(model.update_from_cloudformation_json, "__isabstractmethod__"):
            return
        resource.model = model.update_from_cloudformation_json(
            original_resource=resource.model,
            new_resource_name=resource.physical_id,
            cloudformation_json=_as_moto(resource, properties),
            account_id=resource.account,
            region_name=resource.region,
        )

    def delete(self, resource: Resource) -> None:
        model = get_model_map()[resource.type]
        if hasattr(model.delete_from_cloudformation_json, "__isabstractmethod__"):
            resource.model.delete(resource.account, resource.region)
            return
        model.delete_from_cloudformation_json(
            resource.physical_id, _as_moto(resource, resource.properties), resource.account, resource.region
        )

    def attribute(self, resource: Resource, name: str) -> Any:
        try:
            return resource.model.get_cfn_attribute(name)
        except UnformattedGetAttTemplateException:
            raise ResourceFailed(
                f"Template error: resource {resource.logical_id} does not support attribute type {name} in Fn::GetAtt"
            ) from None

    def must_be_new(self, resource: Resource, name: str) -> None:
        """Raise ResourceFailed when something of that name is there already, where moto would take it over."""


def _already(name: str) -> ResourceFailed:
    """AWS, "Troubleshooting CloudFormation", a resource with that name exists: `NAME already exists`."""
    return ResourceFailed(f"{name} already exists")


class ATopic(MotoKind):
    """AWS::SNS::Topic. moto makes another one, with another ARN, at every update of one without a name."""

    def must_be_new(self, resource: Resource, name: str) -> None:
        arn = f"arn:{PARTITION}:sns:{resource.region}:{resource.account}:{name}"
        if arn in sns_backends[resource.account][resource.region].topics:
            raise _already(arn)

    def create(self, resource: Resource) -> None:
        super().create(resource)
        resource.model._tags = _tags(resource.properties)

    def update(self, resource: Resource, properties: Properties) -> None:
        topics = sns_backends[resource.account][resource.region].topics
        topic = _found(topics.get(resource.physical_id), "Topic does not exist")
        topic.display_name = properties.get("DisplayName", "")
        topic.kms_master_key_id = properties.get("KmsMasterKeyId", "")
        topic._tags = _tags(properties)

    def delete(self, resource: Resource) -> None:
        backend = sns_backends[resource.account][resource.region]
        if resource.physical_id in backend.topics:
            backend.delete_topic(resource.physical_id)

    def attribute(self, resource: Resource, name: str) -> Any:
        return resource.physical_id if name == "TopicArn" else super().attribute(resource, name)


class AQueue(MotoKind):
    """AWS::SQS::Queue. moto changes two of its attributes."""

    def must_be_new(self, resource: Resource, name: str) -> None:
        if name in sqs_backends[resource.account][resource.region].queues:
            raise _already(name)

    def update(self, resource: Resource, properties: Properties) -> None:
        queues = sqs_backends[resource.account][resource.region].queues
        queue = _found(queues.get(resource.model.name), "The specified queue does not exist.")
        settings = {key: value for key, value in properties.items() if key not in {"QueueName", "Tags"}}
        wanted = Queue(  # type: ignore[abstract]  # moto's own, which mypy takes for abstract
            queue.name, resource.region, resource.account, **queue_attributes.complete(_copy(settings))
        )
        for name in (
            "content_based_deduplication", "deduplication_scope", "delay_seconds", "fifo_throughput_limit",
            "kms_data_key_reuse_period_seconds", "kms_master_key_id", "maximum_message_size",
            "message_retention_period", "receive_message_wait_time_seconds", "redrive_policy", "visibility_timeout",
            "sqs_managed_sse_enabled", "dead_letter_queue",
        ):  # fmt: skip
            setattr(queue, name, getattr(wanted, name))
        queue.tags = _tags(properties)

    def delete(self, resource: Resource) -> None:
        sqs_backends[resource.account][resource.region].queues.pop(resource.model.name, None)

    def attribute(self, resource: Resource, name: str) -> Any:
        return resource.physical_id if name == "QueueUrl" else super().attribute(resource, name)


class ARole(MotoKind):
    """AWS::IAM::Role. moto makes one without its managed policies, and changes nothing but its description."""

    def create(self, resource: Resource) -> None:
        super().create(resource)
        self._attach(resource, resource.model, resource.properties)

    def update(self, resource: Resource, properties: Properties) -> None:
        role = _found(self._role(resource), f"The role with name {resource.physical_id} cannot be found.")
        role.assume_role_policy_document = _document(properties["AssumeRolePolicyDocument"])
        role.description = properties.get("Description", "")
        role.max_session_duration = properties.get("MaxSessionDuration", 3600)
        role.permissions_boundary_arn = properties.get("PermissionsBoundary", "")
        role.tags = properties.get("Tags", {})
        self._take_off(role, resource.properties)
        for policy in properties.get("Policies", []):
            role.put_policy(policy["PolicyName"], policy["PolicyDocument"])
        self._attach(resource, role, properties)

    def delete(self, resource: Resource) -> None:
        """AWS, DeleteRole: DeleteConflict while policies that somebody else attached are on it."""
        role = self._role(resource)
        if role is not None:
            self._take_off(role, resource.properties)
            iam_backends[resource.account][PARTITION].delete_role(role.name)

    def _attach(self, resource: Resource, role: Role, properties: Properties) -> None:
        """The sandbox has not every AWS-managed policy: one that it does not have grants nothing here."""
        backend = iam_backends[resource.account][PARTITION]
        for arn in properties.get("ManagedPolicyArns", []):
            if arn in backend.managed_policies:
                backend.attach_role_policy(arn, role.name)
            elif not arn.startswith(f"arn:{PARTITION}:iam::aws:"):
                raise ResourceFailed(f"Policy {arn} does not exist or is not attachable.")

    def _take_off(self, role: Role, properties: Properties) -> None:
        for policy in properties.get("Policies", []):
            role.policies.pop(policy["PolicyName"], None)
        for arn in properties.get("ManagedPolicyArns", []):
            if arn in role.managed_policies:
                role.managed_policies[arn].detach_from(role)

    def _role(self, resource: Resource) -> Role | None:
        roles = iam_backends[resource.account][PARTITION].roles.values()
        return next((each for each in roles if each.name == resource.physical_id), None)


class InstanceProfile(MotoKind):
    """AWS::IAM::InstanceProfile. moto cannot change one."""

    def update(self, resource: Resource, properties: Properties) -> None:
        backend = iam_backends[resource.account][PARTITION]
        resource.model.roles = [backend.get_role(name) for name in properties.get("Roles", [])]

    def delete(self, resource: Resource) -> None:
        iam_backends[resource.account][PARTITION].instance_profiles.pop(resource.physical_id, None)


class InlinePolicy(MotoKind):
    """AWS::IAM::Policy. moto insists on deleting it from roles that are gone."""

    def delete(self, resource: Resource) -> None:
        backend = iam_backends[resource.account][PARTITION]
        policy = backend.inline_policies.pop(resource.physical_id, None)
        for role in backend.roles.values():
            if policy is not None and role.name in resource.properties.get("Roles", []):
                role.policies.pop(policy.policy_name, None)


class Table(MotoKind):
    """AWS::DynamoDB::Table. moto cannot change one."""

    def must_be_new(self, resource: Resource, name: str) -> None:
        if name in dynamodb_backends[resource.account][resource.region].tables:
            raise _already(name)

    def update(self, resource: Resource, properties: Properties) -> None:
        tables = dynamodb_backends[resource.account][resource.region].tables
        missing = f"Requested resource not found: Table: {resource.physical_id} not found"
        table = _found(tables.get(resource.physical_id), missing)
        table.billing_mode = properties.get("BillingMode", "PROVISIONED")
        table.throughput = properties.get("ProvisionedThroughput") or table.throughput
        table.deletion_protection_enabled = properties.get("DeletionProtectionEnabled", False)
        if properties.get("StreamSpecification") != resource.properties.get("StreamSpecification"):
            table.set_stream_specification(_copy(properties.get("StreamSpecification")))

    def delete(self, resource: Resource) -> None:
        backend = dynamodb_backends[resource.account][resource.region]
        if resource.physical_id in backend.tables:
            backend.delete_table(resource.physical_id)


class AParameter(MotoKind):
    """AWS::SSM::Parameter. moto deletes it and makes it anew, so that its version starts again."""

    def must_be_new(self, resource: Resource, name: str) -> None:
        if ssm_backends[resource.account][resource.region].get_parameter(name) is not None:
            raise _already(name)

    def create(self, resource: Resource) -> None:
        given = resource.properties
        if "Name" not in given:
            name = f"CFN-{resource.logical_id}-{mock_random.get_random_string(12)}"
            resource.properties = {**given, "Name": name}
        super().create(resource)
        resource.properties = given

    def update(self, resource: Resource, properties: Properties) -> None:
        resource.model = ssm_backends[resource.account][resource.region].put_parameter(
            name=resource.physical_id,
            description=properties.get("Description", ""),
            value=properties["Value"],
            parameter_type=properties["Type"],
            allowed_pattern=properties.get("AllowedPattern", ""),
            keyid="",
            overwrite=True,
            tags=[],
            data_type=properties.get("DataType", "text"),
            tier=properties.get("Tier"),
            policies=properties.get("Policies"),
        )

    def delete(self, resource: Resource) -> None:
        ssm_backends[resource.account][resource.region].delete_parameter(resource.physical_id)

    def attribute(self, resource: Resource, name: str) -> Any:
        return resource.properties.get(name, "")


class Dashboard(MotoKind):
    """AWS::CloudWatch::Dashboard."""

    def create(self, resource: Resource) -> None:
        given = resource.properties
        if "DashboardName" not in given:
            resource.properties = {**given, "DashboardName": generated_name(resource)}
        super().create(resource)
        resource.properties = given

    def update(self, resource: Resource, properties: Properties) -> None:
        backend = cloudwatch_backends[resource.account][resource.region]
        resource.model = backend.put_dashboard(resource.physical_id, properties["DashboardBody"])

    def delete(self, resource: Resource) -> None:
        cloudwatch_backends[resource.account][resource.region].dashboards.pop(resource.physical_id, None)


class ABucket(MotoKind):
    """AWS::S3::Bucket. moto deletes one with everything in it."""

    def delete(self, resource: Resource) -> None:
        """AWS, DeleteBucket: "All objects (including all object versions and delete markers) in the bucket must be
        deleted".
        """
        backend = s3_backends[resource.account][PARTITION]
        bucket = backend.buckets.get(resource.physical_id)
        if bucket is not None and len(bucket.keys):
            raise ResourceFailed("The bucket you tried to delete is not empty")
        if bucket is not None:
            backend.delete_bucket(resource.physical_id)


class LogGroup(MotoKind):
    """AWS::Logs::LogGroup. moto cannot change one."""

    def must_be_new(self, resource: Resource, name: str) -> None:
        if name in logs_backends[resource.account][resource.region].groups:
            raise _already(name)

    def update(self, resource: Resource, properties: Properties) -> None:
        resource.model.retention_in_days = properties.get("RetentionInDays")

    def delete(self, resource: Resource) -> None:
        logs_backends[resource.account][resource.region].groups.pop(resource.physical_id, None)


# Policies on other resources, which moto ignores


class AttachedPolicy:
    """A resource that is nothing but a policy on other resources. `targets`: the property that lists them."""

    targets = ""

    def create(self, resource: Resource) -> None:
        resource.physical_id = generated_name(resource)
        self._put_all(resource, resource.properties)

    def update(self, resource: Resource, properties: Properties) -> None:
        for target in _list(resource.properties[self.targets]):
            if target not in _list(properties[self.targets]):
                self.remove(resource, target)
        self._put_all(resource, properties)

    def delete(self, resource: Resource) -> None:
        for target in _list(resource.properties[self.targets]):
            self.remove(resource, target)

    def attribute(self, resource: Resource, name: str) -> Any:
        if name != "Id":
            raise ResourceFailed(
                f"Template error: resource {resource.logical_id} does not support attribute type {name} in Fn::GetAtt"
            )
        return resource.physical_id

    def _put_all(self, resource: Resource, properties: Properties) -> None:
        for target in _list(properties[self.targets]):
            self.put(resource, target, json.dumps(properties["PolicyDocument"]))

    def put(self, resource: Resource, target: str, document: str) -> None:
        raise NotImplementedError

    def remove(self, resource: Resource, target: str) -> None:
        raise NotImplementedError


class QueuePolicy(AttachedPolicy):
    """AWS::SQS::QueuePolicy, which "applies a policy to Amazon SQS queues"."""

    targets = "Queues"

    def put(self, resource: Resource, target: str, document: str) -> None:
        queues = sqs_backends[resource.account][resource.region].queues
        queue = _found(queues.get(target.rpartition("/")[2]), "The specified queue does not exist.")
        _or_failed(queue_policies.put, queue, document)

    def remove(self, resource: Resource, target: str) -> None:
        queue = sqs_backends[resource.account][resource.region].queues.get(target.rpartition("/")[2])
        if queue is not None:
            queue_policies.put(queue, "")


class TopicPolicy(AttachedPolicy):
    """AWS::SNS::TopicPolicy, which "associates Amazon SNS topics with a policy". Without it a topic has its default."""

    targets = "Topics"

    def put(self, resource: Resource, target: str, document: str) -> None:
        topics = sns_backends[resource.account][resource.region].topics
        _or_failed(topic_policies.put, _found(topics.get(target), "Topic does not exist"), document)

    def remove(self, resource: Resource, target: str) -> None:
        topic = sns_backends[resource.account][resource.region].topics.get(target)
        if topic is not None:
            default = topic._create_default_topic_policy(resource.region, resource.account, topic.name)
            topic.policy = json.dumps(default)


class BucketPolicy(AttachedPolicy):
    """AWS::S3::BucketPolicy, which "applies an Amazon S3 bucket policy to an Amazon S3 bucket"."""

    targets = "Bucket"

    def put(self, resource: Resource, target: str, document: str) -> None:
        s3_backends[resource.account][PARTITION].put_bucket_policy(target, document.encode())

    def remove(self, resource: Resource, target: str) -> None:
        s3_backends[resource.account][PARTITION].delete_bucket_policy(target)


# What the sandbox does not simulate

_IDS = {
    "AWS::EC2::EIP": "eipalloc-",
    "AWS::EC2::FlowLog": "fl-",
    "AWS::EC2::Instance": "i-",
    "AWS::EC2::InternetGateway": "igw-",
    "AWS::EC2::LaunchTemplate": "lt-",
    "AWS::EC2::NatGateway": "nat-",
    "AWS::EC2::NetworkAcl": "acl-",
    "AWS::EC2::RouteTable": "rtb-",
    "AWS::EC2::SecurityGroup": "sg-",
    "AWS::EC2::Subnet": "subnet-",
    "AWS::EC2::SubnetRouteTableAssociation": "rtbassoc-",
    "AWS::EC2::VPC": "vpc-",
    "AWS::EC2::VPCEndpoint": "vpce-",
}
"""How the ids of types without names begin; 17 hexadecimal digits follow. The others look like stack-logical-RANDOM."""


class Inert:
    """A resource that is only an entry in its stack: nothing is made, Ref and Fn::GetAtt give something plausible."""

    def create(self, resource: Resource) -> None:
        own = f"{resource.type.rpartition('::')[2]}Name"
        named = resource.properties.get(own) or resource.properties.get("Name")
        if isinstance(named, str) and resource.type.startswith("AWS::"):
            resource.physical_id = named
        elif resource.type in _IDS:
            resource.physical_id = f"{_IDS[resource.type]}{mock_random.get_random_hex(17)}"
        else:
            resource.physical_id = generated_name(resource)

    def update(self, resource: Resource, properties: Properties) -> None:
        """Nothing: it is only an entry."""

    def delete(self, resource: Resource) -> None:
        """Nothing: it is only an entry."""

    def attribute(self, resource: Resource, name: str) -> Any:
        """A property where there is one of that name; else an ARN for what is called Arn, the id for what is called
        Id, 1 for a version, a text for the rest.
        """
        if isinstance(resource.properties.get(name), str | int):
            return resource.properties[name]
        service, _, short = resource.type.removeprefix("AWS::").partition("::")
        if name.endswith("Arn"):
            kind = short[:1].lower() + short[1:] + (":" if service == "Lambda" else "/")
            place = f"{service.lower()}:{resource.region}:{resource.account}"
            return f"arn:{PARTITION}:{place}:{kind}{resource.physical_id}"
        if name.endswith("Id") or name in {"Name", f"{short}Name"}:
            return resource.physical_id
        if name.endswith("VersionNumber") or name == "Version":
            return "1"
        return f"{resource.physical_id}.{name}"


_INERT: Kind = Inert()
_KINDS: dict[str, Kind] = {
    "AWS::CloudWatch::Dashboard": Dashboard(),
    "AWS::DynamoDB::Table": Table(),
    "AWS::IAM::InstanceProfile": InstanceProfile(),
    "AWS::IAM::ManagedPolicy": MotoKind(),
    "AWS::IAM::Policy": InlinePolicy(),
    "AWS::IAM::Role": ARole(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::S3::Bucket": ABucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
    "AWS::SNS::Topic": ATopic(),
    "AWS::SNS::TopicPolicy": TopicPolicy(),
    "AWS::SQS::Queue": AQueue(),
    "AWS::SQS::QueuePolicy": QueuePolicy(),
    "AWS::SSM::Parameter": AParameter(),
}


def _as_moto(resource: Resource, properties: Properties) -> dict[str, Any]:
    return {"Type": resource.type, "Properties": _copy(properties)}


def _found(thing: Any, otherwise: str) -> Any:
    """What a service answers when something was deleted by somebody else."""
    if thing is None:
        raise ResourceFailed(otherwise)
    return thing


def _or_failed(put: Callable[[Any, str], None], target: Any, document: str) -> None:
    """Put a policy; a refusal of the service is why the resource fails."""
    try:
        put(target, document)
    except Refusal as refusal:
        raise ResourceFailed(refusal.message) from refusal


def _copy(value: Any) -> Any:
    """moto keeps what it is given, and changes it."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _tags(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags") or []}


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
