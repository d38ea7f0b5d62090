"""Answers that are not AWS's are believed in no protocol."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from runbook import aws_errors, responses
from runbook.sessions import session_without_profile

CALLS: dict[tuple[str, str], dict[str, Any]] = {
    ("s3", "get_bucket_policy"): {"Bucket": "bucket"},
    ("s3", "get_bucket_encryption"): {"Bucket": "bucket"},
    ("s3", "get_public_access_block"): {"Bucket": "bucket"},
    ("s3", "list_buckets"): {},
    ("s3control", "get_public_access_block"): {"AccountId": "111111111111"},
    ("iam", "list_roles"): {},
    ("sts", "get_caller_identity"): {},
    ("sns", "list_topics"): {},
    ("cloudformation", "describe_stacks"): {},
    ("cloudwatch", "list_dashboards"): {},
    ("kms", "list_keys"): {},
    ("organizations", "list_roots"): {},
    ("dynamodb", "scan"): {"TableName": "table"},
    ("ssm", "get_parameter"): {"Name": "name"},
    ("sqs", "list_queues"): {},
}
"""One call or more for each service, and so each protocol, that is used."""

PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><p>Welcome</p></body></html>"
XHTML = b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>'

IDS = {"x-amzn-RequestId": "1", "x-amz-request-id": "1"}

ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "a page": (200, {"Content-Type": "text/html"}, PAGE),
    "a page with the id of a request": (200, IDS, PAGE),
    "a page that is XML": (200, IDS, XHTML),
    "a way to a page": (302, {"Location": "http://portal.invalid/"}, b""),
    "a page that says no": (403, {}, PAGE),
    "a page that says that there is nothing": (404, {}, PAGE),
    "nothing": (200, IDS, b""),
    "nothing, and not from AWS": (200, {}, b""),
    "an error without content": (404, IDS, b""),
    "an error that was cut off": (404, IDS, b"<Error><Code>NoSuchBucketPolicy</Co"),
    "JSON that was cut off": (200, IDS, b'{"Version": "2012-10-17", "Statem'),
    "JSON that is no object": (200, IDS, b"[]"),
    "JSON without an id": (200, {}, b"{}"),
    "bytes": (200, IDS, b"\xff\xfe\x00"),
}


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self._body]


def client_that_gets(service: str, answers: list[tuple[int, dict[str, str], bytes]]) -> Any:
    """A client whose attempts get these answers, one after the other, and then the last one."""
    client = boto3.Session("id", "secret", botocore_session=session_without_profile()).client(
        service,  # type: ignore[call-overload]
        region_name="eu-west-1",
        config=Config(retries={"mode": "adaptive", "total_max_attempts": 3}),
    )
    responses.watch(client)

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        return AWSResponse(request.url, status, HeadersDict(headers), _Raw(body))  # type: ignore[arg-type]  # of urllib3

    client.meta.events.register_first("before-send", answer)
    return client


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("call", CALLS, ids=".".join)
def test_what_is_no_answer_of_aws_is_not_taken_for_one(call: tuple[str, str], answer: str) -> None:
    client = client_that_gets(call[0], [ANSWERS[answer]])
    with pytest.raises(ClientError) as raised:
        getattr(client, call[1])(**CALLS[call])
    error = raised.value
    assert aws_errors.code(error) == responses.CODE
    assert aws_errors.unanswered(error)
    assert error.response["ResponseMetadata"]["RetryAttempts"] == 2
    said = str(aws_errors.in_words(error))
    assert said.startswith(f"AWS's answer to {error.operation_name} could not be read: ")
    assert "A proxy or a captive portal may have answered instead" in said
    assert "html" not in said
    with pytest.raises(aws_errors.AwsRefused):
        aws_errors.raise_unless_answered(error)


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_a_head_that_a_portal_answers_is_no_bucket_that_is_missing(status: int) -> None:
    with pytest.raises(ClientError) as raised:
        client_that_gets("s3", [(status, {}, b"")]).head_bucket(Bucket="bucket")
    assert aws_errors.code(raised.value) == responses.CODE
    with pytest.raises(ClientError) as raised:
        client_that_gets("s3", [(404, IDS, b"")]).head_bucket(Bucket="bucket")
    assert aws_errors.code(raised.value) == "404"


def test_the_next_answer_counts() -> None:
    damaged = [ANSWERS["a page"], ANSWERS["JSON that was cut off"]]
    policy = b'{"Version": "2012-10-17", "Statement": []}'
    assert (
        client_that_gets("s3", [*damaged, (200, IDS, policy)]).get_bucket_policy(Bucket="b")["Policy"]
        == policy.decode()
    )
    assert client_that_gets("kms", [*damaged, (200, IDS, b'{"Keys": []}')]).list_keys()["Keys"] == []
    client = client_that_gets("s3", [*damaged, (404, IDS, b"<Error><Code>NoSuchBucketPolicy</Code></Error>")])
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        client.get_bucket_policy(Bucket="b")


def test_answers_in_which_nothing_is_read_may_be_empty() -> None:
    client_that_gets("s3", [(204, IDS, b"")]).put_bucket_policy(Bucket="b", Policy="{}")
    client_that_gets("kms", [(200, IDS, b"")]).put_key_policy(KeyId="k", Policy="{}")
    client_that_gets("sqs", [(200, IDS, b"")]).set_queue_attributes(QueueUrl="https://q", Attributes={})


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-24T06:00:00.000Z", "2025-11-24T06:00:00+02:00", "2025-11-24T06:00:00", "2025-11-24T06:00:00.1234567Z",
        "2025-11-24", "20251124", "Mon, 24 Nov 2025 06:00:00 GMT", "1763964000", 1763964000, 1763964000.5,
    ],
    ids=repr,
)  # fmt: skip
def test_times_are_read_as_botocore_reads_them(value: Any) -> None:
    read, expected = responses._parse_timestamp(value), parse_timestamp(value)
    assert (read, read.utcoffset()) == (expected, expected.utcoffset())


def test_a_time_that_is_none_makes_an_answer_unreadable() -> None:
    body = b"<ListAllMyBucketsResult><Buckets><Bucket><CreationDate>2025-11-24Tx</CreationDate></Bucket></Buckets>"
    with pytest.raises(ClientError) as raised:
        client_that_gets("s3", [(200, IDS, body + b"</ListAllMyBucketsResult>")]).list_buckets()
    assert aws_errors.code(raised.value) == responses.CODE
