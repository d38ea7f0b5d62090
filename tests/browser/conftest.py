"""What tests in a browser share: one JupyterLab, one Voilà and one Chromium for all of them, and the sandbox."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from runbook.parameters import project_root
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = os.environ.get("RUNBOOK_REQUIRE_CHROMIUM") == "1"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """None where there is no browser."""
    for item in items:
        if item.path.parent == Path(__file__).parent and CHROMIUM is None and not REQUIRED:
            item.add_marker(pytest.mark.skip(reason="Chromium is not installed"))


@pytest.fixture(scope="session")
def lab(_doors: tuple[Sandbox, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab as `runbook lab` opens it, with a workspace of its own; a pattern of addresses.

    Its kernels work in the sandbox of the tests, and it leaves the tracked files as they are.
    """
    folder, before = tmp_path_factory.mktemp("lab"), tracked_changes()
    given = ("--IdentityProvider.token={token}", "--allow-root")
    with _serving("lab", folder, _doors[0], *given, before=_workspace(folder)) as (server, token):
        yield f"{server}lab/workspaces/{{notebook}}/tree/{{notebook}}.ipynb?token={token}&reset"
    assert tracked_changes() == before


def tracked_changes() -> str:
    """Return what `git status` says, with the changes of tracked files in full."""
    words = (["status", "--porcelain"], ["diff"])
    root = project_root()
    return "".join(subprocess.check_output(["git", *each], cwd=root, text=True) for each in words)


def _workspace(folder: Path) -> str:
    """Return code that lets `runbook lab` and `runbook app` have their workspace elsewhere."""
    return f"from runbook.frontends import workspace; workspace.FOLDER = {str(folder / 'workspace')!r}; "


@pytest.fixture(scope="session")
def pages(_doors: tuple[Sandbox, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The notebooks as pages, as `runbook app` serves them: the address of their index."""
    folder = tmp_path_factory.mktemp("app")
    with _serving("app", folder, _doors[0], "--token={token}", before=_workspace(folder)) as (server, token):
        yield f"{server}?token={token}"


@pytest.fixture
def lab_of(_doors: tuple[Sandbox, object], tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """JupyterLab on a notebook of a test, as `runbook lab` opens it; called with the notebook, it gives the address."""
    with ExitStack() as stack:

        def serve(notebook: Path) -> str:
            given = ("--IdentityProvider.token={token}", "--allow-root", f"--ServerApp.root_dir={notebook.parent}")
            serving = _serving("lab", tmp_path, _doors[0], *given, before=_workspace(tmp_path))
            server, token = stack.enter_context(serving)
            return f"{server}lab/workspaces/x/tree/{notebook.name}?token={token}&reset"

        yield serve


@pytest.fixture
def page_of(_doors: tuple[Sandbox, object], tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """A notebook of a test as a page, as `runbook app` serves it; called with the notebook, it gives the address.

    The notebook lies in a folder `notebooks`.
    """
    with ExitStack() as stack:

        def serve(notebook: Path) -> str:
            root = f"workspace.prepare = lambda: Path({str(notebook.parent)!r})"
            before = f"from pathlib import Path; from runbook.frontends import workspace; {root}; "
            serving = _serving("app", tmp_path, _doors[0], "--token={token}", before=before)
            server, token = stack.enter_context(serving)
            return f"{server}voila/render/{notebook.name}?token={token}"

        yield serve


@contextmanager
def _serving(
    command: str, folder: Path, sandbox: Sandbox, *arguments: str, before: str = ""
) -> Iterator[tuple[str, str]]:
    """One of our commands that serve, without this machine's own Jupyter settings; its address and token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    given = ["--no-browser", f"--port={port}", *(argument.format(token=token) for argument in arguments)]
    settings = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR")
    }
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{before}from runbook.cli import main; main()", command, *given],
            env={**os.environ, **settings, server.VARIABLE: sandbox.endpoint_url},
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/?token={token}", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}/", token
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def errors() -> list[str]:
    """What the browser's console says went wrong."""
    return []


@pytest.fixture
def page(browser: Browser, errors: list[str]) -> Iterator[Page]:
    """A page of 1280 pixels, so high that all of a form is there."""
    context = browser.new_context(viewport={"width": 1280, "height": 4000})

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    context.on("console", note)
    context.on("weberror", lambda found: errors.append(str(found.error)))
    yield context.new_page()
    context.close()


@pytest.fixture
def tidy_runs() -> Iterator[None]:
    """Takes away the run folders that are made meanwhile."""
    runs = project_root() / "runs"
    runs.mkdir(exist_ok=True)
    before = set(runs.iterdir())
    yield
    for folder in set(runs.iterdir()) - before:
        shutil.rmtree(folder)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"The server did not start:\n{log.read_text()[-2000:]}")
