"""Where moto's SNS is not like AWS's: subscriptions across accounts, their confirmation, and what a topic shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import ensure_boolean
from moto.sns.exceptions import SNSNotFoundError
from moto.sns.models import SNSBackend, sns_backends
from moto.sns.responses import SNSResponse

from runbook.sandbox import sns_messages, stored_policies, subscriptions, topic_policies
from runbook.sandbox.errors import AccessDenied
from runbook.sandbox.moto_methods import replace
from runbook.sandbox.subscriptions import InvalidParameter, Subscription

WITHOUT_SIGNATURE = frozenset({"ConfirmSubscription", "Unsubscribe"})
"""API Reference: these need an AWS signature only where AuthenticateOnUnsubscribe asks for one. They are what the
SubscribeURL and the UnsubscribeURL of a message are."""


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    SNSResponse.backend = property(backend_of_the_topic)  # type: ignore[method-assign, assignment]
    replace(SNSResponse, "subscribe", leaves_a_subscription_pending)
    replace(SNSResponse, "confirm_subscription", wants_the_token)
    replace(SNSResponse, "unsubscribe", wants_a_signature_where_asked_to)
    replace(SNSResponse, "list_subscriptions", lists_what_the_account_owns)
    replace(SNSResponse, "list_subscriptions_by_topic", lists_all_of_a_topic)
    replace(SNSResponse, "get_topic_attributes", counts_subscriptions)
    replace(SNSResponse, "set_topic_attributes", checks_an_attribute_of_a_topic)
    replace(SNSBackend, "get_subscription_attributes", shows_whether_a_subscription_is_confirmed)
    replace(SNSBackend, "set_subscription_attributes", keeps_attributes_as_texts)


# Rules. The first parameter is moto's own method.


def backend_of_the_topic(response: SNSResponse) -> SNSBackend:
    """A topic's ARN, or a subscription's, leads into the topic's account, whoever calls, to the Region of the call.

    moto would keep with the caller a subscription to another account's topic, where nothing is ever published.
    """
    arn = next(
        (str(each) for each in map(response._get_param, ("TopicArn", "TargetArn", "SubscriptionArn")) if each), ""
    )
    owner = arn.split(":")[4] if len(arn.split(":")) > 5 else response.current_account
    return sns_backends[owner][response.region]


def leaves_a_subscription_pending(_original: Callable[..., Any], response: SNSResponse) -> ActionResult:
    """Subscribe: "if the endpoint type is HTTP/S or email, or if the endpoint and the topic are not in the same AWS
    account, the endpoint owner must run the ConfirmSubscription action". The answer's ARN is then the words "pending
    confirmation", unless the call has ReturnSubscriptionArn.
    """
    topic = response.backend.get_topic(response._get_param("TopicArn"))
    subscription = subscriptions.subscribe(
        topic,
        response._get_param("Protocol"),
        response._get_param("Endpoint") or "",
        response._get_param("Attributes") or {},
        response.current_account,
    )
    shown = subscription.confirmed or ensure_boolean(response._get_param("ReturnSubscriptionArn") or False)
    return ActionResult({"SubscriptionArn": subscription.arn if shown else "pending confirmation"})


def wants_the_token(_original: Callable[..., Any], response: SNSResponse) -> ActionResult:
    """ConfirmSubscription: "Verifies an endpoint owner's intent to receive messages by validating the token sent to the
    endpoint by an earlier Subscribe action. [...] This call requires an AWS signature only when the
    AuthenticateOnUnsubscribe flag is set to "true"."
    """
    guarded = ensure_boolean(response._get_param("AuthenticateOnUnsubscribe") or False)
    if guarded and not _is_signed(response):
        raise AccessDenied("sns", "AuthenticateOnUnsubscribe requires a signed request")
    confirmed = subscriptions.confirm(
        response._get_param("TopicArn") or "",
        response._get_param("Token") or "",
        signed=_is_signed(response),
        guarded=guarded,
    )
    return ActionResult({"SubscriptionArn": confirmed.arn})


def wants_a_signature_where_asked_to(_original: Callable[..., Any], response: SNSResponse) -> EmptyResult:
    """Unsubscribe: "If the subscription requires authentication for deletion, only the owner of the subscription or the
    topic's owner can unsubscribe, and an AWS signature is required." Whoever signs has passed the gate.
    """
    arn = response._get_param("SubscriptionArn") or ""
    found = subscriptions.find(arn)
    if found is not None and found.guarded and not _is_signed(response):
        raise AccessDenied("sns", "This subscription requires authentication for deletion.")
    subscriptions.unsubscribe(arn)
    return EmptyResult()


def lists_what_the_account_owns(_original: Callable[..., Any], response: SNSResponse) -> ActionResult:
    """ListSubscriptions: "Returns a list of the requester's subscriptions", to topics of whichever account."""
    return _listed(subscriptions.of_account(response.current_account, response.region))


def lists_all_of_a_topic(_original: Callable[..., Any], response: SNSResponse) -> ActionResult:
    """ListSubscriptionsByTopic: "Returns a list of the subscriptions to a specific topic", whoever owns them."""
    return _listed(subscriptions.of_topic(response.backend.get_topic(response._get_param("TopicArn"))))


def counts_subscriptions(original: Callable[..., ActionResult], response: SNSResponse) -> ActionResult:
    """GetTopicAttributes: SubscriptionsConfirmed and SubscriptionsPending; SignatureVersion once it was set; the policy
    as AWS keeps it.
    """
    topic = response.backend.get_topic(response._get_param("TopicArn"))
    found = subscriptions.of_topic(topic)
    result: Mapping[str, Any] = original(response).result  # type: ignore[assignment]
    confirmed = sum(1 for each in found if each.confirmed)
    more: dict[str, Any] = {
        "Policy": stored_policies.minified(stored_policies.as_written(topic, topic.policy)),
        "SubscriptionsConfirmed": str(confirmed),
        "SubscriptionsPending": str(len(found) - confirmed),
    }
    if hasattr(topic, "signature_version"):
        more["SignatureVersion"] = topic.signature_version
    return ActionResult({"Attributes": {**result["Attributes"], **more}})


def checks_an_attribute_of_a_topic(original: Callable[..., Any], response: SNSResponse) -> Any:
    """SetTopicAttributes: the policy has to be one that SNS takes; SignatureVersion is 1 or 2."""
    name, value = response._get_param("AttributeName"), response._get_param("AttributeValue") or ""
    topic = response.backend.get_topic(response._get_param("TopicArn"))
    if name == "SignatureVersion" and value not in sns_messages.ALGORITHMS:
        raise InvalidParameter("SignatureVersion")
    if name == "Policy":
        topic_policies.put(topic, value)
        return EmptyResult()
    return original(response)


def shows_whether_a_subscription_is_confirmed(
    original: Callable[..., dict[str, Any]], backend: SNSBackend, arn: str
) -> dict[str, Any]:
    """GetSubscriptionAttributes: PendingConfirmation, ConfirmationWasAuthenticated, Owner and so on, as texts."""
    found = subscriptions.find(arn)
    if found is None:
        raise SNSNotFoundError("Subscription does not exist")
    return {
        **original(backend, arn),
        "ConfirmationWasAuthenticated": str(found.signed).lower(),
        "Endpoint": found.endpoint,
        "Owner": found.owner,
        "PendingConfirmation": str(not found.confirmed).lower(),
        "Protocol": found.protocol,
        "SubscriptionArn": found.arn,
        "TopicArn": found.topic.arn,
    }


def keeps_attributes_as_texts(
    original: Callable[..., None], backend: SNSBackend, arn: str, name: str, value: str | bool
) -> None:
    """SetSubscriptionAttributes, Subscribe: what is no attribute of a subscription, or no JSON, is refused. moto makes
    a truth value of some texts.
    """
    text = str(value).lower() if isinstance(value, bool) else value
    subscriptions.check_attribute(name, text)
    original(backend, arn, name, text)


def _listed(found: Iterable[Subscription]) -> ActionResult:
    """All on one page. A subscription that waits for its confirmation shows as PendingConfirmation instead of its ARN
    (Developer Guide, "Confirm the subscription").
    """
    shown = [
        {
            "SubscriptionArn": each.arn if each.confirmed else "PendingConfirmation",
            "Owner": each.owner,
            "Protocol": each.protocol,
            "Endpoint": each.endpoint,
            "TopicArn": each.topic.arn,
        }
        for each in found
    ]
    return ActionResult({"Subscriptions": shown})


def _is_signed(response: SNSResponse) -> bool:
    return "Authorization" in response.headers
