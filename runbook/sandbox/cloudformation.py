"""CloudFormation as on AWS where moto is not: list parameters, NoEcho, policies of queues and topics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache, lru_cache
from typing import Any

from moto.cloudformation.models import Stack
from moto.cloudformation.parsing import ResourceMap, get_model_list, get_model_map, get_name_type_map
from moto.core.common_models import CloudFormationModel
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from runbook.sandbox.moto_methods import replace

_parse_template = Stack.parse_template


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(ResourceMap, "load_parameters", reads_lists)
    Stack.parameter_list = property(shows_parameters)  # type: ignore[assignment]
    Stack.parse_template = staticmethod(parses_a_template_once)  # type: ignore[method-assign]
    for cached in (get_model_list, get_model_map, get_name_type_map):
        cached.cache_clear()


# Rules


def parses_a_template_once(template: str) -> dict[str, Any]:
    """What moto parses, but each text once: it does so for every look at a stack, 0.1 s for ours."""
    return deepcopy(_parsed(template))


@lru_cache(maxsize=32)
def _parsed(template: str) -> dict[str, Any]:
    parsed: dict[str, Any] = _with_conditions(_parse_template(template))
    return parsed


def _with_conditions(part: Any) -> Any:
    """AWS, "Condition functions": `!Condition X` is short for `{"Condition": "X"}`. moto reads `{"Fn::Condition":
    "X"}`.
    """
    if isinstance(part, dict):
        return {"Condition" if key == "Fn::Condition" else key: _with_conditions(value) for key, value in part.items()}
    return [_with_conditions(item) for item in part] if isinstance(part, list) else part


def reads_lists(original: Callable[..., None], resources: ResourceMap) -> None:
    """A list parameter is a list in the template, its default too, and its members are trimmed.

    AWS, "Parameters": CommaDelimitedList is "an array of literal strings that are separated by commas"; "Each member
    string is space trimmed". moto splits only values that were passed, and keeps the spaces.
    """
    original(resources)
    for name, declaration in resources._template.get("Parameters", {}).items():
        if _is_list(declaration):
            value = resources.resolved_parameters[name]
            members = value if isinstance(value, list) else str(value).split(",")
            resources.resolved_parameters[name] = [str(member).strip() for member in members]
    resources._parsed_resources.update(resources.resolved_parameters)


def shows_parameters(stack: Stack) -> list[dict[str, str]]:
    """DescribeStacks gives every parameter's value as the string that was passed, and asterisks for NoEcho.

    AWS, "Parameters", NoEcho: "CloudFormation returns the parameter value masked as asterisks (*****) for any calls
    that describe the stack or stack events". moto shows a list as Python writes it, and NoEcho values in the clear.
    """
    passed = stack.resource_map.input_parameters
    return [
        {
            "ParameterKey": name,
            "ParameterValue": "****"
            if _true(declaration.get("NoEcho"))
            else _text(passed.get(name, declaration.get("Default"))),
        }
        for name, declaration in stack.template_dict.get("Parameters", {}).items()
    ]


def _is_list(declaration: Mapping[str, Any]) -> bool:
    kind = str(declaration.get("Type", "String"))
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _AttachedPolicy:
    """A resource that is nothing but a policy on other resources."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Id"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> _AttachedPolicy:
        cls.put(cloudformation_json["Properties"], account_id, region_name)
        return cls(resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,  # noqa: ARG003 - moto passes it by name
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> _AttachedPolicy:
        cls.put(cloudformation_json["Properties"], account_id, region_name)
        return cls(original_resource.physical_resource_id)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Leave the policy where it is: its queues and topics go with the same stack."""

    @classmethod
    def put(cls, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        raise NotImplementedError


class QueuePolicy(_AttachedPolicy, CloudFormationModel):
    """AWS::SQS::QueuePolicy, which "applies a policy to Amazon SQS queues". moto ignores it."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def put(cls, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        for url in properties["Queues"]:
            queue = sqs_backends[account_id][region_name].queues[url.rpartition("/")[2]]
            queue.policy = json.dumps(properties["PolicyDocument"])


class TopicPolicy(_AttachedPolicy, CloudFormationModel):
    """AWS::SNS::TopicPolicy, which "associates Amazon SNS topics with a policy". moto ignores it."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::TopicPolicy"

    @classmethod
    def put(cls, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        for arn in properties["Topics"]:
            sns_backends[account_id][region_name].topics[arn].policy = json.dumps(properties["PolicyDocument"])
