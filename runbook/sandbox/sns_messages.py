"""The messages that SNS sends: what stands in them, how they are signed, and the certificate that proves it.

SNS Developer Guide, "Parsing Amazon SNS message formats" and "Verifying the signatures of Amazon SNS messages". A
message is signed when it is read for the first time: most are never read, and a key pair costs some milliseconds.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from moto.moto_api._internal import mock_random
from moto.sqs.models import Message

from runbook.sandbox import clock

CERTIFICATE = "SimpleNotificationService-7f0c3a51d2b94e86a1c5e08d46b7392f.pem"
"""Name of the file with the certificate. AWS's have such names too; the id is made up."""

SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Type of message -> the elements that are signed, in this order, those that it has."""

ALGORITHMS: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}
"""SignatureVersion -> what is signed with RSA, PKCS #1 v1.5."""

Elements = Mapping[str, Any]

_HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com")
_making_a_key = Lock()


class Signed(Message):
    """A message in a queue, as SNS has put it there. Its id in the queue is another one than SNS's."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        super().__init__(str(mock_random.uuid4()), "")

    @property
    def body(self) -> str:
        return _as_json(_signed(self._elements))

    @body.setter
    def body(self, _value: str) -> None:
        """What moto writes there does not count."""


def notification(
    topic_arn: str,
    message: str,
    *,
    message_id: str,
    subject: str | None,
    attributes: Mapping[str, Any],
    subscription_arn: str,
    version: str,
) -> Elements:
    """What a subscriber gets for a published message. `version` is the topic's SignatureVersion, "1" or "2"."""
    return {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": topic_arn,
        **({"Subject": subject} if subject else {}),
        "Message": message,
        "Timestamp": _timestamp(),
        "SignatureVersion": version,
        "UnsubscribeURL": _url(topic_arn, Action="Unsubscribe", SubscriptionArn=subscription_arn),
        **({"MessageAttributes": attributes} if attributes else {}),
    }


def confirmation(topic_arn: str, token: str, *, message_id: str, version: str) -> Elements:
    """What an endpoint gets that somebody else has subscribed."""
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": message_id,
        "Token": token,
        "TopicArn": topic_arn,
        "Message": (
            f"You have chosen to subscribe to the topic {topic_arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        ),
        "SubscribeURL": _url(topic_arn, Action="ConfirmSubscription", TopicArn=topic_arn, Token=token),
        "Timestamp": _timestamp(),
        "SignatureVersion": version,
    }


def is_host_of_sns(host: str) -> bool:
    """Whether a Host header is `sns.REGION.amazonaws.com`, where the addresses in the messages lead."""
    return _HOST.fullmatch(host) is not None


@cache
def certificate() -> bytes:
    """PEM. Issued by itself: who fetches it over https from AWS's host trusts it for that."""
    key = _key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.utc() - timedelta(days=1))
        .not_valid_after(clock.utc() + timedelta(days=365))
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key() -> rsa.RSAPrivateKey:
    with _making_a_key:  # or two threads would make one each
        return _new_key()


@cache
def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed(elements: Elements) -> Elements:
    text = "".join(f"{name}\n{elements[name]}\n" for name in SIGNED[elements["Type"]] if name in elements)
    signature = _key().sign(text.encode(), padding.PKCS1v15(), ALGORITHMS[elements["SignatureVersion"]])
    region = elements["TopicArn"].split(":")[3]
    return {
        **elements,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": f"https://sns.{region}.amazonaws.com/{CERTIFICATE}",
    }


def _url(topic_arn: str, **query: str) -> str:
    return f"https://sns.{topic_arn.split(':')[3]}.amazonaws.com/?{urlencode(query, safe=':')}"


def _timestamp() -> str:
    return clock.utc().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _as_json(elements: Elements) -> str:
    """In the writing and the order of SNS."""
    order = (
        "Type", "MessageId", "Token", "TopicArn", "Subject", "Message", "SubscribeURL", "Timestamp", "SignatureVersion",
        "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes",
    )  # fmt: skip
    shown = {name: elements[name] for name in order if name in elements}
    return json.dumps(shown, indent=2, separators=(",", " : "), ensure_ascii=False)
