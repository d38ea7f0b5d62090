"""Looking at the sandbox from outside the package: every policy to the letter, and what the scan role can really do."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from runbook.aws.cloudformation import read_stack
from runbook.aws.sns import read_topic_policy
from runbook.aws.sqs import read_queue_policy
from runbook.environment import Environment
from tests.queues import stored_queues

ACCOUNTS = ("a", "b", "c", "d")
REGIONS = ("eu-west-1", "eu-central-1")


def policies(environment: Environment) -> dict[str, str | None]:
    """Every bucket policy and key policy of four accounts, as AWS would show it, by ARN.

    From moto's state: a look has to cost nothing to be taken often. A test holds it to what AWS's API answers.
    """
    from moto.kms.models import kms_backends
    from moto.s3.models import s3_backends

    found: dict[str, str | None] = {}
    for account in map(environment.account_id, ACCOUNTS):
        s3 = s3_backends[account]["aws"]
        for name, bucket in s3.buckets.items():
            policy = s3.get_bucket_policy(name) if bucket.policy else None
            found[f"arn:aws:s3:::{name}"] = policy.decode() if policy else None
        for region in REGIONS:
            kms = kms_backends[account][region]
            found |= {key.arn: kms.get_key_policy(key.id) for key in kms.keys.values()}
    return found


def bucket_policy(environment: Environment, bucket: str) -> str:
    """The policy of a bucket that has one."""
    policy = policies(environment)[f"arn:aws:s3:::{bucket}"]
    assert policy is not None
    return policy


def as_scan_role(environment: Environment, region: str = "eu-west-1") -> Any:
    """An S3 client with the scan role's own credentials."""
    role = read_stack(environment).output("ScanRoleArn")
    return environment.client_as(environment.assume(role, environment.account_a), "s3", region)


def what_works(client: Any, bucket: str) -> dict[str, bool]:
    """Really call what the documentation promises on a bucket, and one thing that it does not; True: it went through.

    Works on a key of its own making, so the bucket's owner has to have put `scan-me.txt` there.
    """
    key = {"Bucket": bucket, "Key": "scan-me.txt"}
    calls: Mapping[str, Callable[[], Any]] = {
        "list": lambda: client.list_objects_v2(Bucket=bucket),
        "list versions": lambda: client.list_object_versions(Bucket=bucket),
        "read": lambda: client.get_object(**key),
        "read tags": lambda: client.get_object_tagging(**key),
        "tag": lambda: client.put_object_tagging(**key, Tagging={"TagSet": [{"Key": "bucketav", "Value": "clean"}]}),
        "write": lambda: client.put_object(Bucket=bucket, Key="not-ours.txt", Body=b"x"),
        "change the policy": lambda: client.delete_bucket_policy(Bucket=bucket),
        "delete": lambda: client.delete_object(**key),
    }
    return {name: _works(call) for name, call in calls.items()}


def _works(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "MethodNotAllowed"):
            return False
        raise
    return True


@dataclass(frozen=True)
class WholeStack:
    """bucketAV's stack and what it has made: everything that an update may change. `secret` is what is not shown."""

    parameters: Mapping[str, str]
    secret: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    policies: tuple[Any, ...]


def whole_stack(environment: Environment) -> WholeStack:
    """bucketAV's stack as it is now."""
    from runbook.sandbox.cloudformation.stacks import find  # imports moto, which only the sandbox knows how to do

    account, region = environment.account_a, environment.region
    stack = read_stack(environment)
    listed = environment.client("cloudformation", account).describe_stack_resources(StackName=stack.name)
    resources = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed["StackResources"]}
    texts = [
        read_topic_policy(environment, f"arn:aws:sns:{region}:{account}:{stack.name}-AccountConnectionTopic"),
        read_queue_policy(environment, stack.output("ScanQueueArn")),
    ]
    found = find(account, region, stack.name)
    assert found is not None
    return WholeStack(
        parameters=stack.parameters,
        secret=found.target.texts["SupportToken"],
        outputs=stack.outputs,
        resources=resources,
        policies=tuple(json.loads(text) if text else None for text in texts),
    )


@dataclass(frozen=True)
class Connections:
    """The connections of all accounts: bucketAV's items, the stacks as plans hold them, and the roles, as JSON.

    Ids that CloudFormation makes up stand as `UNIQUE`, and times as `TIME`: a stack that was deleted and created again
    has others.
    """

    items: tuple[str, ...]
    stacks: Mapping[str, str]
    roles: Mapping[str, str]


def connections() -> Connections:
    """Who is connected, and how, in every account of the organization; from moto's state."""
    from moto.dynamodb.models import dynamodb_backends
    from moto.iam.models import iam_backends

    from runbook.sandbox.cloudformation.stacks import all_stacks

    stacks = {
        without_ids(f"{stack.account} {stack.name}"): without_ids(
            json.dumps([dict(stack.target.texts), stack.target.template.text, stack.outputs])
        )
        for stack in all_stacks()
        if "account-connection" in stack.name
    }
    roles = {
        account: without_ids(
            json.dumps([role.assume_role_policy_document, role.policies, sorted(role.managed_policies)])
        )
        for account, partitions in iam_backends.items()
        for role in partitions["aws"].roles.values()
        if role.name.endswith("AccountConnection")
    }
    table = dynamodb_backends["111111111111"]["eu-west-1"].tables.get(TABLE)
    items = [item.to_json()["Attributes"] for item in table.all_items()] if table else []
    return Connections(tuple(sorted(without_ids(json.dumps(item, sort_keys=True)) for item in items)), stacks, roles)


TABLE = "bucketav-AccountConnection"


def without_ids(text: str) -> str:
    """A text without what is another one for each stack, and without times."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UNIQUE", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def everything(environment: Environment) -> tuple[dict[str, str | None], WholeStack, Connections]:
    """All that a scenario may change."""
    return policies(environment) | stored_queues(), whole_stack(environment), connections()


def table_items(environment: Environment, table: str) -> int | None:
    """How many items a table of account a has; None when there is no such table."""
    client = environment.client("dynamodb", environment.account_a)
    if table not in client.list_tables()["TableNames"]:
        return None
    found: int = client.scan(TableName=table)["Count"]
    return found
