"""Templates at a URL: the vendor's, which everybody may read, and others, which not everybody may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from runbook.sandbox.server import Sandbox
from tests.sandbox.cloudformation import A, B, body, outputs, refusal, stack_of
from tests.sandbox.test_connections import url

Client = Callable[..., Any]

BUCKET, KEY = "bucketav-add-ons", "account-connection/v2.0.0/bucketav-add-on-account-connection.yaml"
SEE = "\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"


def get(url: str, host: str = "") -> str:
    """Without credentials."""
    with build_opener(ProxyHandler({})).open(Request(url, headers={"Host": host} if host else {})) as answer:
        return str(answer.read().decode())


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", B)


@pytest.fixture
def private(client: Client) -> str:
    """An object in account b that only its account may read."""
    client("s3", B).put_object(Bucket="uploads-b", Key="template.json", Body=body())
    return "https://uploads-b.s3.eu-west-1.amazonaws.com/template.json"


@pytest.mark.parametrize("account", [A, B, "444444444444"])
def test_everybody_may_read_the_vendors_templates(client: Client, account: str) -> None:
    for version in ("1.0.0", "2.0.0"):
        key = KEY.replace("2.0.0", version)
        text = client("s3", account).get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        assert f'StackVersion: "{version}"' in text


def test_nobody_needs_credentials_to_read_them(sandbox: Sandbox, client: Client) -> None:
    """Path-style and virtual-hosted, as a browser does it; but nobody may list or write."""
    text = client("s3", B).get_object(Bucket=BUCKET, Key=KEY)["Body"].read().decode()
    assert get(f"{sandbox.endpoint_url}/{BUCKET}/{KEY}") == text
    assert get(f"{sandbox.endpoint_url}/{KEY}", f"{BUCKET}.s3.eu-west-1.amazonaws.com") == text
    s3 = client("s3", B)
    assert refusal(s3.list_objects_v2, Bucket=BUCKET)[0] == "AccessDenied"
    assert refusal(s3.put_object, Bucket=BUCKET, Key=KEY, Body=b"")[0] == "AccessDenied"


@pytest.mark.parametrize(
    "form",
    [
        f"https://{BUCKET}.s3.eu-west-1.amazonaws.com/{KEY}",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com/{KEY}",
        f"https://{BUCKET}.s3.amazonaws.com/{KEY}",
        f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/{KEY}",
        f"https://s3-eu-west-1.amazonaws.com/{BUCKET}/{KEY}",
        f"https://s3.amazonaws.com/{BUCKET}/{KEY}",
    ],
)
def test_a_template_is_read_however_its_url_is_written(cloudformation: Any, form: str) -> None:
    """AWS, GetTemplateSummary: parameters, resource types, and what has to be acknowledged and why."""
    summary = cloudformation.get_template_summary(TemplateURL=form)
    assert [each["ParameterKey"] for each in summary["Parameters"]] == [
        "BucketAVStackName", "BucketAVAccountId", "S3BucketRestriction", "S3ObjectRestriction", "KMSKeyRestriction",
    ]  # fmt: skip
    assert summary["ResourceTypes"] == ["AWS::IAM::Role", "Custom::AccountConnection"]
    assert summary["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    assert summary["CapabilitiesReason"] == "The following resource(s) require capabilities: [AWS::IAM::Role]"


def test_a_stack_is_made_of_what_stands_there(cloudformation: Any, private: str) -> None:
    cloudformation.create_stack(StackName="test", TemplateURL=private)
    assert cloudformation.get_template(StackName="test")["TemplateBody"] == json.loads(body())
    assert cloudformation.validate_template(TemplateURL=url())["Capabilities"] == ["CAPABILITY_NAMED_IAM"]


def test_a_version_of_an_object_can_be_named(client: Client, cloudformation: Any) -> None:
    s3 = client("s3", B)
    versions = [
        s3.put_object(Bucket="versions-b", Key="t.json", Body=body(Outputs={"O": {"Value": value}}))["VersionId"]
        for value in ("old", "new")
    ]
    at = "https://versions-b.s3.eu-west-1.amazonaws.com/t.json"
    for name, address, value in (("one", f"{at}?versionId={versions[0]}", "old"), ("two", at, "new")):
        cloudformation.create_stack(StackName=name, TemplateURL=address)
        assert outputs(stack_of(cloudformation, name)) == {"O": value}


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        (url("9.9.9"), "Access Denied"),
        ("https://uploads-b.s3.eu-west-1.amazonaws.com/none.yaml", "The specified key does not exist."),
        ("https://no-such-bucket-of-anybody.s3.amazonaws.com/t.yaml", "The specified bucket does not exist"),
        (
            f"https://{BUCKET}.s3.us-east-1.amazonaws.com/{KEY}",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
            "future requests to this endpoint.",
        ),
    ],
)
@pytest.mark.parametrize(
    "operation", ["create_stack", "create_change_set", "get_template_summary", "validate_template"]
)
def test_what_s3_answers_is_the_reason(cloudformation: Any, operation: str, address: str, answer: str) -> None:
    """A missing object is only told to somebody who may list the bucket."""
    own: dict[str, Any] = {
        "create_stack": {"StackName": "test"},
        "create_change_set": {"StackName": "test", "ChangeSetName": "x", "ChangeSetType": "CREATE"},
    }.get(operation, {})
    found = refusal(getattr(cloudformation, operation), TemplateURL=address, **own)
    assert found == ("ValidationError", f"S3 error: {answer}{SEE}")


def test_a_template_is_read_with_the_callers_rights(client: Client, cloudformation: Any, private: str) -> None:
    assert cloudformation.get_template_summary(TemplateURL=private)["ResourceTypes"] == ["AWS::SNS::Topic"]
    found = refusal(client("cloudformation", A).get_template_summary, TemplateURL=private)
    assert found == ("ValidationError", f"S3 error: Access Denied{SEE}")


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/template.yaml",
        "http://uploads-b.s3.eu-west-1.amazonaws.com/template.yaml",
        "s3://uploads-b/template.yaml",
        "https://uploads-b.s3.eu-west-1.amazonaws.com/",
        "https://s3.eu-west-1.amazonaws.com/uploads-b",
        "https://uploads-b.s3.eu-west-1.amazonaws.com.example.com/template.yaml",
    ],
)
def test_only_objects_in_s3_are_read(cloudformation: Any, address: str) -> None:
    found = refusal(cloudformation.create_stack, StackName="test", TemplateURL=address)
    assert found == ("ValidationError", "TemplateURL must be a supported URL.")


def test_a_template_may_be_larger_than_a_body_but_not_endless(client: Client, cloudformation: Any) -> None:
    """AWS, "CloudFormation quotas": 51,200 bytes in a request, 1 MB in an object."""
    at = "https://uploads-b.s3.eu-west-1.amazonaws.com/large.json"
    for size, taken in ((60_000, True), (1_000_001, False)):
        text = body(Description="x").ljust(size)
        client("s3", B).put_object(Bucket="uploads-b", Key="large.json", Body=text)
        if taken:
            assert cloudformation.get_template_summary(TemplateURL=at)["ResourceTypes"] == ["AWS::SNS::Topic"]
        else:
            code, message = refusal(cloudformation.get_template_summary, TemplateURL=at)
            assert (code, message) == ("ValidationError", "Template may not exceed 1000000 bytes in size.")
