"""Every file of a run folder and of a batch, damaged in every way: a sentence that names it, and nothing is changed."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from runbook import files
from runbook.batch.fleet import load_fleet
from runbook.batch.job import OUTCOME, Outcome, outcome_left
from runbook.batch.report_facts import Facts
from runbook.batch.state import FLEET, JOURNAL, BatchFolder
from runbook.environment import Environment
from runbook.execute import NOTEBOOK, REPORT, leave_evidence
from runbook.parameters import project_root
from tests.command import Command
from tests.world import policies

LARGER = 600 * 1024 * 1024
"""More bytes than any file may have; as a hole, it takes no room."""


def put(content: bytes) -> Callable[[Path], None]:
    return changed(lambda _: content)


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def inflict(file: Path) -> None:
        file.write_bytes(change(file.read_bytes()))

    return inflict


def huge(file: Path) -> None:
    os.truncate(file, LARGER)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def other_types(content: bytes) -> bytes:
    """The values of all keys are numbers where they were none, and a text where they were."""
    try:
        values = json.loads(content)
    except ValueError:  # a journal: of its last line
        *lines, last = content.splitlines()
        return b"\n".join([*lines, other_types(last)]) + b"\n"
    return json.dumps({key: "7" if isinstance(value, int) else 7 for key, value in values.items()}).encode()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": put(b""),
    "cut in half": changed(lambda content: content[: len(content) // 2]),
    "cut in its last line": changed(lambda content: content[:-5]),
    "not UTF-8": changed(lambda content: content[:40] + b"\xff\xfe" + content[42:]),
    "NUL bytes": changed(lambda content: content[:40] + b"\0" * 8 + content[48:]),
    "not JSON": put(b"not JSON\n"),
    "not JSON, no line": put(b"not JSON"),
    "a list": put(b"[]\n"),
    "a number": put(b"7\n"),
    "null": put(b"null\n"),
    "no keys": put(b"{}\n"),
    "another key": put(b'{"colour": "red"}\n'),
    "other types": changed(other_types),
    "deep lists": put(b'{"changes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"),
    "deep objects": put(b'{"a": ' * 600 + b"1" + b"}" * 600 + b"\n"),
    "a large number": put(b'{"number": ' + b"9" * 10_000 + b"}\n"),
    "huge": huge,
    "a folder": folder,
    "a symbolic link": link,
    "a dangling link": dangling,
    "a pipe": fifo,
    "unreadable": lambda file: file.chmod(0),
}


@pytest.fixture(autouse=True)
def _nobody_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests as root may read what is nobody's; not so here."""

    class Denying:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def open(self, path: Path, *arguments: Any) -> int:
            if os.path.isfile(path) and not os.stat(path).st_mode & 0o400:  # noqa: PTH113, PTH116
                raise PermissionError(13, "Permission denied", str(path))
            return os.open(path, *arguments)

    monkeypatch.setattr(files, "os", Denying())


# --- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run that was applied is kept once it was."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def applied(runbook: Command, environment: Environment, kept: Path) -> Path:
    """The folder of a run that was applied; after the first time, in a world where it was not."""
    if not kept.exists():
        runs = kept.parent / "runs"
        assert runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(runs)).status == 0
        (made,) = runs.iterdir()
        assert runbook("apply", str(made)).status == 0
        made.rename(kept)
    return kept


@pytest.mark.parametrize("name", ["plan.json", "journal.jsonl", "result.json"])
@pytest.mark.parametrize("command", ["undo", "apply"])
def test_a_damaged_file_is_named_before_anything_is_changed(
    command: str,
    name: str,
    applied: Path,
    runbook: Command,
    environment: Environment,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    before = policies(environment)
    for damage, inflict in DAMAGES.items():
        if (name, damage) == ("result.json", "missing"):
            continue  # it is no file that undoing or resuming rests on
        run = tmp_path / damage.replace(" ", "-")
        shutil.copytree(applied, run)
        inflict(run / name)
        others = {file.name: file.read_bytes() for file in run.iterdir() if file.name not in (name, "elsewhere")}
        with subtests.test(f"{command}, {name} {damage}"):
            ended = runbook(command, str(run))
            assert ended.status in (1, 2), ended.said
            assert name in ended.said
            assert "Traceback" not in ended.said
            assert "nothing to take back" not in ended.said
            assert len(ended.said) < 2000, "a sentence, not a file"
            assert policies(environment) == before
            left = {file.name: file.read_bytes() for file in run.iterdir() if file.name not in (name, "elsewhere")}
            assert left == others


@pytest.mark.parametrize("command", ["undo", "apply"])
def test_a_missing_result_keeps_nobody_from_undoing_or_resuming(
    command: str, runbook: Command, environment: Environment, tmp_path: Path
) -> None:
    before = policies(environment)
    runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    (run,) = tmp_path.iterdir()
    assert runbook("apply", str(run)).status == 0
    after = policies(environment)
    (run / "result.json").unlink()
    ended = runbook(command, str(run))
    assert ended.status == 0, ended.said
    assert policies(environment) == (before if command == "undo" else after)


# --- a batch ---------------------------------------------------------------------------------------------------------


class Nowhere(Executor):
    """An executor in which every job fails: what is begun again is seen, and costs nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(Outcome("failed", 1.0, "", "begun again"))
        return future

    def interrupt(self) -> None:
        pass


JOB = "open"
NOTEBOOK_TEXT = (project_root() / "notebooks" / "05-bucket-policy.ipynb").read_text(encoding="utf-8")


def a_batch(folder: Path, run: Path, *, ended: bool) -> BatchFolder:
    """A batch of one job, which was done; or was killed right before that was noted."""
    folder.mkdir(parents=True)
    entry = f"jobs:\n  {JOB}:\n    notebook: 05-bucket-policy\n    scenario: one-bucket\n"
    (folder / "fleet.yaml").write_text(f"environment: sandbox\n{entry}")
    batch = BatchFolder.new(load_fleet(str(folder / "fleet.yaml")), apply=True, runs=folder / "runs", copy_to="")
    with batch.exclusively():
        batch.journal.write("batch-started", workers=1, engine=None)
        job = batch.begins(JOB)
        shutil.copytree(run, job, dirs_exist_ok=True)
        (job / NOTEBOOK).write_text(NOTEBOOK_TEXT)
        (job / REPORT).write_text("its page")
        (job / OUTCOME).write_text(json.dumps({"state": "done", "seconds": 1.0, "cell": "", "error": ""}) + "\n")
        if ended:
            batch.ended(JOB, Outcome("done", 1.0, "", ""))
            batch.journal.write("batch-ended")
    return batch


@pytest.mark.parametrize("name", [FLEET, JOURNAL, f"jobs/{JOB}/result.json"])
def test_a_damaged_file_of_a_batch_is_named_and_nothing_is_done_twice(
    name: str,
    applied: Path,
    runbook: Command,
    environment: Environment,
    tmp_path: Path,
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runbook.batch.batch.Processes", Nowhere)
    for damage, inflict in DAMAGES.items():
        if (name, damage) == (JOURNAL, "cut in its last line"):
            continue  # as a crash leaves it: the line said that the batch had ended, and nothing else
        batch = a_batch(tmp_path / damage.replace(" ", "-"), applied, ended=True)
        inflict(batch.path / name)
        with subtests.test(f"{name} {damage}"):
            ended = runbook(
                "batch", "--resume", str(batch.path), str(batch.path.parent.parent / "fleet.yaml"), "--apply"
            )
            assert ended.status in (1, 2), ended.said
            assert Path(name).name in ended.said
            assert "Traceback" not in ended.said
            assert "begun again" not in ended.said
            assert not (batch.path / "jobs" / f"{JOB}.2").exists()
            if name.endswith("result.json"):
                report = json.loads((batch.path / "report.json").read_text())
                assert (report["succeeded"], report["jobs"][0]["state"]) == (False, "failed")
                assert "Nobody knows what the job changed" in report["jobs"][0]["error"]


@pytest.mark.parametrize("name", [OUTCOME, NOTEBOOK, "plan.json", "journal.jsonl", "result.json"])
def test_a_damaged_file_of_a_job_that_was_killed_is_no_reason_to_end_the_batch(
    name: str,
    applied: Path,
    runbook: Command,
    environment: Environment,
    tmp_path: Path,
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its outcome is not known: the attempt counts as crashed, is kept, and the next one looks what stands."""
    monkeypatch.setattr("runbook.batch.batch.Processes", Nowhere)
    for damage, inflict in DAMAGES.items():
        batch = a_batch(tmp_path / damage.replace(" ", "-"), applied, ended=False)
        if name != OUTCOME:
            (batch.path / "jobs" / JOB / OUTCOME).unlink()
        inflict(batch.path / "jobs" / JOB / name)
        with subtests.test(f"{name} {damage}"):
            ended = runbook(
                "batch", "--resume", str(batch.path), str(batch.path.parent.parent / "fleet.yaml"), "--apply"
            )
            assert ended.status == 1, ended.said
            assert "begun again" in ended.said
            assert (batch.path / "report.html").exists()
            (first, _) = [event for event in batch.journal.read() if event["event"] == "ended"]
            assert first["state"] == "crashed"
            assert (OUTCOME in first["error"]) == (name == OUTCOME and damage != "missing")


def test_a_job_is_not_done_whose_result_is_gone(applied: Path, tmp_path: Path) -> None:
    batch = a_batch(tmp_path / "batch", applied, ended=True)
    assert Facts.of(batch.batch({}), batch.path).batch.succeeded
    (batch.path / "jobs" / JOB / "result.json").unlink()
    assert "result.json is missing" in batch.batch({}).jobs[0].error


def test_the_report_calls_changes_of_an_earlier_attempt_doubtful_whose_result_is_damaged(
    applied: Path, tmp_path: Path
) -> None:
    batch = a_batch(tmp_path / "batch", applied, ended=False)
    with batch.exclusively():
        batch.ended(JOB, Outcome("crashed", 1.0, "", "killed"))
        shutil.copytree(applied, batch.begins(JOB), dirs_exist_ok=True)
        batch.ended(JOB, Outcome("done", 1.0, "", ""))
    (batch.path / "jobs" / JOB / "result.json").write_text("{")
    (facts,) = Facts.of(batch.batch({}), batch.path).jobs
    assert facts.attempts[0].in_doubt == tuple(range(facts.attempts[1].planned))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_outcome_is_a_crash_that_names_it(damage: str, tmp_path: Path) -> None:
    (tmp_path / OUTCOME).write_text(json.dumps({"state": "done", "seconds": 1.0, "cell": "", "error": ""}) + "\n")
    DAMAGES[damage](tmp_path / OUTCOME)
    outcome = outcome_left(tmp_path, 0.0)
    assert outcome.state == "crashed"
    assert (OUTCOME in outcome.error) == (damage != "missing")


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "unreadable"])
def test_a_damaged_notebook_has_no_page_and_is_left_as_it_is(damage: str, tmp_path: Path) -> None:
    (tmp_path / NOTEBOOK).write_text(NOTEBOOK_TEXT)
    DAMAGES[damage](tmp_path / NOTEBOOK)
    assert leave_evidence(tmp_path, "killed") == ""
    assert not (tmp_path / REPORT).exists()
