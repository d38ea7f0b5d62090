"""The statements against the documentation's own JSON, and what hardened leaves out."""

from __future__ import annotations

import json

import pytest

from runbook.policy import actions
from runbook.policy.document import new
from runbook.policy.lint import lint
from runbook.policy.statements import (
    connection_target_statements,
    findings_queue_statements,
    key_statement,
    scan_statements,
)
from runbook.review.documents import QUEUE, ROLE, TOPIC, documented, our_statements, snippets_folder


@pytest.mark.parametrize("name", our_statements())
def test_a_document_of_our_statements_is_the_documentations_to_the_letter(name: str) -> None:
    # As text, so that the order of keys and "a text or a list of one" count too.
    assert new(our_statements()[name]).text == json.dumps(documented()[name], separators=(",", ":"))


def test_every_snippet_has_a_function() -> None:
    assert {path.stem for path in snippets_folder().iterdir()} == set(our_statements())


def test_deleting_and_tagging_are_switches() -> None:
    def sids(*, delete: bool, tag: bool) -> list[str]:
        return [statement["Sid"] for statement in scan_statements(ROLE, "uploads-b", delete=delete, tag=tag)]

    required = ["bucketAVRequired1", "bucketAVRequired2"]
    assert sids(delete=False, tag=False) == required
    assert sids(delete=True, tag=False) == [*required, "bucketAVOnlyIfYouDeleteInfectedFiles"]
    assert sids(delete=False, tag=True) == [*required, "bucketAVOnlyIfYouTagFilesWithScanResult"]


def test_arns_are_of_the_partition() -> None:
    bucket, objects, *_ = scan_statements("arn:aws-cn:iam::111111111111:role/r", "uploads-b", partition="aws-cn")
    assert (bucket["Resource"], objects["Resource"]) == ("arn:aws-cn:s3:::uploads-b", "arn:aws-cn:s3:::uploads-b/*")
    target = connection_target_statements("222222222222", "bucketav", "target", partition="aws-us-gov")[0]
    assert target["Principal"] == {"AWS": "arn:aws-us-gov:iam::222222222222:role/bucketav-AccountConnection"}
    assert target["Resource"] == "arn:aws-us-gov:s3:::target"


SAVED = {
    "connection-target": {"s3:ListBucketVersions", "s3:PutObjectAcl", "s3:PutObjectRetention", "s3:PutObjectLegalHold"},
    "scan": {"s3:GetObjectAcl", "s3:GetObjectTorrent", "s3:DeleteObjectTagging", "s3:ListBucketMultipartUploads"},
    "target-bucket": {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
    "source-bucket": {"s3:GetObjectAcl", "s3:DeleteObjectVersionTagging"},
    "scheduled-scan": set[str](),
    "findings-queue": {"sqs:DeleteQueue", "sqs:AddPermission", "sqs:SetQueueAttributes"},
}


@pytest.mark.parametrize("name", our_statements())
def test_hardened_grants_less_and_never_more(name: str) -> None:
    literal, hardened = our_statements()[name], our_statements("hardened")[name]
    assert actions.saved(hardened, literal) == ()
    saved = set(actions.saved(literal, hardened))
    assert saved >= SAVED[name]
    assert bool(saved) == bool(SAVED[name])
    assert [statement.get("Sid") for statement in literal] == [statement.get("Sid") for statement in hardened]
    assert [statement["Resource"] for statement in literal] == [statement["Resource"] for statement in hardened]


def test_hardened_names_actions_without_wildcards_that_aws_has() -> None:
    for name, statements in our_statements("hardened").items():
        kind = "queue-policy" if name == "findings-queue" else "bucket-policy"
        assert lint(new(statements), kind=kind) == ()  # type: ignore[arg-type]
        assert "*" not in "".join(pattern for each in statements for pattern in each["Action"])


def test_hardened_lets_only_sns_send_findings() -> None:
    _, send = findings_queue_statements("222222222222", QUEUE, TOPIC, mode="hardened")
    assert send["Principal"] == {"Service": "sns.amazonaws.com"}
    assert send["Condition"] == {"ArnEquals": {"aws:SourceArn": TOPIC}}


def test_a_key_is_opened_for_decrypting_and_on_demand_for_more() -> None:
    assert key_statement(ROLE) == {
        "Sid": "bucketAVDecrypt",
        "Effect": "Allow",
        "Principal": {"AWS": ROLE},
        "Action": "kms:Decrypt",
        "Resource": "*",
    }
    both = key_statement(ROLE, actions=("kms:Decrypt", "kms:GenerateDataKey"), sid="bucketAVQuarantine")
    assert (both["Sid"], both["Action"]) == ("bucketAVQuarantine", ["kms:Decrypt", "kms:GenerateDataKey"])


@pytest.mark.parametrize(
    ("pattern", "count"), [("s3:GetObject*", 16), ("s3:PutObject*", 9), ("s3:DeleteObject*", 6), ("S3:listbucket*", 3)]
)
def test_a_wildcard_covers_as_many_actions_as_aws_has(pattern: str, count: int) -> None:
    # Grows when AWS adds actions: then see whether the new one matters, and correct the number.
    assert len(actions.covered_by(pattern)) >= count
    assert all(action.startswith("s3:") for action in actions.covered_by(pattern))


def test_an_unknown_service_has_no_actions() -> None:
    assert actions.of_service("nosuch") == ()
    assert actions.covered_by("nosuch:*") == ()
