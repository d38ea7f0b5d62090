"""Hundreds of accounts, each connected and a bucket of each opened: killed, gone on with, mended, and reported."""

import csv
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from runbook.batch.fleet import load_fleet
from runbook.environment import Environment, load_environment
from runbook.journal import Journal
from runbook.progress import duration, in_parallel
from runbook.sandbox import server
from runbook.sandbox.accounts import SEALED
from tests.soak.watched import Watched, events, gone

FLEET = """
environment: sandbox
inventory: {inventory}
limits: {{ calls_per_second: 50 }}
cell_seconds: 600
jobs:
  allowlist: {{ notebook: 01-allowlist, scenario: organization }}
  connect: {{ notebook: 02-iam-role, for_each: account, parameters: {{ accounts: ["{{account}}"] }}, needs: allowlist }}
  policy:
    notebook: 05-bucket-policy
    for_each: bucket
    parameters: {{ buckets: ["{{account}}/{{bucket}}"] }}
    needs: connect
"""
COMMAND = (sys.executable, "-c", "from runbook.cli import main; main()", "batch")


def soak(folder: Path, accounts: int) -> None:
    """All of it for so many accounts. Raises AssertionError for anything that is not as it should be."""
    with _sandbox() as environment:
        _said("accounts and buckets made", lambda: _make_world(environment, folder, accounts))
        fleet = folder / "soak.yaml"
        jobs = _said("validated", lambda: load_fleet(str(fleet))).jobs
        assert len(jobs) == 1 + 2 * accounts
        runs = folder / "runs"
        began = time.monotonic()

        first = _watched(folder, runs, str(fleet), "--apply", "--yes", "--runs", str(runs))
        _said("killed after a third of the jobs", lambda: first.run(kill_after=len(jobs) // 3))
        print(f"  nothing of it is left {gone(first, 30):.1f} s later", flush=True)
        batch = next(runs.glob("*-batch-soak"))

        second = _watched(folder, runs, "--resume", str(batch), str(fleet), "--apply", "--yes")
        assert _said("gone on with to its end", second.run) == 1, second.output.read_text()[-3000:]
        gone(second, 30)
        told = _read_report(batch)
        not_done = {"failed": 1, "not-started": 1}
        assert told["counts"] == {"jobs": len(jobs), "done": len(jobs) - 2, **not_done}, told["counts"]
        assert [(each["state"], each["jobs"]) for each in told["reasons"]] == [
            ("failed", [f"connect[{SEALED}]"]),
            ("not-started", ["policy[soak-sealed]"]),
        ]
        print(f"  report: {told['told']}\n  why: {told['reasons'][0]['text']}", flush=True)

        _mend(environment)
        third = _watched(folder, runs, "--resume", str(batch), str(fleet), "--apply", "--yes")
        assert _said("gone on with once the account was mended", third.run) == 0, third.output.read_text()[-3000:]
        gone(third, 30)
        told = _read_report(batch)
        assert told["counts"] == {"jobs": len(jobs), "done": len(jobs)}, told["counts"]
        seconds = time.monotonic() - began
        _nothing_twice(batch, told, workers=told["workers"])
        _opened(environment, accounts)
        print(f"  report: {told['told']}")
        print(f"  {len(jobs)} jobs in {duration(seconds)}: {len(jobs) / seconds:.2f} a second", flush=True)


@contextmanager
def _sandbox() -> Iterator[Environment]:
    os.environ[server.VARIABLE] = server.start().endpoint_url
    try:
        yield load_environment("sandbox")
    finally:
        del os.environ[server.VARIABLE]
        server.stop()


def _make_world(environment: Environment, folder: Path, accounts: int) -> None:
    """Members of the organization with a bucket each; one of them was there before, and lets nobody make roles."""
    client = environment.client("organizations", environment.account_id("management"))
    made = []
    for number in range(accounts - 1):
        name = f"soak-{number:04}"
        answer = client.create_account(Email=f"{name}@example.com", AccountName=name)
        made.append((answer["CreateAccountStatus"]["AccountId"], name))
    made.append((SEALED, "soak-sealed"))

    def make_bucket(each: tuple[str, str]) -> None:
        where = {"LocationConstraint": environment.region}
        environment.client("s3", each[0]).create_bucket(Bucket=each[1], CreateBucketConfiguration=where)

    in_parallel(make_bucket, made)
    inventory = folder / "soak.csv"
    inventory.write_text("".join(f"{account},{bucket}\n" for account, bucket in [("account", "bucket"), *made]))
    (folder / "soak.yaml").write_text(FLEET.format(inventory=inventory))


def _mend(environment: Environment) -> None:
    """Take away the policy that keeps roles from being made in one account."""
    client = environment.client("organizations", environment.account_id("management"))
    found = client.list_policies_for_target(TargetId=SEALED, Filter="SERVICE_CONTROL_POLICY")["Policies"]
    (policy,) = [each["Id"] for each in found if not each["AwsManaged"]]
    client.detach_policy(PolicyId=policy, TargetId=SEALED)


def _watched(folder: Path, runs: Path, *arguments: str) -> Watched:
    return Watched([*COMMAND, *arguments], dict(os.environ), runs, folder / "output")


def _read_report(batch: Path) -> Any:
    """What the four files of a report say, which has to be the same."""
    told = json.loads((batch / "report.json").read_text())
    page = (batch / "report.html").read_text()
    assert told["told"].split(":")[0] in page
    with (batch / "report.csv").open(newline="") as file:
        states = Counter(row["state"] for row in csv.DictReader(file))
    suite = ElementTree.parse(batch / "report.xml").getroot()[0]
    counts = dict(told["counts"])
    assert (len(suite), sum(states.values())) == (counts.pop("jobs"),) * 2
    assert states == counts
    assert int(suite.attrib["failures"]) == counts.get("failed", 0)
    assert page.count("<tr class=") == len(suite)
    return told


def _nothing_twice(batch: Path, told: Any, workers: int) -> None:
    """Every job was begun once, but for those that were on when the batch was killed, and the one that failed."""
    starts = Counter(event["job"] for event in events(batch.parent) if event["event"] == "started")
    again = {job for job, number in starts.items() if number > 1}
    assert max(starts.values()) == 2
    assert f"connect[{SEALED}]" in again
    assert len(again) <= 1 + workers, again
    made: Counter[str] = Counter()
    for plan in batch.glob("jobs/*/plan.json"):
        resources = [change["resource"]["arn"] for change in json.loads(plan.read_text())["changes"]]
        events_ = Journal(plan.parent).read()
        made.update(resources[event["index"]] for event in events_ if event["event"] == "done")
    assert set(made.values()) == {1}, [arn for arn, number in made.items() if number > 1]
    assert len(made) == len(told["jobs"]) == told["changes"]["made"]
    print(f"  {len(made)} changes, each made once; begun a second time: {sorted(again)}", flush=True)


def _opened(environment: Environment, accounts: int) -> None:
    """bucketAV knows every account, and every bucket names its role."""
    table = environment.client("dynamodb", environment.account_a)
    connected = {
        item["account_id"]["S"]
        for page in table.get_paginator("scan").paginate(TableName="bucketav-AccountConnection")
        for item in page["Items"]
    }
    assert len(connected) >= accounts


def _said(what: str, work: Any) -> Any:
    began = time.monotonic()
    found = work()
    print(f"  {what}: {duration(time.monotonic() - began)}", flush=True)
    return found
