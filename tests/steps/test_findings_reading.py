"""Findings in queues: typed, counted once, acknowledged only when asked to; what others put there is left alone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runbook.aws.cloudformation import read_stack
from runbook.display import choose, listen_to
from runbook.environment import Environment
from runbook.parameters import ParameterError, build
from runbook.plan import Plan
from runbook.run import Run
from runbook.sandbox import clock
from runbook.steps import findings_reading
from runbook.steps.findings_parameters import FindingsOptions
from runbook.steps.findings_reading import SHOWN, Finding, Findings, Result, parse_finding
from runbook.steps.findings_state import observe
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.scenarios import make_step
from runbook.untrusted import Untrusted
from tests.queues import stored_messages

A, PILOT = "111111111111", "888888888888"
QUEUE = f"arn:aws:sqs:eu-west-1:{PILOT}:bucketav-findings"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.02)


def run_of(step: FindingsTopic, *, applied: bool) -> Run:
    plan = Plan(step=step.notebook, scenario="", environment="sandbox", parameters={}, changes=())
    return Run(plan, applied, None)


def publish(environment: Environment, *findings: dict[str, Any]) -> None:
    topic = read_stack(environment).output("FindingsTopicArn")
    for each in findings:
        attributes = {name: {"DataType": "String", "StringValue": each[name]} for name in ("bucket", "key", "status")}
        environment.client("sns", A).publish(TopicArn=topic, Message=json.dumps(each), MessageAttributes=attributes)


# --- one message -----------------------------------------------------------------------------------------------------

WHOLE = {"bucket": "b", "key": "k", "status": "infected", "finding": "Eicar", "size": 68, "version": "v1", "more": []}


def test_a_finding_is_typed_and_what_is_not_said_is_empty() -> None:
    found = parse_finding(json.dumps(WHOLE), "1", "q", "now")
    bucket, key, finding, version, time = map(Untrusted, ("b", "k", "Eicar", "v1", "now"))
    assert found == Finding("1", "q", Result.INFECTED, bucket, key, finding, 68, version, time)
    few = parse_finding('{"bucket": "b", "key": "k", "status": "no", "size": "large"}', "1", "q")
    assert few == Finding("1", "q", Result.UNSCANNABLE, Untrusted("b"), Untrusted("k"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"bucket": "b", "key": "k"}', '{"bucket": "b", "key": 1, "status": "no"}', "[" * 100_000]
    + [json.dumps(WHOLE | {"status": status}) for status in ("INFECTED", "", None, ["no"])],
)
def test_what_is_no_finding_is_none(text: str) -> None:
    assert parse_finding(text, "1", "q") is None


def test_many_findings_are_counted_and_the_latest_shown() -> None:
    items = tuple(
        Finding(f"{n}", "q", Result.CLEAN, Untrusted("b"), Untrusted(f"key-{n:03}"), time=Untrusted(f"{n:03}"))
        for n in range(100)
    )
    test = Finding("t", "q", Result.INFECTED, Untrusted("bucketav-runbook-test"), Untrusted("k"), time=Untrusted("999"))
    shown = Findings((*items, test), sources=("q",)).to_markdown()
    assert shown.count("key-") == SHOWN - 1
    assert "**0 infected, 0 unscannable, 100 clean, 1 test message. None acknowledged" in shown
    assert "key-099" in shown
    assert "| test |" in shown


# --- a queue ---------------------------------------------------------------------------------------------------------


def test_reading_leaves_everything_there_and_acknowledging_only_what_is_no_finding(environment: Environment) -> None:
    """A delivery that comes twice counts once; what nobody signed counts as nothing."""
    before = stored_messages(QUEUE)
    sqs = environment.client("sqs", PILOT)
    url = sqs.get_queue_url(QueueName="bucketav-findings")["QueueUrl"]
    infected = next(each for each in before if "infected" in each)
    made_up = infected.replace("camera-pilot", "payroll")
    foreign = next(each for each in before if '"TopicArn"' not in each)
    for body in (infected, made_up, json.dumps(WHOLE)):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    there = stored_messages(QUEUE)

    step = make_step(FindingsTopic, "read-findings", {"acknowledge": True})
    found = step.read(environment, run_of(step, applied=False))
    assert found.counts == {Result.INFECTED: 1, Result.UNSCANNABLE: 1, Result.CLEAN: 2}
    assert (found.foreign, found.again, found.acknowledged) == (2, 1, 0)
    assert ["signature" in each for each in found.not_believed] == [True]
    assert stored_messages(QUEUE) == there, "a preview acknowledges nothing"

    assert step.read(environment, run_of(step, applied=True)).acknowledged == 4
    assert stored_messages(QUEUE) == sorted([foreign, made_up, json.dumps(WHOLE)])


def test_raw_findings_are_findings_too(environment: Environment) -> None:
    sns = environment.client("sns", A)
    topic = read_stack(environment).output("FindingsTopicArn")
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    arn = next(each["SubscriptionArn"] for each in listed if each["Endpoint"] == QUEUE)
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true")
    publish(environment, WHOLE)
    step = make_step(FindingsTopic, "read-findings", {})
    assert step.read(environment, run_of(step, applied=True)).counts[Result.INFECTED] == 2


# --- listening -------------------------------------------------------------------------------------------------------


def clock_of(*moments: float) -> Any:
    """A clock that shows one moment after the other, and the last one from then on."""
    left: Iterator[float] = iter(moments)
    last = [0.0]

    def now() -> float:
        last[0] = next(left, last[0])
        return last[0]

    return now


def test_listening_ends_at_its_limit_and_shows_what_came_meanwhile(environment: Environment) -> None:
    step = make_step(FindingsTopic, "read-findings", {})
    sources = findings_reading.sources_of(observe(environment, step))
    before, heard = stored_messages(QUEUE), []
    ticks = clock_of(0, 1, 2, 3, 4, 5, 60)
    for number, found in enumerate(findings_reading.listen(environment, sources, 60, acknowledge=False, clock=ticks)):
        heard.append(len(found.items))
        if number == 1:
            publish(environment, WHOLE | {"key": "while-listening"})
    assert heard[0] == 0
    assert 4 in heard
    assert heard[-1] == 5
    assert len(stored_messages(QUEUE)) == len(before) + 1, "all of them are visible again"


def test_an_interrupt_ends_listening_and_nothing_stays_hidden(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored_messages(QUEUE)
    choice = choose(FindingsTopic, environment="sandbox", scenario="read-findings", listen=3600)

    def interrupt(_self: Any, content: dict[str, str], **_: Any) -> None:
        if "infected" in content["text/plain"]:
            raise KeyboardInterrupt

    monkeypatch.setattr("IPython.display.DisplayHandle.update", interrupt)
    monkeypatch.setattr("IPython.display.DisplayHandle.display", interrupt)
    heard = listen_to(choice, choice.preview(choice.plan()))
    assert repr(heard).startswith("Stopped.")
    assert heard.findings.counts[Result.CLEAN] == 2
    assert stored_messages(QUEUE) == before


def test_parameters_that_cannot_be_are_refused_with_the_reason(environment: Environment) -> None:
    """Pure, but for the names of accounts."""
    cases: dict[str, dict[str, Any]] = {
        "FIFO queue. bucketAV's findings topic is a standard topic": {"queues": ["e/orders.fifo"]},
        "does not say whose queue it is": {"queues": ["findings"]},
        "is listed twice": {"queues": ["b/findings", "222222222222/findings"]},
        "cannot be its own dead-letter queue": {"queues": ["b/findings"], "dead_letter": "findings"},
        "name one in `dead_letter`": {"queues": ["b/findings"], "max_receive_count": 3},
        "60 to 1,209,600 seconds were expected": {"queues": ["b/findings"], "retention": "59"},
        "there is no account `x`": {"queues": ["x/findings"]},
        "`sse-sqs`, or a KMS key": {"queues": ["b/findings"], "encryption": "aes256"},
        "which queues?": {"queues": ()},
    }
    for why, given in cases.items():
        with pytest.raises(ParameterError) as error:
            build(FindingsOptions, given, "here").targets(environment)
        assert why in str(error.value)
