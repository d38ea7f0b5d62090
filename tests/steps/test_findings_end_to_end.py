"""All the way: an account is allowlisted and connected, a bucket opened, a queue subscribed; files are uploaded."""

from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation, confirmation
from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.run import Run
from runbook.sandbox import clock
from runbook.sandbox.findings import EICAR
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_reading import Result
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step

A, B = "111111111111", "222222222222"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it takes here."""
    monkeypatch.setattr(clock, "LONGEST_POLL", 0.02)
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.2)


def test_what_is_uploaded_in_account_b_is_found_and_the_finding_arrives_in_account_b(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Imports moto, which only the sandbox knows how to do.
    from runbook.sandbox import scanner

    monkeypatch.setattr(scanner, "SIZE_LIMIT", 100)

    def apply(step_class: Any, **given: Any) -> tuple[Any, Run]:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        procedure = Procedure(make_step(step_class, "", given), environment, apply=True, folder=str(folder))
        run = procedure.apply(procedure.plan())
        procedure.verify(run)
        return procedure.step, run

    def upload(**files: str) -> None:
        for key, content in files.items():
            s3.put_object(Bucket="uploads-b", Key=f"{key}.txt", Body=content.encode())

    s3 = environment.client("s3", B)
    apply(Allowlist, remove_accounts=["b"])
    upload(too_early=EICAR)
    apply(Allowlist, accounts=["b"])
    apply(IamRole, accounts=["b"])
    apply(BucketPolicy, buckets=["b/uploads-b"])
    step, run = apply(FindingsTopic, queues=["b/bucketav-findings"], acknowledge=True)

    upload(virus=EICAR, letter="Dear all", film="frame " * 100)
    found = step.read(environment, run)
    assert {each.key.raw: each.status for each in found.items} == {
        "virus.txt": Result.INFECTED,
        "letter.txt": Result.CLEAN,
        "film.txt": Result.UNSCANNABLE,
    }
    assert found.counts == dict.fromkeys(Result, 1)
    (virus,) = (each for each in found.items if each.status is Result.INFECTED)
    assert (virus.bucket.raw, virus.finding.raw, virus.size) == ("uploads-b", "Eicar-Signature", len(EICAR))
    assert found.acknowledged == 3
    assert step.read(environment, run).items == ()

    assert status_tag(s3, "letter.txt") == "clean"
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="uploads-b")["Contents"]]
    assert "virus.txt" not in keys, "DeleteInfectedFiles of the stack is true"
    assert "too_early.txt" in keys, "bucketAV takes no events of an account that is not on its list"

    keep_infected_files(environment)
    upload(virus=EICAR)
    assert [each.key.raw for each in step.read(environment, run).items] == ["virus.txt"]
    assert status_tag(s3, "virus.txt") == "infected"


def status_tag(s3: Any, key: str) -> str:
    tags = s3.get_object_tagging(Bucket="uploads-b", Key=key)["TagSet"]
    return str({each["Key"]: each["Value"] for each in tags}["bucketav"])


def keep_infected_files(environment: Environment) -> None:
    """bucketAV's stack is updated: infected files are tagged from now on."""
    client = environment.client("cloudformation", A)
    (stack,) = client.describe_stacks(StackName="bucketav")["Stacks"]
    client.update_stack(
        StackName="bucketav",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True}
            if each["ParameterKey"] != "DeleteInfectedFiles"
            else {"ParameterKey": each["ParameterKey"], "ParameterValue": "false"}
            for each in stack["Parameters"]
        ],
    )
    waiter = client.get_waiter("stack_update_complete")
    waiter.wait(StackName="bucketav", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
