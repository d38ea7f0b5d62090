"""The documentation's five situations: what the stand-in for the add-on can do before, with, and after the grants.

Each grant is put by the owner through the API. Where one is missing, the call that needs it is the one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.policy.statements import (
    Mode,
    connection_target_statements,
    scan_statements,
    scheduled_scan_statements,
    source_bucket_statements,
    target_bucket_statements,
)
from runbook.sandbox.server import Sandbox
from runbook.sandbox.stand_ins import StandIn, Unscanned
from tests.sandbox.add_ons import Organization
from tests.sandbox.cloudformation import A, B

C = "333333333333"

Client = Callable[..., Any]

STATUS = {"bucketav-move-clean": "clean", "bucketav-move-no": "no", "bucketav-quarantine": "infected"}
MOVERS = pytest.mark.parametrize("stack", STATUS)
MODES = pytest.mark.parametrize("mode", ["literal", "hardened"])
FIVE_MIB = 5 * 1024**2


@pytest.fixture
def organization(client: Client, at_once: None) -> Organization:
    return Organization(client)


@pytest.fixture
def stand_in(sandbox: Sandbox) -> Callable[..., StandIn]:
    return lambda stack, **options: StandIn(sandbox, A, stack, **options)


@pytest.fixture
def grants() -> Iterator[ExitStack]:
    """Grants that are entered here stay until it is closed."""
    with ExitStack() as stack:
        yield stack


class Mover:
    """One add-on that moves files from `source` to `target`: whether a file that is put there now gets through."""

    def __init__(self, organization: Organization, add_on: StandIn, status: str, source: str, target: str) -> None:
        self._organization, self._add_on, self._status = organization, add_on, status
        self._source, self._target = source, target
        self._count = 0

    def moves(self, body: bytes = b"content") -> str:
        """ARN of the principal that moved a file. Everything of it has arrived, and nothing stays behind."""
        self._count += 1
        key = f"moved/{self._count}.txt"
        finding = self._organization.put(self._source, key, self._status, body)
        moved = self._add_on.take(finding)
        assert moved is not None
        assert key not in self._organization.keys(self._source)
        assert self._organization.content(self._target, key) == body
        assert self._organization.tags(self._target, key) == {"bucketav": self._status, "owner": "ada"}
        return moved.principal

    def fails(self, call: str, because: str = "", *, body: bytes = b"content") -> None:
        """The add-on cannot move a file: `call` is refused. It is still where it was."""
        self._count += 1
        key = f"moved/{self._count}.txt"
        finding = self._organization.put(self._source, key, self._status, body)
        with pytest.raises(ClientError) as caught:
            self._add_on.take(finding)
        message = str(caught.value)
        assert f"when calling the {call} operation" in message
        assert because in message
        assert key in self._organization.keys(self._source)


@pytest.fixture
def mover(organization: Organization, stand_in: Callable[..., StandIn]) -> Callable[..., Mover]:
    """The add-on of a stack, with another target than it has."""

    def make(stack: str, source: str, target: str, **options: Any) -> Mover:
        organization.set_parameter(stack, TargetBucketName=target)
        return Mover(organization, stand_in(stack, **options), STATUS[stack], source, target)

    return make


NO_KEY_POLICY = "because the resource does not exist in this Region, no resource-based policies allow access"


# Target bucket in another account than bucketAV: outline `add-ons.target-bucket`


@MOVERS
@MODES
def test_a_target_in_another_account(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack, stack: str, mode: Mode
) -> None:
    add_on = mover(stack, "uploads-a", "archive-c")
    role = organization.role_of(stack)
    add_on.fails("HeadBucket")
    with grants:
        grants.enter_context(
            organization.bucket_grants("archive-c", target_bucket_statements(role, "archive-c", mode=mode))
        )
        assert f":assumed-role/{role.rpartition('/')[2]}/" in add_on.moves()
    add_on.fails("HeadBucket")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_target_needs_both_statements(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack, missing: int
) -> None:
    add_on = mover("bucketav-quarantine", "uploads-a", "archive-c")
    statements = target_bucket_statements(organization.role_of("bucketav-quarantine"), "archive-c")
    grants.enter_context(
        organization.bucket_grants("archive-c", statements[:missing] + statements[missing + 1 :]),
    )
    add_on.fails(*[("HeadBucket",), ("PutObject", "s3:PutObject")][missing])


def test_a_file_with_tags_needs_the_permission_to_put_tags(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """AWS, PutObject, x-amz-tagging: "To successfully set the tag-set with your PutObject request, you must have the
    s3:PutObjectTagging in your IAM permissions."
    """
    add_on = mover("bucketav-move-clean", "uploads-a", "archive-c")
    listing, putting = target_bucket_statements(organization.role_of("bucketav-move-clean"), "archive-c")
    grants.enter_context(
        organization.bucket_grants("archive-c", [listing, {**putting, "Action": "s3:PutObject"}]),
    )
    add_on.fails("PutObject", "s3:PutObjectTagging")


@MOVERS
def test_a_target_with_a_customer_managed_key_needs_the_key_policy_and_the_restriction(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack, stack: str
) -> None:
    """KMS Developer Guide, "Allowing users in other accounts to use a KMS key": the key's policy and the caller's own
    have to allow it. S3 User Guide: to upload, the requester needs kms:GenerateDataKey.
    """
    target = "clean-documents-c"
    add_on = mover(stack, "uploads-a", target)
    role = organization.role_of(stack)
    with grants:
        grants.enter_context(organization.bucket_grants(target, target_bucket_statements(role, target)))
        add_on.fails("PutObject", NO_KEY_POLICY)
        grants.enter_context(organization.key_grant(target, role, "kms:GenerateDataKey"))
        add_on.moves()
        organization.set_parameter(stack, KMSKeyRestriction=f"arn:aws:kms:eu-west-1:{A}:key/*")
        add_on.fails("PutObject", "because no identity-based policy allows the kms:GenerateDataKey action")
        organization.set_parameter(
            stack, KMSKeyRestriction=f"arn:aws:kms:eu-west-1:{A}:key/*,{organization.key_arn(target)}"
        )
        add_on.moves()
    add_on.fails("HeadBucket")


def test_one_add_on_may_not_use_the_key_of_its_target_until_its_restriction_names_it(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack
) -> None:
    """As the world is: everything that the documentation shows is not enough."""
    stack, target = "bucketav-move-clean-documents", "clean-documents-c"
    add_on = Mover(organization, stand_in(stack), "clean", "uploads-a", target)
    role = organization.role_of(stack)
    grants.enter_context(organization.bucket_grants(target, target_bucket_statements(role, target)))
    grants.enter_context(organization.key_grant(target, role, "kms:GenerateDataKey"))
    add_on.fails("PutObject", "because no identity-based policy allows the kms:GenerateDataKey action")
    organization.set_parameter(stack, KMSKeyRestriction=organization.key_arn(target))
    add_on.moves()


def test_a_large_file_needs_to_decrypt_its_parts(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """S3 User Guide, "Multipart upload API and permissions": with SSE-KMS the requester needs kms:Decrypt as well."""
    target, large = "clean-documents-c", b"x" * (FIVE_MIB + 1)
    add_on = mover("bucketav-move-clean", "uploads-a", target, part_size=FIVE_MIB)
    role = organization.role_of("bucketav-move-clean")
    grants.enter_context(organization.bucket_grants(target, target_bucket_statements(role, target)))
    with organization.key_grant(target, role, "kms:GenerateDataKey"):
        add_on.moves()
        add_on.fails("UploadPart", "kms:Decrypt", body=large)
    with organization.key_grant(target, role, "kms:GenerateDataKey", "kms:Decrypt"):
        add_on.moves(large)


def test_a_target_with_the_aws_managed_key_stays_impossible(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """KMS Developer Guide, "AWS managed keys": their policy cannot be changed, and lets only their own account in."""
    add_on = mover("bucketav-move-clean", "uploads-a", "vault-c")
    role = organization.role_of("bucketav-move-clean")
    grants.enter_context(organization.bucket_grants("vault-c", target_bucket_statements(role, "vault-c")))
    add_on.fails("PutObject", NO_KEY_POLICY)
    with pytest.raises(ClientError, match="AccessDeniedException"), organization.key_grant("vault-c", role, "kms:*"):
        pass


@pytest.mark.parametrize("key", [None, "alias/clean", "alias/aws/s3"])
def test_a_default_that_names_no_key_by_its_arn_locks_the_owner_out(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack, key: str | None
) -> None:
    """AWS, ServerSideEncryptionByDefault, KMSMasterKeyID: an alias is resolved "within the requester's account. This
    behavior can result in data that's encrypted with a KMS key that belongs to the requester"; without any key it is
    the requester's AWS-managed one. The move succeeds, and the owner of the target cannot read what has arrived.
    """
    stack, target = "bucketav-move-clean", "clean-c"
    organization.client("kms", A).create_alias(
        AliasName="alias/clean", TargetKeyId=organization.key_arn("unscannable-a")
    )
    default = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
    organization.s3(target).put_bucket_encryption(
        Bucket=target,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )
    statements = target_bucket_statements(organization.role_of(stack), target)
    grants.enter_context(organization.bucket_grants(target, statements))
    assert stand_in(stack).take(organization.put("uploads-a", "a.txt")) is not None
    used = organization.s3(target).head_object(Bucket=target, Key="a.txt")["SSEKMSKeyId"]
    assert used.startswith(f"arn:aws:kms:eu-west-1:{A}:key/")
    with pytest.raises(ClientError, match="kms:Decrypt"):
        organization.content(target, "a.txt")


@pytest.mark.parametrize(("ownership", "readable"), [("BucketOwnerPreferred", False), ("BucketOwnerEnforced", True)])
def test_what_arrives_in_a_target_with_acls_belongs_to_the_add_ons_account(
    organization: Organization,
    stand_in: Callable[..., StandIn],
    grants: ExitStack,
    ownership: str,
    readable: bool,
) -> None:
    """AWS, "Controlling ownership of objects": without the ACL bucket-owner-full-control, the writer owns the object,
    and the bucket's owner cannot read what is in its own bucket.
    """
    stack, target = "bucketav-move-clean-partner", "clean-partner-c"
    s3 = organization.s3(target)
    s3.put_bucket_ownership_controls(Bucket=target, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]})
    statements = target_bucket_statements(organization.role_of(stack), target)
    grants.enter_context(organization.bucket_grants(target, statements))
    assert stand_in(stack).take(organization.put("uploads-a", "a.txt")) is not None
    assert organization.keys(target) == {"a.txt"}
    if readable:
        assert organization.content(target, "a.txt") == b"content"
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            organization.content(target, "a.txt")


# Source bucket in another account than bucketAV: outline `add-ons.source-bucket`


@MOVERS
@MODES
@pytest.mark.parametrize("source", ["uploads-b", "versions-b"])
def test_a_source_in_another_account(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack, stack: str, mode: Mode, source: str
) -> None:
    add_on = mover(stack, source, "unscannable-a")
    role = organization.role_of(stack)
    add_on.fails("ListObjectVersions")
    with grants:
        grants.enter_context(organization.bucket_grants(source, source_bucket_statements(role, source, mode=mode)))
        assert f":assumed-role/{role.rpartition('/')[2]}/" in add_on.moves()
    add_on.fails("ListObjectVersions")


def test_of_a_versioned_source_the_version_itself_is_deleted(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """AWS, "Deleting object versions": without a version id, DeleteObject inserts a marker and removes nothing."""
    add_on = mover("bucketav-quarantine", "versions-b", "unscannable-a")
    role = organization.role_of("bucketav-quarantine")
    grants.enter_context(organization.bucket_grants("versions-b", source_bucket_statements(role, "versions-b")))
    add_on.moves()
    listed = organization.s3("versions-b").list_object_versions(Bucket="versions-b", Prefix="moved/")
    assert not listed.get("Versions")
    assert not listed.get("DeleteMarkers")


def test_from_a_source_with_object_lock_the_file_is_copied_and_not_deleted(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """AWS, "Locking objects with Object Lock": in governance mode nobody deletes a version before its time without
    s3:BypassGovernanceRetention, which the documented statements do not give.
    """
    add_on = mover("bucketav-quarantine", "records-b", "unscannable-a")
    role = organization.role_of("bucketav-quarantine")
    grants.enter_context(organization.bucket_grants("records-b", source_bucket_statements(role, "records-b")))
    add_on.fails("DeleteObject", "object protected by object lock")
    assert "moved/1.txt" in organization.keys("unscannable-a")


def test_a_source_with_a_customer_managed_key_needs_the_key_policy(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """S3 User Guide: to download, the requester needs kms:Decrypt."""
    add_on = mover("bucketav-move-no", "documents-b", "unscannable-a")
    role = organization.role_of("bucketav-move-no")
    with grants:
        grants.enter_context(organization.bucket_grants("documents-b", source_bucket_statements(role, "documents-b")))
        add_on.fails("GetObject", NO_KEY_POLICY)
        with organization.key_grant("documents-b", role, "kms:Decrypt"):
            add_on.moves()
            organization.set_parameter("bucketav-move-no", KMSKeyRestriction=organization.key_arn("unscannable-a"))
            add_on.fails("GetObject", "because no identity-based policy allows the kms:Decrypt action")
            organization.set_parameter("bucketav-move-no", KMSKeyRestriction="*")
            add_on.moves()
        add_on.fails("GetObject", NO_KEY_POLICY)
    add_on.fails("ListObjectVersions")


def test_a_source_with_the_aws_managed_key_stays_impossible(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    add_on = mover("bucketav-move-clean", "vault-b", "unscannable-a")
    role = organization.role_of("bucketav-move-clean")
    grants.enter_context(organization.bucket_grants("vault-b", source_bucket_statements(role, "vault-b")))
    add_on.fails("GetObject", NO_KEY_POLICY)


def test_an_older_object_needs_the_key_that_it_was_written_with(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack
) -> None:
    """The bucket's default says nothing about what is there already: one of three objects needs a key."""
    stack = "bucketav-move-no"
    role = organization.role_of(stack)
    grants.enter_context(organization.bucket_grants("migrated-b", source_bucket_statements(role, "migrated-b")))
    findings = [{"bucket": "migrated-b", "key": f"{year}.txt", "status": "no"} for year in (2021, 2023, 2025)]
    add_on = stand_in(stack)
    with pytest.raises(ClientError, match="kms:Decrypt"):
        add_on.take(findings[1])
    with organization.key_grant("documents-b", role, "kms:Decrypt"):
        assert [moved.key for moved in map(add_on.take, findings) if moved] == ["2021.txt", "2023.txt", "2025.txt"]


# IAM role-based access: outline `add-ons.connection-target`


@MOVERS
@MODES
def test_role_based_with_a_target_in_a_third_account(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack, stack: str, mode: Mode
) -> None:
    """The connection role of the source's account does all of it, and the target bucket has to let it in."""
    add_on = mover(stack, "uploads-b", "archive-c")
    add_on.fails("ListObjectVersions")
    organization.connect(B)
    add_on.fails("HeadBucket")
    with grants:
        statements = connection_target_statements(B, "bucketav", "archive-c", mode=mode)
        grants.enter_context(organization.bucket_grants("archive-c", statements))
        assert add_on.moves() == f"arn:aws:sts::{B}:assumed-role/bucketav-AccountConnection/bucketav"
    add_on.fails("HeadBucket")


def test_role_based_with_customer_managed_keys(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """The source's key is in the role's own account, where its own policy is enough; the target's is not."""
    target = "clean-documents-c"
    add_on = mover("bucketav-move-clean", "documents-b", target)
    role = organization.connect(B)
    with grants:
        statements = connection_target_statements(B, "bucketav", target)
        grants.enter_context(organization.bucket_grants(target, statements))
        add_on.fails("PutObject", NO_KEY_POLICY)
        with organization.key_grant(target, role, "kms:GenerateDataKey"):
            add_on.moves()
        add_on.fails("PutObject", NO_KEY_POLICY)
    add_on.fails("HeadBucket")


def test_role_based_it_is_the_connections_restriction_that_counts(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """The documentation speaks of the add-on's KMSKeyRestriction; but it is the connection role that uses the keys."""
    stack, target = "bucketav-move-clean", "clean-documents-c"
    add_on = mover(stack, "documents-b", target)
    organization.set_parameter(stack, KMSKeyRestriction="arn:aws:kms:eu-west-1:111111111111:key/none")
    for restriction in (organization.key_arn("documents-b"), "*"):
        role = organization.connect(B, KMSKeyRestriction=restriction)
        with grants:
            statements = connection_target_statements(B, "bucketav", target)
            grants.enter_context(organization.bucket_grants(target, statements))
            grants.enter_context(organization.key_grant(target, role, "kms:GenerateDataKey"))
            if restriction == "*":
                add_on.moves()
            else:
                add_on.fails("PutObject", "because no identity-based policy allows the kms:GenerateDataKey action")
        organization.disconnect(B)


def test_role_based_with_a_target_with_the_aws_managed_key_stays_impossible(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    add_on = mover("bucketav-move-clean", "vault-b", "vault-c")
    organization.connect(B)
    grants.enter_context(
        organization.bucket_grants("vault-c", connection_target_statements(B, "bucketav", "vault-c")),
    )
    add_on.fails("PutObject", NO_KEY_POLICY)


@MOVERS
@pytest.mark.parametrize(("source", "target"), [("uploads-b", "documents-b"), ("vault-b", "uploads-b")])
def test_role_based_within_a_connected_account_needs_nothing(
    organization: Organization, mover: Callable[..., Mover], stack: str, source: str, target: str
) -> None:
    """Not even for an AWS-managed key: role, buckets and keys are in one account."""
    add_on = mover(stack, source, target)
    add_on.fails("ListObjectVersions")
    organization.connect(B)
    assert f"{B}:assumed-role/bucketav-AccountConnection/" in add_on.moves()
    organization.disconnect(B)
    add_on.fails("ListObjectVersions")


def test_an_account_connected_with_the_older_template_moves_what_has_no_tags(
    organization: Organization, mover: Callable[..., Mover], grants: ExitStack
) -> None:
    """Account c, as the world is."""
    add_on = mover("bucketav-move-clean", "archive-c", "media-f")
    statements = connection_target_statements(C, "bucketav", "media-f")
    grants.enter_context(organization.bucket_grants("media-f", statements))
    add_on.fails("PutObject", "because no identity-based policy allows the s3:PutObjectTagging action")


def test_an_add_on_from_before_account_connections_does_not_use_them(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack
) -> None:
    stack, target = "bucketav-move-clean-partner", "clean-partner-c"
    add_on = Mover(organization, stand_in(stack), "clean", "uploads-b", target)
    organization.connect(B)
    statements = connection_target_statements(B, "bucketav", target)
    grants.enter_context(organization.bucket_grants(target, statements))
    add_on.fails("ListObjectVersions")


# scheduled-bucket-scan: outline `add-ons.scheduled-scan`

SCANNER = "bucketav-scheduled-bucket-scan"


def test_a_scheduled_scan_of_a_bucket_in_another_account(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack
) -> None:
    """It finds all versions that have no scan result yet."""
    organization.set_parameter(SCANNER, BucketName="versions-b")
    role, scan = organization.role_of(SCANNER), stand_in(SCANNER).scan
    with pytest.raises(ClientError, match=r"ListObjectVersions.*s3:ListBucketVersions"):
        scan()
    s3 = organization.s3("versions-b")
    organization.put("versions-b", "contract.txt")
    with grants:
        listing, tagging = scheduled_scan_statements(role, "versions-b")
        grants.enter_context(organization.bucket_grants("versions-b", [listing]))
        with pytest.raises(ClientError, match=r"GetObjectTagging.*s3:GetObjectVersionTagging"):
            scan()
        grants.enter_context(organization.bucket_grants("versions-b", [tagging]))
        found = scan()
    versions = s3.list_object_versions(Bucket="versions-b")["Versions"]
    latest = next(each["VersionId"] for each in versions if each["Key"] == "contract.txt" and each["IsLatest"])
    assert [each.key for each in found] == ["contract.txt", "contract.txt", "obsolete.txt"]
    assert latest not in {each.version for each in found}
    with pytest.raises(ClientError, match="ListObjectVersions"):
        scan()


def test_what_a_scheduled_scan_finds_needs_the_base_statements_to_be_scanned(
    organization: Organization,
    stand_in: Callable[..., StandIn],
    grants: ExitStack,
    scan_role_client: Client,
    scan_role_arn: str,
) -> None:
    """The add-on's role is not the one that scans."""
    organization.set_parameter(SCANNER, BucketName="legacy-b")
    organization.s3("legacy-b").delete_bucket_policy(Bucket="legacy-b")  # names a role that is gone
    role = organization.role_of(SCANNER)
    grants.enter_context(organization.bucket_grants("legacy-b", scheduled_scan_statements(role, "legacy-b")))
    [found] = stand_in(SCANNER).scan()
    scanner = scan_role_client("s3")
    with pytest.raises(ClientError, match="s3:GetObject"):
        scanner.get_object(Bucket=found.bucket, Key=found.key)
    grants.enter_context(organization.bucket_grants("legacy-b", scan_statements(scan_role_arn, "legacy-b")))
    assert scanner.get_object(Bucket=found.bucket, Key=found.key)["Body"].read() == b"Report\n"


def test_a_scheduled_scan_reads_tags_without_any_key(
    organization: Organization, stand_in: Callable[..., StandIn], grants: ExitStack
) -> None:
    """Tags are not encrypted: what the documentation says about keys is of no use here, even for an AWS-managed key."""
    organization.set_parameter(SCANNER, BucketName="vault-b,documents-b", KMSKeyRestriction="arn:aws:kms:::none")
    role = organization.role_of(SCANNER)
    for bucket in ("vault-b", "documents-b"):
        grants.enter_context(organization.bucket_grants(bucket, scheduled_scan_statements(role, bucket)))
    assert [each.bucket for each in stand_in(SCANNER).scan()] == ["vault-b", "documents-b"]


def test_a_scheduled_scan_of_a_connected_account_needs_nothing(
    organization: Organization, stand_in: Callable[..., StandIn]
) -> None:
    """As the world is: buckets of account a by a wildcard, one of b, and one of c, which is connected."""
    with pytest.raises(ClientError, match="ListObjectVersions"):
        stand_in(SCANNER).scan()
    organization.connect(B)
    found = stand_in(SCANNER).scan()
    assert list(dict.fromkeys(each.bucket for each in found)) == ["uploads-a", "uploads-b", "archive-c"]
    assert Unscanned("uploads-a", "brochure.txt", "null") in found


# What an add-on leaves alone


@pytest.mark.parametrize("status", ["infected", "no"])
def test_an_add_on_leaves_the_files_of_another_alone(
    organization: Organization, stand_in: Callable[..., StandIn], status: str
) -> None:
    finding = organization.put("uploads-a", "a.txt", status)
    assert stand_in("bucketav-move-clean").take(finding) is None
    assert "a.txt" in organization.keys("uploads-a")


def test_an_add_on_leaves_its_target_alone(organization: Organization, stand_in: Callable[..., StandIn]) -> None:
    """Or it would move a file onto itself and delete it."""
    finding = organization.put("unscannable-a", "a.txt", "no")
    assert stand_in("bucketav-move-no").take(finding) is None


def test_within_account_a_an_add_on_needs_nothing(organization: Organization, mover: Callable[..., Mover]) -> None:
    mover("bucketav-move-no", "uploads-a", "unscannable-a").moves()


def test_a_file_that_is_gone_is_said(organization: Organization, stand_in: Callable[..., StandIn]) -> None:
    finding = {"bucket": "uploads-a", "key": "gone.txt", "status": "clean"}
    with pytest.raises(FileNotFoundError, match=r"no gone.txt \(version latest\) in uploads-a"):
        stand_in("bucketav-move-clean").take(finding)
