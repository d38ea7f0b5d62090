"""Where moto's S3 is not like AWS's, and the sandbox is. Each test quotes the behaviour of AWS that it holds to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, PublicAccessBlock, s3_backends
from moto.s3control.models import s3control_backends

from runbook.policy.document import parse
from runbook.sandbox import s3_policies, stored_policies

Client = Callable[..., Any]

B, C, D = "222222222222", "333333333333", "444444444444"
CALLER = f"arn:aws:sts::{B}:assumed-role/OrganizationAccountAccessRole/test"
PARTNER = f"arn:aws:iam::{D}:role/PartnerExchange"
BUCKET = "rules-b"
ARN = f"arn:aws:s3:::{BUCKET}"
READ = {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "s3:GetObject", "Resource": f"{ARN}/*"}
LIST = {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "s3:ListBucket", "Resource": ARN}
EVERYBODY = {**READ, "Principal": "*"}


def policy(*statements: dict[str, Any], **elements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **elements})


def without(element: str) -> dict[str, Any]:
    return {name: value for name, value in READ.items() if name != element}


def of_size(size: int) -> str:
    """A policy whose minified JSON has `size` bytes, sent with spaces."""
    minified = len(json.dumps(json.loads(policy({"Sid": "", **READ})), separators=(",", ":")))
    return policy({"Sid": "x" * (size - minified), **READ})


def bucket(name: str = BUCKET) -> FakeBucket:
    account = s3_backends.bucket_accounts[name][1]
    return s3_backends[account]["aws"].buckets[name]


@pytest.fixture
def s3(client: Client) -> Any:
    """Account b's S3, with a new bucket."""
    s3 = client("s3", B)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return s3


def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


# Bucket policies: what is accepted


MALFORMED = {
    "nothing": (" ", "Policies must be valid JSON and the first byte must be '{'"),
    "no JSON": ("no policy", "Policies must be valid JSON and the first byte must be '{'"),
    "broken JSON": ('{"Version": "2012-10-17",', "This policy contains invalid Json"),
    "no statement": ("{}", "Missing required field Statement"),
    "no statements": (policy(), "Could not parse the policy: Statement is empty!"),
    "a statement that is none": ('{"Statement": ["allow"]}', "Invalid policy syntax."),
    "an unknown element": (policy(READ, Comment="for the partner"), "Unknown field Comment"),
    "an unknown element in a statement": (policy({**READ, "Comment": ""}), "Unknown field Comment"),
    "an unknown version": (policy(READ, Version="2025-11-23"), "The policy must contain a valid version string"),
    "a Sid twice": (
        policy({"Sid": "A", **READ}, {"Sid": "A", **LIST}),
        "The Statement Ids in the policy are not unique",
    ),
    "no effect": (policy(without("Effect")), "Missing required field Effect"),
    "an unknown effect": (policy({**READ, "Effect": "allow"}), "Invalid effect: allow"),
    "no principal": (policy(without("Principal")), "Missing required field Principal"),
    "no action": (policy(without("Action")), "Missing required field Action"),
    "no resource": (policy(without("Resource")), "Missing required field Resource"),
    "two kinds of principal": (
        policy({**READ, "NotPrincipal": {"AWS": B}}),
        "Statement/policy already has instance of Principal",
    ),
    "an action that is no text": (policy({**READ, "Action": [7]}), "Invalid policy syntax."),
    "an element twice": (
        '{"Version": "2012-10-17", "Version": "2012-10-17", ' + policy(READ)[1:],
        "Invalid policy syntax.",
    ),
    "an empty list": (policy({**READ, "Action": []}), "Missing required field Action cannot be empty!"),
    "an unknown operator": (
        policy({**READ, "Condition": {"StringIs": {"aws:PrincipalOrgID": "o-exampleorg"}}}),
        "Invalid Condition type : StringIs",
    ),
    "an action that does not exist": (policy({**READ, "Action": "s3:ReadObject"}), "Policy has invalid action"),
    "an action of another service": (
        policy({**READ, "Action": ["s3:GetObject", "sqs:*"]}),
        "Policy has invalid action",
    ),
    "an action without a bucket": (policy({**READ, "Action": "s3:ListAllMyBuckets"}), "Policy has invalid action"),
    "everything": (policy({**READ, "Resource": "*"}), "Policy has invalid resource"),
    "another bucket": (policy({**READ, "Resource": "arn:aws:s3:::uploads-b/*"}), "Policy has invalid resource"),
    "an object action on the bucket": (
        policy({**READ, "Resource": ARN}),
        "Action does not apply to any resource(s) in statement",
    ),
    "a bucket action on objects": (
        policy({**LIST, "Action": ["s3:GetObject*", "s3:ListBucket*"], "Resource": f"{ARN}/*"}),
        "Action does not apply to any resource(s) in statement",
    ),
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_policy_that_is_malformed_is_refused(s3: Any, text: str, message: str) -> None:
    """PutBucketPolicy: 400 MalformedPolicy."""
    assert error_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=text) == ("MalformedPolicy", message)
    assert bucket().policy is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["*", "Allow", ARN, "s3:GetObject"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["AWS", "Bool", "Service"]), inner),
    max_leaves=4,
)
ELEMENT = st.sampled_from((*stored_policies.ELEMENTS, *stored_policies.STATEMENT_ELEMENTS))


@given(elements=st.dictionaries(ELEMENT, JSON), statements=st.lists(st.dictionaries(ELEMENT, JSON) | JSON, max_size=2))
def test_whatever_json_a_policy_is_it_is_accepted_or_called_malformed(elements: Any, statements: Any) -> None:
    """PutBucketPolicy answers every document; none makes it fail."""
    for document in (elements, {**elements, "Statement": statements}):
        with contextlib.suppress(s3_policies.MalformedPolicy):
            s3_policies.check(json.dumps(document), BUCKET)
            parse(json.dumps(document), "an accepted policy")


STRANGERS = {
    "a role that does not exist": f"arn:aws:iam::{D}:role/Nobody",
    "a user that does not exist": f"arn:aws:iam::{D}:user/nobody",
    "an account that does not exist": "arn:aws:iam::123456789012:root",
    "an account id with a digit too few": "22222222222",
    "a session of a role that does not exist": f"arn:aws:sts::{D}:assumed-role/Nobody/session",
    "the id of a role that is gone": "AROAQBVLEGACY3EXAMPLE",
    "all roles of an account": f"arn:aws:iam::{D}:role/*",
    "no ARN": "PartnerExchange",
}


@pytest.mark.parametrize("principal", STRANGERS.values(), ids=STRANGERS)
def test_one_principal_that_does_not_exist_fails_the_put(s3: Any, principal: str) -> None:
    """re:Post: "If your Amazon S3 bucket policy contains an invalid value of the Principal element, then you receive
    the 'Invalid principal in policy' error."
    """
    statement = {**READ, "Principal": {"AWS": [PARTNER, principal]}}
    expected = ("MalformedPolicy", "Invalid principal in policy")
    assert error_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=policy(statement)) == expected


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": [PARTNER, D, f"arn:aws:iam::{C}:root", f"arn:aws:sts::{D}:assumed-role/PartnerExchange/monday"]},
        {"AWS": "arn:aws:iam::999999999999:user/administrator"},
        {"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1EXAMPLE"},
        {"Service": "logging.s3.amazonaws.com"},
        {"CanonicalUser": "0123456789abcdef" * 4},
    ],
    ids=str,
)
def test_principals_that_exist_are_accepted(s3: Any, principal: dict[str, Any]) -> None:
    """IAM User Guide: a principal is an account, user, role, role session or service; in S3 also a canonical user."""
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy({**READ, "Principal": principal}))


def test_a_policy_that_shows_a_principal_that_is_gone_cannot_be_put_again(client: Client) -> None:
    """A role that was deleted shows as its id, and S3 refuses the id: a foreign stale principal blocks every put."""
    s3 = client("s3", B)
    shown = s3.get_bucket_policy(Bucket="legacy-b")["Policy"]
    assert "AROA" in shown
    assert error_of(s3.put_bucket_policy, Bucket="legacy-b", Policy=shown)[1] == "Invalid principal in policy"


def test_a_policy_may_have_20480_bytes_and_no_more(s3: Any) -> None:
    """User Guide: "Bucket policies are limited to 20 KB in size"; spaces do not count."""
    s3.put_bucket_policy(Bucket=BUCKET, Policy=of_size(20_480))
    message = "Normalized policy document exceeds the maximum allowed size of 20480 bytes"
    assert error_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=of_size(20_481)) == ("MalformedPolicy", message)


@pytest.mark.parametrize(
    "statement",
    [
        {**READ, "Action": "s3:*", "Resource": [ARN, f"{ARN}/*"]},
        {**READ, "Action": ["S3:getobject*", "s3:PutObject?cl"]},
        {**READ, "Action": ["s3:ListBucket*", "s3:GetObject"], "Resource": "arn:aws:s3:::rules-*"},
        {**READ, "Effect": "Deny", "Principal": "*", "Action": "*"},
        {"Effect": "Deny", "NotPrincipal": {"AWS": B}, "NotAction": "s3:ListBucket", "NotResource": f"{ARN}/public/*"},
        {"Sid": "With spaces, as S3's own examples have", **READ},
        {**READ, "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:PrincipalOrgPaths": "o-exampleorg/*"}}},
    ],
    ids=str,
)
def test_what_the_grammar_allows_is_accepted(s3: Any, statement: dict[str, Any]) -> None:
    """IAM User Guide, "Grammar of the IAM JSON policy language"."""
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(statement))


# Bucket policies: what is shown


def test_a_policy_comes_back_in_the_writing_of_s3(s3: Any) -> None:
    """GetBucketPolicy returns the policy as S3 writes it, not the bytes that were put."""
    statement = {"Resource": [f"{ARN}/*"], "Action": ["s3:GetObject"], "Principal": {"AWS": [D]}, "Effect": "Allow"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Statement": statement, "Version": "2008-10-17"}, indent=2))
    assert s3.get_bucket_policy(Bucket=BUCKET)["Policy"] == (
        '{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444444444444:root"},'
        '"Action":"s3:GetObject","Resource":"arn:aws:s3:::rules-b/*"}}'
    )


def test_putting_back_what_was_shown_shows_the_same(s3: Any) -> None:
    """What S3 wrote itself it writes again in the same way."""
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy({**READ, "Action": ["s3:GetObject"]}, LIST))
    shown = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=shown)
    assert s3.get_bucket_policy(Bucket=BUCKET)["Policy"] == shown


def test_a_role_that_was_deleted_shows_as_its_id_even_when_it_is_made_again(s3: Any) -> None:
    """IAM User Guide: a policy is kept with the unique id of a role. Once the role is deleted the policy shows that id,
    and it does not apply to a new role of the same name.
    """
    iam = iam_backends[D]["aws"]
    role_id = iam.get_role("PartnerExchange").id
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(READ))
    iam.delete_role("PartnerExchange")
    assert f'"Principal":{{"AWS":"{role_id}"}}' in s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    iam.create_role("PartnerExchange", "{}", "/", None, "", [], None)
    assert f'"Principal":{{"AWS":"{role_id}"}}' in s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    in_force = stored_policies.in_force(bucket(), (bucket().policy or b"").decode())
    assert in_force["Statement"][0]["Principal"]["AWS"] == role_id


# Block Public Access


@pytest.mark.parametrize("level", ["bucket", "account"])
def test_block_public_policy_rejects_a_public_policy(s3: Any, level: str) -> None:
    """BlockPublicPolicy: "Setting this element to TRUE causes Amazon S3 to reject calls to PUT Bucket policy if the
    specified bucket policy allows public access", 403 AccessDenied. The setting may be the bucket's or the account's.
    """
    on, off = PublicAccessBlock(False, False, True, False), PublicAccessBlock(False, False, False, False)
    bucket().public_access_block = on if level == "bucket" else off
    s3control_backends[B]["aws"].public_access_block = on if level == "account" else None
    assert error_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=policy(READ, EVERYBODY)) == (
        "AccessDenied",
        f"User: {CALLER} is not authorized to perform: s3:PutBucketPolicy on resource: "
        f'"{ARN}" because public policies are blocked by the BlockPublicPolicy block public access setting.',
    )
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(READ))


def test_a_public_policy_is_accepted_where_nothing_blocks_it(s3: Any) -> None:
    """Without BlockPublicPolicy anyone may be let in; GetBucketPolicyStatus says whether the policy does so."""
    s3.delete_public_access_block(Bucket=BUCKET)
    for statement, public in ((EVERYBODY, True), (READ, False)):
        s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(statement))
        assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is public


def test_a_condition_that_anyone_can_meet_leaves_a_policy_public(s3: Any) -> None:
    """User Guide: "To be considered non-public, a bucket policy must grant access only to fixed values" of certain
    condition keys, of which aws:SecureTransport is none.
    """
    s3.delete_public_access_block(Bucket=BUCKET)
    for condition, public in (
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"StringEquals": {"aws:SourceAccount": D}}, False),
    ):
        s3.put_bucket_policy(Bucket=BUCKET, Policy=policy({**EVERYBODY, "Condition": condition}))
        assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is public


# A bucket's owner and Region


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("get_bucket_policy", {}),
        ("put_bucket_policy", {"Policy": policy(READ)}),
        ("get_bucket_encryption", {}),
        ("list_objects_v2", {}),
        ("put_object", {"Key": "a.txt", "Body": b"a"}),
        ("get_object", {"Key": "a.txt"}),
        ("put_object_tagging", {"Key": "a.txt", "Tagging": {"TagSet": []}}),
    ],
)
def test_the_wrong_expected_owner_fails_every_call(s3: Any, call: str, parameters: dict[str, Any]) -> None:
    """API Reference: "If the account ID that you provide does not match the actual owner of the bucket, the request
    fails with the HTTP status code 403 Forbidden (access denied)."
    """
    parameters = {"Bucket": BUCKET, "ExpectedBucketOwner": C, **parameters}
    assert error_of(getattr(s3, call), **parameters) == ("AccessDenied", "Access Denied")


@pytest.mark.parametrize("call", ["head_bucket", "head_object"])
def test_a_head_request_with_the_wrong_expected_owner_is_403(s3: Any, call: str) -> None:
    """HEAD requests have no body: "a generic 400 Bad Request, 403 Forbidden, or 404 Not Found HTTP status code"."""
    parameters = {"Key": "a.txt"} if call == "head_object" else {}
    assert error_of(getattr(s3, call), Bucket=BUCKET, ExpectedBucketOwner=C, **parameters)[0] == "403"


def test_the_right_expected_owner_changes_nothing(s3: Any) -> None:
    """ExpectedBucketOwner is a precondition, nothing else."""
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a", ExpectedBucketOwner=B)
    assert s3.head_bucket(Bucket=BUCKET, ExpectedBucketOwner=B)["BucketRegion"] == "eu-west-1"


def test_an_expected_owner_that_is_no_account_id_is_told_so(s3: Any) -> None:
    """400 InvalidBucketOwnerAWSAccountID: "must be an AWS account ID"."""
    code, message = error_of(s3.get_bucket_policy, Bucket=BUCKET, ExpectedBucketOwner="22222222222")
    assert (code, "22222222222" in message) == ("InvalidBucketOwnerAWSAccountID", True)


def test_the_source_of_a_copy_has_an_expected_owner_of_its_own(s3: Any) -> None:
    """x-amz-source-expected-bucket-owner: "If the account ID that you provide does not match the actual owner of the
    source bucket, the request fails with the HTTP status code 403".
    """
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")
    copy = {"Bucket": BUCKET, "Key": "b.txt", "CopySource": {"Bucket": BUCKET, "Key": "a.txt"}}
    assert error_of(s3.copy_object, **copy, ExpectedSourceBucketOwner=C)[0] == "AccessDenied"
    s3.copy_object(**copy, ExpectedSourceBucketOwner=B)


@pytest.mark.parametrize("call", ["get_bucket_policy", "delete_bucket_policy", "put_bucket_policy"])
def test_another_account_cannot_touch_the_policy_even_when_it_is_allowed_to(client: Client, s3: Any, call: str) -> None:
    """API: "If you have the correct permissions, but you're not using an identity that belongs to the bucket owner's
    account, Amazon S3 returns a 405 Method Not Allowed error."
    """
    text = policy({**READ, "Principal": {"AWS": D}, "Action": "s3:*BucketPolicy", "Resource": ARN})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=text)
    parameters = {"Policy": text} if call == "put_bucket_policy" else {}
    assert error_of(getattr(client("s3", D), call), Bucket=BUCKET, **parameters)[0] == "MethodNotAllowed"


def test_a_call_to_another_region_is_redirected_and_boto3_follows(client: Client) -> None:
    """PermanentRedirect, 301: "The bucket you are attempting to access must be addressed using the specified
    endpoint"; boto3 learns the Region from the header `x-amz-bucket-region` and calls again.
    """
    s3 = client("s3", B, region="eu-west-1")
    statuses: list[int] = []
    s3.meta.events.register("before-parse.s3", lambda response_dict, **_: statuses.append(response_dict["status_code"]))
    text = policy({**READ, "Resource": "arn:aws:s3:::frankfurt-b/*"})
    s3.put_bucket_policy(Bucket="frankfurt-b", Policy=text)
    assert statuses == [301, 200]
    assert json.loads(s3.get_bucket_policy(Bucket="frankfurt-b")["Policy"]) == json.loads(text)
    s3.put_object(Bucket="frankfurt-b", Key="a.txt", Body=b"a")
    assert s3.get_object(Bucket="frankfurt-b", Key="a.txt")["Body"].read() == b"a"
    assert s3.head_object(Bucket="frankfurt-b", Key="a.txt")["ContentLength"] == 1


def test_head_bucket_tells_the_region_from_any_region(client: Client) -> None:
    """HeadBucket: "You can make a HeadBucket call on any bucket name to any Region in the partition, and regardless of
    the permissions on the bucket, you will receive a response header with the correct bucket location".
    """
    for region in ("eu-west-1", "eu-central-1", "us-east-1"):
        s3 = client("s3", B, region=region)
        assert s3.head_bucket(Bucket="frankfurt-b")["BucketRegion"] == "eu-central-1"
        assert s3.get_bucket_location(Bucket="frankfurt-b")["LocationConstraint"] == "eu-central-1"


def test_what_another_account_puts_belongs_to_the_bucket_owner(client: Client, s3: Any) -> None:
    """User Guide: with BucketOwnerEnforced the bucket's owner owns every object in it, whoever put it; its tags too."""
    write = {**READ, "Principal": {"AWS": D}, "Action": ["s3:PutObject", "s3:PutObjectTagging"]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(write))
    partner = client("s3", D)
    partner.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")
    tags = [{"Key": "bucketav", "Value": "clean"}]
    partner.put_object_tagging(Bucket=BUCKET, Key="a.txt", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=BUCKET, Key="a.txt")["TagSet"] == tags
    assert s3.get_object(Bucket=BUCKET, Key="a.txt")["TagCount"] == 1


# Settings of a new bucket


def test_a_new_bucket_blocks_public_access_and_has_no_acls(s3: Any) -> None:
    """User Guide: since April 2023 new buckets have all Block Public Access settings on, and ACLs disabled."""
    settings = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert settings == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    rules = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_settings_that_were_deleted_are_not_found(s3: Any) -> None:
    """NoSuchPublicAccessBlockConfiguration; OwnershipControlsNotFoundError."""
    s3.delete_public_access_block(Bucket=BUCKET)
    assert error_of(s3.get_public_access_block, Bucket=BUCKET)[0] == "NoSuchPublicAccessBlockConfiguration"
    s3.delete_bucket_ownership_controls(Bucket=BUCKET)
    assert error_of(s3.get_bucket_ownership_controls, Bucket=BUCKET)[0] == "OwnershipControlsNotFoundError"


def test_a_bucket_is_always_encrypted(s3: Any) -> None:
    """GetBucketEncryption: "By default, all buckets have a default encryption configuration that uses server-side
    encryption with Amazon S3 managed keys (SSE-S3)"; DeleteBucketEncryption "resets the default encryption" to that.
    """
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]
    encrypt(s3, "aws:kms")
    s3.delete_bucket_encryption(Bucket=BUCKET)
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]
    assert s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")["ServerSideEncryption"] == "AES256"
    assert s3.head_object(Bucket=BUCKET, Key="a.txt")["ServerSideEncryption"] == "AES256"


# Encryption with KMS


def encrypt(s3: Any, algorithm: str, key: str | None = None) -> None:
    default = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
    s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )


def key_of(alias: str) -> Any:
    return next(key for key in kms_backends[B]["eu-west-1"].keys.values() if alias in key.aliases)


@pytest.fixture
def partner(client: Client, s3: Any) -> Any:
    """Account d's S3. The bucket's policy lets d in, the default key `alias/documents` does not."""
    grant = {**READ, "Principal": {"AWS": D}, "Action": ["s3:GetObject", "s3:PutObject"]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(grant))
    encrypt(s3, "aws:kms", key_of("alias/documents").arn)
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")
    return client("s3", D)


def let_in(*actions: str, **condition: Any) -> None:
    """Add a statement for account d to the policy of `alias/documents`."""
    key = key_of("alias/documents")
    document = json.loads(key.policy)
    grant = {"Effect": "Allow", "Principal": {"AWS": D}, "Action": actions, "Resource": "*", "Condition": condition}
    key.policy = json.dumps({**document, "Statement": [*document["Statement"], grant]})


@pytest.mark.parametrize(("given", "alias"), [(None, "alias/aws/s3"), ("alias/documents", "alias/documents")])
def test_default_encryption_applies_to_new_objects(s3: Any, given: str | None, alias: str) -> None:
    """ServerSideEncryptionByDefault: "If a PUT Object request doesn't specify any server-side encryption, this default
    encryption will be applied"; without a key S3 uses the AWS-managed one, made with the first object.
    """
    encrypt(s3, "aws:kms", given)
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")
    head = s3.head_object(Bucket=BUCKET, Key="a.txt")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key_of(alias).arn)


def test_a_request_may_ask_for_another_encryption_than_the_default(s3: Any) -> None:
    """User Guide: what a PUT request says about encryption takes the place of the bucket's default."""
    encrypt(s3, "aws:kms", "alias/documents")
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a", ServerSideEncryption="AES256")
    head = s3.head_object(Bucket=BUCKET, Key="a.txt")
    assert (head["ServerSideEncryption"], "SSEKMSKeyId" in head) == ("AES256", False)


def test_another_account_needs_the_key_policy_to_read(partner: Any) -> None:
    """User Guide: "To upload or download an object encrypted with an AWS KMS key to or from Amazon S3, you need
    kms:GenerateDataKey and kms:Decrypt permissions on the key": across accounts, in the key policy too.
    """
    code, message = error_of(partner.get_object, Bucket=BUCKET, Key="a.txt")
    assert (code, "is not authorized to perform: kms:Decrypt" in message) == ("AccessDenied", True)
    let_in("kms:Decrypt")
    assert partner.get_object(Bucket=BUCKET, Key="a.txt")["Body"].read() == b"a"
    assert error_of(partner.put_object, Bucket=BUCKET, Key="b.txt", Body=b"b")[0] == "AccessDenied"
    let_in("kms:GenerateDataKey")
    partner.put_object(Bucket=BUCKET, Key="b.txt", Body=b"b")


def test_a_key_policy_can_ask_for_s3_and_for_the_object(partner: Any) -> None:
    """KMS Developer Guide: kms:ViaService names the service that calls on somebody's behalf; S3 sends the object's ARN
    as encryption context (kms:EncryptionContext:aws:s3:arn).
    """
    let_in("kms:Decrypt", StringEquals={"kms:ViaService": "s3.eu-central-1.amazonaws.com"})
    let_in("kms:Decrypt", StringEquals={"kms:EncryptionContext:aws:s3:arn": f"{ARN}/other.txt"})
    assert error_of(partner.get_object, Bucket=BUCKET, Key="a.txt")[0] == "AccessDenied"
    let_in(
        "kms:Decrypt",
        StringEquals={"kms:ViaService": "s3.eu-west-1.amazonaws.com", "kms:CallerAccount": D},
        StringLike={"kms:EncryptionContext:aws:s3:arn": f"{ARN}/*"},
    )
    partner.get_object(Bucket=BUCKET, Key="a.txt")


def test_with_a_bucket_key_kms_sees_the_bucket_instead_of_the_object(partner: Any, s3: Any) -> None:
    """User Guide: with an S3 Bucket Key the encryption context is the ARN of the bucket."""
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a", BucketKeyEnabled=True)
    let_in("kms:Decrypt", StringLike={"kms:EncryptionContext:aws:s3:arn": f"{ARN}/*"})
    assert error_of(partner.get_object, Bucket=BUCKET, Key="a.txt")[0] == "AccessDenied"
    let_in("kms:Decrypt", StringEquals={"kms:EncryptionContext:aws:s3:arn": ARN})
    partner.get_object(Bucket=BUCKET, Key="a.txt")


def test_reading_what_the_owner_wrote_with_the_aws_managed_key_is_impossible_for_others(client: Client) -> None:
    """User Guide: "If you want to grant cross-account access to your S3 objects, use a customer managed key": the
    policy of aws/s3 is for the account's own principals, and nobody can change it.
    """
    vault = client("s3", B)
    grant = {**READ, "Principal": {"AWS": D}, "Resource": "arn:aws:s3:::vault-b/*"}
    vault.put_bucket_policy(Bucket="vault-b", Policy=policy(grant))
    assert vault.get_object(Bucket="vault-b", Key="secrets.txt")["SSEKMSKeyId"] == key_of("alias/aws/s3").arn
    code, message = error_of(client("s3", D).get_object, Bucket="vault-b", Key="secrets.txt")
    assert (code, "kms:Decrypt" in message) == ("AccessDenied", True)


def test_the_source_of_a_copy_is_decrypted_and_the_copy_encrypted(partner: Any) -> None:
    """CopyObject reads its source, which needs kms:Decrypt, and writes its target, which needs kms:GenerateDataKey."""
    copy = {"Bucket": BUCKET, "Key": "b.txt", "CopySource": f"{BUCKET}/a.txt"}
    assert "kms:Decrypt" in error_of(partner.copy_object, **copy)[1]
    let_in("kms:Decrypt")
    assert "kms:GenerateDataKey" in error_of(partner.copy_object, **copy)[1]
    let_in("kms:GenerateDataKey")
    partner.copy_object(**copy)


def test_a_multipart_upload_needs_to_decrypt_as_well(partner: Any) -> None:
    """CreateMultipartUpload: "the requester must have permission to the kms:Decrypt and kms:GenerateDataKey actions
    [...] because Amazon S3 must decrypt and read data from the encrypted file parts before it completes the upload".
    """
    start = {"Bucket": BUCKET, "Key": "big.bin"}
    assert "kms:GenerateDataKey" in error_of(partner.create_multipart_upload, **start)[1]
    let_in("kms:GenerateDataKey")
    part = {**start, "UploadId": partner.create_multipart_upload(**start)["UploadId"]}
    assert "kms:Decrypt" in error_of(partner.upload_part, **part, PartNumber=1, Body=b"1")[1]
    let_in("kms:Decrypt")
    tag = partner.upload_part(**part, PartNumber=1, Body=b"1")["ETag"]
    done = partner.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert done["SSEKMSKeyId"] == key_of("alias/documents").arn


@pytest.mark.parametrize(
    ("state", "code"),
    [("Disabled", "KMS.DisabledException"), ("PendingDeletion", "KMS.KMSInvalidStateException")],
)
def test_an_object_whose_key_is_disabled_cannot_be_read(s3: Any, state: str, code: str) -> None:
    """DisableKey: "temporarily prevents use of the KMS key for cryptographic operations"; S3 passes KMS's error on."""
    encrypt(s3, "aws:kms", "alias/documents")
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"a")
    key_of("alias/documents").key_state = state
    assert error_of(s3.get_object, Bucket=BUCKET, Key="a.txt")[0] == code


def test_a_default_key_that_does_not_exist_shows_at_the_first_object(s3: Any) -> None:
    """PutBucketEncryption: "Amazon S3 doesn't validate the KMS key ID provided in PutBucketEncryption requests", and a
    wrong one shows at the first object.
    """
    encrypt(s3, "aws:kms", f"arn:aws:kms:eu-west-1:{B}:key/11111111-2222-3333-4444-555555555555")
    assert error_of(s3.put_object, Bucket=BUCKET, Key="a.txt", Body=b"a")[0] == "KMS.NotFoundException"


def test_head_and_tags_need_no_key(client: Client, partner: Any, s3: Any) -> None:
    """HeadObject and the tagging operations do not read the object's data."""
    key_of("alias/documents").key_state = "Disabled"
    assert partner.head_object(Bucket=BUCKET, Key="a.txt")["ContentLength"] == 1
    s3.put_object_tagging(Bucket=BUCKET, Key="a.txt", Tagging={"TagSet": [{"Key": "bucketav", "Value": "clean"}]})
