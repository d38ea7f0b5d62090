"""How the way through 05-bucket-policy does with many buckets: `make bench`, or `python -m tests.bench 1000 10000`.

For each number of buckets, every phase in a process of its own against the stub, and right after it the same calls, as
the stub saw them, in a bare boto3 loop. Then how many notebooks a second a batch does, against loops of plain
papermill. Not part of the tests: a small run of it is, so that it keeps working.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import notebooks
from tests.bench.phase import PHASES
from tests.bench.setting import ROOT, own_credentials, post, stub, write_world

BARE_CALLS = 10_000
"""The bare loop repeats at most so many calls and is scaled up; what a call costs does not depend on how many there
are, and a bench that takes an hour is run by nobody."""


@dataclass(frozen=True)
class Measured:
    """What one phase took, and the CPU time that its calls take in a bare boto3 loop."""

    phase: str
    buckets: int
    calls: int
    seconds: float
    cpu: float
    memory: int
    memory_before: int
    bare_cpu: float

    @property
    def bytes_a_bucket(self) -> float:
        """How much more memory than before the phase began, shared out."""
        return (self.memory - self.memory_before) / self.buckets


def run_phase(phase: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """One phase in a process of its own, with nothing of this machine's AWS settings."""
    command = [sys.executable, "-m", "tests.bench.phase", phase, str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=own_credentials(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asked(url: str) -> Any:
    """The calls since the last time this was asked."""
    with urllib.request.urlopen(f"{url}/_calls") as answer:
        return json.loads(answer.read())


def bench(url: str, buckets: int) -> list[Measured]:
    """All phases for so many buckets, each followed by the bare loop of its calls, on the state that it found."""
    post(url, "reset")
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_world(folder, url, buckets)
        for phase in PHASES:
            post(url, "keep")
            ours = run_phase(phase, folder)
            calls = asked(url)
            chosen = sample(calls)
            (folder / "calls.json").write_text(json.dumps(chosen))
            post(url, "swap")  # what the phase left is put by, and back
            bare = run_phase("bare", folder, "--url", url)
            asked(url)
            post(url, "swap")
            bare_cpu = bare["clients"] + bare["cpu"] * len(calls) / len(chosen)
            found.append(Measured(phase=phase, buckets=buckets, calls=len(calls), bare_cpu=bare_cpu, **ours))
    return found


def sample(calls: Sequence[Any]) -> list[Any]:
    """The calls about every so many-th bucket, all of them and in their order: boto3 remembers some of a bucket."""
    every = -(-len(calls) // BARE_CALLS)
    return [call for call in calls if int(call[4].get("Bucket", "0").rpartition("-")[2]) % every == 0]


def ratio(phases: Iterable[Measured]) -> float:
    """Our CPU time over that of a bare loop which makes the same calls."""
    phases = list(phases)
    return sum(each.cpu for each in phases) / sum(each.bare_cpu for each in phases)


def lines(phases: Sequence[Measured]) -> Iterator[str]:
    """The results as a table."""
    head = ("seconds", "calls", "calls/s", "CPU s", "bare CPU s", "ratio", "peak MB", "kB/bucket")
    yield f"{'buckets':>8} {'phase':<8}" + "".join(f"{word:>11}" for word in head)
    for each in phases:
        yield (
            f"{each.buckets:>8} {each.phase:<8}{each.seconds:>11.1f}{each.calls:>11}{each.calls / each.seconds:>11.0f}"
            f"{each.cpu:>11.1f}{each.bare_cpu:>11.1f}{ratio([each]):>11.2f}"
            f"{each.memory / 1e6:>11.0f}{each.bytes_a_bucket / 1e3:>11.1f}"
        )
    through = [each for each in phases if each.phase != "undo"]
    yield f"{'':>8} from check to verify, our CPU time is {ratio(through):.2f} times that of a bare boto3 loop"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("buckets", type=int, nargs="*", default=[1_000, 10_000], help="how many; may be several")
    parser.add_argument("--notebooks", type=int, default=12, help="how many in each round of the batch; 0: no batch")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer of the stub")
    given = parser.parse_args(arguments)
    with stub(given.latency) as url:
        for buckets in given.buckets:
            print("\n".join(lines(bench(url, buckets))), flush=True)
        if given.notebooks:
            found = notebooks.rounds(url, notebooks=given.notebooks, number=2)
            print("\n".join(notebooks.lines(list(found))), flush=True)


if __name__ == "__main__":
    main()
