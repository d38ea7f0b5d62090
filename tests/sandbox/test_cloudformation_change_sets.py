"""Change sets as on AWS: what they show, when they can be executed, and what a repeated call does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import clock
from tests.sandbox.cloudformation import (
    PREVIOUS,
    B,
    body,
    changes_of,
    events_of,
    given,
    outputs,
    refusal,
    resources_of,
    shown,
    stack_of,
    status_of,
)
from tests.sandbox.conftest import Passes

Client = Callable[..., Any]

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", B)


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


def parameter(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": "/p", **properties}}


def detail(
    source: str, name: str, recreation: str = "Never", *, entity: str | None = None, evaluation: str = "Static"
) -> dict[str, Any]:
    found = {
        "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation},
        "Evaluation": evaluation,
        "ChangeSource": source,
    }
    return found if entity is None else {**found, "CausingEntity": entity}


def planned(cloudformation: Any, before: str, after: str | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
    """The changes that a change set shows: from one template to the next, or to other parameters."""
    asked = {"UsePreviousTemplate": True} if after is None else {"TemplateBody": after}
    cloudformation.create_stack(StackName="test", TemplateBody=before, Capabilities=["CAPABILITY_IAM"])
    cloudformation.create_change_set(
        StackName="test", ChangeSetName="change", Capabilities=["CAPABILITY_IAM"], **asked, **arguments
    )
    return changes_of(cloudformation)


# What a change set shows


def test_resources_are_added_modified_and_removed(cloudformation: Any) -> None:
    """AWS, ResourceChange: an Add has no physical id yet; a Remove's PolicyAction says what becomes of the resource;
    what stays as it is does not appear.
    """
    stays = topic(TopicName="stays")
    before = {"Kept": stays, "Gone": topic(TopicName="gone"), "Changed": topic(TopicName="t", DisplayName="one")}
    after = {"Kept": stays, "Changed": topic(TopicName="t", DisplayName="two"), "Made": topic()}
    arn = f"arn:aws:sns:eu-west-1:{B}"
    assert planned(cloudformation, body(Resources=before), body(Resources=after)) == {
        "Changed": {
            "Action": "Modify",
            "LogicalResourceId": "Changed",
            "PhysicalResourceId": f"{arn}:t",
            "ResourceType": "AWS::SNS::Topic",
            "Replacement": "False",
            "Scope": ["Properties"],
            "Details": [detail("DirectModification", "DisplayName")],
        },
        "Gone": {
            "PolicyAction": "Delete",
            "Action": "Remove",
            "LogicalResourceId": "Gone",
            "PhysicalResourceId": f"{arn}:gone",
            "ResourceType": "AWS::SNS::Topic",
            "Scope": [],
            "Details": [],
        },
        "Made": {
            "Action": "Add",
            "LogicalResourceId": "Made",
            "ResourceType": "AWS::SNS::Topic",
            "Scope": [],
            "Details": [],
        },
    }


def test_a_parameter_that_changes_is_named_as_the_cause(cloudformation: Any) -> None:
    """AWS, "Example change sets", modifying an input parameter: the reference is static, and a dynamic direct
    modification stands beside it.
    """
    declared = {"Shown": {"Type": "String", "Default": "one"}, "Other": {"Type": "String", "Default": "x"}}
    resources = {
        "Uses": topic(DisplayName={"Fn::Sub": "${Shown}!"}),
        "Not": topic(DisplayName={"Ref": "Other"}),
        "Branch": topic(DisplayName={"Fn::If": ["Never", {"Ref": "Shown"}, "y"]}),
    }
    template = body(
        Parameters=declared, Resources=resources, Conditions={"Never": {"Fn::Equals": [{"Ref": "Other"}, "never"]}}
    )
    found = planned(cloudformation, template, Parameters=given(Shown="two", Other=PREVIOUS))
    assert {name: change["Details"] for name, change in found.items()} == {
        "Uses": [
            detail("ParameterReference", "DisplayName", entity="Shown"),
            detail("DirectModification", "DisplayName", evaluation="Dynamic"),
        ]
    }


def test_a_list_that_means_the_same_changes_no_resource(cloudformation: Any) -> None:
    """The members are trimmed, so that spaces make no difference to resources. It is another parameter value all the
    same: AWS, "Troubleshooting CloudFormation": an update has to change the template or parameter values.
    """
    template = body(
        Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}},
        Resources={"Topic": topic(DisplayName={"Fn::Join": ["", {"Ref": "Names"}]})},
    )
    assert planned(cloudformation, template, Parameters=given(Names="a, b")) == {}
    described = cloudformation.describe_change_set(StackName="test", ChangeSetName="change")
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")


@pytest.mark.parametrize(
    ("kind", "before", "after", "name", "recreation", "replacement"),
    [
        ("AWS::SNS::Topic", {"TopicName": "a"}, {"TopicName": "b"}, "TopicName", "Always", "True"),
        ("AWS::SNS::Topic", {"TopicName": "a"}, {}, "TopicName", "Always", "True"),
        ("AWS::SQS::Queue", {"DelaySeconds": 1}, {"DelaySeconds": 2}, "DelaySeconds", "Never", "False"),
        ("AWS::SQS::Queue", {}, {"QueueName": "q"}, "QueueName", "Always", "True"),
        ("AWS::EC2::VPC", {"CidrBlock": "10.0.0.0/16"}, {"CidrBlock": "10.1.0.0/16"}, "CidrBlock", "Always", "True"),
        ("AWS::EC2::VPC", {"InstanceTenancy": "default"}, {"InstanceTenancy": "dedicated"}, "InstanceTenancy",
         "Conditionally", "Conditional"),
        ("AWS::Lambda::Function", {"Timeout": 1}, {"Timeout": 2}, "Timeout", "Never", "False"),
        ("AWS::Lambda::Permission", {"Principal": "a"}, {"Principal": "b"}, "Principal", "Always", "True"),
        ("AWS::Glue::Job", {"Name": "a"}, {"Name": "b"}, "Name", "Always", "True"),
        ("AWS::Glue::Job", {"JobName": "a"}, {"JobName": "b"}, "JobName", "Always", "True"),
        ("AWS::Glue::Job", {"Role": "a"}, {"Role": "b"}, "Role", "Never", "False"),
    ],
)  # fmt: skip
def test_a_property_that_cannot_be_changed_in_place_means_another_resource(
    cloudformation: Any,
    kind: str,
    before: dict[str, Any],
    after: dict[str, Any],
    name: str,
    recreation: str,
    replacement: str,
) -> None:
    """AWS, resource and property types reference, "Update requires"; ResourceChange, Replacement: "if the
    RequiresRecreation field is Always and the Evaluation field is Static, Replacement is True".
    """
    resources = [{"Thing": {"Type": kind, "Properties": properties}} for properties in (before, after)]
    found = planned(cloudformation, body(Resources=resources[0]), body(Resources=resources[1]))["Thing"]
    assert found["Details"] == [detail("DirectModification", name, recreation)]
    assert (found["Replacement"], found.get("PolicyAction")) == (
        replacement,
        "ReplaceAndDelete" if replacement == "True" else None,
    )


def test_what_refers_to_a_changed_resource_may_change_with_it(cloudformation: Any) -> None:
    """AWS, ResourceChangeDetail, Evaluation: for dynamic ones, CloudFormation "can't determine the target value because
    it depends on the result of an intrinsic function, such as a Ref or Fn::GetAtt". A reference to a resource that is
    changed in place does not move; an attribute of it may.
    """

    def resources(name: str, display: str) -> dict[str, Any]:
        return {
            "Moves": topic(TopicName=name),
            "Stays": topic(TopicName="stays", DisplayName=display),
            "OfMoved": parameter(Name="/a", Value={"Ref": "Moves"}),
            "NamedAfter": parameter(Name={"Fn::GetAtt": ["Moves", "TopicName"]}, Value="x"),
            "OfStaying": parameter(Name="/b", Value={"Ref": "Stays"}),
            "Attribute": parameter(Name="/c", Value={"Fn::Sub": "${Stays.TopicName}"}),
            "Split": parameter(Name="/d", Value={"Fn::Select": [5, {"Fn::Split": [":", {"Ref": "Moves"}]}]}),
        }

    before, after = body(Resources=resources("first", "one")), body(Resources=resources("second", "two"))
    found = planned(cloudformation, before, after)
    dynamic = {"evaluation": "Dynamic"}
    assert {name: change["Details"] for name, change in found.items()} == {
        "Moves": [detail("DirectModification", "TopicName", "Always")],
        "Stays": [detail("DirectModification", "DisplayName")],
        "OfMoved": [detail("ResourceReference", "Value", entity="Moves", **dynamic)],
        "NamedAfter": [detail("ResourceAttribute", "Name", "Always", entity="Moves.TopicName", **dynamic)],
        "Attribute": [detail("ResourceAttribute", "Value", entity="Stays.TopicName", **dynamic)],
        "Split": [detail("ResourceReference", "Value", entity="Moves", **dynamic)],
    }
    assert {name: change["Replacement"] for name, change in found.items()} == {
        "Moves": "True",
        "Stays": "False",
        "OfMoved": "False",
        "NamedAfter": "Conditional",
        "Attribute": "False",
        "Split": "False",
    }
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    updated = {name for name, status in events_of(cloudformation) if status == "UPDATE_COMPLETE"}
    assert updated == {"test", "Moves", "Stays", "OfMoved", "NamedAfter", "Split"}, "not what came out the same"


def test_tags_and_metadata_are_attributes_of_their_own(cloudformation: Any) -> None:
    """AWS, ResourceTargetDefinition, Attribute: Properties, Metadata, Tags, and others."""
    before = {"Topic": topic(TopicName="t", Tags=[{"Key": "a", "Value": "1"}])}
    after = {"Topic": {**topic(TopicName="t", Tags=[{"Key": "a", "Value": "2"}]), "Metadata": {"why": "not"}}}
    found = planned(cloudformation, body(Resources=before), body(Resources=after))["Topic"]
    assert [each["Target"] for each in found["Details"]] == [
        {"Attribute": "Tags", "RequiresRecreation": "Never"},
        {"Attribute": "Metadata", "RequiresRecreation": "Never"},
    ]
    assert (found["Scope"], found["Replacement"]) == (["Tags", "Metadata"], "False")


def test_a_resource_cannot_change_its_type(cloudformation: Any) -> None:
    """AWS: "Update of resource type is not permitted."."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    other = body(Resources={"Topic": {"Type": "AWS::SQS::Queue"}})
    code, message = refusal(
        cloudformation.create_change_set, StackName="test", ChangeSetName="change", TemplateBody=other
    )
    assert (code, message.partition(".")[0]) == ("ValidationError", "Update of resource type is not permitted")
    assert "[Topic]" in message


def test_a_change_set_says_what_it_is_for(cloudformation: Any) -> None:
    """AWS, DescribeChangeSet and ListChangeSets."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    made = cloudformation.create_change_set(
        StackName="test",
        ChangeSetName="change",
        TemplateBody=body(Parameters={"P": {"Type": "String", "NoEcho": True}}),
        Parameters=given(P="secret"),
        Capabilities=["CAPABILITY_IAM"],
        Description="why",
    )
    summary = {
        "StackId": stack_of(cloudformation)["StackId"],
        "StackName": "test",
        "ChangeSetId": made["Id"],
        "ChangeSetName": "change",
        "Status": "CREATE_COMPLETE",
        "ExecutionStatus": "AVAILABLE",
        "Description": "why",
        "IncludeNestedStacks": False,
    }
    listed = cloudformation.list_change_sets(StackName="test")["Summaries"]
    assert [{name: each[name] for name in summary} for each in listed] == [summary]
    by_name = cloudformation.describe_change_set(StackName="test", ChangeSetName="change")
    by_arn = cloudformation.describe_change_set(ChangeSetName=made["Id"])
    assert {name: by_name[name] for name in summary} == {name: by_arn[name] for name in summary} == summary
    assert (by_name["Capabilities"], shown(by_name)) == (["CAPABILITY_IAM"], {"P": "****"})
    text = cloudformation.get_template(StackName="test", ChangeSetName="change")["TemplateBody"]
    assert dict(text)["Parameters"] == {"P": {"Type": "String", "NoEcho": True}}


# Nothing to change


def test_an_update_that_changes_nothing_is_refused(cloudformation: Any) -> None:
    """AWS, UpdateStack: ValidationError, "No updates are to be performed."."""
    template = body(Parameters={"P": {"Type": "String", "Default": "x"}})
    cloudformation.create_stack(StackName="test", TemplateBody=template, Parameters=given(P="y"))
    expected = ("ValidationError", "No updates are to be performed.")
    for arguments in (
        {"UsePreviousTemplate": True, "Parameters": given(P=PREVIOUS)},
        {"UsePreviousTemplate": True, "Parameters": given(P="y")},
        {"TemplateBody": template + "\n", "Parameters": given(P=PREVIOUS)},
    ):
        assert refusal(cloudformation.update_stack, StackName="test", **arguments) == expected
    assert status_of(cloudformation) == "CREATE_COMPLETE"
    assert [status for _, status in events_of(cloudformation)].count("UPDATE_IN_PROGRESS") == 0


def test_a_change_set_that_changes_nothing_fails_and_cannot_be_executed(cloudformation: Any) -> None:
    """AWS, "Troubleshooting change sets": it is FAILED and says why; ExecuteChangeSet: InvalidChangeSetStatus."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    made = cloudformation.create_change_set(StackName="test", ChangeSetName="change", UsePreviousTemplate=True)
    described = cloudformation.describe_change_set(StackName="test", ChangeSetName="change")
    assert (described["Status"], described["StatusReason"]) == ("FAILED", NO_CHANGES)
    assert (described["ExecutionStatus"], described["Changes"]) == ("UNAVAILABLE", [])
    assert refusal(cloudformation.execute_change_set, StackName="test", ChangeSetName="change") == (
        "InvalidChangeSetStatus",
        f"ChangeSet [{made['Id']}] cannot be executed in its current status of [FAILED]",
    )
    cloudformation.delete_change_set(StackName="test", ChangeSetName="change")
    assert cloudformation.list_change_sets(StackName="test")["Summaries"] == []


@pytest.mark.parametrize(
    "sections",
    [
        {"Conditions": {"Unused": {"Fn::Equals": ["a", "b"]}}},
        {"Resources": {"Topic": {**topic(DisplayName="x"), "DeletionPolicy": "Retain"}}},
        {"Description": "another"},
    ],
)
def test_some_changes_of_a_template_are_no_update(cloudformation: Any, sections: dict[str, Any]) -> None:
    """AWS, "Troubleshooting CloudFormation", no updates to perform: changes to a deletion policy, an update policy or a
    condition are not recognized as an update.
    """
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    expected = ("ValidationError", "No updates are to be performed.")
    assert refusal(cloudformation.update_stack, StackName="test", TemplateBody=body(**sections)) == expected


def test_an_output_that_is_added_is_an_update(cloudformation: Any) -> None:
    """Cross-stack references depend on it: the exporting stack often changes in nothing else."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    added = body(Outputs={"New": {"Value": "x"}})
    cloudformation.create_change_set(StackName="test", ChangeSetName="change", TemplateBody=added)
    assert changes_of(cloudformation) == {}
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    assert outputs(stack_of(cloudformation)) == {"New": "x"}


# The life of a change set


def changing(display: str = "y") -> dict[str, Any]:
    return {"StackName": "test", "TemplateBody": body(Resources={"Topic": topic(DisplayName=display)})}


def test_executing_makes_the_stack_what_was_planned(cloudformation: Any, client: Client) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    arn = resources_of(cloudformation)["Topic"]
    made = cloudformation.create_change_set(ChangeSetName="change", **changing("planned"))
    assert client("sns", B).get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "x"
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    assert client("sns", B).get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "planned"
    stack = stack_of(cloudformation)
    assert (stack["StackStatus"], stack["ChangeSetId"]) == ("UPDATE_COMPLETE", made["Id"])
    done = cloudformation.describe_change_set(ChangeSetName=made["Id"])
    assert (done["Status"], done["ExecutionStatus"]) == ("CREATE_COMPLETE", "EXECUTE_COMPLETE")


def test_executing_one_deletes_the_others(cloudformation: Any) -> None:
    """AWS, ExecuteChangeSet: "CloudFormation deletes all other change sets associated with the stack"."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    other = cloudformation.create_change_set(ChangeSetName="other", **changing("a"))["Id"]
    cloudformation.create_change_set(ChangeSetName="change", **changing("b"))
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    assert cloudformation.list_change_sets(StackName="test")["Summaries"] == []
    missing = ("ChangeSetNotFound", f"ChangeSet [{other}] does not exist")
    assert refusal(cloudformation.describe_change_set, ChangeSetName=other) == missing
    assert refusal(cloudformation.execute_change_set, ChangeSetName=other) == missing


def test_after_another_update_a_change_set_is_obsolete(cloudformation: Any) -> None:
    """AWS, DescribeChangeSet, ExecutionStatus: "an OBSOLETE state because the stack was already updated"."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    made = cloudformation.create_change_set(ChangeSetName="change", **changing("a"))
    cloudformation.update_stack(**changing("b"))
    described = cloudformation.describe_change_set(StackName="test", ChangeSetName="change")
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "OBSOLETE")
    assert refusal(cloudformation.execute_change_set, ChangeSetName=made["Id"]) == (
        "InvalidChangeSetStatus",
        f"ChangeSet [{made['Id']}] cannot be executed in its current execution status of [OBSOLETE]",
    )


def test_a_name_is_taken_once_in_a_stack(cloudformation: Any) -> None:
    """AWS, CreateChangeSet, ChangeSetName: "The name must be unique among all change sets that are associated with the
    specified stack".
    """
    for name in ("test", "second"):
        cloudformation.create_stack(StackName=name, TemplateBody=body())
    cloudformation.create_change_set(ChangeSetName="change", ClientToken="1", **changing("a"))
    mismatch = "ChangeSet change cannot be created due to a mismatch with existing attribute "
    for display, token, attribute in (("b", "1", "Template"), ("a", "2", "ClientToken")):
        arguments = {"ChangeSetName": "change", "ClientToken": token, **changing(display)}
        expected = ("AlreadyExistsException", mismatch + attribute)
        assert refusal(cloudformation.create_change_set, **arguments) == expected
    cloudformation.create_change_set(**{"ChangeSetName": "change", **changing("b"), "StackName": "second"})


def test_repeating_a_creation_with_its_token_gives_the_same_change_set(cloudformation: Any) -> None:
    """AWS, CreateChangeSet, ClientToken: for requests that are sent again, not knowing whether they arrived."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    arguments = {"ChangeSetName": "change", "ClientToken": "token", **changing()}
    assert cloudformation.create_change_set(**arguments)["Id"] == cloudformation.create_change_set(**arguments)["Id"]
    assert len(cloudformation.list_change_sets(StackName="test")["Summaries"]) == 1


def test_repeating_an_execution_with_its_token_changes_nothing(cloudformation: Any) -> None:
    """AWS, ExecuteChangeSet, ClientRequestToken: the repeated call succeeds, also after the first was carried out."""
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    made = cloudformation.create_change_set(ChangeSetName="change", **changing())["Id"]
    for _ in range(3):
        cloudformation.execute_change_set(ChangeSetName=made, ClientRequestToken="token")
    assert [status for _, status in events_of(cloudformation)].count("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") == 1
    for token in ({"ClientRequestToken": "other"}, {}):
        assert refusal(cloudformation.execute_change_set, ChangeSetName=made, **token) == (
            "InvalidChangeSetStatus",
            f"ChangeSet [{made}] cannot be executed in its current execution status of [EXECUTE_COMPLETE]",
        )


def test_planning_takes_a_moment(client: Client, passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS, DescribeChangeSet, Status: CREATE_PENDING, CREATE_IN_PROGRESS, CREATE_COMPLETE; until then it cannot be
    executed.
    """
    cloudformation = client("cloudformation", B)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", clock.OPERATION_SECONDS)
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    passes(2)
    made = cloudformation.create_change_set(ChangeSetName="change", **changing())["Id"]
    seen = []
    for _ in range(3):
        described = cloudformation.describe_change_set(ChangeSetName=made)
        seen.append((described["Status"], described["ExecutionStatus"], len(described["Changes"])))
        if described["Status"] != "CREATE_COMPLETE":
            assert refusal(cloudformation.execute_change_set, ChangeSetName=made) == (
                "InvalidChangeSetStatus",
                f"ChangeSet [{made}] cannot be executed in its current status of [{described['Status']}]",
            )
        passes(0.6)
    assert seen == [
        ("CREATE_PENDING", "UNAVAILABLE", 0),
        ("CREATE_IN_PROGRESS", "UNAVAILABLE", 0),
        ("CREATE_COMPLETE", "AVAILABLE", 1),
    ]


def test_waiting_for_a_change_set_and_its_execution_in_real_time(client: Client) -> None:
    """botocore's waiters, with the durations that notebooks see."""
    cloudformation = client("cloudformation", B)
    soon = {"WaiterConfig": {"Delay": 0.05, "MaxAttempts": 100}}
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    assert status_of(cloudformation) == "CREATE_IN_PROGRESS"
    cloudformation.get_waiter("stack_create_complete").wait(StackName="test", **soon)
    cloudformation.create_change_set(ChangeSetName="change", **changing())
    cloudformation.get_waiter("change_set_create_complete").wait(StackName="test", ChangeSetName="change", **soon)
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    assert status_of(cloudformation) == "UPDATE_IN_PROGRESS"
    cloudformation.get_waiter("stack_update_complete").wait(StackName="test", **soon)
    cloudformation.delete_stack(StackName="test")
    assert status_of(cloudformation) == "DELETE_IN_PROGRESS"
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="test", **soon)
    assert refusal(cloudformation.describe_stacks, StackName="test")[0] == "ValidationError"


# New stacks, and what does not exist


def test_a_change_set_can_create_a_stack(cloudformation: Any) -> None:
    """AWS, CreateChangeSet: "CloudFormation creates a stack with a unique stack ID, but no template or resources. The
    stack will be in the REVIEW_IN_PROGRESS state until you execute the change set."
    """
    arguments = {"StackName": "test", "ChangeSetName": "change", "ChangeSetType": "CREATE"}
    cloudformation.create_change_set(TemplateBody=body(), **arguments)
    assert (status_of(cloudformation), resources_of(cloudformation)) == ("REVIEW_IN_PROGRESS", {})
    assert [change["Action"] for change in changes_of(cloudformation).values()] == ["Add"]
    cloudformation.execute_change_set(StackName="test", ChangeSetName="change")
    assert status_of(cloudformation) == "CREATE_COMPLETE"
    assert list(resources_of(cloudformation)) == ["Topic"]
    assert refusal(cloudformation.create_change_set, TemplateBody=body(), **arguments) == (
        "ValidationError",
        "Stack [test] already exists and cannot be created again with the changeSet [change].",
    )


def test_an_update_is_what_a_change_set_is_for_unless_it_says_otherwise(cloudformation: Any) -> None:
    """AWS, CreateChangeSet, ChangeSetType: "By default, CloudFormation specifies UPDATE"."""
    arguments = {"StackName": "none", "ChangeSetName": "change", "TemplateBody": body()}
    expected = ("ValidationError", "Stack [none] does not exist")
    assert refusal(cloudformation.create_change_set, **arguments) == expected


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("describe_change_set", {"StackName": "none"}, ("ValidationError", "Stack [none] does not exist")),
        ("describe_change_set", {"StackName": "test"}, ("ChangeSetNotFound", "ChangeSet [c] does not exist")),
        ("execute_change_set", {"StackName": "test"}, ("ChangeSetNotFound", "ChangeSet [c] does not exist")),
        ("delete_change_set", {"StackName": "none"}, ("ValidationError", "Stack [none] does not exist")),
        ("list_change_sets", {"StackName": "none"}, ("ValidationError", "Stack [none] does not exist")),
        ("describe_change_set", {},
         ("ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN.")),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_named(
    cloudformation: Any, operation: str, arguments: dict[str, str], expected: tuple[str, str]
) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    named = {} if operation == "list_change_sets" else {"ChangeSetName": "c"}
    if not arguments:
        named = {"ChangeSetName": "change"}
    assert refusal(getattr(cloudformation, operation), **named, **arguments) == expected


def test_a_template_is_given_once(cloudformation: Any) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=body())
    both = {"UsePreviousTemplate": True, "TemplateBody": body()}
    for arguments, message in (
        (both, "You cannot specify both usePreviousTemplate and Template Body/Template URL."),
        ({}, "Either Template URL or Template Body must be specified."),
        ({"TemplateBody": json.dumps({"Resources": {}, "x": "x" * 51_200})}, "length less than or equal to 51200"),
    ):
        for call, named in (
            (cloudformation.update_stack, {}),
            (cloudformation.create_change_set, {"ChangeSetName": "change"}),
        ):
            code, found = refusal(call, StackName="test", **named, **arguments)
            assert code == "ValidationError"
            assert message in found
