"""Runs that meet accidents, other people and edited evidence: nothing is lost, nothing is claimed that is not so."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from runbook.aws.s3 import BucketPolicy as Kind
from runbook.checks import ChecksFailed, Status
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError
from runbook.plan import Plan
from runbook.run import ApplyFailed, StalePlan, UndoFailed, UndoRefused, undo
from tests.steps.way import Through, foreign_statement, open_buckets, put_policy
from tests.world import bucket_policy, policies

TWO = ["b/uploads-b", "b/website-uploads-b"]


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def status(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["status"])


def after_write(monkeypatch: pytest.MonkeyPatch, number: int, action: Any) -> None:
    """Let `action` happen right after the bucket policy write of that number; writes come one after the other."""
    write, calls = Kind.write, []

    def wrapped(self: Any, *arguments: Any) -> Any:
        told = write(self, *arguments)
        calls.append(1)
        if len(calls) == number:
            action()
        return told

    monkeypatch.setattr("runbook.progress.WORKERS", 1)

    monkeypatch.setattr(Kind, "write", wrapped)


# --- other people ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taking_back", [False, True], ids=["apply", "undo"])
def test_what_someone_changes_while_a_run_is_at_work_is_not_lost(
    taking_back: bool, procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every document is read again right before it is replaced, on the way back as on the way there."""
    applying = procedure(buckets=TWO)
    plan = applying.plan()
    folder = open_buckets(applying) if taking_back else None
    last = "uploads-b" if taking_back else "website-uploads-b"
    after_write(monkeypatch, 1, lambda: put_policy(environment, "b", last, foreign_statement(last)))
    if folder:
        with pytest.raises(UndoFailed, match="SomebodyElse"):
            undo(folder, environment)
    else:
        with pytest.raises(ApplyFailed, match=r"SomebodyElse(.|\n)*The change was not made.\nChanges made: 1\."):
            applying.apply(plan)
    assert "SomebodyElse" in bucket_policy(environment, last)


def test_a_sid_that_the_owner_renamed_since_is_not_undone(procedure: Through, environment: Environment) -> None:
    """It means the same, but it is not what the run left."""
    folder = open_buckets(procedure("one-bucket"))
    renamed = bucket_policy(environment, "uploads-b").replace("bucketAVRequired1", "Antivirus")
    environment.client("s3", "222222222222").put_bucket_policy(Bucket="uploads-b", Policy=renamed)
    with pytest.raises(UndoRefused, match="Antivirus"):
        undo(folder, environment)


def test_one_bucket_that_was_changed_may_be_left_out_of_an_undo(procedure: Through, environment: Environment) -> None:
    before = policies(environment)
    folder = open_buckets(procedure(buckets=TWO))
    put_policy(environment, "b", "uploads-b", foreign_statement("uploads-b"))
    with pytest.raises(UndoRefused, match="--leave ARN"):
        undo(folder, environment)
    undone = undo(folder, environment, leave=["arn:aws:s3:::uploads-b"])
    assert "uploads-b: left as it is now" in repr(undone)
    assert policies(environment)["arn:aws:s3:::website-uploads-b"] == before["arn:aws:s3:::website-uploads-b"]
    assert status(folder) == "partly undone"
    with pytest.raises(ParameterError, match="does not change arn:aws:s3:::other"):
        undo(folder, environment, leave=["arn:aws:s3:::other"])


def test_a_bucket_that_was_deleted_since_does_not_keep_the_others_open(
    procedure: Through, environment: Environment
) -> None:
    before = policies(environment)
    folder = open_buckets(procedure(buckets=["b/frankfurt-b", "c/quarantine-c"]))
    environment.client("s3", "333333333333").delete_bucket(Bucket="quarantine-c")
    undone = undo(folder, environment)
    assert "quarantine-c: no longer exists" in repr(undone)
    assert policies(environment)["arn:aws:s3:::frankfurt-b"] == before["arn:aws:s3:::frankfurt-b"]
    assert status(folder) == "undone"


def test_two_commands_do_not_work_on_one_run(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    with (folder / "journal.jsonl").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunbookError, match="another command is working on this run"):
            undo(folder, environment)


# --- accidents -------------------------------------------------------------------------------------------------------


def test_a_change_that_was_made_is_not_called_unmade(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write goes through, and the answer to looking at it does not."""
    applying = procedure("one-bucket")
    plan = applying.plan()
    read = Kind.read
    failing: list[int] = []

    def flaky(self: Any, *arguments: Any) -> str | None:
        if failing:
            failing.pop()
            raise RuntimeError("slow down")
        return read(self, *arguments)

    monkeypatch.setattr(Kind, "read", flaky)
    after_write(monkeypatch, 1, lambda: failing.append(1))
    with pytest.raises(ApplyFailed, match=r"slow down\nThe change was made all the same\."):
        applying.apply(plan)
    monkeypatch.undo()
    assert applying.folder
    assert status(applying.folder) == "apply-failed"
    assert applying.apply(plan).changed == ()
    assert undo(applying.folder, environment).restored == plan.changes


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_journal_that_a_crash_cut_off_still_leads_back(
    cut: int, procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.progress.WORKERS", 1)  # the second change is announced after the first was made
    before = policies(environment)
    applying = procedure(buckets=TWO)
    plan = applying.plan()
    folder = open_buckets(applying)
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    second = next(index for index, line in enumerate(lines) if b'"started", "index": 1' in line)
    path.write_bytes(b"".join(lines[:second]) + lines[second][:-cut])
    (folder / "result.json").unlink()  # it knows the lines that a run which came further has written
    put_back = json.loads(lines[second])["before"]
    client = environment.client("s3", "222222222222")
    client.put_bucket_policy(Bucket="website-uploads-b", Policy=put_back)

    applying.apply(plan)
    assert all(journal(folder)), "every line can be read"
    undo(folder, environment)
    assert policies(environment) == before


def test_a_damaged_journal_is_refused_with_its_line(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace('"done"', '"do', 1))
    with pytest.raises(RunbookError, match=r"journal\.jsonl, line 3: is damaged"):
        undo(folder, environment)


def test_a_run_whose_journal_is_gone_cannot_be_undone_and_says_so(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    (folder / "journal.jsonl").unlink()
    with pytest.raises(ParameterError, match="has no journal"):
        undo(folder, environment)


def test_an_undo_is_told_in_the_result_which_keeps_what_was_proved(
    procedure: Through, environment: Environment
) -> None:
    folder = open_buckets(procedure("one-bucket"))
    proved = json.loads((folder / "result.json").read_text())
    undo(folder, environment)
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "undone"
    assert (result["started"], result["access"]) == (proved["started"], proved["access"])


# --- evidence that is not what it was --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["after", "summary"])
def test_a_plan_that_was_edited_is_refused(key: str, procedure: Through) -> None:
    planned = procedure("tagging-and-deletion")
    planned.plan()
    assert planned.folder
    body = json.loads((planned.folder / "plan.json").read_text())
    body["changes"][0][key] = '{"Version":"2012-10-17","Statement":[]}'
    with pytest.raises(ParameterError, match="was edited after it was made"):
        Plan.from_json(json.dumps(body), "plan.json")


def test_a_plan_for_other_parameters_is_not_applied(procedure: Through, environment: Environment) -> None:
    """In the form, somebody may choose another bucket after the plan was shown."""
    before = policies(environment)
    with pytest.raises(StalePlan, match="made for other parameters"):
        procedure("tagging-and-deletion").apply(procedure("one-bucket").plan())
    assert policies(environment) == before


def test_the_proof_covers_what_was_changed_even_if_the_inventory_was_edited(
    procedure: Through, environment: Environment, tmp_path: Path
) -> None:
    path = tmp_path / "buckets.csv"
    path.write_text("account,bucket\nb,uploads-b\n")
    applying = procedure(inventory=str(path))
    plan = applying.plan()
    path.write_text("account,bucket\nb,versions-b\n")
    with pytest.raises(ChecksFailed, match="It was changed, but is not on the list"):
        applying.verify(applying.apply(plan))


def test_a_change_that_somebody_took_back_before_the_proof_is_noticed(
    procedure: Through, environment: Environment
) -> None:
    applying = procedure("one-bucket")
    run = applying.apply(applying.plan())
    environment.client("s3", "222222222222").delete_bucket_policy(Bucket="uploads-b")
    with pytest.raises(ChecksFailed, match="The change is in place: uploads-b: No"):
        applying.verify(run)


def test_the_second_time_nothing_is_said_to_be_made(procedure: Through) -> None:
    applying = procedure("one-bucket")
    plan = applying.plan()
    applying.apply(plan)
    again = applying.apply(plan)
    assert again.changed == ()
    assert "nothing was left to do" in repr(again)


def test_a_warning_does_not_fail_a_verification(procedure: Through) -> None:
    applying = procedure(buckets=["b/documents-b"], key_policy="skip")
    verification = applying.verify(applying.apply(applying.plan()))
    found = " ".join(check.found for check in verification.checks.with_status(Status.WARNING))
    assert "Its key does not let the scan role decrypt yet" in found
    assert not verification.checks.failed
