"""Connecting an account: a stack in it, bucketAV's function in account a, and what the scan role may do afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import clock
from tests.sandbox.cloudformation import (
    PREVIOUS,
    A,
    B,
    changes_of,
    events_of,
    given,
    outputs,
    reasons_of,
    refusal,
    resources_of,
    shown,
    stack_of,
    status_of,
)

C, D, PILOT = "333333333333", "444444444444", "888888888888"
TABLE, TOPIC = "bucketav-AccountConnection", f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic"
ROLE, STACK = "bucketav-AccountConnection", "bucketav-account-connection"
ORGANIZATION_ROLE = "OrganizationAccountAccessRole"

Client = Callable[..., Any]
Connect = Callable[..., dict[str, Any]]


def url(version: str = "2.0.0") -> str:
    bucket = "https://bucketav-add-ons.s3.eu-west-1.amazonaws.com"
    return f"{bucket}/account-connection/v{version}/bucketav-add-on-account-connection.yaml"


REQUEST: dict[str, Any] = {
    "StackName": STACK,
    "TemplateURL": url(),
    "Parameters": given(BucketAVStackName="bucketav", BucketAVAccountId=A),
    "Capabilities": ["CAPABILITY_NAMED_IAM"],
}


@pytest.fixture
def connect(client: Client, at_once: None) -> Connect:
    """Create the connection stack in an account, and say what became of it."""

    def make(account: str, **request: Any) -> dict[str, Any]:
        cloudformation = client("cloudformation", account)
        cloudformation.create_stack(**{**REQUEST, **request})
        return stack_of(cloudformation, STACK)

    return make


@pytest.fixture
def items(client: Client) -> Callable[[], dict[str, dict[str, str]]]:
    """The items of the connection table, by account."""

    def read() -> dict[str, dict[str, str]]:
        found = client("dynamodb", A).scan(TableName=TABLE)["Items"]
        return {item["account_id"]["S"]: {name: value["S"] for name, value in item.items()} for item in found}

    return read


def role_names(client: Client, account: str) -> set[str]:
    return {role["RoleName"] for role in client("iam", account).list_roles()["Roles"]}


def test_a_connected_account_has_a_role_and_an_item(
    client: Client, connect: Connect, items: Callable[[], dict[str, dict[str, str]]]
) -> None:
    """FACTS of the product name the fields; stack, role and organization are those that exist."""
    stack = connect(B)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert outputs(stack) == {"AddOn": "account-connection", "Version": "2.0.0", "StackName": STACK}
    assert resources_of(client("cloudformation", B), STACK) == {
        "Role": ROLE,
        "Connection": f"aws:eu-west-1:{B}",
    }
    assert items()[B] == {
        "account_connection_id": f"aws:eu-west-1:{B}",
        "partition": "aws",
        "region": "eu-west-1",
        "account_id": B,
        "organization_id": "o-exampleorg",
        "stack_id": stack["StackId"],
        "stack_name": STACK,
        "stack_version": "2.0.0",
        "role_name": ROLE,
        "created_at": clock.TODAY,
        "updated_at": clock.TODAY,
        "pinged_at": clock.TODAY,
    }


def test_deleting_the_stack_deletes_the_item_and_the_role(
    client: Client, connect: Connect, items: Callable[[], dict[str, dict[str, str]]]
) -> None:
    connect(B)
    client("cloudformation", B).delete_stack(StackName=STACK)
    assert set(items()) == {C, PILOT}
    assert ROLE not in role_names(client, B)


def test_an_account_that_is_not_allowlisted_cannot_report_itself(
    client: Client, connect: Connect, items: Callable[[], dict[str, dict[str, str]]]
) -> None:
    """FACTS of the product: "the connection stack's custom resource cannot publish, and the stack fails"."""
    assert connect(D)["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = reasons_of(client("cloudformation", D), STACK)["Connection", "CREATE_FAILED"]
    assert reason.startswith(
        f"User: arn:aws:sts::{D}:assumed-role/{ORGANIZATION_ROLE}/test is not authorized to perform: SNS:Publish on "
        f"resource: {TOPIC} because no resource-based policy allows the SNS:Publish action "
        "(Service: AmazonSNS; Status Code: 403; Error Code: AuthorizationError; Request ID: "
    )
    assert ROLE not in role_names(client, D)
    assert D not in items()


def test_an_account_is_not_connected_to_itself(client: Client, connect: Connect) -> None:
    """The topic lets its own account publish only when that is allowlisted; its administrator may anyway."""
    assert connect(A)["StackStatus"] == "ROLLBACK_COMPLETE"
    cloudformation = client("cloudformation", A)
    reason = reasons_of(cloudformation, STACK)["Connection", "CREATE_FAILED"]
    assert reason.startswith("Received response status [FAILED] from custom resource. Message returned: ")
    assert f"{A}: it cannot be connected to itself (RequestId: " in reason
    assert ("Connection", "DELETE_COMPLETE") in events_of(cloudformation, STACK)
    assert ROLE not in role_names(client, A)


def test_account_c_is_updated_to_the_newer_template(
    client: Client, at_once: None, items: Callable[[], dict[str, dict[str, str]]]
) -> None:
    """The role is changed in place, and the item knows the new version and since when."""
    cloudformation = client("cloudformation", C)
    role = client("iam", C).get_role(RoleName=ROLE)["Role"]
    cloudformation.create_change_set(ChangeSetName="change", **REQUEST)
    changes = changes_of(cloudformation, stack=STACK)
    assert {name: (each["Action"], each["Replacement"]) for name, each in changes.items()} == {
        "Role": ("Modify", "False"),
        "Connection": ("Modify", "False"),
    }
    before = items()[C]
    cloudformation.execute_change_set(StackName=STACK, ChangeSetName="change")
    assert status_of(cloudformation, STACK) == "UPDATE_COMPLETE"
    assert client("iam", C).get_role(RoleName=ROLE)["Role"] == role
    policy = client("iam", C).get_role_policy(RoleName=ROLE, PolicyName="scan")["PolicyDocument"]
    assert "TagObjects" in {statement["Sid"] for statement in policy["Statement"]}
    assert items()[C] == {**before, "stack_version": "2.0.0", "updated_at": clock.TODAY, "pinged_at": clock.TODAY}


def test_a_second_stack_under_the_same_name_collides_with_the_role(client: Client, connect: Connect) -> None:
    assert connect(C, StackName="another")["StackStatus"] == "CREATE_COMPLETE", "the first one is untouched"
    cloudformation = client("cloudformation", C)
    assert status_of(cloudformation, "another") == "ROLLBACK_COMPLETE"
    assert f"{ROLE} already exists" in reasons_of(cloudformation, "another")["Role", "CREATE_FAILED"]


def test_the_template_needs_an_acknowledgement_of_its_named_role(client: Client) -> None:
    cloudformation = client("cloudformation", B)
    request = {**REQUEST, "Capabilities": ["CAPABILITY_IAM"]}
    code, message = refusal(cloudformation.create_stack, **request)
    assert (code, message) == ("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]")


def test_a_request_that_is_repeated_is_one_request(client: Client, connect: Connect) -> None:
    """AWS, CreateStack, ClientRequestToken."""
    token = {"ClientRequestToken": "one"}
    stack = connect(B, **token)
    assert connect(B, **token)["StackId"] == stack["StackId"]
    assert refusal(connect, account=B, ClientRequestToken="two")[0] == "AlreadyExistsException"
    failed = connect(D, **token)
    assert connect(D, **token)["StackId"] == failed["StackId"], "also once it has failed"


def test_a_stack_is_found_by_its_role(client: Client) -> None:
    """AWS, DescribeStackResources, PhysicalResourceId: all resources of the stack that it belongs to."""
    found = client("cloudformation", C).describe_stack_resources(PhysicalResourceId=ROLE)["StackResources"]
    assert {(each["StackName"], each["LogicalResourceId"]) for each in found} == {
        (STACK, "Role"),
        (STACK, "Connection"),
    }


@pytest.mark.parametrize(
    ("on_failure", "status", "left"),
    [("ROLLBACK", "ROLLBACK_COMPLETE", False), ("DO_NOTHING", "CREATE_FAILED", True), ("DELETE", None, False)],
)
def test_what_becomes_of_a_failed_creation_can_be_chosen(
    client: Client, at_once: None, on_failure: str, status: str | None, left: bool
) -> None:
    cloudformation = client("cloudformation", D)
    stack = cloudformation.create_stack(**REQUEST, OnFailure=on_failure)["StackId"]
    assert (ROLE in role_names(client, D)) == left
    found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    assert found == (status or "DELETE_COMPLETE")
    if status is None:
        assert refusal(cloudformation.describe_stacks, StackName=STACK)[0] == "ValidationError"
        assert reasons_of(cloudformation, stack)[STACK, "DELETE_IN_PROGRESS"] == (
            "The following resource(s) failed to create: [Connection]. Delete requested by user."
        )
    else:
        cloudformation.delete_stack(StackName=STACK)
        assert status_of(cloudformation, stack) == "DELETE_COMPLETE"
        assert ("Connection", "CREATE_FAILED") in events_of(cloudformation, stack), "still there, by the stack's id"
        assert ROLE not in role_names(client, D)


def test_a_protected_stack_is_not_deleted(client: Client, connect: Connect) -> None:
    connect(B, EnableTerminationProtection=True)
    cloudformation = client("cloudformation", B)
    found = refusal(cloudformation.delete_stack, StackName=STACK)
    assert found == ("ValidationError", f"Stack [{STACK}] cannot be deleted while TerminationProtection is enabled")
    cloudformation.update_termination_protection(StackName=STACK, EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName=STACK)
    assert ROLE not in role_names(client, B)


# When bucketAV is not there for its connections


@pytest.fixture
def allowlist(client: Client, at_once: None) -> Callable[[str], None]:
    """Set AWSAccountRestriction of bucketAV's stack."""

    def make(accounts: str) -> None:
        cloudformation = client("cloudformation", A)
        others = dict.fromkeys(shown(stack_of(cloudformation, "bucketav")), PREVIOUS)
        cloudformation.update_stack(
            StackName="bucketav",
            UsePreviousTemplate=True,
            Parameters=given(**{**others, "AWSAccountRestriction": accounts}),
            Capabilities=["CAPABILITY_IAM"],
        )
        assert status_of(cloudformation, "bucketav") == "UPDATE_COMPLETE"

    return make


@pytest.mark.parametrize("accounts", ["", B], ids=["nobody", "others"])
def test_a_stack_cannot_be_deleted_once_its_account_is_off_the_allowlist(
    client: Client, allowlist: Callable[[str], None], accounts: str
) -> None:
    """Its custom resource can no longer say that it goes. Without it the stack can go."""
    allowlist(accounts)
    cloudformation = client("cloudformation", C)
    cloudformation.delete_stack(StackName=STACK)
    stack = stack_of(cloudformation, STACK)
    assert (stack["StackStatus"], stack["StackStatusReason"]) == (
        "DELETE_FAILED",
        "The following resource(s) failed to delete: [Connection]. ",
    )
    assert "perform: SNS:Publish" in reasons_of(cloudformation, STACK)["Connection", "DELETE_FAILED"]
    assert ROLE in role_names(client, C), "the connection is deleted before its role"
    cloudformation.delete_stack(StackName=STACK, RetainResources=["Connection"])
    assert status_of(cloudformation, stack["StackId"]) == "DELETE_COMPLETE"
    assert ROLE not in role_names(client, C)


def test_a_topic_without_bucketav_behind_it_answers_nobody(
    client: Client, connect: Connect, allowlist: Callable[[str], None]
) -> None:
    allowlist("")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": TOPIC}
    sns = client("sns", A)
    sns.create_topic(Name=TOPIC.rpartition(":")[2])
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="Policy", AttributeValue=policy)
    connect(B)
    reason = reasons_of(client("cloudformation", B), STACK)["Connection", "CREATE_FAILED"]
    assert reason.startswith("CloudFormation did not receive a response from your Custom Resource.")


# What bucketAV's function insists on


def body_with(client: Client, *changes: tuple[str, str]) -> dict[str, Any]:
    """A request with the template changed."""
    key = url().partition(".com/")[2]
    text = client("s3", B).get_object(Bucket="bucketav-add-ons", Key=key)["Body"].read().decode()
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    return {**{name: value for name, value in REQUEST.items() if name != "TemplateURL"}, "TemplateBody": text}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (
            ('!Select [2, !Split ["/", !Ref AWS::StackId]]', '"another"'),
            f"is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::{B}:role/{ROLE} (",
        ),
        (
            ("role/${BucketAVStackName}-*", "role/nobody-*"),
            f"is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::{B}:role/{ROLE} (",
        ),
        (
            ("organizations:DescribeOrganization", "organizations:ListRoots"),
            f"User: arn:aws:sts::{B}:assumed-role/{ROLE}/bucketav is not authorized to perform: "
            "organizations:DescribeOrganization on resource: * because no identity-based policy allows",
        ),
        (
            ("RoleName: !Ref Role", "Role: !Ref Role"),
            "Message returned: The custom resource says nothing about RoleName. (RequestId: ",
        ),
    ],
    ids=["external id", "trust", "organization", "property"],
)
def test_a_role_that_bucketav_cannot_use_is_no_connection(
    client: Client,
    at_once: None,
    items: Callable[[], dict[str, dict[str, str]]],
    change: tuple[str, str],
    answer: str,
) -> None:
    cloudformation = client("cloudformation", B)
    cloudformation.create_stack(**body_with(client, change))
    assert status_of(cloudformation, STACK) == "ROLLBACK_COMPLETE"
    reason = reasons_of(cloudformation, STACK)["Connection", "CREATE_FAILED"]
    assert reason.startswith("Received response status [FAILED] from custom resource. Message returned: ")
    assert answer in reason
    assert B not in items()
    assert ROLE not in role_names(client, B)


@pytest.mark.parametrize("action", ["sts:AssumeRole", "dynamodb:PutItem", "dynamodb:GetItem"])
def test_bucketavs_function_does_what_its_role_may(client: Client, connect: Connect, action: str) -> None:
    role = resources_of(client("cloudformation", A), "bucketav")["AccountConnectionRole"]
    assert role.startswith("bucketav-AccountConnectionRole-")
    deny = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    client("iam", A).put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=document)
    connect(B)
    reason = reasons_of(client("cloudformation", B), STACK)["Connection", "CREATE_FAILED"]
    assert f"User: arn:aws:sts::{A}:assumed-role/{role}/bucketav-AccountConnectionFunction-" in reason
    assert f"perform: {action} on" in reason


def test_only_the_stacks_own_item_goes_with_it(
    client: Client, connect: Connect, items: Callable[[], dict[str, dict[str, str]]]
) -> None:
    connect(B)
    item = {**items()[B], "stack_id": "another"}
    table = client("dynamodb", A)
    table.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in item.items()})
    client("cloudformation", B).delete_stack(StackName=STACK)
    assert items()[B] == item


# What the scan role may do then


@pytest.fixture
def connected(connect: Connect, scan_role_client: Client, client_with: Client) -> Callable[..., Any]:
    """An S3 client with the connection role of account b, which the scan role has assumed."""

    def make(**request: Any) -> Any:
        external_id = connect(B, **request)["StackId"].split("/")[2]
        session = scan_role_client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{B}:role/{ROLE}", RoleSessionName="probe", ExternalId=external_id
        )
        return client_with("s3", session["Credentials"])

    return make


def test_the_scan_role_reads_a_plain_and_an_encrypted_bucket(
    connected: Callable[..., Any], scan_role_client: Client
) -> None:
    s3 = connected()
    for bucket, key, content in (
        ("uploads-b", "readme.txt", b"Uploads\n"),
        ("documents-b", "contracts/acme.txt", b"Contract\n"),
    ):
        assert refusal(scan_role_client("s3").get_object, Bucket=bucket, Key=key)[0] == "AccessDenied"
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == content
        assert key in {each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]}
        tags = [{"Key": "bucketav", "Value": "clean"}]
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})
        assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == tags
        s3.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize(
    ("restriction", "works"),
    [
        ({"S3BucketRestriction": "arn:aws:s3:::uploads-b"}, {"list": True, "read": True}),
        ({"S3BucketRestriction": "arn:aws:s3:::other"}, {"list": False, "read": True}),
        ({"S3ObjectRestriction": "arn:aws:s3:::documents-b/*"}, {"list": True, "read": False}),
    ],
)
def test_the_restrictions_narrow_what_it_may(
    connected: Callable[..., Any], restriction: dict[str, str], works: dict[str, bool]
) -> None:
    s3 = connected(Parameters=given(BucketAVAccountId=A, **restriction))
    calls: dict[str, tuple[Any, dict[str, str]]] = {
        "list": (s3.list_objects_v2, {"Bucket": "uploads-b"}),
        "read": (s3.get_object, {"Bucket": "uploads-b", "Key": "readme.txt"}),
    }
    for name, (call, arguments) in calls.items():
        if works[name]:
            call(**arguments)
        else:
            assert refusal(call, **arguments)[0] == "AccessDenied"


def test_a_key_that_is_not_among_them_is_not_used(connected: Callable[..., Any]) -> None:
    key = f"arn:aws:kms:eu-west-1:{B}:key/another"
    s3 = connected(Parameters=given(BucketAVAccountId=A, KMSKeyRestriction=key))
    s3.get_object(Bucket="uploads-b", Key="readme.txt")
    code, message = refusal(s3.get_object, Bucket="documents-b", Key="contracts/acme.txt")
    assert code == "AccessDenied"
    assert "perform: kms:Decrypt" in message


@pytest.mark.parametrize("external_id", [None, "another"])
def test_the_role_is_not_assumed_without_its_external_id(
    connect: Connect, scan_role_client: Client, external_id: str | None
) -> None:
    connect(B)
    given_id = {} if external_id is None else {"ExternalId": external_id}
    role = f"arn:aws:iam::{B}:role/{ROLE}"
    found = refusal(scan_role_client("sts").assume_role, RoleArn=role, RoleSessionName="probe", **given_id)
    assert found[0] == "AccessDenied"


@pytest.mark.parametrize("name", [ORGANIZATION_ROLE, "scanner", "bucketav-without-policy"])
def test_the_role_is_not_assumed_by_another_role_of_account_a(
    client: Client, client_with: Client, connect: Connect, name: str
) -> None:
    """Neither by one that may do everything and is not named like bucketAV's, nor by one that only is."""
    iam = client("iam", A)
    if name != ORGANIZATION_ROLE:
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{A}:root"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    if name == "scanner":
        iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    external_id = connect(B)["StackId"].split("/")[2]
    sts = client("sts", A)
    if name != ORGANIZATION_ROLE:
        session = sts.assume_role(RoleArn=f"arn:aws:iam::{A}:role/{name}", RoleSessionName="me")["Credentials"]
        sts = client_with("sts", session)
    found = refusal(
        sts.assume_role, RoleArn=f"arn:aws:iam::{B}:role/{ROLE}", RoleSessionName="probe", ExternalId=external_id
    )
    assert found[0] == "AccessDenied"
