"""One phase of the way through 05-bucket-policy, or the bare loop of its calls, in a process of its own.

Says as JSON what it took: seconds, the CPU time of this process and of those it started, and the most memory it held.
What Python needs to start and to import does not count; it is the same for one bucket and for 10,000.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from runbook import run as runs
from runbook.environment import load_environment
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.run import Run
from runbook.steps.bucket_policy import BucketPolicy

PHASES = ("check", "plan", "apply", "verify", "undo")


def work_of(phase: str, folder: Path) -> Callable[[], object]:
    """What to measure; plans are read before it, as in one process they would be at hand."""
    environment = load_environment(str(folder / "environment.yaml"))
    step = BucketPolicy(inventory=str(folder / "buckets.csv"), key_policy="change")
    run_folder = folder / "run"
    way = Procedure(step, environment, folder=str(run_folder))
    if phase == "check":
        return lambda: repr(way.check())
    if phase == "plan":
        return lambda: repr(way.plan())
    if phase == "undo":
        return lambda: repr(runs.undo(run_folder, environment))
    plan = Plan.load(run_folder)
    if phase == "apply":
        return lambda: repr(way.apply(plan))
    return lambda: repr(way.verify(Run(plan, True, run_folder, plan.changes)))


def bare(url: str, calls: Sequence[Any]) -> dict[str, float]:
    """The same calls with nothing but boto3: one thread, one client for each service, account and Region."""
    before = cpu_seconds()
    clients = {key: _client(url, *key) for key in dict.fromkeys(tuple(call[:3]) for call in calls)}
    made = cpu_seconds()
    for service, account, region, operation, parameters in calls:
        with suppress(ClientError):
            getattr(clients[service, account, region], operation)(**parameters)
    return {"clients": made - before, "cpu": cpu_seconds() - made}


def _client(url: str, service: str, account: str, region: str) -> Any:
    client = boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=f"ASIA{account}BENC",
        aws_secret_access_key="secret",
        aws_session_token="token",
        config=Config(retries={"mode": "standard", "max_attempts": 5}),
    )
    if service == "s3control":
        client.meta.events.register("before-sign.s3-control", _without_account_in_host)
    return client


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = request.url.replace(request.url.split("//")[1].split(".")[0] + ".", "", 1)


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_bytes() -> int:
    """The most memory that this process has held; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Do it, and say what it took."""
    memory, before, began = peak_bytes(), cpu_seconds(), time.monotonic()
    work()
    found = {"seconds": time.monotonic() - began, "cpu": cpu_seconds() - before}
    return {**found, "memory": peak_bytes(), "memory_before": memory}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=(*PHASES, "bare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="", help="for the bare loop: where the stub is")
    given = parser.parse_args()
    if given.phase == "bare":
        calls = json.loads((given.folder / "calls.json").read_text())
        found = bare(given.url, calls)
    else:
        found = measured(work_of(given.phase, given.folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
