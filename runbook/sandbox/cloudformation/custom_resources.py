"""Custom resources: CloudFormation publishes what it wants to a topic, and waits for whoever listens there to answer.

AWS, "Create custom provisioning logic with custom resources" and "Amazon SNS-backed custom resources". CloudFormation
publishes with the rights of whoever called it, so a topic of another account has to let that caller in. What SNS
answers to a refused publish is the resource's reason, at once (mozilla/cloudformation-cross-account-outputs, issue 5,
shows one such event); a message that nobody answers makes CloudFormation wait, an hour unless ServiceTimeout says less.

On AWS an answer comes back through a presigned URL in the message, from anywhere. In the sandbox those who can answer
are registered with `serve`. A custom resource that is backed by a Lambda function is only an entry in its stack, as all
Lambda functions are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.moto_api._internal import mock_random
from moto.sns.models import sns_backends

from runbook.sandbox import clock
from runbook.sandbox.authorization import require
from runbook.sandbox.callers import Caller
from runbook.sandbox.cloudformation.kinds import (
    Inert,
    Properties,
    Resource,
    ResourceFailed,
    Waits,
    generated_name,
    register,
)
from runbook.sandbox.cloudformation.stacks import find
from runbook.sandbox.errors import AccessDenied

LONGEST_TIMEOUT = 3600
"""Seconds. AWS::CloudFormation::CustomResource, ServiceTimeout: "an integer from 1 to 3600. The default value is 3600
seconds (1 hour)"."""

SUBJECT = "AWS CloudFormation custom resource request"

NO_RESPONSE = (
    "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId "
    "[{request}]. If you are using the Python cfn-response module, you may need to update your Lambda function code so "
    "that CloudFormation can attach the updated version."
)

Request = Mapping[str, Any]
"""AWS, "Custom resource request objects": RequestType, RequestId, StackId, ResourceProperties and so on. There is no
ResponseURL."""


@dataclass(frozen=True)
class Answer:
    """AWS, "Custom resource response objects". `reason` is None for success."""

    physical_id: str = ""
    reason: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    no_echo: bool = False


Provider = Callable[[str, Request], Answer | None]
"""Whoever listens to topics: takes a topic's ARN and a request; None when it does not listen to that topic."""

_PROVIDERS: list[Provider] = []


def serve(provider: Provider) -> None:
    """Let a provider answer for custom resources."""
    _PROVIDERS.append(provider)


def install() -> None:
    """Register the kinds."""
    for name in ("Custom::", "AWS::CloudFormation::CustomResource"):
        register(name, CustomResource())


class CustomResource:
    """`Custom::Anything` and AWS::CloudFormation::CustomResource."""

    def create(self, resource: Resource) -> Waits | None:
        if _is_lambda(resource):
            _ENTRY.create(resource)
            return None
        return self._create(resource)

    def update(self, resource: Resource, properties: Properties) -> Waits | None:
        if resource.properties.get("ServiceToken") != properties.get("ServiceToken"):
            raise ResourceFailed("Modifying service token is not allowed.")
        return None if _is_lambda(resource) else self._update(resource, properties)

    def delete(self, resource: Resource) -> Waits | None:
        return None if _is_lambda(resource) else self._delete(resource)

    def attribute(self, resource: Resource, name: str) -> Any:
        """What the answer's Data says."""
        if _is_lambda(resource):
            return _ENTRY.attribute(resource, name)
        data: Mapping[str, Any] = resource.model or {}
        if name not in data:
            raise ResourceFailed(
                f"CustomResource attribute error: Vendor response doesn't contain {name} key in object "
                f"{resource.stack_id}|{resource.logical_id} in S3 bucket "
                f"cloudformation-custom-resource-storage-{resource.region.replace('-', '')}"
            )
        return data[name]

    def _create(self, resource: Resource) -> Waits:
        """A creation that fails after the message went out is taken back by a Delete, as the resource may exist."""
        request = _publish(resource, "Create", resource.properties)
        resource.physical_id = generated_name(resource)
        answer = yield from _answered(resource, request)
        if answer.physical_id:
            resource.physical_id = answer.physical_id
        _check(answer, request)
        _keep(resource, answer)

    def _update(self, resource: Resource, properties: Properties) -> Waits:
        old = {"OldResourceProperties": _texts(resource.properties)}
        request = _publish(resource, "Update", properties, PhysicalResourceId=resource.physical_id, **old)
        answer = yield from _answered(resource, request)
        _check(answer, request)
        resource.physical_id = answer.physical_id
        _keep(resource, answer)

    def _delete(self, resource: Resource) -> Waits:
        request = _publish(resource, "Delete", resource.properties, PhysicalResourceId=resource.physical_id)
        answer = yield from _answered(resource, request)
        _check(answer, request)


_ENTRY = Inert()


def _is_lambda(resource: Resource) -> bool:
    return ":lambda:" in str(resource.properties.get("ServiceToken"))


def _publish(resource: Resource, kind: str, properties: Properties, **more: Any) -> Request:
    """Publish the request as the caller of the stack's operation. Raises ResourceFailed with what SNS answers."""
    topic = str(properties.get("ServiceToken") or "")
    _timeout(properties)
    request = {
        "RequestType": kind,
        "RequestId": str(mock_random.uuid4()),
        "StackId": resource.stack_id,
        "ResourceType": resource.type,
        "LogicalResourceId": resource.logical_id,
        "ServiceToken": topic,
        **more,
        "ResourceProperties": _texts(properties),
    }
    match topic.split(":"):
        case ["arn", _, "sns", resource.region, account, _]:
            pass
        case _:
            raise _sns_error("Invalid parameter: TopicArn", 400, "InvalidParameter")
    caller = _caller(resource)
    if caller is not None:
        try:
            require(caller, "sns:Publish", topic, account)
        except AccessDenied as denied:
            raise _sns_error(denied.message, 403, "AuthorizationError") from denied
    backend = sns_backends[account][resource.region]
    if topic not in backend.topics:
        raise _sns_error("Topic does not exist", 404, "NotFound")
    backend.publish(json.dumps(request), topic, subject=SUBJECT)
    return request


def _caller(resource: Resource) -> Caller | None:
    """Who has called the operation that goes on with the resource's stack; None when the sandbox itself seeds."""
    stack = find(resource.account, resource.region, resource.stack_id)
    return stack.caller if stack is not None else None


def _sns_error(message: str, status: int, code: str) -> ResourceFailed:
    """As CloudFormation shows an error of a service that it calls."""
    return ResourceFailed(
        f"{message} (Service: AmazonSNS; Status Code: {status}; Error Code: {code}; "
        f"Request ID: {mock_random.uuid4()}; Proxy: null)"
    )


def _answered(resource: Resource, request: Request) -> Generator[float, None, Answer]:
    """What the provider answers. Raises ResourceFailed once the time is over in which somebody could."""
    topic = str(request["ServiceToken"])
    for provider in _PROVIDERS:
        answer = provider(topic, request)
        if answer is not None:
            return answer
    yield clock.CUSTOM_RESOURCE_SECONDS * _timeout(resource.properties) / LONGEST_TIMEOUT
    raise ResourceFailed(NO_RESPONSE.format(request=request["RequestId"]))


def _timeout(properties: Properties) -> int:
    """Seconds."""
    text = str(properties.get("ServiceTimeout", LONGEST_TIMEOUT))
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= LONGEST_TIMEOUT:
        raise ResourceFailed(f"ServiceTimeout is {text}, not an integer from 1 to {LONGEST_TIMEOUT}.")
    return int(text)


def _check(answer: Answer, request: Request) -> None:
    if answer.reason is not None:
        raise ResourceFailed(
            f"Received response status [FAILED] from custom resource. Message returned: {answer.reason} "
            f"(RequestId: {request['RequestId']})"
        )
    if not answer.physical_id:
        raise ResourceFailed("Invalid PhysicalResourceId")


def _keep(resource: Resource, answer: Answer) -> None:
    resource.model, resource.secret = answer.data, answer.no_echo


def _texts(value: Any) -> Any:
    """AWS, "Custom resource request objects": properties reach the provider as texts."""
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
