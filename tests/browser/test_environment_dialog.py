"""The environment file, written in the dialog of a page, and the page of that environment afterwards."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from runbook.environment import load_environment
from runbook.environments import save
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.browser.test_pages import violations
from tests.mfa import Device, administrators_client

CELL = """
import os
from runbook.display import start_here

own = os.environ["OWN_ENVIRONMENT"]
start_here(environment=own if os.path.exists(own) else "sandbox")
"""
"""As 00-start-here begins; the environment is the one that is written, once it is there."""


def begin(folder: Path) -> Path:
    """A notebook with this cell."""
    notebook = folder / "notebooks" / "begin.ipynb"
    notebook.parent.mkdir()
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])  # type: ignore[no-untyped-call]
    nbformat.write(made, notebook)  # type: ignore[no-untyped-call]
    return notebook


ROLE = "arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"


def test_a_file_is_written_in_the_dialog_and_read_when_the_page_is_loaded_again(
    page: Page,
    page_of: Callable[[Path], str],
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[str],
) -> None:
    own = tmp_path / "own.yaml"
    for name, value in {**server.variables(sandbox), "OWN_ENVIRONMENT": str(own)}.items():
        monkeypatch.setenv(name, value)
    address = page_of(begin(tmp_path))

    page.goto(address, wait_until="commit")
    page.get_by_text("Your own accounts: write an environment file").click(timeout=90_000)
    assert page.get_by_text("✓ a (").count() == 0, "the sandbox"
    page.get_by_label("Name", exact=True).fill(str(own))
    page.get_by_label("Region", exact=True).fill("eu-west-1")
    page.get_by_label("Role", exact=True).fill(ROLE)
    page.get_by_label("Account list", exact=True).fill("a=111111111111\nb=222222222222\nclosed=666666666666")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Written: ")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("✗ closed (666666666666): Account 666666666666 (closed) cannot be reached")).to_be_visible()
    assert violations(page) == []
    assert [*load_environment(str(own)).file.accounts] == ["a", "b", "closed"]

    page.goto(address, wait_until="commit")
    expect(page.get_by_text("✓ b (222222222222): reached as")).to_be_visible(timeout=90_000)
    expect(page.get_by_text("✗ closed (666666666666)")).to_be_visible()
    page.get_by_role("button", name="Test again", exact=True).click()
    expect(page.get_by_text("✓ a (111111111111): reached as")).to_be_visible()
    assert violations(page) == []
    assert [text for text in errors if "Content Security" in text] == []


def test_an_mfa_code_is_entered_on_a_page(
    page: Page, page_of: Callable[[Path], str], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cell of a page can ask, and a button can; the session is remembered when the page is loaded again."""
    device = Device.of(administrators_client(sandbox, "iam"), "administrator")
    own = tmp_path / "own.yaml"
    accounts = {"a": {"account_id": "111111111111"}, "b": {"account_id": "222222222222"}}
    save(str(own), {"region": "eu-west-1", "role_arn": ROLE, "mfa_serial": device.serial, "accounts": accounts})
    for name, value in {**server.variables(sandbox), "OWN_ENVIRONMENT": str(own), "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    address = page_of(begin(tmp_path))

    page.goto(address, wait_until="commit")
    expect(page.get_by_text("Press a button of the page").first).to_be_visible(timeout=90_000)
    page.get_by_role("button", name="Test again", exact=True).click()
    code = page.get_by_placeholder("six digits").locator("visible=true").first
    expect(code).to_be_visible(timeout=30_000)
    expect(page.get_by_text(f"Enter MFA code for {device.serial}").locator("visible=true").first).to_be_visible()
    assert violations(page) == []
    code.fill(device.code())
    expect(page.get_by_text("✓ b (222222222222): reached as")).to_be_visible(timeout=30_000)
    expect(code).to_be_hidden()

    page.goto(address, wait_until="commit")
    expect(page.get_by_text("✓ a (111111111111): reached as")).to_be_visible(timeout=90_000)
