"""How the way through 05-bucket-policy does with many buckets: `make bench`, or `python -m tests.bench 1000 10000`.

For each number of buckets, every phase in a process of its own against the stub, then the same calls, as the stub saw
them, in a bare boto3 loop. Not part of the tests: a small run of it is, so that it keeps working.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import world
from tests.bench.phase import PHASES

ROOT = Path(__file__).resolve().parent.parent.parent
BARE_CALLS = 60_000
"""The bare loop repeats at most so many calls and is scaled up; what a call costs does not depend on how many there
are, and a bench that takes an hour is run by nobody."""


@dataclass(frozen=True)
class Measured:
    """What one phase took."""

    phase: str
    buckets: int
    calls: int
    seconds: float
    cpu: float
    memory: int
    memory_before: int

    @property
    def calls_a_second(self) -> float:
        return self.calls / self.seconds

    @property
    def bytes_a_bucket(self) -> float:
        """How much more memory than before the phase began, shared out."""
        return (self.memory - self.memory_before) / self.buckets


@dataclass(frozen=True)
class Bench:
    """One number of buckets, all the way through and back."""

    phases: tuple[Measured, ...]
    bare_cpu_a_call: float

    @property
    def ratio(self) -> float:
        """Our CPU time over that of a bare boto3 loop that makes the same calls, from check to verify."""
        way = [each for each in self.phases if each.phase != "undo"]
        return sum(each.cpu for each in way) / (sum(each.calls for each in way) * self.bare_cpu_a_call)


@contextmanager
def stub(latency: float = 0.0) -> Iterator[str]:
    """The stub in a process of its own; its address."""
    command = [sys.executable, "-m", "tests.bench.stub", "--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def write_world(folder: Path, url: str, buckets: int) -> None:
    """The environment and the inventory that a run of so many buckets takes."""
    (folder / "environment.yaml").write_text(
        f"region: {world.REGION}\nendpoint_url: {url}\nrole_arn: arn:aws:iam::{{account_id}}:role/Admin\naccounts:\n"
        f'  a: {{account_id: "{world.ACCOUNT_A}"}}\n  management: {{account_id: "{world.MANAGEMENT}"}}\n'
    )
    rows = [f"{world.owner_of(name)},{name}\n" for name in world.bucket_names(buckets)]
    (folder / "buckets.csv").write_text("".join(["account,bucket\n", *rows]))


def run_phase(phase: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """One phase in a process of its own, with nothing of this machine's AWS settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ACCESS_KEY_ID": "AKIABENCHBENCHBENCH", "AWS_SECRET_ACCESS_KEY": "secret"}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    command = [sys.executable, "-m", "tests.bench.phase", phase, str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asked(url: str) -> Any:
    """The calls since the last time this was asked."""
    with urllib.request.urlopen(f"{url}/_calls") as answer:
        return json.loads(answer.read())


def bench(url: str, buckets: int) -> Bench:
    """All phases for so many buckets, and the bare loop."""
    urllib.request.urlopen(f"{url}/_reset").close()
    phases: list[Measured] = []
    calls: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_world(folder, url, buckets)
        for phase in PHASES:
            found = run_phase(phase, folder)
            made = asked(url)
            calls += made if phase != "undo" else []
            phases.append(
                Measured(
                    phase, buckets, len(made), found["seconds"], found["cpu"], found["memory"], found["memory_before"]
                )
            )
        urllib.request.urlopen(f"{url}/_reset").close()
        chosen = sample(calls)
        (folder / "calls.json").write_text(json.dumps(chosen))
        del calls
        bare = run_phase("bare", folder, "--url", url)
    asked(url)
    return Bench(tuple(phases), bare["cpu"] / len(chosen))


def sample(calls: Sequence[Any]) -> list[Any]:
    """The calls about every so many-th bucket, all of them and in their order: boto3 remembers some of a bucket."""
    every = -(-len(calls) // BARE_CALLS)
    return [call for call in calls if int(call[4].get("Bucket", "0").rpartition("-")[2]) % every == 0]


def lines(result: Bench) -> Iterator[str]:
    """The results as a table."""
    head = ("seconds", "calls", "calls/s", "CPU s", "peak MB", "kB/bucket")
    yield f"{'buckets':>8} {'phase':<8}" + "".join(f"{word:>11}" for word in head)
    for each in result.phases:
        yield (
            f"{each.buckets:>8} {each.phase:<8}{each.seconds:>11.1f}{each.calls:>11}{each.calls_a_second:>11.0f}"
            f"{each.cpu:>11.1f}{each.memory / 1e6:>11.0f}{each.bytes_a_bucket / 1e3:>11.1f}"
        )
    bare = f"{result.bare_cpu_a_call * 1e3:.3f} ms of CPU a call"
    yield f"{'':>8} a bare boto3 loop takes {bare}; from check to verify, ours is {result.ratio:.2f} times that"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("buckets", type=int, nargs="*", default=[1_000, 10_000], help="how many; may be several")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer of the stub")
    given = parser.parse_args(arguments)
    with stub(given.latency) as url:
        for buckets in given.buckets:
            print("\n".join(lines(bench(url, buckets))), flush=True)


if __name__ == "__main__":
    main()
