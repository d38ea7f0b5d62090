"""The findings topic in the sandbox, from plan to proof: queues that get findings, and what is refused or survived."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation, confirmation
from runbook.aws.cloudformation import read_stack
from runbook.aws.sns import findings_topic
from runbook.aws.subscriptions import QueueSubscription
from runbook.checks import Status
from runbook.environment import AddressError, Environment
from runbook.policy import document
from runbook.procedure import Procedure
from runbook.run import ApplyFailed, undo
from runbook.sandbox import clock
from runbook.steps import findings_checks, findings_proof
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.scenarios import make_step, scenario_names
from tests.queues import receive_counts, stored_messages, stored_queues
from tests.steps.way import Through, answer, deny, open_buckets
from tests.world import policies

A, B, C, E, F, PILOT = (
    "111111111111",
    "222222222222",
    "333333333333",
    "555555555555",
    "777777777777",
    "888888888888",
)
SCENARIOS = scenario_names("06-findings-topic")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it takes here."""
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.02)
    monkeypatch.setattr(clock, "DELETED_QUEUE_SECONDS", 0.0)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(confirmation, "GLANCE_SECONDS", 0.1)
    monkeypatch.setattr(findings_proof, "TEST_SECONDS", 0.5)


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, **given: Any) -> Procedure:
        step = make_step(FindingsTopic, scenario, given)
        step.examine(environment)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, environment, scenario=scenario, apply=apply, folder=str(folder))

    return make


@pytest.fixture
def topic(environment: Environment) -> str:
    return read_stack(environment).output("FindingsTopicArn")


def arn(account: str, queue: str) -> str:
    return f"arn:aws:sqs:eu-west-1:{account}:{queue}"


# --- it does what it says, once, and can be taken back ---------------------------------------------------------------


def test_scenarios_apply_once_one_after_another_and_are_undone_to_the_letter(
    procedure: Through, environment: Environment, topic: str
) -> None:
    before = {**policies(environment), **stored_queues()}
    foreign = stored_messages(arn(C, "security-events"))
    planned = json.loads(procedure("new-queue").plan().changes[0].after or "")["Policy"]
    folders = []
    for scenario in SCENARIOS:
        folders.append(open_buckets(procedure(scenario, apply=True)))
        assert procedure(scenario).plan().changes == (), scenario
    assert stored_messages(arn(C, "security-events")) == foreign, "the request is gone, and nothing else is"

    snippet = (Path(__file__).parent.parent / "data" / "snippets" / "findings-queue.json").read_text()
    filled_in = snippet.replace("ACCOUNT_B_SQS_QUEUE_ARN", "SQS_QUEUE_ARN").replace("SNS_FINDINGS_TOPIC_ARN", topic)
    filled_in = filled_in.replace("SQS_QUEUE_ARN", arn(B, "bucketav-findings")).replace("ACCOUNT_ID", B)
    assert planned == json.dumps(json.loads(filled_in), separators=(",", ":"))

    for folder in reversed(folders):
        undo(folder, environment)
    assert {**policies(environment), **stored_queues()} == before


def test_the_end_of_a_subscription_leaves_the_queue_and_what_is_in_it(
    procedure: Through, environment: Environment
) -> None:
    waiting = stored_messages(arn(PILOT, "bucketav-findings"))
    applying = procedure(queues=[f"{PILOT}/bucketav-findings"], action="remove", apply=True)
    open_buckets(applying)
    assert stored_messages(arn(PILOT, "bucketav-findings")) == waiting
    again = procedure(queues=[f"{PILOT}/bucketav-findings", "b/no-such-queue"], action="remove")
    assert again.plan().changes == ()
    assert "There is no such queue" in answer(again.check(), "There is something to take away", Status.WARNING)


def test_undo_keeps_a_queue_of_its_making_that_something_is_in_and_says_so(
    procedure: Through, environment: Environment, topic: str
) -> None:
    folder = open_buckets(procedure("new-queue", apply=True))
    environment.client("sns", A).publish(TopicArn=topic, Message=json.dumps(finding("clean", "a.txt")))
    undone = undo(folder, environment)
    assert "holds about 1 message: it was not deleted" in repr(undone)
    assert len(stored_messages(arn(B, "bucketav-findings"))) == 1
    assert json.loads(stored_queues()[arn(B, "bucketav-findings")] or "")[4] is None, "nobody is let in"
    assert f"{topic} {arn(B, 'bucketav-findings')}" not in stored_queues()


def test_what_is_not_asked_for_stays_as_it_is_and_options_are_set(
    procedure: Through, environment: Environment, topic: str
) -> None:
    environment.client("sqs", C).set_queue_attributes(
        QueueUrl=f"https://sqs/{C}/security-events",
        Attributes={"VisibilityTimeout": "77", "DelaySeconds": "1", "MessageRetentionPeriod": "600"},
    )
    open_buckets(procedure("existing-queue", apply=True))
    subscribed = f"{topic} {arn(C, 'security-events')}"
    assert json.loads(stored_queues()[arn(C, "security-events")] or "")[:2] == ["77", "600"]
    options = {"retention": "1200", "statuses": "infected", "raw_delivery": "on", "dead_letter": "later"}
    open_buckets(procedure("existing-queue", apply=True, **options))
    visibility, retention, redrive, *_ = json.loads(stored_queues()[arn(C, "security-events")] or "")
    assert (visibility, retention) == ("77", "1200")
    assert json.loads(redrive) == {"deadLetterTargetArn": arn(C, "later"), "maxReceiveCount": 5}
    assert json.loads(stored_queues()[subscribed] or "")[2]["FilterPolicy"] == '{"status": ["infected"]}'
    assert procedure("existing-queue").plan().changes == (), "what is not given is left alone"
    everything = procedure("existing-queue", statuses="all", raw_delivery="off", apply=True)
    open_buckets(everything)
    after = json.loads(stored_queues()[subscribed] or "")[2]
    assert str(after["RawMessageDelivery"]).lower() == "false"
    assert json.loads(after.get("FilterPolicy") or "{}") == {}


def test_the_statement_that_the_console_gives_a_queue_is_the_owners(
    procedure: Through, environment: Environment
) -> None:
    """It says what the documentation's first one says: it is not added again, and stays when ours go."""
    own = {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__owner_statement",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{B}:root"},
                "Action": "SQS:*",
                "Resource": arn(B, "by-console"),
            }
        ],
    }
    sqs = environment.client("sqs", B)
    sqs.create_queue(QueueName="by-console", Attributes={"Policy": json.dumps(own)})

    def policy() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.loads(stored_queues()[arn(B, "by-console")] or "")[4])
        return found

    open_buckets(procedure(queues=["b/by-console"], apply=True))
    assert [each.get("Sid") for each in policy()["Statement"]] == ["__owner_statement", None]
    open_buckets(procedure(queues=["b/by-console"], mode="hardened", apply=True))
    assert [each.get("Sid") for each in policy()["Statement"]] == ["__owner_statement", None, None]
    assert policy()["Statement"][2]["Principal"] == {"Service": "sns.amazonaws.com"}
    open_buckets(procedure(queues=["b/by-console"], action="remove", apply=True))
    assert document.same_meaning(document.parse(json.dumps(policy()), ""), document.parse(json.dumps(own), ""))


def test_a_queue_that_cannot_be_made_does_not_keep_the_others_from_their_subscriptions(
    procedure: Through, environment: Environment, topic: str
) -> None:
    deny(environment, "sqs:CreateQueue", C)
    applying = procedure("several-accounts", apply=True)
    with pytest.raises(ApplyFailed, match="Changes made: 4") as failed:
        applying.apply(applying.plan())
    assert "(CreateQueue)" in str(failed.value)
    endpoints = [name.split(" ")[1] for name in stored_queues() if name.startswith(f"{topic} ")]
    assert {arn(B, "findings"), arn(F, "findings")} <= set(endpoints)
    assert arn(C, "findings") not in endpoints
    environment.client("iam", C).delete_role_policy(RoleName="OrganizationAccountAccessRole", PolicyName="deny")
    open_buckets(applying)


def finding(status: str, key: str, **more: Any) -> dict[str, Any]:
    return {"bucket": "uploads-b", "key": key, "status": status, **more}


# --- the confirmation ------------------------------------------------------------------------------------------------


def queue_of(environment: Environment, topic: str, name: str, account: str = B) -> Any:
    """A queue with a policy that lets the topic send to it, as somebody made it by hand; a client that is at it."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": arn(account, name),
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    environment.client("sqs", account).create_queue(QueueName=name, Attributes={"Policy": policy})


def subscribe(environment: Environment, topic: str, name: str, account: str = B) -> str:
    """Account a asks for a subscription, as the documentation has people do; the request that is then in the queue."""
    already = stored_messages(arn(account, name))
    environment.client("sns", A).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn(account, name))
    (request,) = set(stored_messages(arn(account, name))) - set(already)
    return request


def put(environment: Environment, name: str, *bodies: str, account: str = B) -> None:
    """Somebody puts messages into a queue."""
    sqs = environment.client("sqs", account)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


HOST = "https://sns.eu-west-1.amazonaws.com"
PLACES = (
    f"{HOST}.evil.example",
    HOST.replace("https", "http"),
    HOST.replace("//", "//somebody@"),
    f"{HOST}:8443",
)


def test_forged_requests_and_other_messages_are_left_as_they_were_found(
    procedure: Through, environment: Environment, topic: str
) -> None:
    """Sixty messages of others, and some that look like requests; those that say they are of this topic are told of."""
    queue_of(environment, topic, "elsewhere")
    real = subscribe(environment, topic, "elsewhere")
    fields = json.loads(real)
    forged = [
        {"Message": "You have chosen well"},
        {"Token": "ffff"},
        {"Signature": "AAAA"},
        {"SigningCertURL": fields["SigningCertURL"].replace(HOST, f"{HOST}.evil.example")},
        *({"SubscribeURL": fields["SubscribeURL"].replace(HOST, place)} for place in PLACES),
    ]
    of_another_topic = {"TopicArn": topic.replace("Findings", "Others")}
    bodies = [json.dumps(fields | each) for each in (*forged, of_another_topic)]
    put(environment, "full-events", *bodies, account=E)
    before = stored_messages(arn(E, "full-events"))

    applying = procedure(queues=["e/full-events"], apply=True)
    assert "About 69 messages are in it" in answer(applying.check(), "Other messages stay as they are", Status.OK)
    run = applying.apply(applying.plan())
    applying.verify(run)
    assert len([line for line in run.told if "was not believed" in line]) == len(forged)
    assert stored_messages(arn(E, "full-events")) == before
    assert receive_counts(arn(E, "full-events")) == {1}


def test_a_request_that_is_too_deep_in_a_queue_is_given_up(procedure: Through, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "MOST", 20)
    monkeypatch.setattr(findings_checks, "MOST", 20)
    before = stored_messages(arn(E, "full-events"))
    applying = procedure(queues=["e/full-events"], apply=True)
    assert "of so many, only 20" in answer(applying.check(), "Other messages stay as they are", Status.WARNING)
    with pytest.raises(ApplyFailed, match="not among the first 20 messages"):
        applying.apply(applying.plan())
    assert set(before) <= set(stored_messages(arn(E, "full-events")))
    assert receive_counts(arn(E, "full-events")) <= {0, 1}


def test_a_request_of_somebody_elses_is_used_once_however_often_it_is_delivered(
    procedure: Through, environment: Environment, topic: str
) -> None:
    """The documented way, given up after its second step; the message came twice. A filter is set all the same."""
    queue_of(environment, topic, "halfway")
    put(environment, "halfway", "theirs", subscribe(environment, topic, "halfway"))
    applying = procedure(queues=["b/halfway"], statuses="infected", apply=True)
    plan = applying.plan()
    assert "waits for its confirmation" in repr(plan)
    applying.verify(applying.apply(plan))
    assert stored_messages(arn(B, "halfway")) == ["theirs"]
    assert procedure(queues=["b/halfway"]).plan().changes == ()


def test_the_queues_owner_may_go_on_with_what_the_topics_has_begun(
    procedure: Through, environment: Environment, topic: str
) -> None:
    queue_of(environment, topic, "halfway")
    subscribe(environment, topic, "halfway")
    open_buckets(procedure(queues=["b/halfway"], subscriber="queue-owner", apply=True))
    assert procedure(queues=["b/halfway"], subscriber="queue-owner").plan().changes == ()


def test_a_token_that_has_expired_leads_to_a_new_request(
    procedure: Through, environment: Environment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request of the week before last, and one that is asked for but was taken out of the queue."""
    queue_of(environment, topic, "forgotten")
    old = subscribe(environment, topic, "forgotten")
    later = clock.now() + 2 * 24 * 60 * 60 + 1
    monkeypatch.setattr(clock, "now", lambda: later)
    subscribe(environment, topic, "forgotten")
    sqs = environment.client("sqs", B)
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName="forgotten")["QueueUrl"])
    put(environment, "forgotten", old)
    applying = procedure(queues=["b/forgotten"], apply=True)
    run = applying.apply(applying.plan())
    applying.verify(run)
    assert "is not valid any more" in "".join(run.told)
    assert stored_messages(arn(B, "forgotten")) == []


def test_a_policy_that_takes_its_time_to_count_is_waited_for(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments are calls: the first requests get nowhere, and are not sent again."""
    moments = iter(range(100_000))
    monkeypatch.setattr(clock, "now", lambda: float(next(moments)))
    monkeypatch.setattr(clock, "QUEUE_POLICY_SECONDS", 60.0)
    monkeypatch.setattr(confirmation, "REQUESTS", 50)
    before = stored_messages(arn(C, "security-events"))
    open_buckets(procedure("existing-queue", apply=True))
    assert stored_messages(arn(C, "security-events")) == before


def test_without_a_request_the_subscription_waits_and_the_run_goes_on_later(
    procedure: Through, environment: Environment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, applying = stored_queues(), procedure("existing-queue", apply=True)
    plan, moment = applying.plan(), clock.now()
    monkeypatch.setattr(clock, "QUEUE_POLICY_SECONDS", 60.0)
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(clock, "now", lambda: moment)
    with pytest.raises(ApplyFailed, match=r"asked for 5 times(.|\n)*made in part"):
        applying.apply(plan)
    assert "pending" in (QueueSubscription().read(environment, plan.changes[1].resource) or "")
    monkeypatch.setattr(clock, "now", lambda: moment + 61)
    applying.verify(applying.apply(plan))
    assert applying.folder
    undo(applying.folder, environment)
    assert stored_queues().keys() == before.keys()


@pytest.mark.parametrize("way", ["open_url", "by_hand"])
def test_the_documented_way_is_there_too(way: str, procedure: Through, environment: Environment, topic: str) -> None:
    applying = procedure("new-queue", confirm=way, apply=True)
    run = applying.apply(applying.plan())
    checks = applying.verify(run).checks
    assert procedure("new-queue", confirm=way).plan().changes == ()
    assert applying.folder
    if way == "open_url":
        assert stored_messages(arn(B, "bucketav-findings")) == []
    else:
        assert "left to you" in answer(checks, "The subscription is confirmed", Status.WARNING)
        address = next(word for line in run.told for word in line.split() if word.startswith(HOST))
        assert environment.fetch(address).startswith(b"<ConfirmSubscriptionResponse")
        open_buckets(procedure("new-queue", apply=True))
        put_back = environment.client("sqs", B)
        put_back.purge_queue(QueueUrl=put_back.get_queue_url(QueueName="bucketav-findings")["QueueUrl"])
    undo(applying.folder, environment)
    assert arn(B, "bucketav-findings") not in stored_queues()


def test_what_is_no_confirmation_is_not_taken_for_one(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = environment.fetch
    monkeypatch.setattr(environment, "fetch", lambda url: b"<html/>" if "?Action=" in url else fetch(url))
    applying = procedure("new-queue", confirm="open_url", apply=True)
    with pytest.raises(ApplyFailed, match="has the root `html`, not `ConfirmSubscriptionResponse`"):
        applying.apply(applying.plan())


# --- what is refused, before any change ------------------------------------------------------------------------------


def test_what_stands_against_a_queue_is_said_and_leaves_only_that_one_out(
    procedure: Through, environment: Environment, topic: str
) -> None:
    others = {"StringNotEquals": {"aws:PrincipalOrgID": "o-exampleorg"}}
    deny_all = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": others, "Resource": "*"}
    sqs = environment.client("sqs", C)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny_all]})
    sqs.create_queue(QueueName="ours-only", Attributes={"Policy": policy})
    sqs.create_queue(QueueName="by-aws", Attributes={"KmsMasterKeyId": "alias/aws/sqs"})
    sqs.create_queue(QueueName="with-key", Attributes={"KmsMasterKeyId": "alias/events"})
    queues = [
        "e/crowded-events",
        "e/alerts",
        "c/ours-only",
        "c/by-aws",
        "c/with-key",
        "b/bucketav-findings",
        "d/denied",
    ]
    deny(environment, "sqs:GetQueueUrl", "444444444444")
    checks = procedure(queues=queues).check()
    takes = answer(checks, "Its policy can take the statements", Status.FAILED)
    assert "22 statements; SQS takes 20" in takes
    assert "AROAQBVPAGER4EXAMPLES: a role or user that no longer exists" in takes
    assert "The topic would stay denied" in answer(checks, "The grant is of use", Status.FAILED)
    encrypted = answer(checks, "What is encrypted can be sent", Status.FAILED)
    assert "which AWS manages: its policy cannot let SNS in" in encrypted
    assert "does not let SNS use it" in encrypted
    assert "444444444444/denied" in answer(checks, "The queue can be looked at", Status.FAILED)
    plan = procedure(queues=queues).plan()
    assert {change.resource.arn for change in plan.changes} == {
        arn(B, "bucketav-findings"),
        f"{topic}:{B}/bucketav-findings",
    }
    assert len(plan.left_out) == 6


def test_the_topic_is_found_in_parameter_store_where_the_stack_does_not_say_it(
    environment: Environment, topic: str
) -> None:
    assert findings_topic(environment, {}) == (topic, "parameter /bucketAV/bucketav/FindingsTopicArn")
    with pytest.raises(AddressError, match="is not an https address"):
        environment.fetch(f"http://{HOST.removeprefix('https://')}/")
