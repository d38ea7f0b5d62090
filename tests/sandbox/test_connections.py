"""Connecting an account: a stack in it, bucketAV's function in account a, and what the scan role may do afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import clock
from tests.sandbox.cloudformation import (
    A,
    B,
    changes_of,
    events_of,
    given,
    outputs,
    reasons_of,
    refusal,
    resources_of,
    stack_of,
    status_of,
)

C, D, PILOT, SEALED = "333333333333", "444444444444", "888888888888", "121212121212"
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
