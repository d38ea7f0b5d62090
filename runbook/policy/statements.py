"""The documentation's policy statements, a function for each of its JSON snippets, and the key statement it leaves out.

In mode `literal`, the default, `document.new` of what a function returns is the documentation's document to the
letter, placeholders filled in. Mode `hardened` grants less: single actions in place of wildcards. It is our own
narrowing, and the vendor has not confirmed that bucketAV gets by with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from runbook.policy.document import Statement

Mode = Literal["literal", "hardened"]

LIST = ("s3:ListBucket", "s3:ListBucketVersions")
GET = ("s3:GetObject", "s3:GetObjectVersion")
DELETE = ("s3:DeleteObject", "s3:DeleteObjectVersion")
GET_TAGS = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging")
PUT_TAGS = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging")


def scan_statements(
    role_arn: str,
    bucket: str,
    *,
    partition: str = "aws",
    delete: bool = True,
    tag: bool = True,
    mode: Mode = "literal",
) -> tuple[Statement, ...]:
    """What the scan role `role_arn` needs on a bucket of another account.

    `delete` and `tag` add what is needed only for deleting infected files and for tagging files with their result.
    Source: outline `bucket-policy.statements`. Hardened is ours, not confirmed by the vendor.
    """
    grant = _Grant(role_arn, bucket, partition)
    narrow = mode == "hardened"
    statements = [
        grant.on_bucket(LIST if narrow else "s3:ListBucket*", sid="bucketAVRequired1"),
        grant.on_objects(GET if narrow else "s3:GetObject*", sid="bucketAVRequired2"),
    ]
    if delete:
        actions = DELETE if narrow else "s3:DeleteObject*"
        statements.append(grant.on_objects(actions, sid="bucketAVOnlyIfYouDeleteInfectedFiles"))
    if tag:
        statements.append(grant.on_objects(GET_TAGS + PUT_TAGS, sid="bucketAVOnlyIfYouTagFilesWithScanResult"))
    return tuple(statements)


def connection_target_statements(
    account_b: str,
    stack_name: str,
    bucket: str,
    *,
    partition: str = "aws",
    mode: Mode = "literal",
) -> tuple[Statement, ...]:
    """What a target or quarantine bucket in account c grants the connection role of the source bucket's account.

    `stack_name` is bucketAV's stack, after which the role in account b is named.
    Source: outline `add-ons.connection-target`. Hardened is ours, not confirmed by the vendor.
    """
    role_arn = f"arn:{partition}:iam::{account_b}:role/{stack_name}-AccountConnection"
    return target_bucket_statements(role_arn, bucket, partition=partition, mode=mode)


def target_bucket_statements(
    role_arn: str, bucket: str, *, partition: str = "aws", mode: Mode = "literal"
) -> tuple[Statement, ...]:
    """What the role of a move or quarantine add-on needs on its target bucket: list it, put objects.

    Source: outline `add-ons.target-bucket`. Hardened is ours, not confirmed by the vendor; it keeps putting tags,
    because an object is moved with the tags that bucketAV gave it.
    """
    grant = _Grant(role_arn, bucket, partition)
    narrow = mode == "hardened"
    return (
        grant.on_bucket("s3:ListBucket" if narrow else "s3:ListBucket*", sid="bucketAVRequired1"),
        grant.on_objects(
            ("s3:PutObject", "s3:PutObjectTagging") if narrow else "s3:PutObject*", sid="bucketAVRequired2"
        ),
    )


def source_bucket_statements(
    role_arn: str, bucket: str, *, partition: str = "aws", mode: Mode = "literal"
) -> tuple[Statement, ...]:
    """What the role of a move or quarantine add-on needs on its source bucket: list it, get and delete objects.

    Source: outline `add-ons.source-bucket`. Hardened is ours, not confirmed by the vendor; it keeps reading tags,
    because an object is moved with them.
    """
    grant = _Grant(role_arn, bucket, partition)
    narrow = mode == "hardened"
    return (
        grant.on_bucket(LIST if narrow else "s3:ListBucket*"),
        grant.on_objects(GET + GET_TAGS + DELETE if narrow else ("s3:GetObject*", "s3:DeleteObject*")),
    )


def scheduled_scan_statements(
    role_arn: str, bucket: str, *, partition: str = "aws", mode: Mode = "literal"
) -> tuple[Statement, ...]:
    """What the role of the scheduled-bucket-scan add-on needs: list versions, read tags.

    Source: outline `add-ons.scheduled-scan`. There is nothing to narrow: both modes are the same.
    """
    del mode
    grant = _Grant(role_arn, bucket, partition)
    return grant.on_bucket("s3:ListBucketVersions"), grant.on_objects(GET_TAGS)


def findings_queue_statements(
    account_id: str, queue_arn: str, topic_arn: str, mode: Mode = "literal"
) -> tuple[Statement, ...]:
    """What a queue for findings grants: its own account everything, the findings topic to send messages.

    `account_id` is the queue's account, and both of the documentation's queue placeholders are this queue.
    Source: outline `findings-topic.queue-policy`. Hardened is ours, not confirmed by the vendor: it lists what a
    reader of the queue calls, and lets only the SNS service send.
    """
    narrow = mode == "hardened"
    read = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes")
    return (
        _allow({"AWS": account_id}, (*read, "sqs:GetQueueUrl") if narrow else "sqs:*", queue_arn),
        _allow({"Service": "sns.amazonaws.com"} if narrow else "*", "sqs:SendMessage", queue_arn)
        | {"Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}}},
    )


def findings_key_statement(topic_arn: str, mode: Mode = "literal") -> Statement:
    """What the key of an encrypted queue grants SNS, so that a topic can send to it.

    Ours: the documentation does not speak of encrypted queues. Literal is what AWS documents for it, hardened is kept
    to the findings topic. Source: Amazon SQS developer guide, "Enable compatibility between event sources from AWS
    services and encrypted queues".
    """
    service = {"Service": "sns.amazonaws.com"}
    statement = _allow(service, ("kms:GenerateDataKey", "kms:Decrypt"), "*", "bucketAVFindings")
    return statement | ({"Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}}} if mode == "hardened" else {})


def findings_subscribe_statement(account_id: str, queue_arn: str, topic_arn: str) -> Statement:
    """What the findings topic grants the account of a queue, so that it can subscribe that queue, and nothing else.

    Ours: the documentation has the topic's account subscribe, which takes a confirmation.
    """
    statement = _allow({"AWS": account_id}, "sns:Subscribe", topic_arn, "bucketAVFindings")
    return statement | {"Condition": {"StringEquals": {"sns:Protocol": "sqs", "sns:Endpoint": queue_arn}}}


def key_statement(
    role_arn: str, *, actions: Sequence[str] = ("kms:Decrypt",), sid: str = "bucketAVDecrypt", via: str = ""
) -> Statement:
    """What a customer-managed key grants a role so that it can read encrypted objects.

    To write as well, `actions` needs kms:GenerateDataKey. `via` is the one service by which the key may be used, such
    as `s3.eu-west-1.amazonaws.com`; any without it. The statement is ours: the documentation asks for a key policy in
    four places and shows none. In a key policy, `*` is the key itself.
    """
    statement = _allow({"AWS": role_arn}, actions[0] if len(actions) == 1 else actions, "*", sid)
    return statement | ({"Condition": {"StringEquals": {"kms:ViaService": via}}} if via else {})


class _Grant:
    """Statements that allow one role something on one bucket."""

    def __init__(self, role_arn: str, bucket: str, partition: str) -> None:
        self.principal = {"AWS": role_arn}
        self.bucket_arn = f"arn:{partition}:s3:::{bucket}"

    def on_bucket(self, actions: str | Sequence[str], sid: str = "") -> Statement:
        return _allow(self.principal, actions, self.bucket_arn, sid)

    def on_objects(self, actions: str | Sequence[str], sid: str = "") -> Statement:
        return _allow(self.principal, actions, f"{self.bucket_arn}/*", sid)


def _allow(principal: Any, actions: str | Sequence[str], resource: str, sid: str = "") -> dict[str, Any]:
    """The elements in the order in which the documentation writes them."""
    statement: dict[str, Any] = {"Sid": sid} if sid else {}
    return statement | {
        "Effect": "Allow",
        "Principal": principal,
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": resource,
    }
