"""Every call is decided as AWS would: who may, who may not, and in which words the sandbox says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from runbook.sandbox.callers import PLAIN_HTTP
from runbook.sandbox.server import Sandbox

A, B, C, D = "111111111111", "222222222222", "333333333333", "444444444444"
MANAGEMENT = "999999999999"

Client = Callable[..., Any]


def statement(action: Any, resource: Any = "*", effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **elements}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def refused(call: Callable[..., Any], **parameters: Any) -> str:
    """The error code of a call that has to fail; its message is in `message_of`."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def message_of(call: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Message"])


def status_of(call: Callable[..., Any], **parameters: Any) -> int:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


NOT_AUTHORIZED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "SandboxFailure",
    "SandboxNotImplemented",
}


def outcome(call: Callable[..., Any], **parameters: Any) -> str:
    """The error code of a call, "" when it works. What else is wrong with the parameters is no matter of
    permissions.
    """
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def send_along(client: Any, name: str, value: str) -> None:
    """Let a boto3 client send one more header with every request."""
    client.meta.events.register("before-send.*", lambda request, **_: request.headers.update({name: value}))


def fetched(url: str) -> tuple[int, bytes]:
    """Status and body of an address that is opened without signing anything."""
    answer = urllib3.request("GET", url, retries=False)
    return answer.status, answer.data


@pytest.fixture
def tester(client: Client, client_with: Client) -> Callable[..., Client]:
    """A role `Tester` in account b with the given inline policy, and clients with its credentials."""
    administrator = client("iam", B)
    trust = statement("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{B}:root"})
    del trust["Resource"]
    administrator.create_role(RoleName="Tester", AssumeRolePolicyDocument=policy(trust))
    session = client("sts", B).assume_role(RoleArn=f"arn:aws:iam::{B}:role/Tester", RoleSessionName="test")

    def allow(*statements: dict[str, Any]) -> Client:
        if statements:
            administrator.put_role_policy(RoleName="Tester", PolicyName="test", PolicyDocument=policy(*statements))
        return lambda service, region=None: client_with(service, session["Credentials"], region)

    return allow


# Who is calling


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("iam", "list_roles", "InvalidClientTokenId"),
        ("kms", "list_keys", "UnrecognizedClientException"),
        ("ssm", "describe_parameters", "UnrecognizedClientException"),
    ],
)
def test_an_access_key_that_nobody_has_is_refused(client_with: Client, service: str, operation: str, code: str) -> None:
    """AWS, Common Errors: InvalidClientTokenId, "The X.509 certificate or AWS access key ID provided does not exist in
    our records"; S3: InvalidAccessKeyId.
    """
    stranger = client_with(service, ("AKIAIOSFODNN7EXAMPLE", "x"))
    assert refused(getattr(stranger, operation)) == code


def test_an_inactive_access_key_is_refused(administrator: Client, client_with: Client) -> None:
    """AWS, UpdateAccessKey: an Inactive key cannot be used for API calls."""
    key = administrator("iam").create_access_key(UserName="administrator")["AccessKey"]
    credentials = (key["AccessKeyId"], key["SecretAccessKey"])
    assert client_with("sts", credentials).get_caller_identity()["Account"] == MANAGEMENT
    administrator("iam").update_access_key(UserName="administrator", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert refused(client_with("sts", credentials).get_caller_identity) == "InvalidClientTokenId"


@pytest.mark.parametrize(("service", "code"), [("s3", "InvalidToken"), ("sqs", "InvalidClientTokenId")])
def test_temporary_credentials_need_their_own_session_token(
    administrator: Client, client_with: Client, service: str, code: str
) -> None:
    """AWS, "Using temporary credentials": the access key id and the session token belong together."""
    role = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    session = administrator("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    damaged = client_with(service, {**session, "SessionToken": "another"})
    assert refused(damaged.list_buckets if service == "s3" else damaged.list_queues) == code


@pytest.mark.parametrize(("service", "code"), [("s3", "ExpiredToken"), ("kms", "ExpiredTokenException")])
def test_a_session_ends_when_its_time_is_over(client: Client, service: str, code: str) -> None:
    """AWS, Common Errors: ExpiredTokenException, "The security token included in the request is expired"."""
    from moto.sts.models import sts_backends

    late = client(service, B)
    for session in sts_backends[B]["aws"].assumed_roles:
        session.expiration -= timedelta(hours=1, seconds=1)
    assert refused(late.list_buckets if service == "s3" else late.list_keys) == code


def test_a_header_cannot_choose_the_account(client: Client) -> None:
    """moto takes the account from a header of its own; on AWS the credentials say whose account it is."""
    s3 = client("s3", B)
    send_along(s3, "x-moto-account-id", C)
    assert "uploads-b" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_who_one_is_needs_no_permission(tester: Callable[..., Client]) -> None:
    """AWS, GetCallerIdentity: "No permissions are required to perform this operation. If an administrator attaches a
    policy to your identity that explicitly denies access to the sts:GetCallerIdentity action, you can still perform
    this operation."
    """
    denied = tester(statement("sts:GetCallerIdentity", effect="Deny"))
    assert denied("sts").get_caller_identity()["Arn"] == f"arn:aws:sts::{B}:assumed-role/Tester/test"


def test_a_call_without_credentials_is_refused(sandbox: Sandbox) -> None:
    """AWS, Common Errors: MissingAuthenticationToken. Only S3 serves anonymous callers."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    unsigned = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
    answer = urllib3.request("POST", sandbox.endpoint_url, body=unsigned, headers=form, retries=False)
    assert (answer.status, b"MissingAuthenticationToken" in answer.data) == (403, True)


def test_an_anonymous_caller_reads_what_a_policy_makes_public(sandbox: Sandbox, client: Client) -> None:
    """AWS, "Blocking public access", BlockPublicPolicy: "doesn't affect existing bucket policies";
    RestrictPublicBuckets: only AWS service principals and authorized users within the bucket owner's account keep
    access to a bucket with a public policy.
    """
    url = f"{sandbox.endpoint_url}/public-assets-b/logo.svg"
    assert fetched(url) == (200, b"<svg/>\n")
    client("s3", B).put_public_access_block(
        Bucket="public-assets-b", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
    )
    assert fetched(url)[0] == 403
    assert client("s3", B).get_object(Bucket="public-assets-b", Key="logo.svg")["Body"].read() == b"<svg/>\n"


def test_an_anonymous_caller_reads_nothing_else(sandbox: Sandbox) -> None:
    """AWS, "Bucket owner": by default only the owner's account has access."""
    assert fetched(f"{sandbox.endpoint_url}/uploads-b/readme.txt")[0] == 403


def test_a_presigned_url_has_the_permissions_of_who_signed_it(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, "Sharing objects with presigned URLs": "the permissions of the principal who created it"."""
    parameters = {"Bucket": "uploads-b", "Key": "readme.txt"}
    assert fetched(client("s3", B).generate_presigned_url("get_object", parameters)) == (200, b"Uploads\n")
    assert fetched(tester()("s3").generate_presigned_url("get_object", parameters))[0] == 403


# The scan role and the buckets of other accounts


def test_the_scan_role_reads_another_accounts_bucket_once_its_policy_lets_it(
    client: Client, scan_role_client: Client, scan_role_arn: str
) -> None:
    """AWS, "Cross-account policy evaluation logic": the request is allowed only if both the identity-based policy in
    the one account and the resource-based policy in the other allow it.
    """
    scanner, owner = scan_role_client("s3"), client("s3", B)
    assert refused(scanner.get_object, Bucket="uploads-b", Key="readme.txt") == "AccessDenied"
    grants = [
        statement("s3:ListBucket*", "arn:aws:s3:::uploads-b", Principal={"AWS": scan_role_arn}),
        statement(
            ["s3:GetObject*", "s3:PutObjectTagging"], "arn:aws:s3:::uploads-b/*", Principal={"AWS": scan_role_arn}
        ),
    ]
    owner.put_bucket_policy(Bucket="uploads-b", Policy=policy(*grants))
    assert scanner.get_object(Bucket="uploads-b", Key="readme.txt")["Body"].read() == b"Uploads\n"
    assert scanner.list_objects_v2(Bucket="uploads-b")["KeyCount"] == 3
    tags = {"TagSet": [{"Key": "bucketav", "Value": "clean"}]}
    scanner.put_object_tagging(Bucket="uploads-b", Key="readme.txt", Tagging=tags)
    assert owner.get_object_tagging(Bucket="uploads-b", Key="readme.txt")["TagSet"] == tags["TagSet"]
    assert refused(scanner.delete_object, Bucket="uploads-b", Key="readme.txt") == "AccessDenied"
    assert refused(scanner.get_object, Bucket="archive-c", Key="2024/summary.txt") == "AccessDenied"
    assert "uploads-b" in [bucket["Name"] for bucket in owner.list_buckets()["Buckets"]]


def test_a_bucket_policy_alone_does_not_let_another_account_in(client: Client, tester: Callable[..., Client]) -> None:
    """The other half of the same rule: without an identity-based policy the request stays denied, and says so."""
    grant = statement("s3:GetObject", "arn:aws:s3:::archive-c/*", Principal={"AWS": f"arn:aws:iam::{B}:role/Tester"})
    reader = tester()("s3")
    client("s3", C).put_bucket_policy(Bucket="archive-c", Policy=policy(grant))
    assert message_of(reader.get_object, Bucket="archive-c", Key="2024/summary.txt").endswith(
        "because no identity-based policy allows the s3:GetObject action"
    )


def test_a_bucket_policy_alone_is_enough_in_its_own_account(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, "Policy evaluation for requests within a single account": the union of identity- and resource-based
    policies.
    """
    reader = tester()("s3")
    assert refused(reader.get_object, Bucket="uploads-b", Key="readme.txt") == "AccessDenied"
    grant = statement("s3:GetObject", "arn:aws:s3:::uploads-b/*", Principal={"AWS": f"arn:aws:iam::{B}:role/Tester"})
    client("s3", B).put_bucket_policy(Bucket="uploads-b", Policy=policy(grant))
    assert reader.get_object(Bucket="uploads-b", Key="readme.txt")["Body"].read() == b"Uploads\n"


def test_an_explicit_deny_wins(tester: Callable[..., Client], scan_role_client: Client) -> None:
    """AWS, "Policy evaluation logic": "An explicit deny in any of these policies overrides the allow"."""
    reader = tester(statement("s3:*"), statement("s3:GetObject", "arn:aws:s3:::uploads-b/*", effect="Deny"))("s3")
    assert message_of(reader.get_object, Bucket="uploads-b", Key="readme.txt") == (
        f"User: arn:aws:sts::{B}:assumed-role/Tester/test is not authorized to perform: s3:GetObject on resource: "
        '"arn:aws:s3:::uploads-b/readme.txt" with an explicit deny in an identity-based policy'
    )
    assert message_of(scan_role_client("s3").get_object, Bucket="restricted-c", Key="payroll.txt").endswith(
        "with an explicit deny in a resource-based policy"
    )


def test_restrict_public_buckets_cuts_off_other_accounts_whose_grant_is_not_public(
    client: Client, scan_role_client: Client, scan_role_arn: str
) -> None:
    """AWS, "Blocking public access": RestrictPublicBuckets blocks cross-account access to a bucket with a public
    policy, "except by AWS services", even where the grant itself names an account.
    """
    owner = client("s3", B)
    grant = statement("s3:GetObject*", "arn:aws:s3:::public-assets-b/*", Principal={"AWS": scan_role_arn})
    public = json.loads(owner.get_bucket_policy(Bucket="public-assets-b")["Policy"])["Statement"]
    block = {"BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    owner.put_public_access_block(Bucket="public-assets-b", PublicAccessBlockConfiguration=block)
    owner.put_bucket_policy(Bucket="public-assets-b", Policy=policy(*public, grant))
    read = {"Bucket": "public-assets-b", "Key": "logo.svg"}
    assert scan_role_client("s3").get_object(**read)["Body"].read() == b"<svg/>\n"
    block["RestrictPublicBuckets"] = True
    owner.put_public_access_block(Bucket="public-assets-b", PublicAccessBlockConfiguration=block)
    assert refused(scan_role_client("s3").get_object, **read) == "AccessDenied"
    owner.put_bucket_policy(Bucket="public-assets-b", Policy=policy(grant))
    assert scan_role_client("s3").get_object(**read)["Body"].read() == b"<svg/>\n"


def test_a_missing_object_is_forbidden_to_who_may_not_list(tester: Callable[..., Client]) -> None:
    """AWS, GetObject: "If you have the s3:ListBucket permission on the bucket, Amazon S3 returns an HTTP status code
    404 error. If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 error."
    """
    read = statement("s3:GetObject", "arn:aws:s3:::uploads-b/*")
    missing = {"Bucket": "uploads-b", "Key": "no-such.txt"}
    assert status_of(tester(read)("s3").get_object, **missing) == 403
    assert status_of(tester(read)("s3").head_object, **missing) == 403
    listing = statement("s3:ListBucket", "arn:aws:s3:::uploads-b")
    assert status_of(tester(read, listing)("s3").get_object, **missing) == 404
    assert status_of(tester(read, listing)("s3").head_object, **missing) == 404


def test_a_deleted_object_of_a_versioned_bucket_is_missing_too(tester: Callable[..., Client]) -> None:
    """AWS, "Working with delete markers": S3 behaves as if the object has been deleted."""
    read = statement(["s3:GetObject", "s3:GetObjectVersion"], "arn:aws:s3:::versions-b/*")
    reader = tester(read)("s3")
    assert status_of(reader.get_object, Bucket="versions-b", Key="obsolete.txt") == 403
    assert reader.get_object(Bucket="versions-b", Key="contract.txt")["Body"].read() == b"Second draft\n"


def test_a_bucket_that_does_not_exist_is_missing_for_everybody(tester: Callable[..., Client]) -> None:
    """AWS, S3 error responses: NoSuchBucket, 404."""
    assert refused(tester()("s3").list_objects_v2, Bucket="nobodys-bucket") == "NoSuchBucket"


@pytest.mark.parametrize("plain", [False, True])
def test_a_tls_only_deny_concerns_plain_http_only(client: Client, plain: bool) -> None:
    """AWS, "aws:SecureTransport": true when the request was sent using TLS. The sandbox's endpoint stands for https."""
    s3 = client("s3", B)
    if plain:
        send_along(s3, PLAIN_HTTP, "1")
        assert refused(s3.get_object, Bucket="website-uploads-b", Key="avatars/ada.txt") == "AccessDenied"
    else:
        assert s3.get_object(Bucket="website-uploads-b", Key="avatars/ada.txt")["Body"].read() == b"Ada\n"


# Which permission an S3 operation needs

OBJECT = {"Bucket": "uploads-b", "Key": "readme.txt"}
BUCKET = {"Bucket": "uploads-b"}
TAGS = {"TagSet": [{"Key": "k", "Value": "v"}]}
RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
S3_OPERATIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("list_buckets", {}, ["s3:ListAllMyBuckets"]),
    ("head_bucket", BUCKET, ["s3:ListBucket"]),
    ("list_objects", BUCKET, ["s3:ListBucket"]),
    ("list_objects_v2", BUCKET, ["s3:ListBucket"]),
    ("list_object_versions", BUCKET, ["s3:ListBucketVersions"]),
    ("list_multipart_uploads", BUCKET, ["s3:ListBucketMultipartUploads"]),
    ("get_bucket_location", BUCKET, ["s3:GetBucketLocation"]),
    ("get_bucket_policy", {"Bucket": "legacy-b"}, ["s3:GetBucketPolicy"]),
    ("get_bucket_policy_status", {"Bucket": "legacy-b"}, ["s3:GetBucketPolicyStatus"]),
    ("delete_bucket_policy", BUCKET, ["s3:DeleteBucketPolicy"]),
    ("put_bucket_policy", {**BUCKET, "Policy": "{}"}, ["s3:PutBucketPolicy"]),
    ("get_bucket_acl", BUCKET, ["s3:GetBucketAcl"]),
    ("get_bucket_versioning", BUCKET, ["s3:GetBucketVersioning"]),
    ("put_bucket_versioning", {**BUCKET, "VersioningConfiguration": {"Status": "Enabled"}}, ["s3:PutBucketVersioning"]),
    ("get_bucket_encryption", BUCKET, ["s3:GetEncryptionConfiguration"]),
    (
        "put_bucket_encryption",
        {**BUCKET, "ServerSideEncryptionConfiguration": {"Rules": [RULE]}},
        ["s3:PutEncryptionConfiguration"],
    ),
    ("delete_bucket_encryption", BUCKET, ["s3:PutEncryptionConfiguration"]),
    ("get_public_access_block", BUCKET, ["s3:GetBucketPublicAccessBlock"]),
    ("delete_public_access_block", BUCKET, ["s3:PutBucketPublicAccessBlock"]),
    ("get_bucket_ownership_controls", BUCKET, ["s3:GetBucketOwnershipControls"]),
    ("get_bucket_tagging", BUCKET, ["s3:GetBucketTagging"]),
    ("put_bucket_tagging", {**BUCKET, "Tagging": TAGS}, ["s3:PutBucketTagging"]),
    ("get_bucket_notification_configuration", BUCKET, ["s3:GetBucketNotification"]),
    ("get_bucket_lifecycle_configuration", BUCKET, ["s3:GetLifecycleConfiguration"]),
    ("get_bucket_logging", BUCKET, ["s3:GetBucketLogging"]),
    (
        "create_bucket",
        {"Bucket": "new-b", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}},
        ["s3:CreateBucket"],
    ),
    ("delete_bucket", {"Bucket": "quarantine-b"}, ["s3:DeleteBucket"]),
    ("get_object", OBJECT, ["s3:GetObject"]),
    ("head_object", OBJECT, ["s3:GetObject"]),
    ("get_object_attributes", {**OBJECT, "ObjectAttributes": ["ETag"]}, ["s3:GetObjectAttributes"]),
    ("get_object_acl", OBJECT, ["s3:GetObjectAcl"]),
    ("get_object_tagging", OBJECT, ["s3:GetObjectTagging"]),
    ("put_object_tagging", {**OBJECT, "Tagging": TAGS}, ["s3:PutObjectTagging"]),
    ("delete_object_tagging", OBJECT, ["s3:DeleteObjectTagging"]),
    ("put_object", {**OBJECT, "Body": b"x"}, ["s3:PutObject"]),
    ("put_object", {**OBJECT, "Body": b"x", "Tagging": "a=b"}, ["s3:PutObject", "s3:PutObjectTagging"]),
    ("delete_object", OBJECT, ["s3:DeleteObject"]),
    ("create_multipart_upload", OBJECT, ["s3:PutObject"]),
    ("copy_object", {**OBJECT, "Key": "copy.txt", "CopySource": OBJECT}, ["s3:GetObject", "s3:PutObject"]),
]


@pytest.mark.parametrize(
    ("operation", "parameters", "actions"), S3_OPERATIONS, ids=[f"{case[0]}-{len(case[2])}" for case in S3_OPERATIONS]
)
def test_an_s3_operation_needs_exactly_these_actions(
    client: Client, tester: Callable[..., Client], operation: str, parameters: dict[str, Any], actions: list[str]
) -> None:
    """AWS, "Required permissions for Amazon S3 API operations": with all but one it is denied for want of that one."""
    if parameters.get("Bucket") == "quarantine-b":
        client("s3", B).create_bucket(
            Bucket="quarantine-b", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    for missing in actions:
        others = [action for action in actions if action != missing] or ["s3:NoSuchAction"]
        with pytest.raises(ClientError) as caught:
            getattr(tester(statement(others))("s3"), operation)(**parameters)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        if operation not in {"head_bucket", "head_object"}:  # a HEAD has no body to say it in
            assert f"is not authorized to perform: {missing} on resource" in caught.value.response["Error"]["Message"]
    assert outcome(getattr(tester(statement(actions))("s3"), operation), **parameters) not in NOT_AUTHORIZED


@pytest.mark.parametrize(
    "operation", ["get_object", "head_object", "get_object_tagging", "delete_object", "put_object_tagging"]
)
def test_a_version_of_an_object_needs_the_permission_for_versions(
    client: Client, tester: Callable[..., Client], operation: str
) -> None:
    """AWS, "Actions, resources, and condition keys for Amazon S3": s3:GetObjectVersion and its like."""
    versions = client("s3", B).list_object_versions(Bucket="versions-b", Prefix="contract.txt")["Versions"]
    parameters = {"Bucket": "versions-b", "Key": "contract.txt", "VersionId": versions[-1]["VersionId"]}
    if operation == "put_object_tagging":
        parameters["Tagging"] = TAGS
    plain = tester(statement(["s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObject"]))("s3")
    assert status_of(getattr(plain, operation), **parameters) == 403
    of_versions = ["GetObjectVersion", "GetObjectVersionTagging", "PutObjectVersionTagging", "DeleteObjectVersion"]
    getattr(tester(statement([f"s3:{action}" for action in of_versions]))("s3"), operation)(**parameters)


def test_deleting_many_objects_reports_those_that_may_not_be_deleted(
    client: Client, tester: Callable[..., Client]
) -> None:
    """AWS, DeleteObjects: the response holds the keys that were deleted and, as errors, those that were not."""
    deleter = tester(statement("s3:DeleteObject", "arn:aws:s3:::uploads-b/readme.txt"))("s3")
    keys = [{"Key": "readme.txt"}, {"Key": "eicar.com.txt"}]
    answer = deleter.delete_objects(Bucket="uploads-b", Delete={"Objects": keys})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["readme.txt"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("eicar.com.txt", "AccessDenied")]
    left = [entry["Key"] for entry in client("s3", B).list_objects_v2(Bucket="uploads-b")["Contents"]]
    assert left == ["2025/11/invoice-4711.txt", "eicar.com.txt"]


def test_a_copy_needs_to_read_its_source_in_the_other_account(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, CopyObject: "You must have read access to the source object and write access to the destination bucket"."""
    writer = tester(statement("s3:*"))("s3")
    source = {"Bucket": "archive-c", "Key": "2024/summary.txt"}
    assert refused(writer.copy_object, Bucket="uploads-b", Key="copy.txt", CopySource=source) == "AccessDenied"
    grant = statement("s3:GetObject", "arn:aws:s3:::archive-c/*", Principal={"AWS": f"arn:aws:iam::{B}:role/Tester"})
    client("s3", C).put_bucket_policy(Bucket="archive-c", Policy=policy(grant))
    writer.copy_object(Bucket="uploads-b", Key="copy.txt", CopySource=source)
    assert writer.get_object(Bucket="uploads-b", Key="copy.txt")["Body"].read() == b"Summary\n"


@pytest.mark.parametrize("key", ["a b+c.txt", "ümläut/€.txt", "per%20cent.txt", "a//b/", "question?mark#hash"])
def test_a_key_with_odd_characters_is_the_same_key_for_its_policy(tester: Callable[..., Client], key: str) -> None:
    """AWS, "Resources": the ARN of an object holds its key as it is, not as the URL encodes it."""
    s3 = tester(statement(["s3:PutObject", "s3:GetObject"], f"arn:aws:s3:::uploads-b/{key}".replace("?", "${?}")))("s3")
    s3.put_object(Bucket="uploads-b", Key=key, Body=b"odd")
    assert s3.get_object(Bucket="uploads-b", Key=key)["Body"].read() == b"odd"
    assert refused(s3.put_object, Bucket="uploads-b", Key=f"{key}.other", Body=b"odd") == "AccessDenied"


@pytest.mark.parametrize(
    ("condition", "works", "fails"),
    [
        ({"s3:prefix": "2025/*"}, {"Prefix": "2025/11"}, {"Prefix": "2024"}),
        ({"s3:prefix": "2025/*"}, {"Prefix": "2025/11"}, {}),
        ({"aws:SourceIp": "127.0.0.1"}, {}, None),
        ({"aws:PrincipalOrgID": "o-exampleorg"}, {}, None),
        ({"aws:PrincipalArn": f"arn:aws:iam::{B}:role/Tester"}, {}, None),
        ({"aws:RequestedRegion": "eu-west-1"}, {}, None),
        ({"aws:ResourceAccount": B}, {}, None),
        ({"aws:PrincipalOrgID": "o-another"}, None, {}),
    ],
)
def test_conditions_see_what_a_real_request_carries(
    tester: Callable[..., Client], condition: dict[str, str], works: dict[str, str] | None, fails: dict[str, str] | None
) -> None:
    """AWS, "AWS global condition context keys" and "Condition keys for Amazon S3"."""
    s3 = tester(statement("s3:ListBucket", Condition={"StringLike": condition}))("s3")
    if works is not None:
        s3.list_objects_v2(Bucket="uploads-b", **works)
    if fails is not None:
        assert refused(s3.list_objects_v2, Bucket="uploads-b", **fails) == "AccessDenied"


def test_a_policy_can_depend_on_the_tags_of_an_object(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, "s3:ExistingObjectTag": verifies that the existing object has that tag. How downloads of infected files are
    blocked.
    """
    condition = {"StringEquals": {"s3:ExistingObjectTag/bucketav": "clean"}}
    reader = tester(statement("s3:GetObject", Condition=condition))("s3")
    assert refused(reader.get_object, **OBJECT) == "AccessDenied"
    client("s3", B).put_object_tagging(**OBJECT, Tagging={"TagSet": [{"Key": "bucketav", "Value": "clean"}]})
    assert reader.get_object(**OBJECT)["Body"].read() == b"Uploads\n"


# Other services

CLOUDFORMATION = f"arn:aws:cloudformation:eu-west-1:{B}"
TOPIC = f"arn:aws:sns:eu-west-1:{B}:t"


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "action", "resource"),
    [
        ("cloudformation", "describe_stacks", {"StackName": "x"}, "DescribeStacks", f"{CLOUDFORMATION}:stack/x/*"),
        ("cloudformation", "list_stacks", {}, "ListStacks", "*"),
        *(
            ("cloudformation", operation, {"StackName": "x", **more}, operation.title().replace("_", ""),
             f"{CLOUDFORMATION}:stack/x/*")
            for operation, more in (
                ("create_stack", {}), ("update_stack", {}), ("delete_stack", {}), ("continue_update_rollback", {}),
                ("update_termination_protection", {"EnableTerminationProtection": True}),
                ("create_change_set", {"ChangeSetName": "c"}), ("describe_change_set", {"ChangeSetName": "c"}),
                ("execute_change_set", {"ChangeSetName": "c"}), ("delete_change_set", {"ChangeSetName": "c"}),
                ("list_change_sets", {}), ("describe_stack_events", {}), ("describe_stack_resources", {}),
                ("describe_stack_resource", {"LogicalResourceId": "X"}), ("list_stack_resources", {}),
                ("get_template", {}), ("get_template_summary", {}),
            )
        ),
        ("cloudwatch", "get_dashboard", {"DashboardName": "d"}, "GetDashboard", f"arn:aws:cloudwatch::{B}:dashboard/d"),
        ("dynamodb", "scan", {"TableName": "t"}, "Scan", f"arn:aws:dynamodb:eu-west-1:{B}:table/t"),
        ("iam", "get_role", {"RoleName": "Tester"}, "GetRole", f"arn:aws:iam::{B}:role/Tester"),
        ("kms", "list_aliases", {}, "ListAliases", "*"),
        ("organizations", "describe_organization", {}, "DescribeOrganization", "*"),
        ("sns", "get_topic_attributes", {"TopicArn": TOPIC}, "GetTopicAttributes", TOPIC),
        ("sqs", "create_queue", {"QueueName": "q"}, "CreateQueue", f"arn:aws:sqs:eu-west-1:{B}:q"),
        ("ssm", "get_parameter", {"Name": "/a/x"}, "GetParameter", f"arn:aws:ssm:eu-west-1:{B}:parameter/a/x"),
        ("s3control", "get_public_access_block", {"AccountId": B}, "GetAccountPublicAccessBlock", "*"),
    ],
)  # fmt: skip
def test_a_service_says_which_permission_is_missing(
    tester: Callable[..., Client], service: str, operation: str, parameters: dict[str, Any], action: str, resource: str
) -> None:
    """AWS, "Troubleshoot access denied error messages": who, what, on what, and why."""
    prefix = {"s3control": "s3"}.get(service, service)
    on = f'"{resource}"' if prefix == "s3" else resource
    caller = tester()(service)
    said = {"sqs": f"sqs:{action.lower()}", "sns": f"SNS:{action}"}.get(service, f"{prefix}:{action}")
    assert message_of(getattr(caller, operation), **parameters) == (
        f"User: arn:aws:sts::{B}:assumed-role/Tester/test is not authorized to perform: {said} "
        f"on resource: {on} because no identity-based policy allows the {said} action"
    )
    allowed = tester(statement(f"{prefix}:{action}", resource))(service)
    assert outcome(getattr(allowed, operation), **parameters) not in NOT_AUTHORIZED


def test_a_change_set_is_its_stacks(client: Client, tester: Callable[..., Client], at_once: None) -> None:
    """AWS, "Actions defined by CloudFormation": its actions are allowed or not on the stack, also where the request
    names nothing but the change set's ARN.
    """
    administrator = client("cloudformation", B)
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": {"O": {"Value": "%s"}}}'
    made = {}
    for name in ("mine", "other"):
        administrator.create_stack(StackName=name, TemplateBody=template % "a")
        made[name] = administrator.create_change_set(
            StackName=name, ChangeSetName="change", TemplateBody=template % "b"
        )
    caller = tester(statement("cloudformation:*ChangeSet", made["mine"]["StackId"]))("cloudformation")
    caller.execute_change_set(ChangeSetName=made["mine"]["Id"])
    caller.describe_change_set(ChangeSetName=made["mine"]["Id"])
    assert refused(caller.execute_change_set, ChangeSetName=made["other"]["Id"]) == "AccessDenied"
    assert made["other"]["StackId"] in message_of(caller.execute_change_set, ChangeSetName=made["other"]["Id"])


def test_a_key_policy_is_needed_in_the_keys_own_account_too(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, "Key policies in AWS KMS": without a key policy that allows it, IAM policies give no access to the key."""
    administrator = client("kms", B)
    root = statement("kms:*", Principal={"AWS": f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"})
    key = administrator.create_key(Policy=policy(root))["KeyMetadata"]["KeyId"]
    user = tester(statement("kms:*"))("kms")
    assert message_of(user.describe_key, KeyId=key).endswith(
        "because no resource-based policy allows the kms:DescribeKey action"
    )
    delegating = statement("kms:*", Principal={"AWS": f"arn:aws:iam::{B}:root"})
    administrator.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(root, delegating))
    assert user.describe_key(KeyId=key)["KeyMetadata"]["KeyId"] == key


def test_naming_another_key_does_not_help_to_decrypt(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, Decrypt: KMS uses the key of the ciphertext; with another KeyId the operation fails. moto would decrypt."""
    administrator = client("kms", B)
    own = administrator.create_key()["KeyMetadata"]["Arn"]
    other = administrator.describe_key(KeyId="alias/documents")["KeyMetadata"]["Arn"]
    ciphertext = administrator.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    user = tester(statement("kms:Decrypt", own))("kms")
    assert refused(user.decrypt, KeyId=own, CiphertextBlob=ciphertext) == "AccessDeniedException"


def test_kms_does_not_tell_another_account_whether_a_key_exists(client: Client, scan_role_client: Client) -> None:
    """KMS words a refusal to another account so that it does not show whether the key exists."""
    key = client("kms", B).describe_key(KeyId="alias/documents")["KeyMetadata"]["Arn"]
    ciphertext = client("kms", B).encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert message_of(scan_role_client("kms").decrypt, KeyId=key, CiphertextBlob=ciphertext).endswith(
        "because the resource does not exist in this Region, no resource-based policies allow access, "
        "or a resource-based policy explicitly denies access"
    )


# What limits a caller beside their own policies


@pytest.fixture
def scp(administrator: Client) -> Callable[[str, str, dict[str, Any]], None]:
    def attach(target: str, kind: str, denied: dict[str, Any]) -> None:
        organizations = administrator("organizations")
        made = organizations.create_policy(Name=f"test-{target}", Description="", Type=kind, Content=policy(denied))
        organizations.attach_policy(PolicyId=made["Policy"]["PolicySummary"]["Id"], TargetId=target)

    return attach


@pytest.mark.parametrize("target", ["r-examp", "ou-examp-workload", "ou-examp-production", B])
def test_a_service_control_policy_limits_every_account_below_it(
    client: Client, scp: Callable[..., None], target: str
) -> None:
    """AWS, "Service control policies": a deny at any level from the root to the account applies."""
    s3 = client("s3", B)
    s3.list_buckets()
    scp(target, "SERVICE_CONTROL_POLICY", statement("s3:ListAllMyBuckets", effect="Deny"))
    assert message_of(s3.list_buckets).endswith("with an explicit deny in a service control policy")


def test_a_service_control_policy_does_not_limit_the_management_account(
    administrator: Client, scp: Callable[..., None]
) -> None:
    """AWS, "Service control policies": "SCPs don't affect users or roles in the management account"."""
    scp("r-examp", "SERVICE_CONTROL_POLICY", statement("*", effect="Deny"))
    assert administrator("s3").list_buckets()["Buckets"] == []


def test_a_resource_control_policy_limits_who_reaches_the_accounts_resources(
    client: Client, scp: Callable[..., None]
) -> None:
    """AWS, "Resource control policies": they apply to resources in member accounts, whoever asks."""
    s3 = client("s3", B)
    s3.list_objects_v2(Bucket="uploads-b")
    scp(B, "RESOURCE_CONTROL_POLICY", statement("s3:ListBucket", effect="Deny", Principal="*"))
    assert message_of(s3.list_objects_v2, Bucket="uploads-b").endswith(
        "with an explicit deny in a resource control policy"
    )


def test_a_permissions_boundary_limits_a_role(client: Client, tester: Callable[..., Client]) -> None:
    """AWS, "Permissions boundaries": an entity can do only what both its policies and its boundary allow."""
    iam = client("iam", B)
    everything = tester(statement("*"))
    boundary = iam.create_policy(PolicyName="Boundary", PolicyDocument=policy(statement("s3:Get*")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="Tester", PermissionsBoundary=boundary)
    assert everything("s3").get_object(**OBJECT)["Body"].read() == b"Uploads\n"
    assert message_of(everything("s3").list_objects_v2, Bucket="uploads-b").endswith(
        "because no permissions boundary allows the s3:ListBucket action"
    )


def test_a_session_policy_limits_a_session(client: Client, client_with: Client, tester: Callable[..., Client]) -> None:
    """AWS, AssumeRole, Policy: the session's permissions are the intersection of the role's policies and the session
    policy.
    """
    tester(statement("*"))
    narrow = client("sts", B).assume_role(
        RoleArn=f"arn:aws:iam::{B}:role/Tester", RoleSessionName="narrow", Policy=policy(statement("s3:Get*"))
    )
    s3 = client_with("s3", narrow["Credentials"])
    assert s3.get_object(**OBJECT)["Body"].read() == b"Uploads\n"
    assert message_of(s3.list_objects_v2, Bucket="uploads-b").endswith(
        "because no session policy allows the s3:ListBucket action"
    )


def test_the_policies_of_a_users_groups_count(client: Client, client_with: Client) -> None:
    """AWS, "IAM user groups": all users in the group receive the group's permissions."""
    iam = client("iam", B)
    iam.create_user(UserName="ada")
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    s3 = client_with("s3", (key["AccessKeyId"], key["SecretAccessKey"]))
    assert refused(s3.get_object, **OBJECT) == "AccessDenied"
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="read", PolicyDocument=policy(statement("s3:GetObject")))
    iam.add_user_to_group(GroupName="readers", UserName="ada")
    assert s3.get_object(**OBJECT)["Body"].read() == b"Uploads\n"


def test_a_role_with_a_path_is_named_by_its_whole_arn(client: Client, client_with: Client) -> None:
    """AWS, "IAM identifiers": a session's ARN leaves out the role's path, a policy names the role with it."""
    iam, sts = client("iam", D), client("sts", D)
    trust = statement("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{D}:root"})
    del trust["Resource"]
    role = iam.create_role(RoleName="Deep", Path="/team/", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="Deep", PolicyName="read", PolicyDocument=policy(statement("s3:GetObject")))
    session = sts.assume_role(RoleArn=role, RoleSessionName="test")
    grant = statement("s3:GetObject", "arn:aws:s3:::uploads-b/*", Principal={"AWS": role})
    client("s3", B).put_bucket_policy(Bucket="uploads-b", Policy=policy(grant))
    assert client_with("s3", session["Credentials"]).get_object(**OBJECT)["Body"].read() == b"Uploads\n"


# What the sandbox cannot judge


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "hint"),
    [
        ("ec2", "describe_instances", {}, "Add the service to SERVICES"),
        ("sts", "get_federation_token", {"Name": "me"}, "does not simulate sts GetFederationToken"),
        ("dynamodb", "execute_statement", {"Statement": "x"}, "There is no IAM action dynamodb:ExecuteStatement"),
        ("sns", "publish", {"PhoneNumber": "+431", "Message": "x"}, "does not see which one this Publish names"),
        ("s3", "list_bucket_analytics_configurations", {"Bucket": "uploads-b"}, "Add it to BUCKET_ACTIONS"),
    ],
)
def test_a_call_that_the_sandbox_cannot_judge_is_a_loud_error(
    client: Client, service: str, operation: str, parameters: dict[str, Any], hint: str
) -> None:
    """Never a pass, not even for an administrator, and a status that botocore does not retry."""
    with pytest.raises(ClientError) as caught:
        getattr(client(service, B), operation)(**parameters)
    assert caught.value.response["Error"]["Code"] == "SandboxNotImplemented"
    assert hint in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_policy_that_depends_on_what_the_sandbox_does_not_know_is_a_loud_error(tester: Callable[..., Client]) -> None:
    """`aws:ResourceTag` is set on AWS and not computed here: allowed and denied would both be guesses."""
    condition = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    s3 = tester(statement("s3:GetBucketTagging", Condition=condition))("s3")
    assert refused(s3.get_bucket_tagging, Bucket="uploads-b") == "SandboxNotImplemented"
    assert "aws:ResourceTag" in message_of(s3.get_bucket_tagging, Bucket="uploads-b")
