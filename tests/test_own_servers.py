"""`runbook lab` and `runbook app` answer who has the token, and to no host name but this machine's."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
import websocket

from runbook.parameters import project_root

TOKEN = secrets.token_hex(16)


@contextmanager
def serving(command: str, folder: Path, *arguments: str) -> Iterator[int]:
    """One of our servers; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    code = ["-c", "from runbook.cli import main; main()", command, "--no-browser", f"--port={port}", *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *code], env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(300):
                assert process.poll() is None, (folder / "log").read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("command", "arguments", "path"),
    [
        ("lab", (f"--IdentityProvider.token={TOKEN}", "--allow-root"), "/api/contents"),
        ("app", (f"--token={TOKEN}",), "/"),
    ],
)
def test_only_the_token_and_only_this_machines_names_let_in(
    command: str, arguments: tuple[str, ...], path: str, tmp_path: Path
) -> None:
    with serving(command, tmp_path, *arguments) as port:

        def status(token: str, host: str) -> int:
            url = f"http://127.0.0.1:{port}{path}{f'?token={token}' if token else ''}"
            headers = {"Host": host.format(port=port)}
            return urllib3.request("GET", url, headers=headers, redirect=False, retries=False, timeout=30).status

        assert status(TOKEN, "127.0.0.1:{port}") == 200
        assert status(TOKEN, "localhost:{port}") == 200
        assert status("", "127.0.0.1:{port}") in (302, 403)
        assert status("wrong", "127.0.0.1:{port}") in (302, 403)
        assert status(TOKEN, "evil.example:{port}") == 403
        assert status(TOKEN, "127.0.0.1.evil.example") == 403


def test_what_lab_prints_runs_in_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is on its path, it begins in the project's folder, and works in the sandbox that Lab shows."""
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("SHELL", "sh")
    with serving("lab", tmp_path, f"--IdentityProvider.token={TOKEN}", "--allow-root") as port:
        asked = f"127.0.0.1:{port}/api/terminals?token={TOKEN}"
        name = urllib3.request("POST", f"http://{asked}", retries=False, timeout=60).json()["name"]
        terminal = websocket.create_connection(
            f"ws://127.0.0.1:{port}/terminals/websocket/{name}?token={TOKEN}", timeout=60
        )
        line = (
            f"pwd; runbook plan 05-bucket-policy --scenario one-bucket --runs {tmp_path / 'runs'}; echo done-$((1+1))"
        )
        terminal.send(json.dumps(["stdin", f"{line}\r"]))
        shown = ""
        while "done-2" not in shown:
            kind, *content = json.loads(terminal.recv())
            shown += content[0] if kind == "stdout" else ""
        terminal.close()
    assert f"\n{project_root()}\r" in shown
    assert "To make these changes: runbook apply " in shown
    assert "All of this was in the sandbox" in shown
    assert "gone now" not in shown
