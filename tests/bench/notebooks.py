"""Notebooks a second, and CPU time a notebook: `runbook batch` against loops of plain papermill on the same notebooks.

Each job opens one bucket with 05-bucket-policy, applied, against the stub. The loops are `xargs -P` with as many
processes as the pool has workers. papermill alone leaves no page of a notebook, which the pool always does; so there is
a second loop that has nbconvert make one. The ways take turns, so that whatever else goes on here meets all of them.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.batch.processes import usable_processors
from runbook.execute import NOTEBOOK
from runbook.kernels import switch
from tests.bench import world
from tests.bench.setting import ROOT, own_credentials, post, write_world

STEP = "05-bucket-policy"
COMMANDS = Path(sys.executable).parent
"""Where papermill and jupyter are."""


@dataclass(frozen=True)
class Took:
    """What one way took for its notebooks: seconds, and CPU time of all processes that were started for it."""

    way: str
    notebooks: int
    seconds: float
    cpu: float


def pool(folder: Path, buckets: Sequence[str], workers: int) -> list[str]:
    """The command for a batch with these buckets; its run folders are `RUNS/*/jobs/BUCKET`."""
    environment = folder / "environment.yaml"
    rows = [f"{bucket},{STEP},{environment},[{world.owner_of(bucket)}/{bucket}]\n" for bucket in buckets]
    (folder / "fleet.csv").write_text("".join(["name,notebook,environment,buckets\n", *rows]))
    batch = [sys.executable, "-c", "from runbook.cli import main; main()", "batch", str(folder / "fleet.csv")]
    return [*batch, "--apply", "--yes", "--workers", str(workers), "--runs", str(folder / "pool")]


def loop(folder: Path, buckets: Sequence[str], workers: int) -> list[str]:
    """The command for plain papermill, one process for each notebook."""
    return _xargs(folder, "loop", buckets, workers, "")


def loop_with_pages(folder: Path, buckets: Sequence[str], workers: int) -> list[str]:
    """The same with a page made of each notebook, in one more process."""
    page = f"{shlex.quote(str(COMMANDS / 'jupyter'))} nbconvert --to html --log-level ERROR {{}}/{NOTEBOOK}"
    return _xargs(folder, "pages", buckets, workers, f" && {page}")


def _xargs(folder: Path, name: str, buckets: Sequence[str], workers: int, then: str) -> list[str]:
    runs = folder / name
    for bucket in buckets:
        (runs / bucket).mkdir(parents=True)
        (runs / bucket / "parameters.yaml").write_text(
            f"environment: {folder / 'environment.yaml'}\nscenario: ''\napply: true\n"
            f"buckets: [{world.owner_of(bucket)}/{bucket}]\nrun_folder: {runs / bucket}\n"
        )
    papermill = (
        f"{shlex.quote(str(COMMANDS / 'papermill'))} {shlex.quote(str(ROOT / 'notebooks' / f'{STEP}.ipynb'))} "
        f"{{}}/{NOTEBOOK} -f {{}}/parameters.yaml --cwd {shlex.quote(str(ROOT / 'notebooks'))} --kernel python3 "
        "--no-progress-bar --log-level ERROR"
    )
    # Now and then two kernels have found the same free port, and one of them does not start: it is tried again.
    again = f"{{ {papermill} || {papermill}; }}{then}"
    command = f"ls -d {shlex.quote(str(runs))}/* | xargs -P {workers} -I{{}} sh -c {shlex.quote(again)}"
    return ["sh", "-c", command]


WAYS: Mapping[str, Callable[[Path, Sequence[str], int], list[str]]] = {
    "runbook batch": pool,
    "xargs papermill": loop,
    "… and nbconvert": loop_with_pages,
}


def rounds(url: str, *, notebooks: int, number: int, ways: Sequence[str] = tuple(WAYS)) -> Iterator[Took]:
    """The ways in turns, `number` times, each on a world in which nothing was opened yet."""
    for turn in range(number):
        for way in ways if turn % 2 == 0 else reversed(ways):
            with tempfile.TemporaryDirectory() as name:
                yield took(way, Path(name), url, plain_buckets(notebooks))


def plain_buckets(number: int) -> list[str]:
    """As many buckets as asked for that have neither a policy nor a key."""
    names = world.bucket_names(10 * number)
    return [name for name in names if world.bucket_policy(name) is None and world.key_of(name) is None][:number]


def took(way: str, folder: Path, url: str, buckets: Sequence[str]) -> Took:
    """Run these notebooks in one way, and see that every bucket was opened."""
    post(url, "reset")
    write_world(folder, url, 0)
    command = [sys.executable, "-m", "tests.bench.counted", *WAYS[way](folder, buckets, usable_processors())]
    env = own_credentials()
    env.pop(switch.SETTING, None)  # plain papermill is what people have; the batch turns warm kernels on by itself
    began = time.monotonic()
    with (folder / "output").open("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
        # The CPU time of all that it has started, and waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        results = [json.loads(file.read_text()) for file in folder.glob("**/result.json")]
        done = [result for result in results if result["status"] == "done" and len(result["changes"]) == 1]
        assert (process.returncode, len(done)) == (0, len(buckets)), output.read()
    return Took(way, len(buckets), time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def lines(found: Sequence[Took]) -> Iterator[str]:
    """The results as a table: each round, and what the rounds of each way come to."""
    yield f"{'notebooks':<18}{'rounds':>8}{'seconds':>20}{'notebooks/s':>13}{'CPU s/notebook':>16}"
    for way in dict.fromkeys(each.way for each in found):
        rounds = [each for each in found if each.way == way]
        notebooks = sum(each.notebooks for each in rounds)
        seconds = sum(each.seconds for each in rounds)
        each_took = " ".join(f"{each.seconds:.0f}" for each in rounds)
        cpu = sum(each.cpu for each in rounds) / notebooks
        yield f"{way:<18}{len(rounds):>8}{each_took:>20}{notebooks / seconds:>13.2f}{cpu:>16.2f}"
