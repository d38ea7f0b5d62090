"""The proof that findings reach queues, or do not any more: access worked out, the subscription, a test message."""

import time
from collections.abc import Iterable, Sequence

from runbook.access import Access
from runbook.aws.kms import KeyPolicy
from runbook.aws.sqs import policy_in
from runbook.aws.subscriptions import PENDING
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.policy.evaluate import Verdict
from runbook.run import Run
from runbook.steps.findings_access import FINDINGS_TOPIC, Policies, access
from runbook.steps.findings_reading import Reading, Source, publish_test, sources_of
from runbook.steps.findings_state import Standing, State
from runbook.steps.policy_checks import action_names
from runbook.untrusted import pattern_text

TEST_SECONDS = 60
"""How long a test message may take."""


def rows_of(state: State, run: Run) -> dict[str, list[Access]]:
    """The answers about every queue before and after the run, or as they would be after a preview's."""
    return {standing.address: access(state, standing, *_then_and_now(standing, run)) for standing in state.usable}


def proof(state: State, run: Run, rows: dict[str, list[Access]]) -> Iterable[Check]:
    """What the answers say, and how the subscriptions stand."""
    for standing in state.standings:
        if standing.problem:
            found = f"It cannot be looked at. {standing.problem}"
            yield Check("Findings reach the queue", standing.address, Status.FAILED, found)
            continue
        yield from _access_checks(state, run, standing, rows[standing.address])
        yield _subscription_check(state, run, standing)


def test_checks(environment: Environment, state: State) -> Iterable[Check]:
    """Send one message through the topic, marked as a test, and see whether every subscribed queue gets it."""
    title = "A test message goes round"
    confirmed = [standing for standing in state.usable if standing.confirmed]
    if not confirmed:
        yield Check(title, "all queues", Status.WARNING, "Not sent: no queue is subscribed and confirmed.")
        return
    sent = publish_test(environment, state)
    for source in sources_of(state):
        seconds = _arrived(environment, source, sent)
        if seconds is None:
            found = f"It was sent, and did not arrive within {TEST_SECONDS} seconds."
            yield Check(
                title, source.address, Status.FAILED, found, "Does a filter policy keep it out? Read the queue."
            )
        else:
            yield Check(
                title, source.address, Status.OK, "Sent in account a, received in the queue, and deleted there."
            )


def _arrived(environment: Environment, source: Source, sent: str) -> float | None:
    """After how many seconds the test message was in the queue; it is deleted there, the others are left."""
    began = time.monotonic()
    with Reading(environment, source) as reading:
        while (passed := time.monotonic() - began) < TEST_SECONDS:
            new = reading.more(wait=max(1, round(TEST_SECONDS - passed)))
            if found := [each for each in new if each.key.raw == sent]:
                reading.acknowledge(found)
                return passed
    return None


def _then_and_now(standing: Standing, run: Run) -> tuple[Policies, Policies]:
    """The documents before the run, and as they are or, after a preview, would be."""
    key = standing.key.policy if standing.key else None
    now = Policies(standing.queue.policy if standing.queue else None, key)
    before = after = now
    for change in run.plan.changes:
        if change.resource.arn == standing.arn:
            before = Policies(policy_in(change.before), before.key)
            after = Policies(policy_in(change.after), after.key)
        elif change.resource.kind == KeyPolicy.name and standing.key and change.resource.arn == standing.key.arn:
            before, after = Policies(before.queue, change.before), Policies(after.queue, change.after)
    return (before, now) if run.applied else (now, after)


def _access_checks(state: State, run: Run, standing: Standing, rows: Sequence[Access]) -> Iterable[Check]:
    removes = state.options.action == "remove"
    could = {(True, False): "can", (True, True): "cannot", (False, False): "could", (False, True): "could not"}
    title = f"The findings topic {could[run.applied, removes]} send to the queue{' any more' if removes else ''}"
    wrong = [row for row in rows if not row.as_wanted and row.after.verdict is not Verdict.INDETERMINATE]
    unknown = [row for row in rows if row.granted and row.after.verdict is Verdict.INDETERMINATE]
    beyond = [row for row in rows if not row.granted and row.principal != FINDINGS_TOPIC and row.after.allowed]
    skipped = state.options.key_policy == "skip" and all(row.action.startswith("kms:") for row in wrong)
    if wrong:
        status = Status.FAILED if run.applied and not skipped else Status.WARNING
        found = f"Not as wanted for {pattern_text(wrong[0].principal)}, {action_names(wrong)}: {wrong[0].after.reason}"
        yield Check(title, standing.address, status, found, "See the checks before the plan.")
    if unknown:
        found = f"It cannot be told for {action_names(unknown)}: {unknown[0].after.reason}"
        yield Check(title, standing.address, Status.WARNING, found, "Look at it with the queue's owner.")
    if not wrong and not unknown:
        others = "; what others could do before, they still can" if beyond else ", and no other topic or account"
        yield Check(title, standing.address, Status.OK, "It is closed." if removes else f"Yes{others}.")


def _subscription_check(state: State, run: Run, standing: Standing) -> Check:
    removes, present = state.options.action == "remove", standing.subscription
    title = f"The subscription {'is' if run.applied else 'would be'} {'gone' if removes else 'confirmed'}"
    if not run.applied:
        return Check(title, standing.address, Status.OK, "As planned.")
    waits = present is not None and present.status == PENDING
    if removes:
        gone = present is None or waits
        found = "It waits for a confirmation that nobody gives." if waits else "It is not listed any more."
        return Check(title, standing.address, Status.OK if gone else Status.FAILED, found if gone else "It is there.")
    if standing.confirmed:
        return Check(title, standing.address, Status.OK, f"Yes, as account {state.topic_account} shows it.")
    if waits and state.options.confirm == "by_hand":
        found = "It waits for the confirmation that was left to you."
        return Check(title, standing.address, Status.WARNING, found, "Confirm it within two days; see *Apply*.")
    found = "It waits for its confirmation." if waits else "It is not listed."
    return Check(title, standing.address, Status.FAILED, found, "Run this again: a new request is made.")
