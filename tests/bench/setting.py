"""What every bench runs in: the stub in a process of its own, an environment that leads to it, and credentials."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import world

ROOT = Path(__file__).resolve().parent.parent.parent


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


def own_credentials() -> dict[str, str]:
    """The variables of a process that gets made-up credentials, and nothing of this machine's AWS settings."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables |= {"AWS_ACCESS_KEY_ID": "AKIABENCHBENCHBENCH", "AWS_SECRET_ACCESS_KEY": "secret"}
    return variables | {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def post(url: str, what: str) -> None:
    """Tell the stub to `reset`, `keep` or `swap` its state."""
    urllib.request.urlopen(f"{url}/_{what}").close()
