"""Topics: who may publish to one, who may subscribe, and its policy as something to change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws.cloudformation import StackError, read_stack
from runbook.aws.kinds import Report, ResourceGone, Told, WholeDocument, look_first, register, replace_document
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Change, Observation, Resource
from runbook.untrusted import code

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

TOPIC_OUTPUT = "FindingsTopicArn"


class TopicUnreadable(RunbookError):
    """A topic cannot be looked at."""


def read_topic_policy(environment: Environment, arn: str) -> str | None:
    """The policy of a topic, read in its own account; None when there is no such topic. Raises TopicUnreadable."""
    try:
        return _policy(environment, arn)
    except ClientError as error:
        if _does_not_exist(error):
            return None
        aws_errors.raise_unless_answered(error)
        raise TopicUnreadable(f"Topic {arn} cannot be looked at: {aws_errors.sentence(error)}.") from None


def findings_topic(environment: Environment, outputs: Mapping[str, str]) -> tuple[str, str]:
    """The ARN of the findings topic, and where it is written: among the stack's outputs, or in Parameter Store.

    Raises StackError when neither has it.
    """
    if TOPIC_OUTPUT in outputs:
        return outputs[TOPIC_OUTPUT], f"output {TOPIC_OUTPUT} of stack {code(environment.stack_name)}"
    name = f"/bucketAV/{environment.stack_name}/{TOPIC_OUTPUT}"
    client: SSMClient = environment.client("ssm", environment.account_a)
    try:
        return client.get_parameter(Name=name)["Parameter"]["Value"], f"parameter {name}"
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise StackError(
            f"The findings topic is not to be found: stack {code(environment.stack_name)} has no output "
            f"{TOPIC_OUTPUT}, and parameter {name} cannot be read: {aws_errors.sentence(error)}. Update bucketAV."
        ) from None


def publish(
    environment: Environment, topic_arn: str, *, subject: str, text: str, attributes: Mapping[str, str]
) -> None:
    """Publish a message in the topic's own account. All that are subscribed get it."""
    region, account = topic_arn.split(":")[3:5]
    client: SNSClient = environment.client("sns", account, region)
    client.publish(
        TopicArn=topic_arn,
        Subject=subject,
        Message=text,
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


def topic_observation(environment: Environment, stack_arn: str, topic_arn: str) -> Observation:
    """The observation that makes a plan out of date when the findings topic is another one."""
    resource = Resource(
        kind=FindingsTopic.name, account=environment.account_a, region=environment.region, arn=stack_arn
    )
    return Observation(resource=resource, value=topic_arn)


@register
class FindingsTopic:
    """Which topic bucketAV's results go to, by its ARN."""

    name = "cloudformation.findings-topic"

    def read(self, environment: Environment, resource: Resource) -> str | None:  # noqa: ARG002 (there is one such stack)
        return findings_topic(environment, read_stack(environment).outputs)[0]


@register
class TopicPolicy(WholeDocument):
    """A topic's policy document. There is none to speak of until somebody sets one: then AWS shows its own default."""

    name = "sns.topic-policy"

    def read(self, environment: Environment, resource: Resource) -> str | None:
        try:
            return _policy(environment, resource.arn)
        except ClientError as error:
            if _does_not_exist(error):
                raise ResourceGone(f"{resource}: there is no such topic any more.") from None
            raise

    def write(self, environment: Environment, change: Change, report: Report) -> Told:  # noqa: ARG002 (takes no time)
        client: SNSClient = environment.client("sns", change.resource.account, change.resource.region)
        client.set_topic_attributes(
            TopicArn=change.resource.arn, AttributeName="Policy", AttributeValue=change.after or ""
        )
        return ()

    def by_hand(self, change: Change) -> str:
        topic, account, region = change.resource.arn, change.resource.account, change.resource.region
        named = f"--region {region} --topic-arn {topic}"
        where = f"In account {account}, Region {region}: SNS › Topics › {code(change.name)} › Edit › Access policy"
        look = f"aws sns get-topic-attributes {named} --query Attributes.Policy --output text"
        put = f"aws sns set-topic-attributes {named} --attribute-name Policy --attribute-value file://policy.json"
        return "\n\n".join(
            [*look_first(look, change.before or "{}"), *replace_document(where, put, change.after or "{}")]
        )


def _policy(environment: Environment, arn: str) -> str | None:
    region, account = arn.split(":")[3:5]
    client: SNSClient = environment.client("sns", account, region)
    return client.get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy")


def _does_not_exist(error: ClientError) -> bool:
    return aws_errors.code(error) in ("NotFound", "NotFoundException")
