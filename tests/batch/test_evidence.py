"""Evidence in S3: written by papermill's handlers, and no batch begins that could not keep it there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from papermill.iorw import papermill_io
from papermill.s3 import S3

from runbook.batch.batch import Options, go_on
from runbook.batch.state import BatchFolder
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.batch.notebooks import fleet_of

BUCKET = "evidence-of-batches"


@pytest.fixture
def s3(sandbox: Sandbox, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What boto3 finds by itself are the sandbox and the management account's credentials."""
    for name, value in server.variables(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(S3, "s3_session", (None, None, None))  # papermill keeps the first one it makes
    client = environment.client("s3", environment.account_id("management"))
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": environment.region})
    return client


@pytest.fixture
def keys(s3: Any) -> Callable[[], set[str]]:
    return lambda: {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_the_evidence_of_every_job_and_the_report_are_copied(keys: Callable[[], set[str]], tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path / "fleet", {"first": ""})
    folder = BatchFolder.new(fleet, apply=True, runs=tmp_path, copy_to=f"s3://{BUCKET}/audit/")
    assert keys() == {f"audit/{folder.path.name}/fleet.json"}
    assert go_on(folder, fleet, Options(workers=1)).succeeded
    of_job = ["notebook.ipynb", "notebook.html", "result.json", "outcome.json"]
    of_batch = ["report.html", "report.json", "report.csv", "report.xml", "fleet.json", "batch.jsonl", "workers.log"]
    expected = {f"audit/{folder.path.name}/{name}" for name in [*of_batch, *(f"jobs/first/{name}" for name in of_job)]}
    assert keys() == expected
    address = f"s3://{BUCKET}/audit/{folder.path.name}/jobs/first/notebook.ipynb"
    assert papermill_io.read(address) == (folder.path / "jobs/first/notebook.ipynb").read_text().rstrip("\n")


def test_a_batch_whose_evidence_could_not_be_kept_is_not_begun(s3: Any, tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path / "fleet", {"first": ""})
    with pytest.raises(ParameterError, match=r"s3://nowhere/.*: cannot be written .*NoSuchBucket"):
        BatchFolder.new(fleet, apply=True, runs=tmp_path / "runs", copy_to="s3://nowhere")
    assert not list((tmp_path / "runs").iterdir())
