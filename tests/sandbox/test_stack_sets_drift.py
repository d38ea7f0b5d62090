"""Drift of stack sets: roles are really compared with what their stacks made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.cloudformation import refusal
from tests.sandbox.stack_sets import PRODUCTION, REGION, B, C, F, deploy, instances, make, operation, results, states

Client = Callable[..., Any]
Passes = Callable[[float], None]


@pytest.fixture
def stack_sets(administrator: Client) -> Any:
    """CloudFormation in the management account, with a stack set that is deployed to production."""
    cloudformation = administrator("cloudformation")
    make(cloudformation)
    return cloudformation


def detect(stack_sets: Any, **options: Any) -> str:
    return str(stack_sets.detect_stack_set_drift(StackSetName="audit", **options)["OperationId"])


def details(stack_sets: Any) -> dict[str, Any]:
    described = stack_sets.describe_stack_set(StackSetName="audit")["StackSet"]
    found: dict[str, Any] = described["StackSetDriftDetectionDetails"]
    return found


def drifts(stack_sets: Any) -> dict[str, str]:
    return {account: each["DriftStatus"] for account, each in instances(stack_sets).items()}


def change_the_policy(client: Client, account: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    client("iam", account).put_role_policy(RoleName="Auditor", PolicyName="p", PolicyDocument=json.dumps(policy))


def add_a_policy(client: Client, account: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    client("iam", account).put_role_policy(RoleName="Auditor", PolicyName="q", PolicyDocument=json.dumps(policy))


def take_the_policy_away(client: Client, account: str) -> None:
    client("iam", account).delete_role_policy(RoleName="Auditor", PolicyName="p")


def change_the_trust(client: Client, account: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    client("iam", account).update_assume_role_policy(RoleName="Auditor", PolicyDocument=document)


def attach_a_policy(client: Client, account: str) -> None:
    client("iam", account).attach_role_policy(
        RoleName="Auditor", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
    )


def delete_the_role(client: Client, account: str) -> None:
    take_the_policy_away(client, account)
    client("iam", account).delete_role(RoleName="Auditor")


def test_nothing_has_been_checked_before_and_nothing_has_drifted_then(stack_sets: Any, at_once: None) -> None:
    deploy(stack_sets, PRODUCTION)
    assert details(stack_sets) == {"DriftStatus": "NOT_CHECKED"}
    assert set(drifts(stack_sets).values()) == {"NOT_CHECKED"}
    done = detect(stack_sets)
    assert set(drifts(stack_sets).values()) == {"IN_SYNC"}
    found = details(stack_sets)
    assert found.pop("LastDriftCheckTimestamp")
    assert found == {
        "DriftStatus": "IN_SYNC",
        "DriftDetectionStatus": "COMPLETED",
        "TotalStackInstancesCount": 3,
        "DriftedStackInstancesCount": 0,
        "InSyncStackInstancesCount": 3,
        "InProgressStackInstancesCount": 0,
        "FailedStackInstancesCount": 0,
    }
    described = operation(stack_sets, done)
    assert (described["Action"], described["Status"]) == ("DETECT_DRIFT", "SUCCEEDED")
    assert described["StackSetDriftDetectionDetails"]["InSyncStackInstancesCount"] == 3
    assert instances(stack_sets)[B]["LastDriftCheckTimestamp"]
    assert states(stack_sets)[B] == ("CURRENT", "SUCCEEDED")
    (summary,) = [each for each in stack_sets.list_stack_sets()["Summaries"] if each["StackSetName"] == "audit"]
    assert summary["DriftStatus"] == "IN_SYNC"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (change_the_policy, "/Policies/0"),
        (add_a_policy, "/Policies/1"),
        (take_the_policy_away, "/Policies/0"),
        (change_the_trust, "/AssumeRolePolicyDocument"),
        (attach_a_policy, "/ManagedPolicyArns"),
    ],
)
def test_what_somebody_changed_is_found(
    stack_sets: Any, client: Client, at_once: None, change: Callable[[Client, str], None], path: str
) -> None:
    deploy(stack_sets, PRODUCTION)
    change(client, B)
    done = detect(stack_sets)
    assert drifts(stack_sets) == {B: "DRIFTED", C: "IN_SYNC", F: "IN_SYNC"}
    found = details(stack_sets)
    assert (found["DriftStatus"], found["DriftedStackInstancesCount"]) == ("DRIFTED", 1)
    assert results(stack_sets, done)[B] == "SUCCEEDED"
    drifted = stack_sets.list_stack_instances(
        StackSetName="audit", Filters=[{"Name": "DRIFT_STATUS", "Values": "DRIFTED"}]
    )["Summaries"]
    assert [each["Account"] for each in drifted] == [B]
    of_b = {"StackSetName": "audit", "StackInstanceAccount": B, "StackInstanceRegion": REGION, "OperationId": done}
    (resource,) = stack_sets.list_stack_instance_resource_drifts(**of_b)["Summaries"]
    assert (resource["LogicalResourceId"], resource["StackResourceDriftStatus"]) == ("Role", "MODIFIED")
    assert [each["PropertyPath"] for each in resource["PropertyDifferences"]] == [path]


def test_a_resource_that_is_gone_is_drift(stack_sets: Any, client: Client, at_once: None) -> None:
    deploy(stack_sets, PRODUCTION)
    delete_the_role(client, B)
    done = detect(stack_sets)
    of_b = {"StackSetName": "audit", "StackInstanceAccount": B, "StackInstanceRegion": REGION, "OperationId": done}
    (resource,) = stack_sets.list_stack_instance_resource_drifts(**of_b)["Summaries"]
    assert resource["StackResourceDriftStatus"] == "DELETED"
    only = {**of_b, "StackInstanceResourceDriftStatuses": ["MODIFIED"]}
    assert stack_sets.list_stack_instance_resource_drifts(**only)["Summaries"] == []


def test_it_takes_its_time_and_runs_alone(stack_sets: Any, passes: Passes) -> None:
    deploy(stack_sets, PRODUCTION)
    passes(10)
    done = detect(stack_sets)
    assert operation(stack_sets, done)["StackSetDriftDetectionDetails"]["DriftDetectionStatus"] == "IN_PROGRESS"
    assert details(stack_sets) == {"DriftStatus": "NOT_CHECKED"}, "the last completed one"
    assert refusal(detect, stack_sets=stack_sets)[0] == "OperationInProgressException"
    passes(10)
    assert details(stack_sets)["DriftStatus"] == "IN_SYNC"


def test_an_instance_without_a_stack_fails(stack_sets: Any, client: Client, at_once: None) -> None:
    client("iam", B).create_role(RoleName="Auditor", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    deploy(stack_sets, PRODUCTION, OperationPreferences={"FailureToleranceCount": 1})
    done = detect(stack_sets, OperationPreferences={"FailureToleranceCount": 1})
    assert results(stack_sets, done) == {B: "FAILED", C: "SUCCEEDED", F: "SUCCEEDED"}
    found = details(stack_sets)
    assert (found["DriftDetectionStatus"], found["FailedStackInstancesCount"]) == ("PARTIAL_SUCCESS", 1)
    assert states(stack_sets)[B] == ("OUTDATED", "FAILED")


def test_a_suspended_account_is_skipped(stack_sets: Any, administrator: Client, at_once: None) -> None:
    deploy(stack_sets, PRODUCTION)
    administrator("organizations").close_account(AccountId=B)
    done = detect(stack_sets)
    assert operation(stack_sets, done)["Status"] == "SUCCEEDED"
    assert drifts(stack_sets)[B] == "NOT_CHECKED"
    assert instances(stack_sets)[B]["StackInstanceStatus"]["DetailedStatus"] == "SKIPPED_SUSPENDED_ACCOUNT"


def test_the_connection_role_of_the_pilot_is_in_sync_until_somebody_widens_it(
    stack_sets: Any, client: Client, at_once: None
) -> None:
    name, pilot = "bucketav-account-connection-pilot", "888888888888"
    stack_sets.detect_stack_set_drift(StackSetName=name)
    assert instances(stack_sets, name)[pilot]["DriftStatus"] == "IN_SYNC"
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    client("iam", pilot).update_assume_role_policy(RoleName="bucketav-AccountConnection", PolicyDocument=document)
    stack_sets.detect_stack_set_drift(StackSetName=name)
    assert instances(stack_sets, name)[pilot]["DriftStatus"] == "DRIFTED"
