"""The notebook in a real JupyterLab in a real browser: the form is there, and what is chosen in it is what runs."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from runbook.parameters import project_root

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = os.environ.get("RUNBOOK_REQUIRE_CHROMIUM") == "1"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),  # one JupyterLab for all of them
]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks, without this machine's own Jupyter settings; a pattern of addresses."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(project_root() / "notebooks", folder / "notebooks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    settings = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR")
    }
    environment = {name: value for name, value in os.environ.items() if name != "RUNBOOK_SANDBOX"} | settings
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={token}", folder / "server.log")
        yield f"http://127.0.0.1:{port}/lab/workspaces/{{notebook}}/tree/notebooks/{{notebook}}.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1440, "height": 3200})
        browser.close()


def test_what_is_chosen_in_the_form_is_what_the_next_cells_use(lab: str, page: Page, tmp_path: Path) -> None:
    page.goto(lab.format(notebook="05-bucket-policy"))
    expect(page.get_by_text("The same changes for people who may not run code").first).to_be_attached(timeout=60_000)
    wait_for_kernel(page)
    run_all(page)
    form = page.locator(".rb-form").first
    expect(form).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Preview: nothing was changed.").first).to_be_visible(timeout=60_000)

    form.get_by_label("tagging-and-deletion").check()
    buckets = form.get_by_label("Buckets", exact=True)
    expect(buckets).to_have_value("b/website-uploads-b")
    buckets.fill("website-uploads-b")
    expect(form.get_by_text("does not say whose bucket it is")).to_be_visible()
    buckets.fill("b/website-uploads-b")
    expect(form.get_by_text("These values can be used")).to_be_visible()
    run_cell(page, "choice.check()")
    run_cell(page, "plan = choice.plan()")
    expect(
        page.get_by_text("let bucketav-ScanRole").or_(page.get_by_text("in website-uploads-b")).first
    ).to_be_visible()
    expect(page.locator(".jp-OutputArea-output").get_by_text("website-uploads-b").last).to_be_attached()
    page.screenshot(path=tmp_path / "lab.png", full_page=True)


def test_a_change_of_the_stack_is_made_and_told_in_the_notebook(lab: str, page: Page, tmp_path: Path) -> None:
    page.goto(lab.format(notebook="01-allowlist"))
    expect(page.get_by_text("The same change for people who may not run code").first).to_be_attached(timeout=60_000)
    wait_for_kernel(page)
    cell = page.locator(".jp-CodeCell", has_text="apply: bool = False").first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(
        f"environment, scenario, apply, run_folder = 'sandbox', 'organization', True, {str(tmp_path / 'run')!r}\n"
        "accounts, organizations, remove_accounts, remove_organizations = [], [], [], []"
    )
    run_all(page)
    expect(page.get_by_text("Applied: 1 change made.").first).to_be_visible(timeout=90_000)
    expect(page.get_by_text("modify AccountConnectionTopicPolicy").first).to_be_visible()
    expect(page.get_by_text("any account of o-exampleorg").first).to_be_attached(timeout=60_000)
    expect(page.get_by_text("UPDATE_IN_PROGRESS")).not_to_be_attached()
    page.screenshot(path=tmp_path / "lab.png", full_page=True)
    assert (tmp_path / "run" / "journal.jsonl").exists()


def wait_for_kernel(page: Page) -> None:
    """On a busy machine JupyterLab may ask which kernel to take before it has heard of the notebook's own."""
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    select = page.locator(".jp-Dialog button.jp-mod-accept")
    expect(idle.or_(select).first).to_be_visible(timeout=90_000)
    if select.is_visible():
        select.click()
    expect(idle).to_be_visible(timeout=90_000)


def run_all(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_cell(page: Page, source: str) -> None:
    """Run the cell that begins so, and wait until it has run."""
    cell = page.locator(".jp-CodeCell", has_text=source).first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).not_to_contain_text("*", timeout=30_000)


def _wait_for(url: str, log: Path) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
