"""The stand-in for bucketAV's scanner: what happens to an object that is put into a bucket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.policy.statements import scan_statements
from runbook.sandbox.findings import EICAR, SIZE_LIMIT
from runbook.sandbox.server import Sandbox
from tests.sandbox.topics import A, B, Between, C, Client, between, body_of


@pytest.fixture
def both(sandbox: Sandbox, client: Client) -> Between:
    return between(sandbox, client)


def findings(both: Between) -> list[tuple[str, str]]:
    found = [json.loads(body_of(message)["Message"]) for message in both.receive()]
    return [(finding["key"], finding["status"]) for finding in found]


def tags(s3: Any, bucket: str, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def dead_letters(client: Client) -> int:
    """Of the scan queue."""
    sqs = client("sqs", A)
    [url] = [url for url in sqs.list_queues()["QueueUrls"] if "DeadLetterQueue" in url]
    attribute = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])["Attributes"][attribute])


def test_an_object_of_an_opened_bucket_is_scanned(both: Between, client: Client, scan_role_arn: str) -> None:
    """An infected one is deleted, the others are tagged, and all are reported; of a bucket that is closed, nothing."""
    s3 = client("s3", B)
    both.subscribed()
    sqs = client("sqs", A)
    [scan_queue] = [url for url in sqs.list_queues()["QueueUrls"] if "ScanQueue" in url]
    for strange in ("sent by hand", "[]", '{"Event": "s3:TestEvent"}'):
        sqs.send_message(QueueUrl=scan_queue, MessageBody=strange)
    s3.put_object(Bucket="uploads-b", Key="closed.txt", Body=EICAR.encode())
    assert (findings(both), tags(s3, "uploads-b", "closed.txt"), dead_letters(client)) == ([], {}, 1)
    policy = {"Version": "2012-10-17", "Statement": scan_statements(scan_role_arn, "uploads-b")}
    s3.put_bucket_policy(Bucket="uploads-b", Policy=json.dumps(policy))
    s3.put_object(Bucket="uploads-b", Key="virus+1.txt", Body=EICAR.encode())
    s3.put_object(Bucket="uploads-b", Key="harmless.txt", Body=b"x", Tagging="mine=yes")
    s3.put_object(Bucket="uploads-b", Key="large.bin", Body=b"x" * (SIZE_LIMIT + 1))
    assert findings(both) == [("virus+1.txt", "infected"), ("harmless.txt", "clean"), ("large.bin", "no")]
    assert tags(s3, "uploads-b", "harmless.txt") == {"mine": "yes", "bucketav": "clean"}
    assert tags(s3, "uploads-b", "large.bin") == {"bucketav": "no"}
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="uploads-b")["Contents"]]
    assert ("virus+1.txt" in keys, "closed.txt" in keys) == (False, True)
    policy["Statement"] = scan_statements(scan_role_arn, "uploads-b", delete=False, tag=False)
    s3.put_bucket_policy(Bucket="uploads-b", Policy=json.dumps(policy))
    s3.put_object(Bucket="uploads-b", Key="stays.txt", Body=EICAR.encode())
    assert (findings(both), tags(s3, "uploads-b", "stays.txt")) == ([("stays.txt", "infected")], {})


def test_a_key_keeps_a_file_closed_and_a_version_is_scanned_for_itself(
    both: Between, client: Client, scan_role_arn: str
) -> None:
    """documents-b has a key that the scan role may not use; in versions-b the infected version goes, no other."""
    s3 = client("s3", B)
    both.subscribed()
    shown = s3.get_bucket_notification_configuration(Bucket="uploads-b")["QueueConfigurations"]
    configuration = {"QueueConfigurations": [{**shown[0], "Id": "scan"}]}
    s3.put_bucket_notification_configuration(Bucket="versions-b", NotificationConfiguration=configuration)
    for bucket in ("documents-b", "versions-b"):
        policy = {"Version": "2012-10-17", "Statement": scan_statements(scan_role_arn, bucket)}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        version = s3.put_object(Bucket=bucket, Key="contract.txt", Body=EICAR.encode()).get("VersionId")
    [finding] = [json.loads(body_of(message)["Message"]) for message in both.receive()]
    assert (finding["bucket"], finding["status"], finding["version"]) == ("versions-b", "infected", version)
    versions = s3.list_object_versions(Bucket="versions-b", Prefix="contract.txt")
    assert (len(versions["Versions"]), version in str(versions), "DeleteMarkers" in versions) == (2, False, False)
    assert dead_letters(client) == 1


def test_in_a_connected_account_the_connection_role_reads_and_the_stack_says_what_is_done(
    both: Between, client: Client, at_once: None
) -> None:
    """Account c is connected: its bucket needs no policy. Its connection is of a version that cannot tag objects."""
    cloudformation, s3 = client("cloudformation", A), client("s3", C)
    both.subscribed()
    s3.put_object(Bucket="archive-c", Key="fine.txt", Body=b"x")
    s3.put_object(Bucket="archive-c", Key="virus.txt", Body=EICAR.encode())
    assert findings(both) == [("fine.txt", "clean"), ("virus.txt", "infected")]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="archive-c")["Contents"]]
    assert (keys, tags(s3, "archive-c", "fine.txt")) == (["2024/summary.txt", "fine.txt"], {})
    parameters = cloudformation.describe_stacks(StackName="bucketav")["Stacks"][0]["Parameters"]
    changed = {"DeleteInfectedFiles": "false", "ReportCleanFiles": "false"}
    cloudformation.update_stack(
        StackName="bucketav",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": changed[name]}
            if name in changed
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in (each["ParameterKey"] for each in parameters)
        ],
    )
    s3.put_object(Bucket="archive-c", Key="virus.txt", Body=EICAR.encode())
    s3.put_object(Bucket="archive-c", Key="fine.txt", Body=b"x")
    assert findings(both) == [("virus.txt", "infected")]
    assert len(s3.list_objects_v2(Bucket="archive-c")["Contents"]) == 3


def test_a_bucket_can_only_tell_a_queue_that_lets_it(client: Client) -> None:
    """PutBucketNotificationConfiguration sends a test message: the scan queue lets allowlisted accounts in."""
    arn = client("s3", B).get_bucket_notification_configuration(Bucket="uploads-b")["QueueConfigurations"][0][
        "QueueArn"
    ]
    configuration = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    stranger = client("s3", "444444444444")
    stranger.create_bucket(Bucket="own-d", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        stranger.put_bucket_notification_configuration(Bucket="own-d", NotificationConfiguration=configuration)
    assert "QueueConfigurations" not in stranger.get_bucket_notification_configuration(Bucket="own-d")
    client("s3", B).put_bucket_notification_configuration(Bucket="versions-b", NotificationConfiguration=configuration)
