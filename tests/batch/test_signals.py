"""A signal that comes while another is dealt with: the handler takes no lock and writes nothing, so it cannot hang."""

import os
import signal
import threading
import time
from pathlib import Path

from runbook.batch.batch import Options, Running
from runbook.batch.processes import Processes
from runbook.batch.state import BatchFolder
from tests.batch.notebooks import fleet_of


def test_a_second_signal_while_the_jobs_are_being_ended_does_not_meet_the_lock_of_the_first(tmp_path: Path) -> None:
    """`Processes.interrupt` takes a lock; called from the handler, it waited for itself."""
    fleet = fleet_of(tmp_path / "jobs", {"only": "os.kill(batch, signal.SIGTERM); time.sleep(60)"}, batch=os.getpid())
    folder = BatchFolder.new(fleet, apply=True, runs=tmp_path / "runs", copy_to="")
    lock, met = threading.Lock(), []
    with Processes(1, tmp_path / "log") as processes:

        def interrupt() -> None:
            met.append(lock.acquire(timeout=2))
            if len(met) == 1:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
                lock.release()
                processes.interrupt()
            elif met[-1]:
                lock.release()

        with folder.exclusively():
            batch = Running(folder, fleet, Options(), processes, interrupt, workers=1).to_the_end()
    assert met[0]
    assert all(met), "the handler waited for the lock of what it had interrupted"
    assert [(job.name, job.state) for job in batch.jobs] == [("only", "interrupted")]
