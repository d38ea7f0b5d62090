"""The middleware itself: what it says goes wrong does go wrong, as on AWS, and only there."""

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from runbook.environment import Environment
from tests.faults.rules import Always, At, Call, Fault, FromThen, Once
from tests.faults.ways import Bystander, stored_policies
from tests.world import ACCOUNTS, REGIONS, policies

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

B = "222222222222"
GET = Call("s3", "GetBucketEncryption", B, "uploads-b", 1)
PUT = Call("s3", "PutBucketPolicy", B, "website-uploads-b", 1)

ANSWERS = {
    ("s3", Fault.THROTTLED): ("SlowDown", 503),
    ("s3", Fault.BROKEN): ("InternalError", 500),
    ("s3", Fault.UNAVAILABLE): ("ServiceUnavailable", 503),
    ("s3", Fault.EXPIRED): ("ExpiredToken", 400),
    ("iam", Fault.THROTTLED): ("Throttling", 400),
    ("iam", Fault.BROKEN): ("InternalFailure", 500),
    ("iam", Fault.EXPIRED): ("ExpiredToken", 403),
    ("cloudformation", Fault.THROTTLED): ("Throttling", 400),
    ("organizations", Fault.THROTTLED): ("TooManyRequestsException", 400),
    ("organizations", Fault.EXPIRED): ("ExpiredTokenException", 400),
    ("kms", Fault.THROTTLED): ("ThrottlingException", 400),
    ("kms", Fault.BROKEN): ("KMSInternalException", 500),
    ("kms", Fault.EXPIRED): ("ExpiredTokenException", 400),
}

ASKING = {
    "s3": ("get_bucket_encryption", {"Bucket": "uploads-b"}),
    "iam": ("list_roles", {}),
    "cloudformation": ("describe_stacks", {}),
    "organizations": ("list_roots", {}),
    "kms": ("list_keys", {}),
}


@pytest.mark.parametrize(("asked", "answer"), ANSWERS.items(), ids=lambda each: " ".join(map(str, each)))
def test_each_service_fails_in_its_own_words(
    asked: tuple[str, Fault], answer: tuple[str, int], environment: Environment, faults: "Middleware"
) -> None:
    service, fault = asked
    operation, parameters = ASKING[service]
    ask = getattr(environment.client(service, "999999999999"), operation)
    with faults.watching() as seen:
        if service != "s3":
            ask(**parameters)
        else:
            ask = environment.client(service, B).get_bucket_encryption
            ask(Bucket="uploads-b")
    (call,) = (each for each in seen.calls if each.service == service)
    with faults.watching(Always(call, fault)) as seen, pytest.raises(ClientError) as error:
        ask(**parameters)
    response = error.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == answer
    assert response["Error"]["Message"]
    assert seen.met[fault] == (1 if fault is Fault.EXPIRED else response["ResponseMetadata"]["RetryAttempts"] + 1)
    assert seen.carried_out == []


def test_a_call_is_one_call_however_often_it_is_tried(environment: Environment, faults: "Middleware") -> None:
    client = environment.client("s3", B)
    client.head_bucket(Bucket="uploads-b")
    every = (Fault.THROTTLED, Fault.BROKEN, Fault.RESET, Fault.REPLY_LOST)
    with faults.watching(Once(GET, every)) as seen:
        client.get_bucket_encryption(Bucket="uploads-b")
        client.get_bucket_encryption(Bucket="uploads-b")
    assert [call.occurrence for call in seen.calls] == [1, 2]
    assert seen.met == dict.fromkeys(every, 1)
    assert len(seen.carried_out) == 3, "the lost one was carried out too"


def test_a_connection_that_is_reset_changes_nothing_and_a_lost_reply_hides_a_change(
    environment: Environment, faults: "Middleware"
) -> None:
    client, arn = environment.client("s3", B), "arn:aws:s3:::website-uploads-b"
    before = policies(environment)[arn] or ""
    written = before.replace("AllowSSL", "OnlySSL", 1)
    for fault, expected in ((Fault.RESET, before), (Fault.REPLY_LOST, written)):
        with faults.watching(Always(PUT, fault)), pytest.raises(ConnectionClosedError):
            client.put_bucket_policy(Bucket="website-uploads-b", Policy=written)
        assert policies(environment)[arn] == expected


def test_from_a_call_on_everything_fails(environment: Environment, faults: "Middleware") -> None:
    client = environment.client("s3", B)
    client.head_bucket(Bucket="uploads-b")
    with faults.watching(FromThen(GET, Fault.EXPIRED)):
        client.head_bucket(Bucket="uploads-b")
        for call in (client.get_bucket_encryption, client.head_bucket):
            with pytest.raises(ClientError):
                call(Bucket="uploads-b")
    client.head_bucket(Bucket="uploads-b")


def test_something_happens_before_a_call_and_after_it(
    environment: Environment, faults: "Middleware", bystander: Bystander
) -> None:
    seen: list[str | None] = []
    arn = "arn:aws:s3:::website-uploads-b"
    client = environment.client("s3", B)
    written = (policies(environment)[arn] or "").replace("AllowSSL", "OnlySSL", 1)

    def look() -> None:
        seen.append(stored_policies()[arn])
        bystander.look()

    with faults.watching(At(PUT, before=look, after=look)):
        client.put_bucket_policy(Bucket="website-uploads-b", Policy=written)
    assert seen[0] != seen[1] == written


def test_what_a_look_finds_is_what_aws_would_say(environment: Environment, bystander: Bystander) -> None:
    found = bystander.look()
    assert policies(environment) == _told_by_aws(environment)
    assert policies(environment).items() <= found.items()
    assert "AWSAccountRestriction" in str(found)


def _told_by_aws(environment: Environment) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for account in map(environment.account_id, ACCOUNTS):
        s3 = environment.client("s3", account)
        for name in (bucket["Name"] for bucket in s3.list_buckets()["Buckets"]):
            found[f"arn:aws:s3:::{name}"] = _policy_told_by_aws(s3, name)
        for region in REGIONS:
            kms = environment.client("kms", account, region)
            for key in kms.list_keys()["Keys"]:
                policy = kms.get_key_policy(KeyId=key["KeyArn"], PolicyName="default")["Policy"]
                found[key["KeyArn"]] = policy
    return found


def _policy_told_by_aws(client: Any, bucket: str) -> str | None:
    try:
        policy: str = client.get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucketPolicy":
            return None
        raise
    return policy
