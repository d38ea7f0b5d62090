"""What tests of the sandbox's CloudFormation share: short ways to ask, and templates to ask about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

A, B = "111111111111", "222222222222"

PREVIOUS = object()
"""UsePreviousValue."""


def body(**sections: Any) -> str:
    """A template; with one topic unless `Resources` says otherwise."""
    resources = {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}}}
    return json.dumps({"Resources": resources, **sections})


def given(**values: Any) -> list[dict[str, Any]]:
    """A request's Parameters."""
    return [
        {"ParameterKey": name, "UsePreviousValue": True}
        if value is PREVIOUS
        else {"ParameterKey": name, "ParameterValue": value}
        for name, value in values.items()
    ]


def stack_of(cloudformation: Any, name: str = "test") -> dict[str, Any]:
    """What DescribeStacks says of one."""
    found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return found


def status_of(cloudformation: Any, name: str = "test") -> str:
    return str(stack_of(cloudformation, name)["StackStatus"])


def shown(found: dict[str, Any]) -> dict[str, str]:
    """The parameters that a stack or a change set shows."""
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in found.get("Parameters", [])}


def outputs(found: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def resources_of(cloudformation: Any, name: str = "test") -> dict[str, str]:
    """Logical and physical ids."""
    found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}


def events_of(cloudformation: Any, name: str = "test") -> list[tuple[str, str]]:
    """Logical id and status of every event, the oldest first."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(events)]


def reasons_of(cloudformation: Any, name: str = "test") -> dict[tuple[str, str], str]:
    """The reasons that events give."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return {
        (event["LogicalResourceId"], event["ResourceStatus"]): event["ResourceStatusReason"]
        for event in events
        if "ResourceStatusReason" in event
    }


def changes_of(cloudformation: Any, change_set: str = "change", stack: str = "test") -> dict[str, dict[str, Any]]:
    """The resource changes of a change set, by logical id."""
    found = cloudformation.describe_change_set(StackName=stack, ChangeSetName=change_set)["Changes"]
    return {each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"] for each in found}


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return str(error["Code"]), str(error["Message"])
