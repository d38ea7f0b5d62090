"""Messages that cannot be believed, in the queues that the package reads: named, left there, and no reason to stop."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation, confirmation
from runbook.aws.cloudformation import read_stack
from runbook.aws.sns_messages import LONG, Verifier, read_envelope
from runbook.aws.subscriptions import QueueSubscription
from runbook.environment import MOST_ADDRESSES, MOST_UNREACHABLE, AddressError, Environment, FetchOnce
from runbook.procedure import Procedure
from runbook.run import ApplyFailed, undo
from runbook.sandbox import clock
from runbook.steps import findings_proof, findings_reading
from runbook.steps.findings_reading import parse_finding
from runbook.steps.findings_state import observe
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.scenarios import make_step
from tests.queues import stored_messages, stored_queues
from tests.steps.test_findings_reading import run_of

A, B, PILOT = "111111111111", "222222222222", "888888888888"
HOST = "https://sns.eu-west-1.amazonaws.com"
QUEUE = f"arn:aws:sqs:eu-west-1:{B}:halfway"
PILOT_QUEUE = f"arn:aws:sqs:eu-west-1:{PILOT}:bucketav-findings"


def at(name: str) -> str:
    return f"{HOST}/SimpleNotificationService-{name}.pem"


AT_THE_ADDRESS: dict[str, bytes | AddressError] = {
    "withdrawn": AddressError(f"{at('withdrawn')} answers with status 404.", refused=True),
    "forbidden": AddressError(f"{at('forbidden')} answers with status 403.", refused=True),
    "unreachable": AddressError(f"{at('unreachable')} has to be reachable from here, and is not.", refused=False),
    "page": b"<html>Please log in</html>",
    "cut": b"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n",
    "binary": bytes(range(256)),
    "huge": b"-----BEGIN CERTIFICATE-----\n" * 100_000,
    "empty": b"",
}
"""Answers at the addresses of certificates, on the right host, that messages of strangers name."""

DEEP: Any = "x"
for _ in range(300):
    DEEP = [DEEP]

JUNK: dict[str, dict[str, Any]] = {
    **{f"certificate {name}": {"SigningCertURL": at(name)} for name in AT_THE_ADDRESS},
    "certificate at another host": {"SigningCertURL": "https://evil.example/SimpleNotificationService-0.pem"},
    "certificate's address is a number": {"SigningCertURL": 7},
    "certificate's address is very long": {"SigningCertURL": at("0" * 100_000)},
    "no certificate": {"SigningCertURL": None},
    "signature of another alphabet": {"Signature": "ÄÖÜ"},
    "signature of half a character": {"Signature": "\ud800"},
    "signature is a list": {"Signature": ["AAAA"]},
    "signature is short": {"Signature": "AAAA"},
    "signature is wrong base64": {"Signature": "A"},
    "unknown version": {"SignatureVersion": "99"},
    "version is deep": {"SignatureVersion": DEEP},
    "version is a number": {"SignatureVersion": 1},
    "token is a mapping": {"Token": {"a": 1}},
    "subject is deep": {"Subject": DEEP},
    "address is a number": {"SubscribeURL": 7},
    "address is broken": {"SubscribeURL": f"{HOST}/?[::1"},
    "no date": {"Timestamp": "the day before yesterday"},
    "id of a megabyte": {"MessageId": "x" * 200_000},
    "id with escapes": {"MessageId": "\x1b[31m\u202e\n\ud800"},
    "half a character": {"Token": "\ud800", "Subject": "\udfff"},
}
"""Faults of a message that says to come from the topic."""


def junk(genuine: str) -> dict[str, str]:
    """Messages like a genuine one, each with something about it that nobody can believe."""
    fields = json.loads(genuine)
    made = {}
    for name, wrong in JUNK.items():
        changed = {key: value for key, value in (fields | wrong).items() if value is not None}
        if "Subject" in wrong and fields["Type"] == "SubscriptionConfirmation":
            changed["Token"] = f"not {changed.get('Token')}"  # what is no part of what is signed makes it no junk
        made[name] = json.dumps(changed)
    return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.02)
    monkeypatch.setattr(clock, "DELETED_QUEUE_SECONDS", 0.0)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(confirmation, "GLANCE_SECONDS", 0.1)
    monkeypatch.setattr(confirmation, "SHOWN", 1000)
    monkeypatch.setattr(findings_proof, "TEST_SECONDS", 0.5)


@pytest.fixture
def asked(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were opened; those of strangers' certificates answer as `AT_THE_ADDRESS` says."""
    fetch, opened = environment.fetch, []

    def fetched(url: str) -> bytes:
        opened.append(url)
        name = url.removeprefix(f"{HOST}/SimpleNotificationService-").removesuffix(".pem")
        found = AT_THE_ADDRESS.get(name)
        if isinstance(found, AddressError):
            raise found
        return fetch(url) if found is None else found

    monkeypatch.setattr(environment, "fetch", fetched)
    return opened


@pytest.fixture
def topic(environment: Environment) -> str:
    return read_stack(environment).output("FindingsTopicArn")


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Callable[..., Procedure]:
    def make(**given: Any) -> Procedure:
        step = make_step(FindingsTopic, "", {"queues": ["b/halfway"], **given})
        step.examine(environment)
        return Procedure(step, environment, scenario="", apply=True, folder=str(tmp_path / "run"))

    return make


def put(environment: Environment, arn: str, *bodies: str) -> None:
    account, name = arn.split(":")[4:]
    sqs = environment.client("sqs", account)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


def a_request(environment: Environment, topic: str, queue: str) -> str:
    """A genuine request for confirmation, as it lay in another queue."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:eu-west-1:{B}:{queue}",
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    environment.client("sqs", B).create_queue(QueueName=queue, Attributes={"Policy": policy})
    arn = f"arn:aws:sqs:eu-west-1:{B}:{queue}"
    environment.client("sns", A).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    (request,) = stored_messages(arn)
    return request


@pytest.fixture
def full_queue(environment: Environment, topic: str) -> list[str]:
    """Queue `halfway` of account b with a message of every kind of junk, before anybody subscribes it."""
    bodies = junk(a_request(environment, topic, "elsewhere"))
    environment.client("sqs", B).create_queue(QueueName="halfway")
    put(environment, QUEUE, *bodies.values())
    return sorted(bodies.values())


def named(lines: Iterator[str] | tuple[str, ...] | list[str]) -> list[str]:
    """The lines about messages that were not believed, each of them bounded and without control characters."""
    found = [line for line in lines if "was not believed" in line]
    for line in found:
        assert len(line) < 5 * LONG
        assert line.isprintable()
        assert re.search("Message `?'", line)  # an id that is more than letters and digits is a span of code
        assert "which names 'arn:aws:sns:" in line
    return found


# --- one message -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("kind", ["request", "notification"])
def test_every_kind_of_junk_has_a_reason_and_raises_nothing(
    name: str, kind: str, environment: Environment, topic: str, asked: list[str]
) -> None:
    genuine = a_request(environment, topic, "elsewhere")
    if kind == "notification":
        genuine = next(each for each in stored_messages(PILOT_QUEUE) if '"Notification"' in each)
    envelope = read_envelope(junk(genuine)[name])
    assert envelope is not None
    assert not Verifier(topic, environment.fetch_once).objection(read_envelope(genuine) or envelope)
    objection = Verifier(topic, environment.fetch_once).objection(envelope)
    if name.startswith(("token", "address")) and kind == "notification":
        return  # no part of a notification
    assert named([f"A message was not believed: {objection}"]) == [f"A message was not believed: {objection}"]


def test_halves_of_characters_and_impossible_names_are_no_finding() -> None:
    found = parse_finding('{"bucket": "b", "key": "\\ud800", "status": "clean", "finding": "\\udfff"}', "1", "q")
    assert found is not None
    assert (f"{found.key}", found.finding.raw) == ("`\\ud800`", "\\udfff")
    long = parse_finding(json.dumps({"bucket": "b", "key": "k", "status": "clean", "finding": "f" * 10_000}), "1", "q")
    assert long is not None
    assert len(long.finding.raw) == LONG + 1
    assert parse_finding(json.dumps({"bucket": "b", "key": "k" * 1025, "status": "clean"}), "1", "q") is None
    assert parse_finding(json.dumps({"bucket": "b" * 256, "key": "k", "status": "clean"}), "1", "q") is None


# --- what is fetched -------------------------------------------------------------------------------------------------


def test_an_address_is_opened_once_and_not_any_number_of_them() -> None:
    opened: list[str] = []

    def fetch(url: str) -> bytes:
        opened.append(url)
        if "gone" in url:
            raise AddressError(f"{url} answers with status 404.", refused=True)
        return b"here"

    once = FetchOnce(fetch)
    for _ in range(2):
        assert once("first") == b"here"
        with pytest.raises(AddressError, match="gone answers with status 404"):
            once("gone")
    assert opened == ["first", "gone"]
    for number in range(2, MOST_ADDRESSES):
        once(f"{number}")
    for number in range(MOST_ADDRESSES, 2 * MOST_ADDRESSES):
        with pytest.raises(AddressError, match=f"was not opened: {MOST_ADDRESSES} others were before it"):
            once(f"{number}")
    assert len(opened) == MOST_ADDRESSES
    assert once("first") == b"here"


def test_where_nothing_can_be_reached_few_addresses_are_waited_for() -> None:
    opened: list[str] = []

    def fetch(url: str) -> bytes:
        opened.append(url)
        raise AddressError(f"{url} has to be reachable from here, and is not.", refused=False)

    once = FetchOnce(fetch)
    said = []
    for number in range(20):
        with pytest.raises(AddressError) as error:
            once(f"{number}")
        said.append(str(error.value))
    assert len(opened) == MOST_UNREACHABLE
    assert said[-1] == f"19 was not opened: {MOST_UNREACHABLE} others could not be reached."


# --- confirm, resume, undo -------------------------------------------------------------------------------------------


def test_a_subscription_is_confirmed_past_every_kind_of_junk(
    procedure: Callable[..., Procedure], full_queue: list[str], asked: list[str]
) -> None:
    applying = procedure()
    run = applying.apply(applying.plan())
    applying.verify(run)
    assert len(named(run.told)) == len(JUNK)
    assert stored_messages(QUEUE) == full_queue, "the junk is left there"
    certificates = [url for url in asked if url.endswith(".pem")]
    assert len(certificates) == len(set(certificates))


def test_a_genuine_request_is_found_behind_sixty_that_name_certificates_of_their_own(
    procedure: Callable[..., Procedure], environment: Environment, topic: str, asked: list[str]
) -> None:
    fields = json.loads(a_request(environment, topic, "elsewhere"))
    bodies = [
        json.dumps(fields | {"MessageId": f"{number}", "SigningCertURL": at(f"{number:032}")}) for number in range(60)
    ]
    environment.client("sqs", B).create_queue(QueueName="halfway")
    put(environment, QUEUE, *bodies)
    applying = procedure()
    run = applying.apply(applying.plan())
    applying.verify(run)
    assert len(named(run.told)) == 60
    assert len([url for url in asked if url.endswith(".pem")]) == 61


def test_few_of_many_that_are_not_believed_are_named(
    procedure: Callable[..., Procedure], full_queue: list[str], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "SHOWN", 3)
    applying = procedure()
    run = applying.apply(applying.plan())
    assert len(named(run.told)) == 3
    assert f"… and {len(JUNK) - 3} more" in "".join(run.told)


@pytest.mark.parametrize("then", ["resume", "undo"])
def test_an_interrupted_subscription_is_resumed_and_undone_past_every_kind_of_junk(
    then: str,
    procedure: Callable[..., Procedure],
    environment: Environment,
    topic: str,
    full_queue: list[str],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is asked for, and does not come; what comes first when the run goes on is the junk."""
    applying, moment = procedure(), clock.now()
    plan = applying.plan()
    monkeypatch.setattr(clock, "QUEUE_POLICY_SECONDS", 60.0)
    monkeypatch.setattr(clock, "now", lambda: moment)
    with pytest.raises(ApplyFailed, match="asked for 5 times"):
        applying.apply(plan)
    assert "pending" in (QueueSubscription().read(environment, plan.changes[-1].resource) or "")
    monkeypatch.setattr(clock, "now", lambda: moment + 61)
    if then == "resume":
        run = applying.apply(plan)
        applying.verify(run)
        assert len(named(run.told)) == len(JUNK)
    else:
        assert applying.folder
        undone = undo(applying.folder, environment)
        assert len(named(repr(undone).splitlines())) == len(JUNK)
        assert json.loads(stored_queues()[QUEUE] or "")[4] is None, "nobody is let in any more"
    assert set(full_queue) <= set(stored_messages(QUEUE))


def test_a_queue_with_more_messages_than_are_looked_at_can_be_undone(
    procedure: Callable[..., Procedure],
    environment: Environment,
    full_queue: list[str],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirmation, "MOST", 10)
    applying = procedure()
    with pytest.raises(ApplyFailed, match="not among the first 10 messages"):
        applying.apply(applying.plan())
    assert applying.folder
    undone = undo(applying.folder, environment)
    assert "not among the first 10 messages" in repr(undone)
    assert json.loads(stored_queues()[QUEUE] or "")[4] is None, "nobody is let in any more"


# --- reading and listening -------------------------------------------------------------------------------------------


@pytest.fixture
def full_findings(environment: Environment) -> list[str]:
    """The queue of findings with a message of every kind of junk that is one of a notification."""
    genuine = next(each for each in stored_messages(PILOT_QUEUE) if '"Notification"' in each and "infected" in each)
    bodies = [
        body
        for name, body in junk(genuine).items()
        if not name.startswith(("token", "address")) and not name.startswith("half a")
    ]
    put(environment, PILOT_QUEUE, *bodies)
    return bodies


def test_findings_are_read_past_every_kind_of_junk(
    environment: Environment, full_findings: list[str], asked: list[str]
) -> None:
    before = stored_messages(PILOT_QUEUE)
    step = make_step(FindingsTopic, "read-findings", {"acknowledge": True})
    found = step.read(environment, run_of(step, applied=True))
    assert len(found.items) == found.acknowledged == 4
    assert len(found.not_believed) == len(full_findings)
    named([f"A message was not believed. {each}" for each in found.not_believed])
    assert f"{len(full_findings)} messages not believed" in found.summary
    assert f"… and {len(full_findings) - findings_reading.SHOWN} more" in found.to_markdown()
    assert set(full_findings) <= set(stored_messages(PILOT_QUEUE))
    assert set(stored_messages(PILOT_QUEUE)) <= set(before)
    assert len(asked) == len(set(asked))


def test_listening_goes_on_past_every_kind_of_junk(
    environment: Environment, full_findings: list[str], asked: list[str]
) -> None:
    step = make_step(FindingsTopic, "read-findings", {})
    sources = findings_reading.sources_of(observe(environment, step))
    moments = iter(range(1000))
    heard = list(
        findings_reading.listen(environment, sources, 60, acknowledge=False, clock=lambda: float(next(moments)))
    )
    assert len(heard[-1].items) == 4
    assert len(heard[-1].not_believed) == len(full_findings)
