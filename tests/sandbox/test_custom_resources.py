"""Custom resources backed by a topic: what CloudFormation publishes, who has to allow it, and what the answer does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from runbook.sandbox import clock
from tests.sandbox.cloudformation import (
    A,
    B,
    body,
    events_of,
    outputs,
    reasons_of,
    resources_of,
    stack_of,
    status_of,
)

if TYPE_CHECKING:
    from runbook.sandbox.cloudformation.custom_resources import Answer

Client = Callable[..., Any]
Passes = Callable[[float], None]

TOPIC = f"arn:aws:sns:eu-west-1:{B}:requests"


class Provider:
    """Listens to the topic of account b, notes what it is asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.physical_id = "made-1"
        self.after: dict[str, str] = {}  # the present id -> the one to answer
        self.silent = False

    def __call__(self, topic: str, request: Any) -> Answer | None:
        from runbook.sandbox.cloudformation.custom_resources import Answer

        if topic != TOPIC:
            return None
        self.requests.append(dict(request))
        if self.silent:
            return None
        answered = self.after.get(request.get("PhysicalResourceId", ""), self.physical_id)
        return Answer(answered, **self.answers)

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        return [(request["RequestType"], request.get("PhysicalResourceId")) for request in self.requests]


@pytest.fixture
def provider(client: Client, monkeypatch: pytest.MonkeyPatch) -> Provider:
    from runbook.sandbox.cloudformation import custom_resources

    made = Provider()
    monkeypatch.setattr(custom_resources, "_PROVIDERS", [*custom_resources._PROVIDERS, made])
    client("sns", B).create_topic(Name="requests")
    return made


@pytest.fixture
def cloudformation(client: Client, at_once: None) -> Any:
    return client("cloudformation", B)


def thing(kind: str = "Custom::Thing", **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": {"ServiceToken": TOPIC, **properties}}


def template(outputs: dict[str, Any] | None = None, **properties: Any) -> str:
    return body(Resources={"Thing": thing(**properties)}, **({"Outputs": outputs} if outputs else {}))


def reason(cloudformation: Any, status: str, name: str = "Thing") -> str:
    return reasons_of(cloudformation)[name, status]


# The messages


@pytest.mark.parametrize("kind", ["Custom::Thing", "AWS::CloudFormation::CustomResource"])
def test_each_operation_is_published(client: Client, cloudformation: Any, provider: Provider, kind: str) -> None:
    """AWS, "Custom resource request objects": a queue that listens to the topic gets what the provider gets."""
    sqs, sns = client("sqs", B), client("sns", B)
    arn = f"arn:aws:sqs:eu-west-1:{B}:listening"
    send = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [{**send, "Resource": arn}]})}
    queue = sqs.create_queue(QueueName="listening", Attributes=attributes)["QueueUrl"]
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)
    resource = thing(kind, Size=1, Fast=True, Nested={"List": [2, "x"]})
    stack = cloudformation.create_stack(StackName="test", TemplateBody=body(Resources={"Thing": resource}))["StackId"]
    resource["Properties"]["Size"] = 2
    cloudformation.update_stack(StackName="test", TemplateBody=body(Resources={"Thing": resource}))
    cloudformation.delete_stack(StackName="test")
    received = [sqs.receive_message(QueueUrl=queue)["Messages"][0] for _ in range(3)]
    notifications = [json.loads(message["Body"]) for message in received]
    assert {each["Subject"] for each in notifications} == {"AWS CloudFormation custom resource request"}
    requests = [json.loads(each["Message"]) for each in notifications]
    assert requests == provider.requests
    common = {"StackId": stack, "LogicalResourceId": "Thing", "ResourceType": kind, "ServiceToken": TOPIC}
    one = {"ServiceToken": TOPIC, "Size": "1", "Fast": "true", "Nested": {"List": ["2", "x"]}}
    two = {**one, "Size": "2"}
    assert [{name: value for name, value in request.items() if name != "RequestId"} for request in requests] == [
        {"RequestType": "Create", **common, "ResourceProperties": one},
        {
            "RequestType": "Update",
            **common,
            "PhysicalResourceId": "made-1",
            "ResourceProperties": two,
            "OldResourceProperties": one,
        },
        {"RequestType": "Delete", **common, "PhysicalResourceId": "made-1", "ResourceProperties": two},
    ]


def test_a_resource_that_stays_as_it_is_is_not_asked_about(cloudformation: Any, provider: Provider) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=template(Size=1))
    cloudformation.update_stack(StackName="test", TemplateBody=template({"O": {"Value": "x"}}, Size=1))
    assert provider.asked == [("Create", None)]


# Who may publish


def test_a_topic_that_the_caller_may_not_publish_to_fails_at_once(client: Client, provider: Provider) -> None:
    """The topic's policy lets its own account in; nothing was sent, so there is nothing to take back."""
    cloudformation = client("cloudformation", A)
    start = clock.now()
    cloudformation.create_stack(StackName="test", TemplateBody=template())
    while status_of(cloudformation).endswith("IN_PROGRESS"):
        assert clock.now() - start < clock.CUSTOM_RESOURCE_SECONDS
    assert status_of(cloudformation) == "ROLLBACK_COMPLETE"
    assert reason(cloudformation, "CREATE_FAILED").startswith(
        f"User: arn:aws:sts::{A}:assumed-role/OrganizationAccountAccessRole/test is not authorized to perform: "
        f"SNS:Publish on resource: {TOPIC} because no resource-based policy allows the SNS:Publish action "
        "(Service: AmazonSNS; Status Code: 403; Error Code: AuthorizationError; Request ID: "
    )
    assert provider.requests == []
    assert ("Thing", "DELETE_IN_PROGRESS") not in events_of(cloudformation)


def test_the_callers_own_policy_decides_too(client: Client, client_with: Client, provider: Provider) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{A}:root"}, "Action": "SNS:Publish"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": TOPIC}]}
    client("sns", B).set_topic_attributes(TopicArn=TOPIC, AttributeName="Policy", AttributeValue=json.dumps(policy))
    deny = {"Effect": "Deny", "Action": "sns:Publish", "Resource": "*"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    session = client("sts", A).assume_role(RoleArn=_role(client, [everything, deny]), RoleSessionName="me")[
        "Credentials"
    ]
    client_with("cloudformation", session).create_stack(StackName="no", TemplateBody=template())
    client("cloudformation", A).create_stack(StackName="yes", TemplateBody=template())
    cloudformation = client("cloudformation", A)
    for name, status in (("no", "ROLLBACK_COMPLETE"), ("yes", "CREATE_COMPLETE")):
        while status_of(cloudformation, name).endswith("IN_PROGRESS"):
            pass
        assert status_of(cloudformation, name) == status
    assert (
        "with an explicit deny in an identity-based policy"
        in reasons_of(cloudformation, "no")["Thing", "CREATE_FAILED"]
    )


def _role(client: Client, statements: list[dict[str, Any]]) -> str:
    principal = {"AWS": f"arn:aws:iam::{A}:root"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    iam = client("iam", A)
    made = iam.create_role(
        RoleName="Me", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="Me", PolicyName="p", PolicyDocument=document)
    return str(made["Role"]["Arn"])


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        (f"arn:aws:sns:eu-west-1:{B}:missing", "Topic does not exist (Service: AmazonSNS; Status Code: 404; Error"),
        (f"arn:aws:sns:us-east-1:{B}:requests", "Invalid parameter: TopicArn (Service: AmazonSNS; Status Code: 400;"),
        ("requests", "Invalid parameter: TopicArn (Service: AmazonSNS; Status Code: 400; Error Code: InvalidParamete"),
    ],
)
def test_a_service_token_has_to_be_a_topic_of_the_region(cloudformation: Any, token: str, answer: str) -> None:
    """AWS, ServiceToken: "The service token must be from the same Region as the stack"."""
    cloudformation.create_stack(StackName="test", TemplateBody=template(ServiceToken=token))
    assert reason(cloudformation, "CREATE_FAILED").startswith(answer)


def test_the_service_token_may_not_change(cloudformation: Any, provider: Provider) -> None:
    """AWS, ServiceToken: "Updates aren't supported"."""
    cloudformation.create_stack(StackName="test", TemplateBody=template())
    cloudformation.update_stack(StackName="test", TemplateBody=template(ServiceToken=TOPIC + "-2"))
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_COMPLETE"
    assert reason(cloudformation, "UPDATE_FAILED") == "Modifying service token is not allowed."


# Answers


def test_an_answer_gives_a_physical_id_and_attributes(cloudformation: Any, provider: Provider) -> None:
    provider.answers = {"data": {"Address": "10.0.0.1"}}
    found = {"Ref": {"Value": {"Ref": "Thing"}}, "Address": {"Value": {"Fn::GetAtt": ["Thing", "Address"]}}}
    cloudformation.create_stack(StackName="test", TemplateBody=template(found))
    assert outputs(stack_of(cloudformation)) == {"Ref": "made-1", "Address": "10.0.0.1"}
    assert resources_of(cloudformation) == {"Thing": "made-1"}


def test_an_attribute_that_the_answer_lacks_fails_what_refers_to_it(cloudformation: Any, provider: Provider) -> None:
    name = {"Fn::GetAtt": ["Thing", "Name"]}
    resources = {"Thing": thing(), "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name}}}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    assert reason(cloudformation, "CREATE_FAILED", "Topic").startswith(
        "CustomResource attribute error: Vendor response doesn't contain Name key in object arn:aws:cloudformation:"
    )


@pytest.mark.parametrize("secret", [True, False])
def test_a_secret_answer_is_masked_in_events(cloudformation: Any, provider: Provider, secret: bool) -> None:
    """AWS, "Custom resource response objects", NoEcho: "mask the output of the custom resource when it's retrieved by
    using the Fn::GetAtt function"; its physical id is not.
    """
    provider.answers = {"data": {"Password": "hush"}, "no_echo": secret}
    name = {"Fn::Sub": "${Thing} ${Thing.Password}"}
    resources = {"Thing": thing(), "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name}}}
    cloudformation.create_stack(StackName="test", TemplateBody=body(Resources=resources))
    events = cloudformation.describe_stack_events(StackName="test")["StackEvents"]
    shown = {json.loads(event["ResourceProperties"])["DisplayName"] for event in events if "Topic" in event["EventId"]}
    assert shown == {"made-1 ****" if secret else "made-1 hush"}


def test_an_answer_without_a_physical_id_is_none(cloudformation: Any, provider: Provider) -> None:
    provider.physical_id = ""
    cloudformation.create_stack(StackName="test", TemplateBody=template())
    assert reason(cloudformation, "CREATE_FAILED") == "Invalid PhysicalResourceId"


def test_a_creation_that_is_refused_is_taken_back_by_a_deletion(cloudformation: Any, provider: Provider) -> None:
    """The provider may have made something all the same."""
    provider.answers = {"reason": "no"}
    cloudformation.create_stack(StackName="test", TemplateBody=template())
    request = provider.requests[0]["RequestId"]
    assert reason(cloudformation, "CREATE_FAILED") == (
        f"Received response status [FAILED] from custom resource. Message returned: no (RequestId: {request})"
    )
    assert provider.asked == [("Create", None), ("Delete", "made-1")]
    assert status_of(cloudformation) == "ROLLBACK_FAILED", "the deletion is refused as well"


# Another physical id is another resource


def test_an_update_that_answers_another_id_deletes_the_former_resource(cloudformation: Any, provider: Provider) -> None:
    """AWS, "Replacing a custom resource during an update"."""
    cloudformation.create_stack(StackName="test", TemplateBody=template(Size=1))
    provider.physical_id = "made-2"
    cloudformation.update_stack(StackName="test", TemplateBody=template(Size=2))
    assert status_of(cloudformation) == "UPDATE_COMPLETE"
    assert resources_of(cloudformation) == {"Thing": "made-2"}
    assert provider.asked == [("Create", None), ("Update", "made-1"), ("Delete", "made-1")]
    assert provider.requests[-1]["ResourceProperties"]["Size"] == "1", "the former one's"
    assert "required the provider to create a new physical resource" in reason(cloudformation, "UPDATE_IN_PROGRESS")


def test_an_update_that_is_taken_back_deletes_the_new_resource(cloudformation: Any, provider: Provider) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=template(Size=1))
    provider.physical_id = "made-2"
    taken = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "taken"}}
    cloudformation.create_stack(StackName="other", TemplateBody=body(Resources={"Queue": taken}))
    provider.after["made-2"] = "made-1"
    failing = body(Resources={"Thing": thing(Size=2), "Queue": {**taken, "DependsOn": "Thing"}})
    cloudformation.update_stack(StackName="test", TemplateBody=failing)
    assert status_of(cloudformation) == "UPDATE_ROLLBACK_COMPLETE"
    assert provider.asked == [("Create", None), ("Update", "made-1"), ("Update", "made-2"), ("Delete", "made-2")]
    assert provider.requests[2]["ResourceProperties"]["Size"] == "1"
    assert provider.requests[3]["ResourceProperties"]["Size"] == "2"
    assert resources_of(cloudformation) == {"Thing": "made-1"}


# Nobody answers


def test_a_message_that_nobody_answers_fails_after_the_time_out(
    client: Client, provider: Provider, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once to create, and once more to delete what may have been created."""
    monkeypatch.setattr(clock, "CUSTOM_RESOURCE_SECONDS", 100 * clock.OPERATION_SECONDS)
    provider.silent = True
    cloudformation = client("cloudformation", B)
    cloudformation.create_stack(StackName="test", TemplateBody=template())
    passes(90)
    assert status_of(cloudformation) == "CREATE_IN_PROGRESS"
    passes(11)
    assert status_of(cloudformation) == "ROLLBACK_IN_PROGRESS"
    request = provider.requests[0]["RequestId"]
    assert reason(cloudformation, "CREATE_FAILED") == (
        "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId "
        f"[{request}]. If you are using the Python cfn-response module, you may need to update your Lambda function "
        "code so that CloudFormation can attach the updated version."
    )
    passes(101)
    assert status_of(cloudformation) == "ROLLBACK_FAILED"
    assert [kind for kind, _ in provider.asked] == ["Create", "Delete"]
    assert str(provider.asked[1][1]).startswith("test-Thing-")


def test_the_time_out_can_be_shortened(
    client: Client, provider: Provider, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS, ServiceTimeout: seconds, of 3600."""
    monkeypatch.setattr(clock, "CUSTOM_RESOURCE_SECONDS", 100 * clock.OPERATION_SECONDS)
    provider.silent = True
    cloudformation = client("cloudformation", B)
    cloudformation.create_stack(StackName="test", TemplateBody=template(ServiceTimeout=360))
    passes(9)
    assert status_of(cloudformation) == "CREATE_IN_PROGRESS"
    passes(2)
    assert status_of(cloudformation) == "ROLLBACK_IN_PROGRESS"


@pytest.mark.parametrize("value", ["0", "3601", "soon"])
def test_a_time_out_has_to_be_a_number_of_seconds_up_to_an_hour(
    cloudformation: Any, provider: Provider, value: str
) -> None:
    cloudformation.create_stack(StackName="test", TemplateBody=template(ServiceTimeout=value))
    assert f"ServiceTimeout is {value}" in reason(cloudformation, "CREATE_FAILED")
    assert provider.requests == []
