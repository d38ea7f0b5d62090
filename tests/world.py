"""Looking at the sandbox from outside the package: every policy to the letter, and what the scan role can really do."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from runbook.aws.cloudformation import read_stack
from runbook.aws.iam import read_role
from runbook.aws.sns import read_topic_policy
from runbook.aws.sqs import read_queue_policy
from runbook.environment import Environment
from tests.queues import stored_queues

ACCOUNTS = ("a", "b", "c", "d")
REGIONS = ("eu-west-1", "eu-central-1")


def policies(environment: Environment) -> dict[str, str | None]:
    """Every bucket policy and key policy of the organization, as text, by ARN."""
    found: dict[str, str | None] = {}
    for account in map(environment.account_id, ACCOUNTS):
        s3 = environment.client("s3", account)
        for name in (bucket["Name"] for bucket in s3.list_buckets()["Buckets"]):
            found[f"arn:aws:s3:::{name}"] = _bucket_policy(s3, name)
        for region in REGIONS:
            kms = environment.client("kms", account, region)
            for key in kms.list_keys()["Keys"]:
                policy = kms.get_key_policy(KeyId=key["KeyArn"], PolicyName="default")["Policy"]
                found[key["KeyArn"]] = policy
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


def _bucket_policy(client: Any, bucket: str) -> str | None:
    try:
        policy: str = client.get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucketPolicy":
            return None
        raise
    return policy


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


def connections(environment: Environment) -> Connections:
    """Who is connected, and how, in every account of the organization that can be looked at."""
    listed = environment.client("organizations", environment.account_id("management")).list_accounts()["Accounts"]
    stacks, roles = {}, {}
    for account in sorted(each["Id"] for each in listed if each["Status"] == "ACTIVE"):
        cloudformation = environment.client("cloudformation", account)
        for stack in cloudformation.describe_stacks()["Stacks"]:
            if "account-connection" in stack["StackName"]:
                body = cloudformation.get_template(StackName=stack["StackId"])["TemplateBody"]
                parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
                stacks[without_ids(f"{account} {stack['StackName']}")] = without_ids(
                    json.dumps([parameters, body, stack["Outputs"]])
                )
        for role in environment.client("iam", account).list_roles()["Roles"]:
            if role["RoleName"].endswith("AccountConnection"):
                found = read_role(environment, role["Arn"])
                roles[account] = without_ids(json.dumps([found.trust_policy, found.identity_policies]))
    items = (
        environment.client("dynamodb", environment.account_a).scan(TableName=TABLE)["Items"]
        if _has_table(environment)
        else []
    )
    return Connections(tuple(sorted(without_ids(json.dumps(item, sort_keys=True)) for item in items)), stacks, roles)


TABLE = "bucketav-AccountConnection"


def _has_table(environment: Environment) -> bool:
    return TABLE in environment.client("dynamodb", environment.account_a).list_tables()["TableNames"]


def without_ids(text: str) -> str:
    """A text without what is another one for each stack, and without times."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UNIQUE", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def everything(environment: Environment) -> tuple[dict[str, str | None], WholeStack, Connections]:
    """All that a scenario may change."""
    return policies(environment) | stored_queues(), whole_stack(environment), connections(environment)


def table_items(environment: Environment, table: str) -> int | None:
    """How many items a table of account a has; None when there is no such table."""
    client = environment.client("dynamodb", environment.account_a)
    if table not in client.list_tables()["TableNames"]:
        return None
    found: int = client.scan(TableName=table)["Count"]
    return found
