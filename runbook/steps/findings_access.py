"""Who may do what with a queue for findings, worked out from its policy and its key's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.access import Access
from runbook.policy.evaluate import ANYTHING, Decision, Request, evaluate
from runbook.steps.allowlist_access import STRANGER
from runbook.steps.bucket_access import DECRYPT, EVERYTHING_ELSE
from runbook.steps.findings_state import Standing, State
from runbook.steps.key_policies import GENERATE
from runbook.steps.merging import body

SERVICE = "sns.amazonaws.com"

SEND, RECEIVE, DELETE = "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"

FINDINGS_TOPIC, OTHER_TOPIC = "the findings topic", "another topic"
NOT_OF_SERVICES = (
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:SourceVpc",
    "aws:SourceVpce",
)
"""Keys that calls of services do not have. Source: IAM user guide, "AWS global condition context keys"."""

OWN_ACCOUNT, OTHER_ACCOUNT = "the queue's account", "any other account"


@dataclass(frozen=True)
class Policies:
    """The documents that decide over one queue at one time, as text; None without one."""

    queue: str | None
    key: str | None


def access(state: State, standing: Standing, before: Policies, after: Policies) -> list[Access]:
    """The questions about one queue, answered on the documents before and after."""
    removes = state.options.action == "remove"
    return [
        Access(
            principal=who,
            action=action,
            resource=standing.address,
            before=_answered(state, standing, before, who, action),
            after=_answered(state, standing, after, who, action),
            granted=granted and not (removes and who == FINDINGS_TOPIC),
        )
        for who, action, granted in _questions(state, standing)
    ]


def topic_sends(state: State, standing: Standing, policy: str | None) -> Decision:
    """Whether the findings topic may send to the queue when it has this policy."""
    return _answered(state, standing, Policies(policy, None), FINDINGS_TOPIC, SEND)


def topic_encrypts(state: State, standing: Standing, policy: str | None) -> tuple[Decision, ...]:
    """Whether SNS may use the queue's key for what the findings topic sends, when the key has this policy."""
    return tuple(
        _answered(state, standing, Policies(None, policy), FINDINGS_TOPIC, action) for action in (GENERATE, DECRYPT)
    )


def account_subscribes(state: State, standing: Standing, policy: str | None) -> Decision:
    """Whether the topic's policy lets the queue's account subscribe it."""
    request = Request(
        principal=_anybody(state, standing.target.account),
        action="sns:Subscribe",
        resource=state.topic_arn,
        resource_account=state.topic_account,
        context={"sns:Protocol": "sqs", "sns:Endpoint": standing.arn},
        unknown=EVERYTHING_ELSE,
    )
    return evaluate(request, identity_policies=[ANYTHING], resource_policy=body(policy))


def _questions(state: State, standing: Standing) -> Iterator[tuple[str, str, bool]]:
    """Who is asked about, what, and whether the run is to give it."""
    yield FINDINGS_TOPIC, SEND, True
    if standing.key and not standing.key.aws_managed:
        yield FINDINGS_TOPIC, GENERATE, True
        yield FINDINGS_TOPIC, DECRYPT, True
    yield OTHER_TOPIC, SEND, False
    for action in (RECEIVE, DELETE):
        yield OWN_ACCOUNT, action, state.options.action == "subscribe"
    for action in (SEND, RECEIVE, DELETE):
        yield OTHER_ACCOUNT, action, False


def _answered(state: State, standing: Standing, policies: Policies, who: str, action: str) -> Decision:
    on_key = action.startswith("kms:") and standing.key is not None
    resource = standing.key.arn if on_key and standing.key else standing.arn
    owner = standing.key.account if on_key and standing.key else standing.target.account
    principal, context = _caller(state, standing, who)
    request = Request(principal, action, resource, owner, context=context, unknown=EVERYTHING_ELSE)
    levels = state.resource_control_policies.get(owner, ())
    policy: Mapping[str, Any] | None = body(policies.key if on_key else policies.queue)
    identity = [ANYTHING] if principal != SERVICE else []
    return evaluate(request, identity_policies=identity, resource_policy=policy, resource_control_policies=levels)


def _caller(state: State, standing: Standing, who: str) -> tuple[str, dict[str, str | tuple[str, ...]]]:
    """The principal, and what is known of its calls: SNS tells SQS and KMS which topic it acts for."""
    context: dict[str, str | tuple[str, ...]] = {
        "aws:SecureTransport": "true",
        "aws:ResourceAccount": standing.target.account,
    }
    if who in (FINDINGS_TOPIC, OTHER_TOPIC):
        arn = state.topic_arn if who == FINDINGS_TOPIC else f"{state.topic_arn}-another"
        context |= {
            "aws:SourceArn": arn,
            "aws:SourceAccount": state.topic_account,
            "aws:PrincipalIsAWSService": "true",
            "aws:PrincipalServiceName": SERVICE,
        }
        if state.organization_id:
            context |= {"aws:SourceOrgID": state.organization_id}
        return SERVICE, context | dict.fromkeys(NOT_OF_SERVICES, ())
    account = standing.target.account if who == OWN_ACCOUNT else STRANGER
    context |= {"aws:PrincipalIsAWSService": "false", "aws:PrincipalAccount": account}
    # Only services name a source; to say so is not the same as not to know it.
    return _anybody(state, account), context | dict.fromkeys(("aws:SourceArn", "aws:SourceAccount"), ())


def _anybody(state: State, account: str) -> str:
    """Whoever in an account has a policy that allows everything."""
    return f"arn:{state.topic_arn.split(':')[1]}:iam::{account}:role/anybody"


def not_allowed(decisions: Iterable[Decision]) -> Decision | None:
    """The first that is not allowed."""
    return next((each for each in decisions if not each.allowed), None)
