"""The environment file, written in the dialog of a page, and the page of that environment afterwards."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from runbook.environment import load_environment
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.browser.test_pages import violations

CELL = """
import os
from runbook.display import start_here

own = os.environ["OWN_ENVIRONMENT"]
start_here(environment=own if os.path.exists(own) else "sandbox")
"""
"""As 00-start-here begins; the environment is the one that is written, once it is there."""

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
    notebook = tmp_path / "notebooks" / "begin.ipynb"
    notebook.parent.mkdir()
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])  # type: ignore[no-untyped-call]
    nbformat.write(made, notebook)  # type: ignore[no-untyped-call]
    address = page_of(notebook)

    page.goto(address)
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

    page.goto(address)
    expect(page.get_by_text("✓ b (222222222222): reached as")).to_be_visible(timeout=90_000)
    expect(page.get_by_text("✗ closed (666666666666)")).to_be_visible()
    page.get_by_role("button", name="Test again", exact=True).click()
    expect(page.get_by_text("✓ a (111111111111): reached as")).to_be_visible()
    assert violations(page) == []
    assert [text for text in errors if "Content Security" in text] == []
