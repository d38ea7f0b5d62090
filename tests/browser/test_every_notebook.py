"""Every notebook as a page, all the way through with its buttons, and back. 05-bucket-policy goes it in JupyterLab."""

import pytest
from playwright.sync_api import Page, expect

from runbook.environment import Environment
from tests.browser.test_jupyterlab import button, shoot
from tests.browser.test_pages import violations
from tests.world import everything


@pytest.mark.parametrize(
    ("notebook", "scenario", "label", "wrong", "said"),
    [
        ("01-allowlist", "several-accounts", "Accounts", "22222222222", "has 11 digits"),
        ("02-iam-role", "one-account", "Accounts", "x", "there is no account"),
        ("03-stack-sets", "organizational-unit", "Only accounts", "12", "has 2 digits"),
        ("04-add-ons", "target-bucket", "Source buckets", "uploads-a", "does not say whose bucket it is"),
        ("06-findings-topic", "new-queue", "Queues", "b/orders.fifo", "a FIFO queue"),
    ],
)
def test_a_notebook_is_gone_through_and_taken_back(
    notebook: str,
    scenario: str,
    label: str,
    wrong: str,
    said: str,
    pages: str,
    page: Page,
    errors: list[str],
    environment: Environment,
    tidy_runs: None,
) -> None:
    before = everything(environment)
    address, _, token = pages.partition("?")
    page.goto(f"{address}voila/render/{notebook}.ipynb?{token}")
    panel = page.locator(".rb-panel", has=page.locator(".rb-buttons")).first
    expect(page.get_by_text("Preview: nothing was changed.").first).to_be_visible(timeout=90_000)

    panel.get_by_label(scenario).check()
    field = panel.get_by_label(label, exact=True)
    right = field.input_value()
    field.fill(wrong)
    expect(panel.get_by_text(said)).to_be_visible()
    field.fill(right)
    expect(panel.get_by_text("These values can be used")).to_be_visible()
    for name, shown in {
        "Plan": "Nothing else changes.",
        "Apply": "Applied:",
        "Verify": "✓ new",
        "Undo": "put back as it was",
    }.items():
        expect(button(panel, name)).to_be_enabled(timeout=60_000)
        button(panel, name).click()
        expect(panel.get_by_text(shown).first).to_be_visible(timeout=60_000)
        if name == "Apply":
            assert everything(environment) != before
        if name == "Verify":
            shoot(page, panel, notebook)
            assert violations(page) == []
    assert everything(environment) == before
    assert errors == []
