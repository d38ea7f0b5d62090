"""What the allowlist opens: who may publish to the connection topic, and whose events the scan queue takes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.access import Access
from runbook.environment import Environment
from runbook.policy.evaluate import Decision, Request, Verdict, evaluate
from runbook.steps.allowlist_state import Lists, Policies, State, topic_arn

PUBLISH, SEND = "sns:Publish", "sqs:SendMessage"

STRANGER = "000000000000"
"""An account that is on no list and in no organization."""

OTHER_ORGANIZATION = "o-anotherone"

_KEYS: Mapping[str, tuple[str, str]] = {
    PUBLISH: ("aws:PrincipalAccount", "aws:PrincipalOrgID"),
    SEND: ("aws:SourceAccount", "aws:SourceOrgID"),
}
"""The condition keys that bucketAV's template compares with the two lists."""


@dataclass(frozen=True)
class Subject:
    """An account that is asked about, or stands for others: what it is called, its id, and its organization.

    `organization` is None where it is not known.
    """

    name: str
    account: str
    organization: str | None


def access(environment: Environment, state: State, before: Lists, after: Lists, now: Lists) -> list[Access]:
    """Who may do what with the lists `before` and `after`, worked out from the live policies, which are those of `now`.

    Raises nothing; where the policies could not be read, there is nothing to say.
    """
    if state.policies is None:
        return []
    policies = {lists: predicted(state, state.policies, now, lists) for lists in (before, after, now)}
    rows = []
    for subject in _subjects(environment, state, before, after):
        granted = subject.account in after.accounts or subject.organization in after.organizations
        for action in (PUBLISH, SEND):
            rows.append(
                Access(
                    principal=subject.name,
                    action=action,
                    resource="connection topic and scan queue",
                    before=_decide(state, policies[before], subject, action),
                    after=_decide(state, policies[after], subject, action),
                    granted=granted,
                )
            )
    return rows


def predicted(state: State, live: Policies, now: Lists, then: Lists) -> Policies:
    """The two policies as they are with the lists `then`, where the live ones are those of the lists `now`.

    bucketAV's template writes the lists into conditions of the two policies; so where one of them holds a list of now,
    it will hold the one of then. Assumed, because the template is not published: where no condition holds the list yet
    it will be added as FACTS of the stack say, and without any list there is no topic. After an apply nothing is
    predicted but what was before it.
    """
    if now == then:
        return live
    topic = _with_lists(live.topic, _KEYS[PUBLISH], now, then, _publish(state))
    queue = _with_lists(live.queue, _KEYS[SEND], now, then, _send(state))
    return Policies(topic if not then.empty else None, queue)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _subjects(environment: Environment, state: State, before: Lists, after: Lists) -> Iterable[Subject]:
    """Every account and organization that is on a list before or after, and a stranger."""
    for account in dict.fromkeys((*after.accounts, *before.accounts)):
        yield Subject(environment.account_name(account), account, _organization_of(state, account, before, after))
    for organization in dict.fromkeys((*after.organizations, *before.organizations)):
        yield Subject(f"any account of {organization}", STRANGER, organization)
    yield Subject("any other account", STRANGER, OTHER_ORGANIZATION)


def _organization_of(state: State, account: str, before: Lists, after: Lists) -> str | None:
    """The organization of an account; one that stands for all that are not listed; None where it is not known."""
    own, listed = state.organization, {*before.organizations, *after.organizations}
    if own is None or own.members is None:
        return None if listed else OTHER_ORGANIZATION
    if account in own.members:
        return own.id
    return None if listed - {own.id} else OTHER_ORGANIZATION


def _decide(state: State, policies: Policies, subject: Subject, action: str) -> Decision:
    if action == SEND:
        return _evaluate(state, "s3.amazonaws.com", action, state.stack.output("ScanQueueArn"), policies.queue, subject)
    if policies.topic is None:
        return Decision(Verdict.DENIED, "There is no such topic while both lists are empty.")
    root = f"arn:{state.stack.arn.split(':')[1]}:iam::{subject.account}:root"
    return _evaluate(state, root, action, topic_arn(state.stack), policies.topic, subject)


def _evaluate(
    state: State, principal: str, action: str, resource: str, policy: str | None, subject: Subject
) -> Decision:
    """What a policy says to an account, or to S3 on behalf of one."""
    account, organization = _KEYS[action]
    context = {account: subject.account} | ({organization: subject.organization} if subject.organization else {})
    return evaluate(
        # What else a condition may ask about is not known of every account; nothing is allowed by guess.
        Request(principal, action, resource, state.stack.arn.split(":")[4], context=context, unknown=("*",)),
        resource_policy=json.loads(policy) if policy else None,
    )


def _with_lists(
    policy: str | None, keys: tuple[str, str], now: Lists, then: Lists, statement: Mapping[str, Any]
) -> str:
    """The policy with the lists of `then` instead of `now` in its conditions on `keys` (accounts, organizations)."""
    body: dict[str, Any] = json.loads(policy) if policy else {"Version": "2012-10-17", "Statement": []}
    statements = body["Statement"] if isinstance(body["Statement"], list) else [body["Statement"]]
    for key, present, wanted in (
        (keys[0], now.accounts, then.accounts),
        (keys[1], now.organizations, then.organizations),
    ):
        found = [each for each in statements if _holds(each, key, present)]
        for each in found:
            statements[statements.index(each)] = _replaced(each, key, wanted)
        if not found and wanted:
            statements = [*statements, {**statement, "Condition": {"StringEquals": {key: list(wanted)}}}]
    return json.dumps({**body, "Statement": statements})


def _holds(statement: Mapping[str, Any], key: str, values: Sequence[str]) -> bool:
    """Whether a statement has a condition on `key` with just these values; nothing and an empty text are the same."""
    return any(
        name.lower() == key.lower() and {*_listed(found)} - {""} == {*values}
        for block in statement.get("Condition", {}).values()
        for name, found in block.items()
    )


def _replaced(statement: Mapping[str, Any], key: str, values: Sequence[str]) -> dict[str, Any]:
    condition = {
        operator: {
            name: (list(values) or "") if name.lower() == key.lower() else found for name, found in block.items()
        }
        for operator, block in statement["Condition"].items()
    }
    return {**statement, "Condition": condition}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _publish(state: State) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": PUBLISH, "Resource": topic_arn(state.stack)}


def _send(state: State) -> Mapping[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": SEND,
        "Resource": state.stack.output("ScanQueueArn"),
    }
