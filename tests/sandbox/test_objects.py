"""Objects that another account has put, and Object Lock: what S3 does where moto does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.cloudformation import refusal

B, C, D = "222222222222", "333333333333", "444444444444"
BUCKET = "clean-partner-c"
OBJECTS = f"arn:aws:s3:::{BUCKET}/*"

Client = Callable[..., Any]

MULTIPART, COPY, PUT = "multipart", "copy", "put"


@pytest.fixture
def owner(client: Client) -> Any:
    """The S3 of account c, which owns the bucket."""
    return client("s3", C)


@pytest.fixture
def writer(client: Client, owner: Any) -> Any:
    """The S3 of account b, which the bucket's policy lets do everything with objects, as it lets account d."""
    grant = {"Effect": "Allow", "Principal": {"AWS": [B, D]}, "Action": "s3:*Object*", "Resource": OBJECTS}
    put_policy(owner, grant)
    return client("s3", B)


def put_policy(s3: Any, *statements: dict[str, Any]) -> None:
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def set_ownership(s3: Any, ownership: str | None) -> None:
    if ownership is None:
        s3.delete_bucket_ownership_controls(Bucket=BUCKET)
    else:
        s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]})


def write(s3: Any, way: str, **options: Any) -> None:
    """Put `a.txt` in one of three ways."""
    new = {"Bucket": BUCKET, "Key": "a.txt", **options}
    if way == PUT:
        s3.put_object(**new, Body=b"a")
    elif way == COPY:
        s3.copy_object(**new, CopySource={"Bucket": "uploads-b", "Key": "readme.txt"})
    else:
        upload = s3.create_multipart_upload(**new)["UploadId"]
        one = {"Bucket": BUCKET, "Key": "a.txt", "UploadId": upload}
        part = s3.upload_part(**one, PartNumber=1, Body=b"a")["ETag"]
        s3.complete_multipart_upload(**one, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})


def readers(client: Client) -> set[str]:
    """Those of the accounts b (writer), c (owner) and d (let in by the bucket's policy) that can read `a.txt`."""
    return {account for account in (B, C, D) if reads(client("s3", account))}


def reads(s3: Any) -> bool:
    try:
        s3.get_object(Bucket=BUCKET, Key="a.txt")
    except s3.exceptions.from_code("AccessDenied"):
        return False
    return True


FULL = "bucket-owner-full-control"
OWNERSHIP = [
    # ownership, ACL, who can read: the writer's own account always, c because of the ACL, d if the bucket's owner owns
    ("BucketOwnerEnforced", None, {B, C, D}),
    ("BucketOwnerEnforced", FULL, {B, C, D}),
    ("BucketOwnerPreferred", None, {B}),
    ("BucketOwnerPreferred", FULL, {B, C, D}),
    ("BucketOwnerPreferred", "bucket-owner-read", {B, C}),
    ("ObjectWriter", None, {B}),
    ("ObjectWriter", "private", {B}),
    ("ObjectWriter", FULL, {B, C}),
    (None, None, {B}),
    (None, FULL, {B, C}),
]


@pytest.mark.parametrize("way", [PUT, COPY, MULTIPART])
@pytest.mark.parametrize(("ownership", "acl", "expected"), OWNERSHIP)
def test_who_can_read_what_another_account_has_put(
    client: Client, owner: Any, writer: Any, way: str, ownership: str | None, acl: str | None, expected: set[str]
) -> None:
    """AWS, "Controlling ownership of objects and disabling ACLs", each of its settings with and without an ACL; a
    bucket policy's grants apply to the objects that the bucket's owner owns.
    """
    set_ownership(owner, ownership)
    write(writer, way, **({"ACL": acl} if acl else {}))
    assert readers(client) == expected


@pytest.mark.parametrize("ownership", ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"])
def test_what_the_owner_puts_is_the_owners(client: Client, owner: Any, writer: Any, ownership: str) -> None:
    set_ownership(owner, ownership)
    write(owner, PUT)
    assert readers(client) == {B, C, D}


def test_disabling_acls_gives_the_bucket_owner_everything_that_is_there(
    client: Client, owner: Any, writer: Any
) -> None:
    """AWS: "When you apply this setting, ACLs are disabled and you automatically own and have full control over all
    objects in your bucket"; "If you reenable ACLs, Amazon S3 uses the existing ACLs again".
    """
    write(writer, PUT)
    assert readers(client) == {B}
    set_ownership(owner, "BucketOwnerEnforced")
    assert readers(client) == {B, C, D}
    set_ownership(owner, "BucketOwnerPreferred")
    assert readers(client) == {B}


def test_the_writer_can_let_the_owner_in_later(client: Client, writer: Any) -> None:
    write(writer, PUT)
    writer.put_object_acl(Bucket=BUCKET, Key="a.txt", ACL=FULL)
    assert readers(client) == {B, C}


def test_the_bucket_owner_cannot_help_itself_to_the_acl(owner: Any, writer: Any) -> None:
    write(writer, PUT)
    assert refusal(owner.put_object_acl, Bucket=BUCKET, Key="a.txt", ACL=FULL)[0] == "AccessDenied"


def test_the_bucket_owner_can_delete_every_object(client: Client, owner: Any, writer: Any) -> None:
    """AWS: "the bucket owner can [...] delete any objects in the bucket, regardless of who owns them"."""
    write(writer, PUT)
    owner.delete_object(Bucket=BUCKET, Key="a.txt")
    assert "Contents" not in owner.list_objects_v2(Bucket=BUCKET)


def test_what_the_bucket_owner_denies_counts_for_every_object(client: Client, owner: Any, writer: Any) -> None:
    """AWS, "How Amazon S3 authorizes a request for an object operation", bucket context: "if an explicit deny exists in
    the bucket policy [...] the request is denied".
    """
    write(writer, PUT)
    deny = {"Effect": "Deny", "Principal": {"AWS": B}, "Action": "s3:GetObject", "Resource": OBJECTS}
    put_policy(owner, deny)
    assert readers(client) == set()


def test_every_version_has_an_owner_of_its_own(client: Client, owner: Any, writer: Any) -> None:
    owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = owner.put_object(Bucket=BUCKET, Key="a.txt", Body=b"mine")["VersionId"]
    second = writer.put_object(Bucket=BUCKET, Key="a.txt", Body=b"yours")["VersionId"]
    assert owner.get_object(Bucket=BUCKET, Key="a.txt", VersionId=first)["Body"].read() == b"mine"
    assert refusal(owner.get_object, Bucket=BUCKET, Key="a.txt", VersionId=second)[0] == "AccessDenied"
    copy = {"Bucket": "clean-c", "Key": "copy.txt"}
    source = {"Bucket": BUCKET, "Key": "a.txt"}
    owner.copy_object(**copy, CopySource={**source, "VersionId": first})
    assert refusal(owner.copy_object, **copy, CopySource={**source, "VersionId": second})[0] == "AccessDenied"


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("put_object", {"Key": "a.txt", "ACL": "private"}),
        ("put_object", {"Key": "a.txt", "GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'}),
        ("copy_object", {"Key": "b.txt", "CopySource": "archive-c/2024/summary.txt", "ACL": "bucket-owner-read"}),
        ("create_multipart_upload", {"Key": "a.txt", "ACL": "public-read"}),
        ("put_object_acl", {"Key": "2024/summary.txt", "ACL": FULL}),
        ("put_bucket_acl", {"ACL": "private"}),
    ],
)
def test_a_bucket_without_acls_takes_none(owner: Any, call: str, parameters: dict[str, Any]) -> None:
    """AWS: "requests that set or update ACLs fail with a 400 error (AccessControlListNotSupported)"."""
    before = owner.list_objects_v2(Bucket="archive-c")["KeyCount"]
    refused = refusal(getattr(owner, call), Bucket="archive-c", **parameters)
    assert refused == ("AccessControlListNotSupported", "The bucket does not allow ACLs")
    assert owner.list_objects_v2(Bucket="archive-c")["KeyCount"] == before


@pytest.mark.parametrize("header", [{"ACL": FULL}, {"GrantRead": 'id="x"'}])
def test_putting_an_object_with_an_acl_needs_the_permission_to_put_acls(
    client: Client, owner: Any, header: dict[str, str]
) -> None:
    """AWS, PutObject: "To successfully change the objects acl of your PutObject request, you must have the
    s3:PutObjectAcl in your IAM permissions."
    """
    put_policy(owner, {"Effect": "Allow", "Principal": {"AWS": B}, "Action": "s3:PutObject", "Resource": OBJECTS})
    s3 = client("s3", B)
    s3.put_object(Bucket=BUCKET, Key="a.txt")
    with pytest.raises(ClientError, match="s3:PutObjectAcl"):
        s3.put_object(Bucket=BUCKET, Key="a.txt", **header)


# Object Lock


@pytest.fixture
def locked(client: Client) -> dict[str, str]:
    """The version that `records-b` holds."""
    versions = client("s3", B).list_object_versions(Bucket="records-b")["Versions"]
    assert len(versions) == 1
    return {"Bucket": "records-b", "Key": versions[0]["Key"], "VersionId": versions[0]["VersionId"]}


def test_a_locked_version_cannot_be_deleted_and_a_marker_can_be_set(client: Client, locked: dict[str, str]) -> None:
    """AWS, "Locking objects with Object Lock": a delete without a version id adds a marker, locked or not."""
    s3 = client("s3", B)
    message = "Access Denied because object protected by object lock."
    assert refusal(s3.delete_object, **locked) == ("AccessDenied", message)
    entry = {"Key": locked["Key"], "VersionId": locked["VersionId"]}
    errors = s3.delete_objects(Bucket="records-b", Delete={"Objects": [entry]})["Errors"]
    assert [(error["Code"], error["Message"]) for error in errors] == [("AccessDenied", message)]
    s3.delete_object(Bucket="records-b", Key=locked["Key"])
    listed = s3.list_object_versions(Bucket="records-b")
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (1, 1)


def test_a_new_object_is_locked_by_default(client: Client) -> None:
    """AWS, "Object Lock considerations", default retention: for every new object, however it is put."""
    s3 = client("s3", B)
    new = s3.put_object(Bucket="records-b", Key="new.txt", Body=b"new")["VersionId"]
    assert s3.head_object(Bucket="records-b", Key="new.txt")["ObjectLockMode"] == "GOVERNANCE"
    assert refusal(s3.delete_object, Bucket="records-b", Key="new.txt", VersionId=new)[0] == "AccessDenied"


@pytest.mark.parametrize("many", [False, True])
def test_the_way_past_governance_mode_needs_a_permission_of_its_own(
    client: Client, locked: dict[str, str], many: bool
) -> None:
    """AWS, DeleteObject and DeleteObjects: "you must have the s3:BypassGovernanceRetention permission"."""
    s3 = client("s3", B)
    deleting = {
        "Effect": "Allow",
        "Principal": {"AWS": D},
        "Action": ["s3:DeleteObject*"],
        "Resource": "arn:aws:s3:::records-b/*",
    }
    refused, passed = (
        deletes_past_the_lock(s3, client("s3", D), {**deleting, "Action": actions}, locked, many)
        for actions in (["s3:DeleteObject*"], ["s3:DeleteObject*", "s3:BypassGovernanceRetention"])
    )
    assert (refused, passed) == (False, True)


def deletes_past_the_lock(owner: Any, other: Any, grant: dict[str, Any], locked: dict[str, str], many: bool) -> bool:
    """Whether another account can, with such a grant."""
    owner.put_bucket_policy(Bucket="records-b", Policy=json.dumps({"Version": "2012-10-17", "Statement": [grant]}))
    entry = {"Key": locked["Key"], "VersionId": locked["VersionId"]}
    if many:
        answer = other.delete_objects(Bucket="records-b", Delete={"Objects": [entry]}, BypassGovernanceRetention=True)
        assert [error["Code"] for error in answer.get("Errors", [])] in ([], ["AccessDenied"])
    else:
        with suppress(other.exceptions.from_code("AccessDenied")):
            other.delete_object(**locked, BypassGovernanceRetention=True)
    return "Versions" not in owner.list_object_versions(Bucket="records-b")
