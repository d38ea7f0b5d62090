"""What a topic sends to a queue: notifications and requests for confirmation, read, and believed only when signed.

No AWS is called here: the certificate comes through a function that is passed in.

Five packages on PyPI verify such messages. Those that are in use are from 2022 and before, know SHA-1 only, or take any
host below amazonaws.com; none takes the topic that is expected. It is one page of code with `cryptography`.
Source: Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages".
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from runbook.environment import AddressError
from runbook.errors import RunbookError
from runbook.parameters import shortened
from runbook.untrusted import quoted

NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"

Fetch = Callable[[str], bytes]
"""Gives what is at an address, over https and without following anywhere else. Raises AddressError."""

LONG = 200
"""Maximum number of characters of a message's own text in what is said about it."""

LARGEST_CERTIFICATE = 65_536
"""Maximum size of a certificate in bytes; AWS's have about 2,000."""


class NotBelieved(RunbookError):
    """A message is not what it claims to be. It is left where it was found."""


@dataclass(frozen=True)
class Topic:
    """The topic that messages are expected from, by its ARN."""

    arn: str

    @property
    def host(self) -> str:
        """The one host that certificates and confirmations of the topic's Region are at.

        Source: AWS General Reference, "Amazon SNS endpoints and quotas"; `.cn` in China.
        """
        _, partition, _, region = self.arn.split(":")[:4]
        return f"sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"


@dataclass(frozen=True)
class Envelope:
    """A message of a topic as JSON in the body of a queue's message. `fields` is all that is in it, of any type."""

    kind: str
    topic_arn: str
    message_id: str
    timestamp: str
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """What was published."""
        return self.field("Message")

    @property
    def token(self) -> str:
        """What confirms the subscription; of a request for confirmation."""
        return self.field("Token")

    @property
    def subscribe_url(self) -> str:
        """The address that confirms the subscription; of a request for confirmation."""
        return self.field("SubscribeURL")

    def field(self, name: str) -> str:
        """A field's text; empty where there is none. Raises NotBelieved for anything but text."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise NotBelieved(f"Its {name} is not text.")
        return value or ""


def read_envelope(body: str) -> Envelope | None:
    """The topic's message in the body of a queue's; None for what is none, which belongs to somebody else."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    kind, needed = fields.get("Type"), ("TopicArn", "MessageId", "Timestamp", "Message")
    if kind not in (NOTIFICATION, CONFIRMATION) or not all(isinstance(fields.get(name), str) for name in needed):
        return None
    return Envelope(kind, fields["TopicArn"], fields["MessageId"], fields["Timestamp"], fields)


def verify(envelope: Envelope, topic: Topic, fetch: Fetch, now: datetime | None = None) -> None:
    """Raise NotBelieved unless the message is the topic's, and signed with a certificate of AWS's.

    `now` is the time at which the certificate has to be valid. A certificate that cannot be fetched is one more reason
    not to believe: AWS withdraws certificates, and the messages that they signed stay in their queues.
    """
    if envelope.topic_arn != topic.arn:
        raise NotBelieved(f"It says that it comes from {_shown(envelope.topic_arn)}, not from {topic.arn}.")
    if envelope.kind == CONFIRMATION:
        _verify_subscribe_url(envelope, topic)
    signed, algorithm = _signed(envelope), _algorithm(envelope)
    key = _public_key(_certificate(_certificate_url(envelope, topic), fetch), now or datetime.now(UTC))
    try:
        signature = base64.b64decode(envelope.field("Signature"), validate=True)
        key.verify(signature, signed, PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, InternalError):  # ValueError: not base64, or a key that is too short
        raise NotBelieved(
            "Its signature is not that of its content: somebody else has written or changed it."
        ) from None


class Verifier:
    """Verifies the messages of one topic. `fetch` should remember certificates, as `Environment.fetch_once` does."""

    def __init__(self, topic_arn: str, fetch: Fetch) -> None:
        self.topic = Topic(topic_arn)
        self._fetch = fetch

    def objection(self, envelope: Envelope) -> str:
        """Return why a message is not believed, naming it; empty for one that is."""
        try:
            verify(envelope, self.topic, self._fetch)
        except NotBelieved as reason:
            return f"Message {_shown(envelope.message_id)}, which names {_shown(envelope.topic_arn)}: {reason}"
        return ""


# --- what it takes ---------------------------------------------------------------------------------------------------

_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""The fields that are signed, in their order; one that is not there is left out."""

_ALGORITHMS: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}
"""By SignatureVersion. A topic's own attribute chooses; SHA-1 is what AWS uses unless told otherwise."""


def _signed(envelope: Envelope) -> bytes:
    names = [name for name in _SIGNED[envelope.kind] if envelope.fields.get(name) is not None]
    lines = [f"{name}\n{envelope.field(name)}\n" for name in names]
    return "".join(lines).encode("utf-8", "surrogatepass")


def _algorithm(envelope: Envelope) -> HashAlgorithm:
    version = envelope.field("SignatureVersion")
    if version not in _ALGORITHMS:
        raise NotBelieved(f"Its SignatureVersion is {_shown(version)}; 1 and 2 are known.")
    return _ALGORITHMS[version]()


def _certificate_url(envelope: Envelope, topic: Topic) -> str:
    """The whole address is compared, so that nothing can stand before, behind or beside the host."""
    url = envelope.field("SigningCertURL")
    if not re.fullmatch(rf"https://{re.escape(topic.host)}/SimpleNotificationService-[A-Za-z0-9]{{1,100}}\.pem", url):
        raise NotBelieved(f"Its certificate is said to be at {_shown(url)}, which is not at https://{topic.host}.")
    return url


def _verify_subscribe_url(envelope: Envelope, topic: Topic) -> None:
    """Its host, even where it is never opened: a message that names another is nobody's to believe."""
    url = envelope.subscribe_url
    if not re.fullmatch(rf"https://{re.escape(topic.host)}/\?[\x21-\x7e]+", url) or "#" in url:
        raise NotBelieved(f"Its SubscribeURL is {_shown(url)}, which is not at https://{topic.host}.")
    wanted = {"Action": "ConfirmSubscription", "TopicArn": topic.arn, "Token": envelope.token}
    if sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True)) != sorted(wanted.items()):
        raise NotBelieved(f"Its SubscribeURL {_shown(url)} asks for something else than to confirm this subscription.")


def _shown(text: str) -> str:
    """Quote what somebody else has written, on one line and not at any length."""
    return quoted(cut(text))


def cut(text: str, most: int = LONG) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= most else f"{text[:most]}…"


def _certificate(url: str, fetch: Fetch) -> bytes:
    try:
        return fetch(url)
    except AddressError as error:
        raise NotBelieved(f"Its certificate cannot be fetched: {shortened(str(error), 2 * LONG)}") from None


def _public_key(certificate: bytes, now: datetime) -> RSAPublicKey:
    try:
        if len(certificate) > LARGEST_CERTIFICATE:
            raise ValueError
        found = x509.load_pem_x509_certificate(certificate)
        key = found.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion):
        raise NotBelieved("What is at the address of its certificate is none.") from None
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        valid = f"{found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"
        raise NotBelieved(f"Its certificate is valid from {valid} only. Is the clock of this machine right?")
    if not isinstance(key, RSAPublicKey):
        raise NotBelieved("Its certificate has no RSA key, which SNS signs with.")
    return key
