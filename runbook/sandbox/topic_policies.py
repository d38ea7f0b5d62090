"""A topic's policy: what SNS accepts.

API Reference, SetTopicAttributes, Policy; SNS Developer Guide, "Quotas". Known from answers that others have published
are the wordings for actions and principals; those for JSON, size and resources are assumed.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from moto.sns.models import Topic

from runbook.policy.document import PolicyError
from runbook.policy.document import parse as policy_document
from runbook.sandbox import stored_policies
from runbook.sandbox.stored_policies import as_list, parsed, statements
from runbook.sandbox.subscriptions import InvalidParameter

SIZE_LIMIT = 30_720
"""Bytes. Service quotas, "Topic policy size": 30 KB."""

ACTIONS = frozenset(
    """
    addpermission deletetopic getdataprotectionpolicy gettopicattributes listsubscriptionsbytopic listtagsforresource
    publish putdataprotectionpolicy receive removepermission settopicattributes subscribe
    """.split()
)
"""What a topic's policy can be about, in lower case. No wildcards: SNS refuses even `SNS:*`."""


def put(topic: Topic, text: str) -> None:
    """Give the topic this policy, as SetTopicAttributes does. Raises InvalidParameter."""
    check(text, topic.arn)
    topic.policy = text
    stored_policies.remember_principals(topic, text)


def check(text: str, topic_arn: str) -> None:
    """Raise InvalidParameter unless SNS would take `text` as the policy of the topic."""
    try:
        policy_document(text, "topic policy")
        document = parsed(text)
    except (PolicyError, ValueError):
        raise InvalidParameter("Policy failed to parse JSON string") from None
    if len(text.encode()) > SIZE_LIMIT:
        raise InvalidParameter("Policy is too large")
    for statement in statements(document):
        if not (statement.get("Principal") or statement.get("NotPrincipal")):
            raise InvalidParameter("Policy statement has no principal")
        for action in as_list(statement.get("Action", [])):
            service, _, name = str(action).lower().partition(":")
            if service != "sns" or name not in ACTIONS:
                raise InvalidParameter("Policy statement action out of service scope!")
        resources = as_list(statement.get("Resource", []))
        if not resources or not all(fnmatchcase(topic_arn, each) for each in resources):
            raise InvalidParameter("Policy statement resource does not match the topic")
    if stored_policies.unknown_principals(document):
        raise InvalidParameter("Policy Error: PrincipalNotFound")
