"""The world is read once for check, plan and apply, and once more to verify: every call to AWS counts."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from botocore.model import OperationModel

from runbook.checks import ChecksFailed
from runbook.environment import Environment
from runbook.procedure import FRESH_SECONDS, Procedure
from runbook.run import Run, StalePlan
from runbook.steps import STEPS
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.scenarios import make_step
from tests.world import policies

A, B = "111111111111", "222222222222"

MOST = {
    ("01-allowlist", "one-account"): 26,
    ("02-iam-role", "one-account"): 64,
    ("03-stack-sets", "organizational-unit"): 137,
    ("04-add-ons", "connection-target"): 66,
    ("05-bucket-policy", "one-bucket"): 48,
    ("05-bucket-policy", "encrypted-bucket"): 56,
    ("06-findings-topic", "new-queue"): 28,
}
"""Maximum number of calls of check, plan, apply and verify together, signing in and probing roles not counted.

A number may only become smaller. Reading anew for each of the four took 46, 101, 288, 131, 95, 108 and 46 calls.
"""


class Call(NamedTuple):
    """One call of a client of an account."""

    account: str
    operation: str
    parameters: str


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every call that clients of the environment's accounts make from now on."""
    made: list[Call] = []
    client_of = Environment.client

    def client(self: Environment, service: str, account: str, region: str | None = None) -> Any:
        found = client_of(self, service, account, region)

        def note(model: OperationModel, params: Mapping[str, Any], **_: Any) -> None:
            told = {name: params[name] for name in ("url", "query_string", "body")}
            made.append(Call(account, f"{service}:{model.name}", f"{region} {told}"))

        found.meta.events.register("before-call", note, unique_id="calls")
        return found

    monkeypatch.setattr(Environment, "client", client)
    return made


@pytest.mark.usefixtures("time_in_pauses")
@pytest.mark.parametrize(("notebook", "scenario"), MOST)
def test_a_change_takes_no_more_calls_than_it_has_to(
    notebook: str, scenario: str, environment: Environment, calls: list[Call], tmp_path: Path
) -> None:
    step = make_step(STEPS[notebook], scenario, {})
    procedure = Procedure(step, environment, scenario=scenario, apply=True, folder=str(tmp_path / "run"))
    procedure.check()
    read = list(calls)
    assert [call for call, number in Counter(read).items() if number > 1] == [], "nothing is read twice"
    plan = procedure.plan()
    assert calls == read, "a plan is made from what was read for the checks"
    assert plan.changes
    procedure.verify(procedure.apply(plan))
    listed = "\n".join(f"{number} {call.account} {call.operation}" for call, number in Counter(calls).most_common())
    assert len(calls) <= MOST[notebook, scenario], listed


@pytest.mark.parametrize(("notebook", "scenario"), MOST)
def test_checks_plan_and_verification_call_nothing(
    notebook: str, scenario: str, environment: Environment, calls: list[Call]
) -> None:
    step = make_step(STEPS[notebook], scenario, {})
    state = step.observe(environment)
    calls.clear()
    assert step.checks(environment, state)
    plan = step.plan(environment, state, scenario)
    assert not {change.resource for change in plan.changes} - step.present(environment, state).keys()
    assert calls == []
    preview = Run(plan, applied=False, folder=None)
    probed = step.probe(environment, state, preview)
    calls.clear()
    step.verify(environment, state, preview, probed)
    assert calls == []


# --- how long what was read is good for ------------------------------------------------------------------------------


@pytest.fixture
def encrypted(environment: Environment, tmp_path: Path) -> Procedure:
    """The way through a scenario that opens an encrypted bucket and its key."""
    step = make_step(BucketPolicy, "encrypted-bucket", {})
    return Procedure(step, environment, scenario="encrypted-bucket", folder=str(tmp_path / "run"))


def time_passes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Whoever reads a plan takes as long."""
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + seconds)
    monkeypatch.setattr("runbook.procedure.time", later)


def test_an_apply_right_after_check_and_plan_reads_what_it_changes_and_what_it_observed(
    encrypted: Procedure, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted.check()
    plan = encrypted.plan()
    calls.clear()
    time_passes(monkeypatch, FRESH_SECONDS - 20)
    encrypted.apply(plan)
    assert {call.operation for call in calls} == {
        "cloudformation:DescribeStacks",
        "kms:GetKeyPolicy",
        "kms:PutKeyPolicy",
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
    }


def test_a_check_that_fails_while_somebody_reads_the_plan_keeps_it_from_being_applied(
    encrypted: Procedure, environment: Environment, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that the plan changes or observed is different: a key that is disabled is no use."""
    encrypted.check()
    plan, before = encrypted.plan(), policies(environment)
    (key,) = [change.resource.arn for change in plan.changes if change.resource.kind == "kms.key-policy"]
    environment.client("kms", B).disable_key(KeyId=key.rpartition("/")[2])
    time_passes(monkeypatch, FRESH_SECONDS + 1)
    with pytest.raises(ChecksFailed, match="Nothing was changed"):
        encrypted.apply(plan)
    assert policies(environment) == before
    assert not [call for call in calls if call.operation.partition(":")[2].startswith("Put")]


def test_a_plan_that_would_be_another_one_by_now_is_refused(
    encrypted: Procedure, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check fails, and the documents are as they were: the bucket does not use its key any more."""
    encrypted.check()
    plan, before = encrypted.plan(), policies(environment)
    (bucket,) = [change.name for change in plan.changes if change.resource.kind == "s3.bucket-policy"]
    plain = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    environment.client("s3", B).put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=plain)
    time_passes(monkeypatch, FRESH_SECONDS + 1)
    with pytest.raises(StalePlan, match=r"nothing was changed(.|\n)*Only in the saved plan: kms.key-policy"):
        encrypted.apply(plan)
    assert policies(environment) == before


def test_a_plan_of_somebody_else_s_making_is_made_again_before_it_is_applied(
    encrypted: Procedure, environment: Environment
) -> None:
    """However fresh what was read is: it is not what that plan was made from."""
    plan, before = encrypted.plan(), policies(environment)
    with pytest.raises(StalePlan, match="Only in the plan made now"):
        encrypted.apply(plan.model_copy(update={"changes": plan.changes[1:]}))
    assert policies(environment) == before


def test_planning_again_reads_the_world_again(encrypted: Procedure, environment: Environment) -> None:
    before = encrypted.plan()
    (bucket,) = [change.name for change in before.changes if change.resource.kind == "s3.bucket-policy"]
    plain = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    environment.client("s3", B).put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=plain)
    assert len(encrypted.plan().changes) < len(before.changes)


def test_the_prediction_of_a_preview_reads_nothing_more(encrypted: Procedure, calls: list[Call]) -> None:
    encrypted.check()
    plan, read = encrypted.plan(), len(calls)
    assert encrypted.verify(encrypted.preview(plan)).access.predicted
    assert len(calls) == read


def test_an_apply_that_was_made_is_verified_from_the_world_after_it(
    encrypted: Procedure, environment: Environment
) -> None:
    run = encrypted.apply(encrypted.plan())
    environment.client("s3", B).delete_bucket_policy(Bucket=run.plan.changes[-1].name)
    with pytest.raises(ChecksFailed, match="The change is in place"):
        encrypted.verify(run)
