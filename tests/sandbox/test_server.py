"""The server: started once, found through one variable, repeatable, and independent of the machine's configuration."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3

from runbook.sandbox import server
from runbook.sandbox.server import Sandbox, SandboxError
from tests.sandbox.snapshot import snapshot

Client = Callable[..., Any]

PROJECT = Path(__file__).parents[2]
JUNK = {
    "AWS_PROFILE": "no-such-profile",
    "AWS_ACCESS_KEY_ID": "junk",
    "AWS_SECRET_ACCESS_KEY": "junk",
    "AWS_SESSION_TOKEN": "junk",
    "AWS_REGION": "junk",
    "AWS_DEFAULT_REGION": "junk",
    "AWS_ENDPOINT_URL": "http://192.0.2.1:1",
    "AWS_CONFIG_FILE": "/no/such/file",
}


def python(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Another Python, with a home directory of its own and nothing of this one's environment but the path."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        **environment,
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, env=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_starting_again_gives_the_same_sandbox_as_it_is(sandbox: Sandbox, client: Client) -> None:
    client("s3", "222222222222").delete_object(Bucket="uploads-b", Key="readme.txt")
    assert server.start() == sandbox
    assert client("s3", "222222222222").list_objects_v2(Bucket="uploads-b")["KeyCount"] == 2


def test_a_second_port_in_one_process_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"answers at http://127\.0\.0\.1:\d+ already, port 4 was asked for.*stop"):
        server.start(4)


def test_two_starts_and_a_reset_give_exactly_the_same_ids(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    """Also: the other one starts with AWS variables full of junk, and without a home directory to look into."""
    other = python("-m", "tests.sandbox.snapshot", home=tmp_path, **JUNK)
    assert other.returncode == 0, other.stderr
    here = json.loads(json.dumps(snapshot(), default=str))
    assert json.loads(other.stdout) == here
    client("s3", "222222222222").put_bucket_versioning(
        Bucket="uploads-b", VersioningConfiguration={"Status": "Enabled"}
    )
    client("s3", "222222222222").put_object(Bucket="uploads-b", Key="new.txt", Body=b"new")
    assert json.loads(json.dumps(snapshot(), default=str)) != here
    server.reset()
    assert json.loads(json.dumps(snapshot(), default=str)) == here


def test_a_reset_over_http_brings_the_seeded_world_back(sandbox: Sandbox, administrator: Client) -> None:
    """moto's own reset would leave an empty world, without credentials that work."""
    administrator("iam").create_user(UserName="new")
    url, own = f"{sandbox.endpoint_url}/moto-api/reset", {server.OWN_HEADER: "1"}
    assert urllib3.request("POST", url, headers=own, retries=False).status == 200
    assert [user["UserName"] for user in administrator("iam").list_users()["Users"]] == ["administrator"]


def test_without_a_sandbox_there_is_nothing_to_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._this_process, "running", None)
    with pytest.raises(SandboxError, match="no sandbox in this process"):
        server.reset()


def test_a_session_does_not_survive_a_reset(client: Client) -> None:
    s3 = client("s3", "222222222222")
    server.reset()
    with pytest.raises(s3.exceptions.ClientError, match="InvalidAccessKeyId"):
        s3.list_buckets()


def test_the_account_variable_of_moto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._this_process, "running", None)
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "123456789012")
    with pytest.raises(SandboxError, match=r"MOTO_ACCOUNT_ID is set.*Unset it"):
        server.start()


def test_a_port_that_is_taken_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._this_process, "running", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=rf"Port {port} on 127\.0\.0\.1 cannot be used.*another port"):
            server.start(port)


def test_without_the_variable_there_is_no_shared_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(server.VARIABLE, raising=False)
    assert server.running() is None
    monkeypatch.setenv(server.VARIABLE, "")
    assert server.running() is None


def test_the_variable_leads_to_the_shared_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.variables(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    assert server.running() == sandbox


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1", "no sandbox answers there.*runbook sandbox.*unset RUNBOOK_SANDBOX"),
        ("https://s3.amazonaws.com", "expected http://127.0.0.1:PORT"),
        ("127.0.0.1:5000", "expected http://127.0.0.1:PORT"),
    ],
)
def test_a_variable_that_leads_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    monkeypatch.setenv(server.VARIABLE, url)
    with pytest.raises(SandboxError, match=message):
        server.running()


def test_another_server_at_that_address_is_not_taken_for_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        Thread(target=other.handle_request, daemon=True).start()
        monkeypatch.setenv(server.VARIABLE, f"http://127.0.0.1:{other.server_port}")
        with pytest.raises(SandboxError, match="no sandbox answers there"):
            server.running()


@contextmanager
def served(home: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-c", "from runbook.sandbox.server import serve; serve()"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_served_in_the_foreground_it_prints_the_variables_and_ends_with_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(5)]
        printed = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert all(line.startswith("export ") for line in lines)
        for name, value in printed.items():
            monkeypatch.setenv(name, value)
        shared = server.running()
        assert shared is not None
        assert printed == server.variables(shared)
        identity = boto3.client("sts").get_caller_identity()
        assert identity["Arn"] == "arn:aws:iam::999999999999:user/administrator"
        process.send_signal(signal.SIGINT)
        out, hint = process.communicate(timeout=10)
    assert (out, process.returncode) == ("", 0)
    assert "aws sts assume-role --role-arn arn:aws:iam::222222222222:role/OrganizationAccountAccessRole" in hint
    assert hint == server._HOW_TO_USE.format(url=shared.endpoint_url) + "\n"  # and not a line for each request


FORKED = """
import os, sys
from runbook.sandbox import server
parent = server.start()
if (child := os.fork()) == 0:
    own = server.start()
    import boto3
    keys = dict(aws_access_key_id=own.access_key_id, aws_secret_access_key=own.secret_access_key)
    sts = boto3.client("sts", endpoint_url=own.endpoint_url, region_name="eu-west-1", **keys)
    account = sts.get_caller_identity()["Account"]
    server.stop()
    os._exit(0 if account == "999999999999" and own != parent else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_starts_a_sandbox_of_its_own(tmp_path: Path) -> None:
    forked = python("-c", FORKED, home=tmp_path)
    assert forked.returncode == 0, forked.stderr
