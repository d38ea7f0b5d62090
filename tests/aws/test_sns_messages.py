"""Messages of topics: what is signed by the topic is believed, and nothing else; no AWS, no sandbox."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from runbook.aws.sns_messages import NotBelieved, Topic, Verifier, read_envelope, verify
from runbook.environment import FetchOnce

TOPIC = "arn:aws:sns:eu-west-1:111111111111:findings"
HOST = "sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"https://{HOST}/SimpleNotificationService-0123456789abcdef.pem"
TOKEN = "2336412f37f"
SUBSCRIBE_URL = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}"
NOW = datetime(2025, 11, 23, tzinfo=UTC)


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(*, of: str = "rsa", until: datetime = NOW + timedelta(days=1)) -> bytes:
    private = key() if of == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(until)
        .sign(private, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def signed(version: str = "1", **given: Any) -> str:
    """A message of the topic, signed as SNS signs it; a field that is given as None is left out."""
    fields: dict[str, Any] = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe …",
        "SubscribeURL": SUBSCRIBE_URL,
        "Token": TOKEN,
        "Timestamp": "2025-11-23T06:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
    } | given
    fields = {name: value for name, value in fields.items() if value is not None}
    confirms = fields["Type"] == "SubscriptionConfirmation"
    names = ["SubscribeURL", "Token"] if confirms else ["Subject"]
    names = sorted(["Message", "MessageId", "Timestamp", "TopicArn", "Type", *names])
    text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    signature = key().sign(text.encode(), PKCS1v15(), SHA1() if version == "1" else SHA256())
    return json.dumps({"Signature": base64.b64encode(signature).decode()} | fields)


def notification(version: str = "1", **given: Any) -> str:
    return signed(
        version, **({"Type": "Notification", "SubscribeURL": None, "Token": None, "Subject": "A find"} | given)
    )


def judge(
    body: str, fetch: Callable[[str], bytes] = lambda _: certificate(), topic: str = TOPIC, now: datetime = NOW
) -> None:
    envelope = read_envelope(body)
    assert envelope is not None
    verify(envelope, Topic(topic), fetch, now)


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_the_topic_has_signed_is_believed(version: str) -> None:
    judge(signed(version))
    judge(notification(version))
    judge(notification(version, Subject=None, Message='{"key": "ä\\n🦠"}'))


OTHER = TOPIC.replace("findings", "other")

FORGED = {
    "another topic": (signed(TopicArn=OTHER), "not from"),
    "a changed text": (signed().replace("chosen", "not chosen"), "signature is not that of its content"),
    "a changed token": (signed().replace(TOKEN, "ffff"), "signature is not that of its content"),
    "no signature": (signed(Signature=""), "signature is not"),
    "a signature that is none": (signed(Signature="%%%"), "signature is not"),
    "a signature of another version": (signed("2", SignatureVersion="1"), "signature is not"),
    "an unknown version": (signed(SignatureVersion="3"), "SignatureVersion is '3'"),
    "an address that asks for something else": (
        signed(SubscribeURL=SUBSCRIBE_URL.replace("ConfirmSubscription", "Unsubscribe")),
        "asks for something else",
    ),
    "an address with another token": (signed(SubscribeURL=f"{SUBSCRIBE_URL}0"), "asks for something else"),
    "an address with another topic": (signed(SubscribeURL=SUBSCRIBE_URL.replace(TOPIC, OTHER)), "asks for something"),
    "an address that says it twice": (signed(SubscribeURL=f"{SUBSCRIBE_URL}&Token=0"), "asks for something else"),
}

HOSTS = {
    "another host": f"https://{HOST}.evil.example",
    "a host before it": f"https://evil.example/{HOST}",
    "another host of AWS": "https://bucket.s3.eu-west-1.amazonaws.com",
    "another Region": "https://sns.us-east-1.amazonaws.com",
    "China": f"https://{HOST}.cn",
    "plain http": f"http://{HOST}",
    "userinfo": f"https://evil@{HOST}",
    "userinfo that looks like the host": f"https://{HOST}@evil.example",
    "a port": f"https://{HOST}:443",
    "upper case": f"https://{HOST.upper()}",
    "a line break": f"https://{HOST}\n",
    "a backslash": f"https://evil.example\\@{HOST}",
    "nothing": "",
}


@pytest.mark.parametrize(("body", "why"), FORGED.values(), ids=FORGED)
def test_what_somebody_else_has_written_is_not_believed(body: str, why: str) -> None:
    with pytest.raises(NotBelieved, match=why):
        judge(body)


@pytest.mark.parametrize("place", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("name", ["SubscribeURL", "SigningCertURL"])
def test_an_address_anywhere_else_is_never_opened(name: str, place: str) -> None:
    """Though the message is signed with the right key: nothing is asked there, not even for the certificate."""
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return certificate()

    right = SUBSCRIBE_URL if name == "SubscribeURL" else CERTIFICATE_URL
    with pytest.raises(NotBelieved, match=r"which is not at https://sns\.eu-west-1\.amazonaws\.com"):
        judge(signed(**{name: right.replace(f"https://{HOST}", place)}), fetch)
    assert asked == []


@pytest.mark.parametrize(
    ("found", "now", "why"),
    [
        (b"<html>", NOW, "is none"),
        (certificate(), NOW + timedelta(days=2), "valid from 2025-11-22 to 2025-11-24 only"),
        (certificate(), NOW - timedelta(days=2), "valid from"),
        (certificate(of="ec"), NOW, "no RSA key"),
    ],
    ids=["none", "expired", "not valid yet", "another kind"],
)
def test_a_certificate_that_cannot_be_one_is_not_believed(found: bytes, now: datetime, why: str) -> None:
    with pytest.raises(NotBelieved, match=why):
        judge(signed(), lambda _: found, now=now)


def test_in_china_the_host_is_another_one() -> None:
    assert Topic("arn:aws-cn:sns:cn-north-1:111111111111:t").host == "sns.cn-north-1.amazonaws.com.cn"
    assert Topic("arn:aws-us-gov:sns:us-gov-west-1:111111111111:t").host == "sns.us-gov-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "body",
    ["", "text", "[]", "null", "{}", '{"Type": "Notification"}', signed(Type="UnsubscribeConfirmation"), "[" * 100_000],
    ids=["empty", "text", "list", "null", "object", "halves", "another type", "deep"],
)
def test_what_is_no_message_of_a_topic_belongs_to_somebody_else(body: str) -> None:
    assert read_envelope(body) is None


def test_a_certificate_is_fetched_once() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return certificate(until=datetime.now(UTC) + timedelta(days=1))

    verifier = Verifier(TOPIC, FetchOnce(fetch))
    for body in (signed(), notification(), signed().replace("chosen", "not chosen")):
        envelope = read_envelope(body)
        assert envelope is not None
        assert bool(verifier.objection(envelope)) is ("not chosen" in body)
    assert asked == [CERTIFICATE_URL]
