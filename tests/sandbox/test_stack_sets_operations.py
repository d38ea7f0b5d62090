"""Operations on stack sets under the clock: how many at one time, how many failures, retries and stops."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import clock
from tests.sandbox.cloudformation import given, refusal
from tests.sandbox.stack_sets import (
    NAMED,
    PRODUCTION,
    REGION,
    SEALED,
    WORKLOADS,
    A,
    B,
    C,
    E,
    F,
    delete,
    deploy,
    grow,
    instances,
    make,
    operation,
    results,
    states,
    template,
)  # fmt: skip

ONE = 0.6 * clock.OPERATION_SECONDS
"""How long a stack with one resource takes to create: three steps of the five that are expected."""

Client = Callable[..., Any]
Passes = Callable[[float], None]


@pytest.fixture
def stack_sets(administrator: Client) -> Any:
    """CloudFormation in the management account."""
    return administrator("cloudformation")


def take_the_name(client: Client, *accounts: str) -> None:
    """A role of the template's name is there already, so that its stack fails."""
    for account in accounts:
        document = json.dumps({"Version": "2012-10-17", "Statement": []})
        client("iam", account).create_role(RoleName="Auditor", AssumeRolePolicyDocument=document)


def free_the_name(client: Client, *accounts: str) -> None:
    for account in accounts:
        client("iam", account).delete_role(RoleName="Auditor")


def running(stack_sets: Any, identifier: str) -> Counter[str]:
    return Counter(results(stack_sets, identifier).values())


# Concurrency


def test_accounts_come_one_after_the_other_by_default(stack_sets: Any, passes: Passes) -> None:
    """AWS, MaxConcurrentCount: "By default, 1 is specified"."""
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    assert results(stack_sets, done) == {B: "RUNNING", C: "PENDING", F: "PENDING"}
    assert states(stack_sets)[B] == ("OUTDATED", "RUNNING")
    assert states(stack_sets)[C] == ("OUTDATED", "PENDING")
    passes(1.1)
    assert results(stack_sets, done) == {B: "SUCCEEDED", C: "RUNNING", F: "PENDING"}
    assert states(stack_sets)[B] == ("CURRENT", "SUCCEEDED")
    assert operation(stack_sets, done)["Status"] == "RUNNING"
    assert "EndTimestamp" not in operation(stack_sets, done)
    passes(2.2)
    found = operation(stack_sets, done)
    assert (found["Status"], found["Action"]) == ("SUCCEEDED", "CREATE")
    took = (found["EndTimestamp"] - found["CreationTimestamp"]).total_seconds()
    assert took == pytest.approx(3 * ONE, rel=0.1)


def test_time_that_passed_unseen_is_made_up_for(stack_sets: Any, passes: Passes) -> None:
    """The next account begins when the one before ended, not when somebody looks."""
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    passes(10)
    found = operation(stack_sets, done)
    assert found["Status"] == "SUCCEEDED"
    took = (found["EndTimestamp"] - found["CreationTimestamp"]).total_seconds()
    assert took == pytest.approx(3 * ONE, rel=0.1)


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        ({}, 1),
        ({"MaxConcurrentCount": 8}, 1),
        ({"MaxConcurrentCount": 8, "FailureToleranceCount": 3}, 4),
        ({"MaxConcurrentCount": 2, "FailureToleranceCount": 3}, 2),
        ({"MaxConcurrentCount": 8, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}, 8),
        ({"MaxConcurrentPercentage": 25, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}, 2),
        ({"MaxConcurrentPercentage": 1, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}, 1),
        ({"MaxConcurrentPercentage": 100, "FailureTolerancePercentage": 29}, 3),
        ({"MaxConcurrentPercentage": 100, "FailureTolerancePercentage": 100}, 10),
    ],
)
def test_so_many_are_at_work_at_one_time(
    stack_sets: Any, passes: Passes, preferences: dict[str, Any], expected: int
) -> None:
    """AWS, OperationPreferences and "Choose the Concurrency Mode", for ten accounts."""
    grown = grow({"Grown": 10})
    make(stack_sets)
    done = deploy(stack_sets, grown.units["Grown"], OperationPreferences=preferences)
    assert running(stack_sets, done)["RUNNING"] == expected
    assert operation(stack_sets, done).get("OperationPreferences", {}) == preferences


def test_strict_concurrency_goes_down_with_each_failure(stack_sets: Any, client: Client, passes: Passes) -> None:
    """AWS, ConcurrencyMode: "to ensure the number of failed accounts never exceeds the value of FailureToleranceCount
    +1".
    """
    grown = grow({"Grown": 10})
    take_the_name(client, *grown.all)
    make(stack_sets)
    strict = {"MaxConcurrentCount": 3, "FailureToleranceCount": 2}
    done = deploy(stack_sets, grown.units["Grown"], OperationPreferences=strict)
    passes(20)
    assert running(stack_sets, done) == {"FAILED": 3, "CANCELLED": 7}
    soft = {**strict, "MaxConcurrentCount": 6, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}
    done = deploy(stack_sets, grown.units["Grown"], OperationPreferences=soft)
    passes(20)
    assert running(stack_sets, done) == {"FAILED": 6, "CANCELLED": 4}


@pytest.mark.parametrize(
    "preferences",
    [
        {"MaxConcurrentCount": 1, "MaxConcurrentPercentage": 1},
        {"FailureToleranceCount": 1, "FailureTolerancePercentage": 1},
        {"FailureTolerancePercentage": 101},
        {"MaxConcurrentPercentage": 101},
        {"RegionOrder": ["eu-central-1"]},
        {"ConcurrencyMode": "GENTLE"},
        {"RegionConcurrencyType": "RANDOM"},
    ],
)
def test_preferences_that_are_refused(stack_sets: Any, preferences: dict[str, Any]) -> None:
    make(stack_sets)
    arguments = {"OperationPreferences": preferences}
    assert refusal(lambda **options: deploy(stack_sets, PRODUCTION, **options), **arguments)[0] == "ValidationError"
    assert instances(stack_sets) == {}


# Regions


@pytest.mark.parametrize(("kind", "first"), [("SEQUENTIAL", {"eu-central-1"}), ("PARALLEL", {"eu-central-1", REGION})])
def test_regions_are_worked_on_in_order_or_at_the_same_time(
    stack_sets: Any, passes: Passes, kind: str, first: set[str]
) -> None:
    make(stack_sets, TemplateBody=topic())
    preferences = {"RegionConcurrencyType": kind, "RegionOrder": ["eu-central-1", REGION]}
    done = deploy(stack_sets, PRODUCTION, Regions=[REGION, "eu-central-1"], OperationPreferences=preferences)
    found = stack_sets.list_stack_set_operation_results(StackSetName="audit", OperationId=done)["Summaries"]
    assert {each["Region"] for each in found if each["Status"] == "RUNNING"} == first
    passes(20)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert len(stack_sets.list_stack_instances(StackSetName="audit")["Summaries"]) == 6


def test_later_regions_are_not_begun_once_one_has_failed(stack_sets: Any, client: Client, passes: Passes) -> None:
    """AWS, FailureToleranceCount: "CloudFormation doesn't attempt the operation in any subsequent Regions"."""
    take_the_name(client, B)
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION, Regions=[REGION, "eu-central-1"])
    passes(20)
    found = stack_sets.list_stack_set_operation_results(StackSetName="audit", OperationId=done)["Summaries"]
    assert Counter((each["Region"], each["Status"]) for each in found) == {
        (REGION, "FAILED"): 1,
        (REGION, "CANCELLED"): 2,
        ("eu-central-1", "CANCELLED"): 3,
    }
    assert operation(stack_sets, done)["Status"] == "FAILED"


def topic(**properties: Any) -> str:
    return json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}}})


# Failures


def test_too_many_failures_cancel_the_rest(stack_sets: Any, client: Client, passes: Passes) -> None:
    take_the_name(client, B)
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    passes(20)
    assert results(stack_sets, done) == {B: "FAILED", C: "CANCELLED", F: "CANCELLED"}
    found = operation(stack_sets, done)
    assert (found["Status"], found["StatusDetails"]) == ("FAILED", {"FailedStackInstancesCount": 1})
    assert states(stack_sets) == {
        B: ("OUTDATED", "FAILED"),
        C: ("OUTDATED", "CANCELLED"),
        F: ("OUTDATED", "CANCELLED"),
    }
    reasons = {account: each["StatusReason"] for account, each in instances(stack_sets).items()}
    assert reasons[B].startswith("ResourceLogicalId:Role, ResourceType:AWS::IAM::Role, ResourceStatusReason:")
    assert "Auditor already exists" in reasons[B]
    assert reasons[C] == "Cancelled since failure tolerance has exceeded"


def test_tolerated_failures_leave_the_operation_succeeded(stack_sets: Any, client: Client, passes: Passes) -> None:
    take_the_name(client, B)
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    passes(20)
    assert results(stack_sets, done) == {B: "FAILED", C: "SUCCEEDED", F: "SUCCEEDED"}
    found = operation(stack_sets, done)
    assert (found["Status"], found["StatusDetails"]["FailedStackInstancesCount"]) == ("SUCCEEDED", 1)


def again(stack_sets: Any) -> str:
    return deploy(stack_sets, PRODUCTION)


def again_by_update(stack_sets: Any) -> str:
    return str(stack_sets.update_stack_set(StackSetName="audit", UsePreviousTemplate=True, **NAMED)["OperationId"])


def again_by_update_of_instances(stack_sets: Any) -> str:
    targets = {"OrganizationalUnitIds": [PRODUCTION]}
    answer = stack_sets.update_stack_instances(StackSetName="audit", DeploymentTargets=targets, Regions=[REGION])
    return str(answer["OperationId"])


@pytest.mark.parametrize("retry", [again, again_by_update, again_by_update_of_instances])
def test_a_retry_makes_what_failed_and_leaves_what_is_current(
    stack_sets: Any, client: Client, passes: Passes, retry: Callable[[Any], str]
) -> None:
    """AWS, OperationId: "retries all stack instances whose status is OUTDATED"."""
    take_the_name(client, C)
    make(stack_sets)
    deploy(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    passes(20)
    before = {account: each["StackId"] for account, each in instances(stack_sets).items()}
    free_the_name(client, C)
    done = retry(stack_sets)
    passes(20)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert set(states(stack_sets).values()) == {("CURRENT", "SUCCEEDED")}
    after = {account: each["StackId"] for account, each in instances(stack_sets).items()}
    assert {account for account in after if after[account] != before[account]} == {C}
    (stack,) = client("cloudformation", C).describe_stacks(StackName=after[C])["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    events = client("cloudformation", B).describe_stack_events(StackName=after[B])["StackEvents"]
    assert "UPDATE_IN_PROGRESS" not in {event["ResourceStatus"] for event in events}


def test_a_stack_that_was_rolled_back_is_made_anew(stack_sets: Any, client: Client, passes: Passes) -> None:
    """Nobody updates ROLLBACK_COMPLETE. On AWS such a stack comes of a failed creation with other settings."""
    from runbook.sandbox.cloudformation.stacks import find

    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    before = instances(stack_sets)[B]["StackId"]
    stack = find(B, REGION, before)
    assert stack is not None
    stack.status = "ROLLBACK_COMPLETE"
    done = again_by_update(stack_sets)
    passes(20)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    after = instances(stack_sets)[B]["StackId"]
    assert after != before
    (gone,) = client("cloudformation", B).describe_stacks(StackName=before)["Stacks"]
    assert gone["StackStatus"] == "DELETE_COMPLETE"


def test_a_stack_that_somebody_deleted_is_made_anew(stack_sets: Any, client: Client, passes: Passes) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    name = instances(stack_sets)[B]["StackId"].split("/")[1]
    client("cloudformation", B).delete_stack(StackName=name)
    passes(5)
    again_by_update(stack_sets)
    passes(20)
    assert client("iam", B).get_role(RoleName="Auditor")
    assert states(stack_sets)[B] == ("CURRENT", "SUCCEEDED")


# Updates


def allowed(client: Client, account: str) -> str:
    policy = client("iam", account).get_role_policy(RoleName="Auditor", PolicyName="p")["PolicyDocument"]
    return str(policy["Statement"][0]["Action"])


def test_an_update_reaches_every_instance(stack_sets: Any, client: Client, passes: Passes) -> None:
    make(stack_sets)
    others = {"AccountFilterType": "DIFFERENCE", "Accounts": [SEALED]}
    deploy(stack_sets, WORKLOADS, targets=others)
    passes(20)
    stack_ids = {account: each["StackId"] for account, each in instances(stack_sets).items()}
    parameters = given(Allowed="s3:PutObject")
    options = {"TemplateBody": template("second"), "Parameters": parameters, **NAMED}
    done = stack_sets.update_stack_set(StackSetName="audit", **options)["OperationId"]
    assert Counter(status for status, _ in states(stack_sets).values())["OUTDATED"] == len(states(stack_sets))
    passes(30)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    for account in (A, B, C, E):
        assert allowed(client, account) == "s3:PutObject"
        assert instances(stack_sets)[account]["StackId"] == stack_ids[account]
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["Parameters"] == [
        {"ParameterKey": "Allowed", "ParameterValue": "s3:PutObject"}
    ]


def test_an_update_of_some_leaves_the_others_outdated(stack_sets: Any, client: Client, passes: Passes) -> None:
    """AWS, UpdateStackSet, DeploymentTargets: it "marks all stack instances with a status of OUTDATED prior to updating
    the stack instances in the specified accounts".
    """
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    targets = {"OrganizationalUnitIds": [PRODUCTION], "Accounts": [B], "AccountFilterType": "INTERSECTION"}
    there = {"DeploymentTargets": targets, "Regions": [REGION]}
    stack_sets.update_stack_set(StackSetName="audit", TemplateBody=template("second"), **there, **NAMED)
    passes(20)
    assert states(stack_sets) == {
        B: ("CURRENT", "SUCCEEDED"),
        C: ("OUTDATED", "PENDING"),
        F: ("OUTDATED", "PENDING"),
    }
    descriptions = [client("iam", each).get_role(RoleName="Auditor")["Role"]["Description"] for each in (B, C)]
    assert descriptions == ["second", "first"]
    listed = {"Accounts": [C]}
    stack_sets.update_stack_set(
        StackSetName="audit", UsePreviousTemplate=True, DeploymentTargets=listed, Regions=[REGION], **NAMED
    )
    passes(20)
    assert {account for account, (status, _) in states(stack_sets).items() if status == "OUTDATED"} == {F}


def test_even_if_the_update_fails_the_stack_set_is_updated(stack_sets: Any, client: Client, passes: Passes) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    document = json.dumps({"Version": "2012-10-17", "Statement": []})
    client("iam", B).create_role(RoleName="Other", AssumeRolePolicyDocument=document)
    options = {"TemplateBody": template(role="Other"), "Tags": [{"Key": "a", "Value": "b"}], **NAMED}
    done = stack_sets.update_stack_set(StackSetName="audit", **options)["OperationId"]
    passes(20)
    assert operation(stack_sets, done)["Status"] == "FAILED"
    assert states(stack_sets)[B] == ("OUTDATED", "FAILED")
    assert instances(stack_sets)[B]["StatusReason"].startswith("ResourceLogicalId:Role, ResourceType:AWS::IAM::Role")
    (stack,) = client("cloudformation", B).describe_stacks(StackName=instances(stack_sets)[B]["StackId"])["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    found = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]
    assert found["TemplateBody"] == template(role="Other")
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]


def test_an_update_takes_previous_values_and_refuses_what_does_not_fit(stack_sets: Any, passes: Passes) -> None:
    make(stack_sets, Parameters=given(Allowed="s3:ListBucket"), Tags=[{"Key": "team", "Value": "a"}])
    update = {"StackSetName": "audit", "UsePreviousTemplate": True, **NAMED}
    previous = [{"ParameterKey": "Allowed", "UsePreviousValue": True}]
    stack_sets.update_stack_set(**update, Parameters=previous, Description="new")
    found = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]
    assert found["Parameters"] == [{"ParameterKey": "Allowed", "ParameterValue": "s3:ListBucket"}]
    assert (found["Tags"], found["Description"]) == ([{"Key": "team", "Value": "a"}], "new")
    for wrong, code in (
        ({"Capabilities": []}, "InsufficientCapabilitiesException"),
        ({"TemplateBody": template()}, "ValidationError"),
        ({"Parameters": given(Unknown="x")}, "ValidationError"),
        ({"Regions": [REGION]}, "ValidationError"),
        ({"DeploymentTargets": {"OrganizationalUnitIds": [PRODUCTION]}}, "ValidationError"),
        (
            {"DeploymentTargets": {"OrganizationalUnitIds": [PRODUCTION]}, "Regions": [REGION]},
            "StackInstanceNotFoundException",
        ),
        (
            {
                "DeploymentTargets": {"OrganizationalUnitIds": [PRODUCTION]},
                "Regions": [REGION],
                "AutoDeployment": {"Enabled": False},
            },
            "ValidationError",
        ),
    ):
        assert refusal(stack_sets.update_stack_set, **{**update, **wrong})[0] == code
    stack_sets.update_stack_set(**update, AutoDeployment={"Enabled": False}, Tags=[])
    found = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]
    assert (found["AutoDeployment"], found["Tags"]) == ({"Enabled": False}, [])


def test_overrides_stay_through_updates_until_they_are_taken_off(
    stack_sets: Any, client: Client, passes: Passes
) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    there = {
        "StackSetName": "audit",
        "DeploymentTargets": {
            "OrganizationalUnitIds": [PRODUCTION],
            "Accounts": [B],
            "AccountFilterType": "INTERSECTION",
        },
        "Regions": [REGION],
    }
    stack_sets.update_stack_instances(**there, ParameterOverrides=given(Allowed="s3:PutObject"))
    passes(20)
    stack_sets.update_stack_set(
        StackSetName="audit", UsePreviousTemplate=True, Parameters=given(Allowed="s3:*"), **NAMED
    )
    passes(20)
    assert (allowed(client, B), allowed(client, C)) == ("s3:PutObject", "s3:*")
    kept = [{"ParameterKey": "Allowed", "UsePreviousValue": True}]
    stack_sets.update_stack_instances(**there, ParameterOverrides=kept)
    passes(20)
    assert allowed(client, B) == "s3:PutObject"
    stack_sets.update_stack_instances(**there, ParameterOverrides=[])
    passes(20)
    assert allowed(client, B) == "s3:*"
    nowhere = {**there, "Regions": ["eu-central-1"]}
    assert refusal(stack_sets.update_stack_instances, **nowhere)[0] == "StackInstanceNotFoundException"


# One at a time


def test_one_operation_at_a_time(stack_sets: Any, passes: Passes) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    arn = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["StackSetARN"]
    expected = ("OperationInProgressException", f"Another Operation on StackSet {arn} is in progress")
    assert refusal(lambda: deploy(stack_sets, WORKLOADS)) == expected
    assert refusal(lambda: delete(stack_sets, PRODUCTION)) == expected
    assert refusal(again_by_update, stack_sets=stack_sets) == expected
    assert refusal(again_by_update_of_instances, stack_sets=stack_sets) == expected
    assert refusal(stack_sets.detect_stack_set_drift, StackSetName="audit") == expected
    assert refusal(stack_sets.delete_stack_set, StackSetName="audit") == expected
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["OrganizationalUnitIds"] == [PRODUCTION]
    make(stack_sets, "another")
    deploy(stack_sets, PRODUCTION, name="another")
    passes(20)
    again_by_update(stack_sets)


def test_an_operations_id_makes_it_happen_once(stack_sets: Any, passes: Passes) -> None:
    make(stack_sets)
    assert deploy(stack_sets, PRODUCTION, OperationId="once") == "once"
    assert deploy(stack_sets, PRODUCTION, OperationId="once") == "once"
    assert len(stack_sets.list_stack_set_operations(StackSetName="audit")["Summaries"]) == 1
    code, _ = refusal(lambda: deploy(stack_sets, WORKLOADS, OperationId="once"))
    assert code == "OperationIdAlreadyExistsException"
    passes(20)
    assert refusal(lambda: delete(stack_sets, PRODUCTION, OperationId="once"))[0] == code
    update = {"StackSetName": "audit", "TemplateBody": template("second"), **NAMED, "OperationId": "not an id"}
    assert refusal(stack_sets.update_stack_set, **update)[0] == "ValidationError"
    assert stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]["TemplateBody"] == template()


def test_operations_are_listed_newest_first(stack_sets: Any, passes: Passes) -> None:
    make(stack_sets)
    for name in ("one", "two", "three"):
        deploy(stack_sets, PRODUCTION, OperationId=name)
        passes(20)
    pages = stack_sets.get_paginator("list_stack_set_operations").paginate(
        StackSetName="audit", PaginationConfig={"PageSize": 2}
    )
    found = [each for page in pages for each in page["Summaries"]]
    assert [(each["OperationId"], each["Status"]) for each in found] == [
        ("three", "SUCCEEDED"),
        ("two", "SUCCEEDED"),
        ("one", "SUCCEEDED"),
    ]


def test_a_stopped_operation_ends_what_it_has_begun(stack_sets: Any, passes: Passes) -> None:
    """AWS, StopStackSetOperation: it "will cancel all the unstarted stack instance deployments and wait for those are
    in-progress to complete".
    """
    make(stack_sets)
    done = deploy(stack_sets, PRODUCTION)
    stack_sets.stop_stack_set_operation(StackSetName="audit", OperationId=done)
    assert operation(stack_sets, done)["Status"] == "STOPPING"
    assert results(stack_sets, done) == {B: "RUNNING", C: "CANCELLED", F: "CANCELLED"}
    assert refusal(again_by_update, stack_sets=stack_sets)[0] == "OperationInProgressException"
    passes(20)
    assert operation(stack_sets, done)["Status"] == "STOPPED"
    assert states(stack_sets) == {
        B: ("CURRENT", "SUCCEEDED"),
        C: ("OUTDATED", "CANCELLED"),
        F: ("OUTDATED", "CANCELLED"),
    }
    stop = {"StackSetName": "audit", "OperationId": done}
    assert refusal(stack_sets.stop_stack_set_operation, **stop)[0] == "InvalidOperationException"
    again(stack_sets)
    passes(20)
    assert set(states(stack_sets).values()) == {("CURRENT", "SUCCEEDED")}


def test_deletions_that_were_cancelled_leave_their_stacks(stack_sets: Any, client: Client, passes: Passes) -> None:
    make(stack_sets)
    deploy(stack_sets, PRODUCTION)
    passes(20)
    done = delete(stack_sets, PRODUCTION)
    stack_sets.stop_stack_set_operation(StackSetName="audit", OperationId=done)
    passes(20)
    assert states(stack_sets) == {C: ("CURRENT", "CANCELLED"), F: ("CURRENT", "CANCELLED")}
    assert client("iam", C).get_role(RoleName="Auditor")


# Many


def test_two_hundred_accounts_three_failures_and_a_retry(
    stack_sets: Any, administrator: Client, client: Client, passes: Passes
) -> None:
    """Within seconds of real time, and as long by the clock as so many at one time take."""
    started = time.perf_counter()
    grown = grow({"Grown": 20, "Grown/Europe": 80, "Grown/Europe/Shops": 60, "Grown/Asia": 40})
    failing = (grown.accounts["Grown"][3], grown.accounts["Grown/Europe"][40], grown.accounts["Grown/Asia"][-1])
    take_the_name(client, *failing)
    make(stack_sets)
    preferences = {"MaxConcurrentCount": 20, "FailureToleranceCount": 19}
    done = deploy(stack_sets, grown.units["Grown"], OperationPreferences=preferences)
    assert running(stack_sets, done) == {"RUNNING": 20, "PENDING": 180}
    passes(30)
    assert running(stack_sets, done) == {"SUCCEEDED": 197, "FAILED": 3}
    found = operation(stack_sets, done)
    assert (found["Status"], found["StatusDetails"]["FailedStackInstancesCount"]) == ("SUCCEEDED", 3)
    took = (found["EndTimestamp"] - found["CreationTimestamp"]).total_seconds()
    assert 10 * ONE <= took < 14 * ONE
    outdated = {account for account, (status, _) in states(stack_sets).items() if status == "OUTDATED"}
    assert outdated == set(failing)
    free_the_name(client, *failing)
    again = deploy(stack_sets, grown.units["Grown"], OperationPreferences=preferences)
    passes(30)
    assert running(stack_sets, again) == {"SUCCEEDED": 200}
    assert set(states(stack_sets).values()) == {("CURRENT", "SUCCEEDED")}
    assert time.perf_counter() - started < 30
