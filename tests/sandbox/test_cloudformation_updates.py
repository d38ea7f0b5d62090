"""Operations on stacks as on AWS: they take time, leave events, take back what failed, and refuse to be disturbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import clock, server
from tests.sandbox.cloudformation import (
    PREVIOUS,
    B,
    body,
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
from tests.sandbox.conftest import Passes

Client = Callable[..., Any]

TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "TableName": "taken",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    },
}
DONE = 10.0
"""Parts of an operation's time after which all is over."""


@pytest.fixture
def cloudformation(client: Client) -> Any:
    return client("cloudformation", B)


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


def queue(seconds: int, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "queue", "DelaySeconds": seconds, **properties}}


def stack_events(cloudformation: Any) -> list[str]:
    return [status for name, status in events_of(cloudformation) if name == "test"]


def displayed(client: Client, name: str) -> str:
    arn = f"arn:aws:sns:eu-west-1:{B}:{name}"
    return str(client("sns", B).get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"])


def delay(client: Client) -> str:
    url = client("sqs", B).get_queue_url(QueueName="queue")["QueueUrl"]
    attributes = client("sqs", B).get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]
    return str(attributes["DelaySeconds"])


def take_table(client: Client) -> None:
    """A table with the name that a template wants, made by hand."""
    properties = TABLE["Properties"]
    assert isinstance(properties, dict)
    client("dynamodb", B).create_table(**properties)


# Time


def test_an_operation_goes_on_after_the_call_and_shows_how_far_it_is(
    cloudformation: Any, client: Client, passes: Passes
) -> None:
    """AWS, CreateStack: "After the call completes successfully, the stack creation starts"; UpdateStack: new parameters
    are shown at once, outputs when it is complete. Resources change one after the other, not before their events.
    """
    declared = {"P": {"Type": "String"}}
    resources = {f"T{number}": topic(TopicName=f"t{number}", DisplayName={"Ref": "P"}) for number in range(4)}
    template = body(Parameters=declared, Resources=resources, Outputs={"P": {"Value": {"Ref": "P"}}})
    cloudformation.create_stack(StackName="test", TemplateBody=template, Parameters=given(P="one"))
    assert (status_of(cloudformation), outputs(stack_of(cloudformation))) == ("CREATE_IN_PROGRESS", {})
    assert client("sns", B).list_topics()["Topics"] == []
    passes(0.5)
    assert status_of(cloudformation) == "CREATE_IN_PROGRESS"
    assert 0 < len(client("sns", B).list_topics()["Topics"]) < 4
    passes(DONE)
    assert (status_of(cloudformation), outputs(stack_of(cloudformation))) == ("CREATE_COMPLETE", {"P": "one"})
    cloudformation.update_stack(StackName="test", UsePreviousTemplate=True, Parameters=given(P="two"))
    halfway = stack_of(cloudformation)
    assert (halfway["StackStatus"], shown(halfway), outputs(halfway)) == (
        "UPDATE_IN_PROGRESS",
        {"P": "two"},
        {"P": "one"},
    )
    assert displayed(client, "t3") == "one"
    passes(DONE)
    assert outputs(stack_of(cloudformation)) == {"P": "two"}
    assert displayed(client, "t3") == "two"


def test_whoever_looks_only_at_the_end_finds_everything_done(
    cloudformation: Any, client: Client, passes: Passes
) -> None:
    """No request is needed to keep an operation going, and the first to arrive may be one to another service."""
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"T": topic(TopicName="t")}))
    passes(DONE)
    assert displayed(client, "t") == ""
    assert status_of(cloudformation) == "CREATE_COMPLETE"


def test_what_an_operation_names_does_not_depend_on_who_looks_on(administrator: Client, passes: Passes) -> None:
    """Stored outputs stay the same however often somebody polls, and whatever ids other calls make up meanwhile."""

    def made(looks: int) -> dict[str, str]:
        server.reset()
        cloudformation, sts = administrator("cloudformation"), administrator("sts")
        cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"A": topic(), "B": topic()}))
        role = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
        for _ in range(looks):
            sts.assume_role(RoleArn=role, RoleSessionName="noise")
            passes(0.1)
        passes(DONE)
        return resources_of(cloudformation)

    assert made(0) == made(7)


def test_events_tell_the_history_newest_first_and_in_pages(
    cloudformation: Any, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS, DescribeStackEvents: "Returns all stack related events for a specified stack in reverse chronological
    order"; StackEvent, ClientRequestToken: "All events triggered by a given stack operation are assigned the same
    client request token".
    """
    resources = {"Queue": queue(1), "Topic": topic(TopicName="t")}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources), ClientRequestToken="first")
    passes(DONE)
    created = [
        ("test", "CREATE_IN_PROGRESS"),
        ("Queue", "CREATE_IN_PROGRESS"),
        ("Queue", "CREATE_IN_PROGRESS"),
        ("Queue", "CREATE_COMPLETE"),
        ("Topic", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_COMPLETE"),
        ("test", "CREATE_COMPLETE"),
    ]
    assert events_of(cloudformation) == created
    changed = body(Resources={"Queue": queue(2), "Other": topic(TopicName="o")})
    cloudformation.update_stack(StackName="test", TemplateBody=changed, ClientRequestToken="second")
    passes(DONE)
    updated = [
        ("test", "UPDATE_IN_PROGRESS"),
        ("Queue", "UPDATE_IN_PROGRESS"),
        ("Queue", "UPDATE_COMPLETE"),
        ("Other", "CREATE_IN_PROGRESS"),
        ("Other", "CREATE_IN_PROGRESS"),
        ("Other", "CREATE_COMPLETE"),
        ("test", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Topic", "DELETE_IN_PROGRESS"),
        ("Topic", "DELETE_COMPLETE"),
        ("test", "UPDATE_COMPLETE"),
    ]
    assert events_of(cloudformation) == [*created, *updated]
    events = cloudformation.describe_stack_events(StackName="test")["StackEvents"]
    assert [event["ClientRequestToken"] for event in events] == ["second"] * 10 + ["first"] * 8
    assert len({event["EventId"] for event in events}) == 18
    times = [event["Timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[9], "they are spread over the operation"
    assert reasons_of(cloudformation)["test", "UPDATE_IN_PROGRESS"] == "User Initiated"
    from runbook.sandbox.cloudformation import handlers

    monkeypatch.setattr(handlers, "EVENTS_IN_A_PAGE", 5)
    first = cloudformation.describe_stack_events(StackName="test")
    assert first["StackEvents"] == events[:5]
    second = cloudformation.describe_stack_events(StackName="test", NextToken=first["NextToken"])
    assert second["StackEvents"] == events[5:10]
    assert events_of(cloudformation) == [*created, *updated]


# States in which nothing may begin


@pytest.mark.parametrize(("parts", "state"), [(0, "UPDATE_IN_PROGRESS"), (0.55, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")])
def test_an_update_refuses_another_one_while_it_goes_on(
    cloudformation: Any, passes: Passes, parts: float, state: str
) -> None:
    """AWS: ValidationError, "Stack:ARN is in STATE state and can not be updated."."""
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"A": topic(), "B": topic()}))
    passes(DONE)
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources={"C": topic()}))
    passes(parts)
    found = stack_of(cloudformation)
    assert found["StackStatus"] == state
    expected = ("ValidationError", f"Stack:{found['StackId']} is in {state} state and can not be updated.")
    assert refusal(cloudformation.update_stack, StackName="test", TemplateBody=body()) == expected
    arguments = {"StackName": "test", "ChangeSetName": "c", "TemplateBody": body()}
    assert refusal(cloudformation.create_change_set, **arguments) == expected
    passes(DONE)
    cloudformation.update_stack(StackName="test", TemplateBody=body())


def test_a_stack_that_is_being_updated_cannot_be_deleted(cloudformation: Any, passes: Passes) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    passes(DONE)
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources={"C": topic()}))
    code, message = refusal(cloudformation.delete_stack, StackName="test")
    assert (code, message.rpartition("] ")[2]) == (
        "ValidationError",
        "cannot be deleted while in status UPDATE_IN_PROGRESS",
    )


def test_a_stack_that_is_being_deleted_cannot_be_updated(cloudformation: Any, passes: Passes) -> None:
    made = cloudformation.create_stack(StackName="test", TemplateBody=body())
    passes(DONE)
    cloudformation.delete_stack(StackName="test")
    arguments = {"TemplateBody": body(Resources={"C": topic()})}
    code, message = refusal(cloudformation.update_stack, StackName="test", **arguments)
    assert (code, message.partition(" ")[2]) == (
        "ValidationError",
        "is in DELETE_IN_PROGRESS state and can not be updated.",
    )
    passes(DONE)
    missing = ("ValidationError", "Stack [test] does not exist")
    assert refusal(cloudformation.update_stack, StackName="test", **arguments) == missing
    code, message = refusal(cloudformation.update_stack, StackName=made["StackId"], **arguments)
    assert (code, message.partition(" ")[2]) == (
        "ValidationError",
        "is in DELETE_COMPLETE state and can not be updated.",
    )


# Failures


@pytest.mark.parametrize("way", ["stack", "change set"])
def test_an_update_that_fails_takes_everything_back(
    cloudformation: Any, client: Client, at_once: None, way: str
) -> None:
    """AWS, "Stack status codes": UPDATE_ROLLBACK_COMPLETE, the stack is as it was before the failed update; the events
    say which resource failed and why.
    """
    declared = {"P": {"Type": "String", "Default": "one"}, "Secret": {"Type": "String", "NoEcho": True}}
    kept = {"Topic": topic(TopicName="t", DisplayName={"Ref": "P"}), "Gone": topic(TopicName="gone")}
    said = {"Said": {"Value": {"Fn::Sub": "${P} ${Secret}"}}}
    template = body(Parameters=declared, Resources={**kept, "Queue": queue(1)}, Outputs=said)
    cloudformation.create_stack(StackName="test", TemplateBody=template, Parameters=given(Secret="s"))
    before = {
        name: stack_of(cloudformation)[name] for name in ("Parameters", "Outputs", "StackId", "CreationTime", "Tags")
    }
    ids = resources_of(cloudformation)
    take_table(client)
    client("dynamodb", B).put_item(TableName="taken", Item={"id": {"S": "precious"}})
    resources = {"Topic": kept["Topic"], "Queue": queue(2), "Added": topic(TopicName="added"), "Table": TABLE}
    asked: dict[str, Any] = {
        "TemplateBody": body(Parameters=declared, Resources=resources, Outputs={"New": {"Value": "x"}}),
        "Parameters": given(P="two", Secret=PREVIOUS),
    }
    if way == "stack":
        cloudformation.update_stack(StackName="test", **asked)
    else:
        made = cloudformation.create_change_set(StackName="test", ChangeSetName="c", **asked)
        cloudformation.execute_change_set(StackName="test", ChangeSetName="c")
        found = cloudformation.describe_change_set(ChangeSetName=made["Id"])
        assert found["ExecutionStatus"] == "EXECUTE_FAILED"
    after = stack_of(cloudformation)
    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert {name: after[name] for name in before} == before
    assert resources_of(cloudformation) == ids
    assert (displayed(client, "t"), delay(client)) == ("one", "1")
    names = [each["TopicArn"].rpartition(":")[2] for each in client("sns", B).list_topics()["Topics"]]
    assert names == ["t", "gone"]
    assert client("dynamodb", B).scan(TableName="taken")["Count"] == 1, "what was made by hand is not touched"
    start = events_of(cloudformation).index(("test", "UPDATE_IN_PROGRESS"))
    assert events_of(cloudformation)[start + 1 :] == [
        ("Topic", "UPDATE_IN_PROGRESS"),
        ("Topic", "UPDATE_COMPLETE"),
        ("Queue", "UPDATE_IN_PROGRESS"),
        ("Queue", "UPDATE_COMPLETE"),
        ("Added", "CREATE_IN_PROGRESS"),
        ("Added", "CREATE_IN_PROGRESS"),
        ("Added", "CREATE_COMPLETE"),
        ("Table", "CREATE_IN_PROGRESS"),
        ("Table", "CREATE_FAILED"),
        ("test", "UPDATE_ROLLBACK_IN_PROGRESS"),
        ("Queue", "UPDATE_IN_PROGRESS"),
        ("Queue", "UPDATE_COMPLETE"),
        ("Topic", "UPDATE_IN_PROGRESS"),
        ("Topic", "UPDATE_COMPLETE"),
        ("test", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Table", "DELETE_COMPLETE"),
        ("Added", "DELETE_IN_PROGRESS"),
        ("Added", "DELETE_COMPLETE"),
        ("test", "UPDATE_ROLLBACK_COMPLETE"),
    ]
    reasons = reasons_of(cloudformation)
    assert reasons["Table", "CREATE_FAILED"] == "taken already exists"
    assert reasons["test", "UPDATE_ROLLBACK_IN_PROGRESS"] == "The following resource(s) failed to create: [Table]. "
    cloudformation.update_stack(StackName="test", UsePreviousTemplate=True, Parameters=given(P="3", Secret=PREVIOUS))
    assert outputs(stack_of(cloudformation)) == {"Said": "3 s"}


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (topic(TopicName="taken"), f"arn:aws:sns:eu-west-1:{B}:taken already exists"),
        ({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "taken"}}, "taken already exists"),
        (TABLE, "taken already exists"),
        ({"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/taken", "Type": "String", "Value": "x"}},
         "/taken already exists"),
        (topic(TopicName="not a name"), "Topic names must be made up of only uppercase and lowercase ASCII letters"),
        ({"Type": "AWS::SQS::QueuePolicy",
          "Properties": {"Queues": [f"https://sqs.eu-west-1.amazonaws.com/{B}/none"], "PolicyDocument": {}}},
         "The specified queue does not exist."),
        ({"Type": "AWS::SQS::QueuePolicy",
          "Properties": {"Queues": [f"https://sqs.eu-west-1.amazonaws.com/{B}/taken"], "PolicyDocument": {}}},
         "Invalid value for the parameter Policy."),
    ],
)  # fmt: skip
def test_a_resource_that_cannot_be_made_says_why(
    cloudformation: Any, client: Client, at_once: None, resource: dict[str, Any], reason: str
) -> None:
    """Whatever the service answers is the event's reason; of a new stack nothing remains. AWS, "Stack status codes":
    ROLLBACK_COMPLETE, what a failed creation had made is removed.
    """
    take_table(client)
    client("sns", B).create_topic(Name="taken")
    client("sqs", B).create_queue(QueueName="taken")
    client("ssm", B).put_parameter(Name="/taken", Type="String", Value="mine")
    resources = {"First": topic(TopicName="first"), "Failing": {**resource, "DependsOn": "First"}}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    assert reasons_of(cloudformation)["Failing", "CREATE_FAILED"].startswith(reason)
    assert reasons_of(cloudformation)["test", "ROLLBACK_IN_PROGRESS"] == (
        "The following resource(s) failed to create: [Failing]. Rollback requested by user."
    )
    assert stack_events(cloudformation) == ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
    assert [each["TopicArn"].rpartition(":")[2] for each in client("sns", B).list_topics()["Topics"]] == ["taken"]
    statuses = {
        each["LogicalResourceId"]: each["ResourceStatus"]
        for each in cloudformation.describe_stack_resources(StackName="test")["StackResources"]
    }
    assert statuses == {"First": "DELETE_COMPLETE", "Failing": "DELETE_COMPLETE"}
    found = stack_of(cloudformation)
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    expected = f"Stack:{found['StackId']} is in ROLLBACK_COMPLETE state and can not be updated."
    assert refusal(cloudformation.update_stack, StackName="test", TemplateBody=body()) == ("ValidationError", expected)
    cloudformation.delete_stack(StackName="test")
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    assert status_of(cloudformation) == "CREATE_COMPLETE"


def test_a_resource_that_cannot_be_changed_takes_the_others_back_too(
    cloudformation: Any, client: Client, at_once: None
) -> None:
    resources = {"Topic": topic(TopicName="t", DisplayName="one"), "Queue": queue(1)}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    nowhere = {"deadLetterTargetArn": f"arn:aws:sqs:eu-west-1:{B}:none", "maxReceiveCount": 3}
    failing = {
        "Topic": topic(TopicName="t", DisplayName="two"),
        "Queue": {**queue(2, RedrivePolicy=nowhere), "DependsOn": "Topic"},
    }
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources=failing))
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_COMPLETE"
    reasons = reasons_of(cloudformation)
    assert reasons["Queue", "UPDATE_FAILED"].startswith("Could not find DLQ")
    assert reasons["test", "UPDATE_ROLLBACK_IN_PROGRESS"] == "The following resource(s) failed to update: [Queue]. "
    assert (displayed(client, "t"), delay(client)) == ("one", "1")
    text = cloudformation.get_template(StackName="test")["TemplateBody"]
    assert dict(text)["Resources"] == resources


def test_a_resource_that_fails_half_made_is_removed(cloudformation: Any, client: Client, at_once: None) -> None:
    """The role is there before its policy turns out not to exist."""
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": "half",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
            "ManagedPolicyArns": [f"arn:aws:iam::{B}:policy/none"],
        },
    }
    capabilities = ["CAPABILITY_NAMED_IAM"]
    cloudformation.create_stack(
        StackName="test", TemplateBody=body(Resources={"Role": role}), Capabilities=capabilities
    )
    assert status_of(cloudformation) == "ROLLBACK_COMPLETE"
    assert "half" not in [each["RoleName"] for each in client("iam", B).list_roles()["Roles"]]


@pytest.mark.parametrize(
    ("arguments", "state"),
    [({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED"), ({"DisableRollback": True}, "CREATE_FAILED"),
     ({"OnFailure": "ROLLBACK"}, "ROLLBACK_COMPLETE"), ({"OnFailure": "DELETE"}, "DELETE_COMPLETE")],
)  # fmt: skip
def test_what_a_failed_creation_leaves_can_be_chosen(
    cloudformation: Any, client: Client, at_once: None, arguments: dict[str, Any], state: str
) -> None:
    """AWS, CreateStack, OnFailure: "DO_NOTHING, ROLLBACK, or DELETE"."""
    take_table(client)
    resources = {"First": topic(TopicName="first"), "Table": {**TABLE, "DependsOn": "First"}}
    made = cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources), **arguments)
    assert status_of(cloudformation, made["StackId"]) == state
    assert len(client("sns", B).list_topics()["Topics"]) == (1 if state == "CREATE_FAILED" else 0)


def test_a_replacement_that_fails_later_is_taken_back(cloudformation: Any, client: Client, at_once: None) -> None:
    """AWS, "Update behaviors", replacement: the old resource is deleted only when the update has succeeded."""
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"Topic": topic(TopicName="old")}))
    take_table(client)
    resources = {"Topic": topic(TopicName="new"), "Table": {**TABLE, "DependsOn": "Topic"}}
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources=resources))
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_COMPLETE"
    assert resources_of(cloudformation) == {"Topic": f"arn:aws:sns:eu-west-1:{B}:old"}
    assert [each["TopicArn"].rpartition(":")[2] for each in client("sns", B).list_topics()["Topics"]] == ["old"]


def test_a_replacement_makes_the_new_one_first(cloudformation: Any, client: Client, at_once: None) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"Topic": topic(TopicName="old")}))
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources={"Topic": topic(TopicName="new")}))
    assert resources_of(cloudformation) == {"Topic": f"arn:aws:sns:eu-west-1:{B}:new"}
    assert events_of(cloudformation)[-7:] == [
        ("Topic", "UPDATE_IN_PROGRESS"),
        ("Topic", "UPDATE_IN_PROGRESS"),
        ("Topic", "UPDATE_COMPLETE"),
        ("test", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Topic", "DELETE_IN_PROGRESS"),
        ("Topic", "DELETE_COMPLETE"),
        ("test", "UPDATE_COMPLETE"),
    ]
    events = cloudformation.describe_stack_events(StackName="test")["StackEvents"]
    reasons = [event.get("ResourceStatusReason") for event in events]
    assert "Requested update requires the creation of a new physical resource; hence creating one." in reasons
    assert [each["TopicArn"].rpartition(":")[2] for each in client("sns", B).list_topics()["Topics"]] == ["new"]


@pytest.mark.parametrize("skipping", [False, True])
def test_a_rollback_that_fails_can_be_continued(
    cloudformation: Any, client: Client, passes: Passes, skipping: bool
) -> None:
    """AWS, "Continue rolling back an update": UPDATE_ROLLBACK_FAILED when a resource cannot be changed back, here
    because somebody deletes it meanwhile; ContinueUpdateRollback once that is repaired, or with ResourcesToSkip.
    """
    resources = {"Queue": queue(1), "Topic": topic(TopicName="t", DisplayName="one")}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    passes(DONE)
    take_table(client)
    failing = {
        "Queue": queue(2),
        "Topic": topic(TopicName="t", DisplayName="two"),
        "Table": {**TABLE, "DependsOn": ["Queue", "Topic"]},
    }
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources=failing))
    passes(0.5)
    assert (status_of(cloudformation), delay(client)) == ("UPDATE_IN_PROGRESS", "2")
    url = client("sqs", B).get_queue_url(QueueName="queue")["QueueUrl"]
    client("sqs", B).delete_queue(QueueUrl=url)
    passes(DONE)
    found = stack_of(cloudformation)
    assert (found["StackStatus"], found["StackStatusReason"]) == (
        "UPDATE_ROLLBACK_FAILED",
        "The following resource(s) failed to update: [Queue]. ",
    )
    assert reasons_of(cloudformation)["Queue", "UPDATE_FAILED"] == "The specified queue does not exist."
    expected = f"Stack:{found['StackId']} is in UPDATE_ROLLBACK_FAILED state and can not be updated."
    changed = body(Resources={"Topic": topic()})
    for call, named in (
        (cloudformation.update_stack, {}),
        (cloudformation.create_change_set, {"ChangeSetName": "change"}),
    ):
        assert refusal(call, StackName="test", TemplateBody=changed, **named) == ("ValidationError", expected)
    if skipping:
        cloudformation.continue_update_rollback(StackName="test", ResourcesToSkip=["Queue"])
    else:
        client("sqs", B).create_queue(QueueName="queue")
        cloudformation.continue_update_rollback(StackName="test")
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_IN_PROGRESS"
    passes(DONE)
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_COMPLETE"
    assert displayed(client, "t") == "one"
    assert skipping or delay(client) == "1"
    code, message = refusal(cloudformation.continue_update_rollback, StackName="test")
    assert (code, "UPDATE_ROLLBACK_COMPLETE state" in message) == ("ValidationError", True)


def test_what_cannot_be_deleted_after_an_update_is_left_behind(
    cloudformation: Any, client: Client, at_once: None
) -> None:
    """AWS: UPDATE_COMPLETE, "Update successful. One or more resources could not be deleted."; they are not the stack's
    any more.
    """
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stack-bucket-b"}}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"Bucket": bucket, "Topic": topic()}))
    client("s3", B).put_object(Bucket="stack-bucket-b", Key="k", Body=b"x")
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources={"Topic": topic()}))
    found = stack_of(cloudformation)
    assert (found["StackStatus"], found["StackStatusReason"]) == (
        "UPDATE_COMPLETE",
        "Update successful. One or more resources could not be deleted.",
    )
    assert list(resources_of(cloudformation)) == ["Topic"]
    assert client("s3", B).list_objects_v2(Bucket="stack-bucket-b")["KeyCount"] == 1


# Deleting


def test_deleting_removes_what_the_stack_has_made(cloudformation: Any, client: Client, passes: Passes) -> None:
    """AWS, DeleteStack: "Once the call completes successfully, stack deletion starts"; what DeletionPolicy retains
    stays.
    """
    resources = {"Topic": topic(TopicName="t"), "Kept": {**topic(TopicName="kept"), "DeletionPolicy": "Retain"}}
    made = cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))["StackId"]
    passes(DONE)
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation) == "DELETE_IN_PROGRESS"
    passes(DONE)
    assert refusal(cloudformation.describe_stacks, StackName="test") == (
        "ValidationError",
        "Stack with id test does not exist",
    )
    assert status_of(cloudformation, made) == "DELETE_COMPLETE"
    assert events_of(cloudformation, made)[-5:] == [
        ("test", "DELETE_IN_PROGRESS"),
        ("Kept", "DELETE_SKIPPED"),
        ("Topic", "DELETE_IN_PROGRESS"),
        ("Topic", "DELETE_COMPLETE"),
        ("test", "DELETE_COMPLETE"),
    ]
    assert [each["TopicArn"].rpartition(":")[2] for each in client("sns", B).list_topics()["Topics"]] == ["kept"]
    cloudformation.delete_stack(StackName="test")  # one that is not there is no error


def test_a_deletion_that_fails_can_retain_the_resource(cloudformation: Any, client: Client, at_once: None) -> None:
    """AWS, DeleteStack, RetainResources: "For stacks in the DELETE_FAILED state"."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stack-bucket-b"}}
    made = cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"Bucket": bucket}))["StackId"]
    client("s3", B).put_object(Bucket="stack-bucket-b", Key="k", Body=b"x")
    assert refusal(cloudformation.delete_stack, StackName="test", RetainResources=["Bucket"])[0] == "ValidationError"
    cloudformation.delete_stack(StackName="test")
    found = stack_of(cloudformation)
    assert (found["StackStatus"], found["StackStatusReason"]) == (
        "DELETE_FAILED",
        "The following resource(s) failed to delete: [Bucket]. ",
    )
    cloudformation.delete_stack(StackName="test", RetainResources=["Bucket"])
    assert status_of(cloudformation, made) == "DELETE_COMPLETE"
    assert client("s3", B).list_objects_v2(Bucket="stack-bucket-b")["KeyCount"] == 1


def test_a_protected_stack_is_not_deleted(cloudformation: Any, at_once: None) -> None:
    """AWS, "Protect CloudFormation stacks from being deleted"."""
    cloudformation.create_stack(StackName="test", TemplateBody=body(), EnableTerminationProtection=True)
    expected = ("ValidationError", "Stack [test] cannot be deleted while TerminationProtection is enabled")
    assert refusal(cloudformation.delete_stack, StackName="test") == expected
    cloudformation.update_termination_protection(StackName="test", EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName="test")
    assert refusal(cloudformation.describe_stacks, StackName="test")[0] == "ValidationError"


# Repeated calls


def test_a_repeated_creation_or_update_with_its_token_changes_nothing(cloudformation: Any, at_once: None) -> None:
    """AWS, ClientRequestToken: "Specify this token if you plan to retry requests". Without it a name is taken, and the
    same update has nothing to do.
    """
    created = {"StackName": "test", "TemplateBody": body(), "ClientRequestToken": "1"}
    ids = {cloudformation.create_stack(**created)["StackId"] for _ in range(2)}
    assert len(ids) == 1
    updated = {"StackName": "test", "TemplateBody": body(Resources={"C": topic()}), "ClientRequestToken": "2"}
    for _ in range(2):
        cloudformation.update_stack(**updated)
    assert stack_events(cloudformation).count("UPDATE_IN_PROGRESS") == 1
    without = {name: value for name, value in created.items() if name != "ClientRequestToken"}
    taken = ("AlreadyExistsException", "Stack [test] already exists")
    assert refusal(cloudformation.create_stack, **without) == taken
    other = {**updated, "TemplateBody": body()}
    assert refusal(cloudformation.update_stack, **other)[0] == "TokenAlreadyExistsException"


def test_an_operation_can_take_no_time_at_all(cloudformation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0)
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    assert status_of(cloudformation) == "CREATE_COMPLETE"
    ids = [event["EventId"] for event in cloudformation.describe_stack_events(StackName="test")["StackEvents"]]
    assert len(set(ids)) == 5
