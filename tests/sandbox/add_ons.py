"""What tests of add-ons share: putting a file, and the grants that the documentation asks for, put and taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from runbook.policy.document import Statement
from runbook.policy.statements import key_statement
from tests.sandbox.cloudformation import PREVIOUS, A, given, outputs, shown, stack_of

Client = Callable[..., Any]

CONNECTION_URL = (
    "https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/account-connection/v2.0.0/"
    "bucketav-add-on-account-connection.yaml"
)


class Organization:
    """The accounts' own administrators, who put files and policies."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def owner(self, bucket: str) -> str:
        """The account of a bucket, told by the last letter of its name."""
        return {"a": "111111111111", "b": "222222222222", "c": "333333333333", "f": "777777777777"}[bucket[-1]]

    def s3(self, bucket: str) -> Any:
        return self.client("s3", self.owner(bucket))

    def put(self, bucket: str, key: str, status: str = "clean", body: bytes = b"content") -> dict[str, str]:
        """Put a file that was scanned with that result; the finding about it."""
        self.s3(bucket).put_object(Bucket=bucket, Key=key, Body=body, Tagging=f"bucketav={status}&owner=ada")
        return {"bucket": bucket, "key": key, "status": status}

    def keys(self, bucket: str) -> set[str]:
        return {each["Key"] for each in self.s3(bucket).list_objects_v2(Bucket=bucket).get("Contents", [])}

    def tags(self, bucket: str, key: str) -> dict[str, str]:
        found = self.s3(bucket).get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def content(self, bucket: str, key: str) -> bytes:
        body: bytes = self.s3(bucket).get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    @contextmanager
    def bucket_grants(self, bucket: str, statements: Sequence[Statement]) -> Iterator[None]:
        """Inside, these statements stand in the bucket's policy, beside its own; afterwards as before."""
        s3 = self.s3(bucket)
        try:
            before: str | None = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        except s3.exceptions.from_code("NoSuchBucketPolicy"):
            before = None
        own = json.loads(before)["Statement"] if before else []
        merged = {"Version": "2012-10-17", "Statement": [*own, *statements]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(merged))
        yield
        if before is None:
            s3.delete_bucket_policy(Bucket=bucket)
        else:
            s3.put_bucket_policy(Bucket=bucket, Policy=before)

    @contextmanager
    def key_grant(self, bucket: str, role_arn: str, *actions: str) -> Iterator[None]:
        """Inside, the policy of the bucket's default key lets the role use it."""
        kms, key = self.client("kms", self.owner(bucket)), self.key_arn(bucket)
        before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        document = json.loads(before)
        document["Statement"].append(key_statement(role_arn, actions=actions))
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
        yield
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)

    def key_arn(self, bucket: str) -> str:
        """The key that encrypts a bucket by default."""
        rule = self.s3(bucket).get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        default = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
        arn: str = self.client("kms", self.owner(bucket)).describe_key(KeyId=default)["KeyMetadata"]["Arn"]
        return arn

    def role_of(self, stack: str) -> str:
        """The role that an add-on's stack names."""
        found = outputs(stack_of(self.client("cloudformation", A), stack))
        return next(value for name, value in found.items() if name.endswith("RoleArn"))

    def set_parameter(self, stack: str, **parameters: str) -> None:
        """Update an add-on's stack, everything else as before; nothing happens when it is so already."""
        cloudformation = self.client("cloudformation", A)
        present = shown(stack_of(cloudformation, stack))
        if parameters.items() <= present.items():
            return
        kept = dict.fromkeys(present, PREVIOUS)
        cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=given(**{**kept, **parameters}),
            Capabilities=["CAPABILITY_IAM"],
        )
        assert stack_of(cloudformation, stack)["StackStatus"] == "UPDATE_COMPLETE"

    def connect(self, account: str, **parameters: str) -> str:
        """Connect an account to bucketAV; the ARN of its connection role."""
        cloudformation = self.client("cloudformation", account)
        cloudformation.create_stack(
            StackName="bucketav-account-connection",
            TemplateURL=CONNECTION_URL,
            Parameters=given(BucketAVStackName="bucketav", BucketAVAccountId=A, **parameters),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        assert stack_of(cloudformation, "bucketav-account-connection")["StackStatus"] == "CREATE_COMPLETE"
        return f"arn:aws:iam::{account}:role/bucketav-AccountConnection"

    def disconnect(self, account: str) -> None:
        self.client("cloudformation", account).delete_stack(StackName="bucketav-account-connection")
