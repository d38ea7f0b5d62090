"""A batch in which things go wrong: what is said of them is true, nothing is left behind, and the rest is done once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook.batch.batch import Options, Running, go_on
from runbook.batch.fleet import Fleet
from runbook.batch.processes import Processes
from runbook.batch.record import Batch, JobRecord
from runbook.batch.state import BatchFolder
from runbook.execute import execute as execute_notebook
from tests.batch.notebooks import begun, fleet_of

GOES_WRONG = {
    "leaves": ("os._exit(0)", "crashed", "The notebook's kernel died."),
    "is-killed": ("os.kill(os.getpid(), 9)", "crashed", "The notebook's kernel died."),
    "loses-its-worker": (
        "os.kill(int(os.environ['JPY_PARENT_PID']), 9); time.sleep(60)",
        "crashed",
        "The process that executed the notebook died (SIGKILL).",
    ),
    "takes-too-long": ("time.sleep(60)", "timed-out", "The cell took longer than the 8 s that it may take."),
    "raises": ("1 / 0", "failed", "ZeroDivisionError: division by zero"),
}
"""For each job what its middle cell does, and what is to be said of it."""


Run = Callable[..., Batch]


def new(fleet: Fleet, runs: Path) -> BatchFolder:
    return BatchFolder.new(fleet, apply=True, runs=runs, copy_to="")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One process for the batches of several tests: to start one takes longer than to execute a small notebook."""
    with Processes(1, tmp_path_factory.mktemp("process") / "log") as processes:
        yield processes


@pytest.fixture
def run(process: Processes) -> Run:
    """Run what is left of a batch, one job at a time."""

    def run_(path: Path, **options: Any) -> Batch:
        folder = BatchFolder.found(path)
        with folder.exclusively():
            running = Running(folder, folder.fleet, Options(**options), process, process.interrupt, workers=1)
            return running.to_the_end()

    return run_


def by_name(batch: Batch) -> dict[str, JobRecord]:
    return {job.name: job for job in batch.jobs}


def statuses(folder: Path) -> dict[str, str]:
    """What the executed notebook says of each of its cells, papermill's markers left out."""
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    return {cell.id: cell.metadata.papermill.status for cell in notebook.cells if "papermill" in cell.metadata}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def soon(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether something comes to be so within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture(scope="module")
def went_wrong(tmp_path_factory: pytest.TempPathFactory) -> tuple[BatchFolder, Batch, Path]:
    """A batch with a job for everything that can go wrong, one that succeeds, and one that needs another."""
    place = tmp_path_factory.mktemp("batch")
    middles = {name: middle for name, (middle, _, _) in GOES_WRONG.items()} | {"succeeds": "", "follows": ""}
    fleet = fleet_of(place / "fleet", middles, needs={"follows": ("raises",)}, cell_seconds=8)
    folder = new(fleet, place / "runs")
    with (place / "fleet/told").open("w") as told, redirect_stdout(told):
        batch = go_on(folder, fleet, Options(workers=2))
    return folder, batch, place / "fleet"


@pytest.mark.parametrize("name", GOES_WRONG)
def test_what_went_wrong_is_told_with_the_cell_it_happened_in(
    name: str, went_wrong: tuple[BatchFolder, Batch, Path]
) -> None:
    folder, batch, _ = went_wrong
    job = by_name(batch)[name]
    assert (job.state, job.error) == GOES_WRONG[name][1:]
    assert job.cell == "middle"
    said = statuses(folder.path / job.folder)
    assert {cell: said[cell] for cell in ("parameters", "begin", "middle", "end")} == {
        "parameters": "completed",
        "begin": "completed",
        "middle": "failed",
        "end": "pending",
    }
    assert (folder.path / job.folder / "notebook.html").exists()


def test_the_failure_of_one_job_keeps_only_those_that_need_it_from_being_run(
    went_wrong: tuple[BatchFolder, Batch, Path],
) -> None:
    jobs = by_name(went_wrong[1])
    assert jobs["succeeds"].state == "done"
    assert jobs["follows"].state == "not-started"
    assert jobs["follows"].error == "It needs `raises`, which did not succeed."


def test_no_kernel_is_left_behind(went_wrong: tuple[BatchFolder, Batch, Path]) -> None:
    kernels = [pid for _, pid in begun(went_wrong[2])]
    assert len(kernels) == len(GOES_WRONG) + 1
    assert not [pid for pid in kernels if alive(pid)]


def test_it_is_told_how_to_go_on(went_wrong: tuple[BatchFolder, Batch, Path]) -> None:
    folder, _, place = went_wrong
    assert f"runbook batch --resume {folder.path}" in (place / "told").read_text()


def test_only_what_failed_is_run_again_and_keeps_the_evidence_of_both_attempts(run: Run, tmp_path: Path) -> None:
    middles = {"raises-once": "flag = pathlib.Path(log + '.flag'); there = flag.exists(); flag.touch(); assert there"}
    fleet = fleet_of(tmp_path / "fleet", middles | {"follows": ""}, needs={"follows": ("raises-once",)})
    path = new(fleet, tmp_path).path
    assert [job.state for job in run(path).jobs] == ["failed", "not-started"]
    again = run(path, only_failed=True)
    assert [(job.state, job.attempts) for job in again.jobs] == [("done", 2), ("not-started", 0)]
    assert (path / "jobs/raises-once/notebook.html").exists()
    assert (path / "jobs/raises-once.2/notebook.html").exists()
    assert [name for name, _ in begun(tmp_path / "fleet")] == ["raises-once", "raises-once"]


def test_ctrl_c_finishes_what_is_on_and_begins_no_more(run: Run, tmp_path: Path) -> None:
    middles = {"first": "os.kill(batch, signal.SIGINT); time.sleep(1)", "second": ""}
    fleet = fleet_of(tmp_path / "fleet", middles, batch=os.getpid())
    path = new(fleet, tmp_path).path
    assert [job.state for job in run(path).jobs] == ["done", "not-started"]
    assert run(path).succeeded
    assert [name for name, _ in begun(tmp_path / "fleet")] == ["first", "second"]


def test_a_second_ctrl_c_ends_what_is_on_as_well(run: Run, tmp_path: Path) -> None:
    twice = "os.kill(batch, signal.SIGINT); time.sleep(1); os.kill(batch, signal.SIGINT); time.sleep(60)"
    fleet = fleet_of(tmp_path / "fleet", {"first": twice}, batch=os.getpid())
    path = new(fleet, tmp_path).path
    assert [(job.state, job.cell) for job in run(path).jobs] == [("interrupted", "middle")]
    assert statuses(path / "jobs/first")["end"] == "pending"
    assert not [pid for _, pid in begun(tmp_path / "fleet") if alive(pid)]


def test_no_more_jobs_are_begun_after_a_failure_where_that_was_asked_for(run: Run, tmp_path: Path) -> None:
    path = new(fleet_of(tmp_path / "fleet", {"first": "1 / 0", "second": ""}), tmp_path).path
    assert [job.state for job in run(path, stop_at_failure=True).jobs] == ["failed", "not-started"]


def test_a_kernel_that_ends_before_it_is_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.execute.KERNEL_ARGUMENTS", ("--IPKernelApp.transport=nothing",))
    fleet = fleet_of(tmp_path / "fleet", {"first": ""})
    execution = execute_notebook(Path(fleet.jobs[0].notebook), {}, tmp_path)
    assert (execution.ended, execution.cell) == ("crashed", "")
    assert "Kernel died" in execution.error


@pytest.mark.parametrize("folder", ["short", "long" * 30])
def test_no_kernel_needs_a_port(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    (tmp_path / folder).mkdir()
    tells = "import ipykernel; pathlib.Path('where').write_text(ipykernel.get_connection_info())"
    (job,) = fleet_of(tmp_path / "fleet", {"first": tells}).jobs
    assert execute_notebook(Path(job.notebook), job.given, tmp_path).succeeded
    where = json.loads((tmp_path / "fleet" / "where").read_text())
    assert where["transport"] == "ipc"
    assert not Path(where["ip"]).parent.exists()


CHILD = """
import os, sys
from pathlib import Path
from runbook.batch.batch import Options, Running, go_on
from runbook.batch.state import BatchFolder
from runbook.execute import execute as execute_notebook
from tests.batch.notebooks import fleet_of

place = Path(sys.argv[1])
once = "flag = pathlib.Path(log + '.flag'); there = flag.exists(); flag.touch()\\n"
middles = {
    "first": "",
    "kills-the-batch": once + "if not there: os.kill(batch, 9); time.sleep(60)",
    "beside-it": once.replace(".flag", ".beside") + "if not there: time.sleep(60)",
    "last": "",
}
needs = {"kills-the-batch": ("first",), "beside-it": ("first",), "last": ("kills-the-batch",)}
fleet = fleet_of(place / "fleet", middles, needs=needs, batch=os.getpid())
go_on(BatchFolder.new(fleet, apply=True, runs=place / "runs", copy_to=""), fleet, Options(workers=2))
"""


def test_a_batch_that_is_killed_leaves_nothing_running_and_does_nothing_twice_when_it_goes_on(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=False, timeout=120)
    assert ended.returncode == -9
    kernels = [pid for _, pid in begun(tmp_path / "fleet")]
    assert soon(lambda: not any(map(alive, kernels)))
    [path] = (tmp_path / "runs").iterdir()
    events = [json.loads(line) for line in (path / "batch.jsonl").read_text().splitlines()]
    assert [event["job"] for event in events if event["event"] == "ended"] == ["first"]
    killed = BatchFolder.found(path)
    batch = go_on(killed, killed.fleet, Options(workers=1))
    assert batch.succeeded
    attempts = {job.name: job.attempts for job in batch.jobs}
    assert attempts == {"first": 1, "kills-the-batch": 2, "beside-it": 2, "last": 1}
    assert sorted(name for name, _ in begun(tmp_path / "fleet")) == sorted(
        name for name, number in attempts.items() for _ in range(number)
    )
    events = [json.loads(line) for line in (path / "batch.jsonl").read_text().splitlines()]
    stopped = [event for event in events if event.get("state") == "interrupted"]
    assert {event["error"] for event in stopped} == {"Stopped, because the batch was killed."}
    for name in ("kills-the-batch", "beside-it"):
        said = statuses(path / "jobs" / name)
        assert (said["middle"], said["end"]) == ("failed", "pending")
