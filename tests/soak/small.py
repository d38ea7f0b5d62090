"""A thousand small jobs: none hangs, and neither processes nor descriptors nor memory pile up."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from runbook.batch.batch import Options, go_on
from runbook.batch.state import BatchFolder
from runbook.progress import duration
from tests.batch.notebooks import fleet_of
from tests.soak.watched import Sample, Watched, ended, gone

WORKERS = 2
MEMORY_A_JOB = 100_000
"""So many bytes may a job leave behind in the batch and its workers together: its outcome, its line in the report."""


def soak(folder: Path, jobs: int) -> None:
    """Run so many. Raises AssertionError for anything that is not as it should be."""
    command = [sys.executable, "-m", "tests.soak.small", str(folder), str(jobs)]
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
    watched = Watched(command, variables, folder / "runs", folder / "output")
    began = time.monotonic()
    assert watched.run() == 0, watched.output.read_text()[-3000:]
    seconds = time.monotonic() - began
    print(f"  {jobs} jobs in {duration(seconds)}: {jobs / seconds:.2f} a second", flush=True)
    print(f"  nothing of it is left {gone(watched, 10):.1f} s later", flush=True)
    assert sorted(ended(watched.runs)) == sorted({*ended(watched.runs)})
    assert len(ended(watched.runs)) == jobs
    _nothing_piles_up(watched.samples, jobs)


def _nothing_piles_up(samples: list[Sample], jobs: int) -> None:
    """Compare the second quarter, in which every worker is at work, with the last."""
    early = [each for each in samples if jobs // 4 <= each.ended < jobs // 2]
    late = [each for each in samples if jobs * 3 // 4 <= each.ended < jobs]
    for name in ("processes", "descriptors", "memory"):
        then, now = (max(getattr(each, name) for each in of) for of in (early, late))
        print(f"  most {name}: {then:,} in the second quarter, {now:,} in the last", flush=True)
    # The batch and its forkserver; each worker, its kernel and one that ends; and a resource tracker for
    # the batch and for each worker.
    assert max(each.processes for each in samples) <= 2 + 3 * WORKERS + 1 + WORKERS
    assert max(each.descriptors for each in late) <= max(each.descriptors for each in early) + 5
    grown = _middle(late) - _middle(early)
    print(f"  memory grew by {grown / 1e6:.1f} MB for {jobs // 2} jobs", flush=True)
    assert grown <= MEMORY_A_JOB * jobs // 2


def _middle(samples: list[Sample]) -> int:
    return sorted(each.memory for each in samples)[len(samples) // 2]


def main(folder: Path, jobs: int) -> None:
    """The batch itself: the same small notebook, so many times."""
    fleet = fleet_of(folder / "fleet", {"small": ""})
    (job,) = fleet.jobs
    many = tuple(replace(job, name=f"small-{number}", meant={"name": number}) for number in range(jobs))
    fleet = replace(fleet, jobs=many)
    batch = BatchFolder.new(fleet, apply=True, runs=folder / "runs", copy_to="")
    sys.exit(0 if go_on(batch, fleet, Options(workers=WORKERS)).succeeded else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
