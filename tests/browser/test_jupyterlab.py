"""Notebooks in a real JupyterLab in a real browser: chosen, corrected, planned, applied, undone; by mouse or keys."""

import pytest
from playwright.sync_api import Locator, Page, expect

from runbook.environment import Environment
from runbook.frontends.titles import titles
from runbook.parameters import project_root
from tests.world import policies

WIDTHS = (1280, 1920)
SCREENSHOTS = project_root() / "build" / "screenshots"

CUT = """panel => [...panel.querySelectorAll('*')].filter(each => {
    const style = getComputedStyle(each), box = each.getBoundingClientRect();
    if (!box.width || style.visibility === 'hidden') return false;
    const hidden = style.overflowX !== 'visible' && style.overflowX !== 'auto';
    const cut = each.children.length === 0 && hidden && each.scrollWidth > each.clientWidth + 1
        && !['INPUT', 'TEXTAREA', 'SELECT', 'OPTION'].includes(each.tagName);
    return cut || box.right > panel.getBoundingClientRect().right + 2 && !each.closest('pre, .rb-wide');
}).map(each => each.tagName + ' ' + each.className + ': ' + each.textContent.slice(0, 60))"""
"""Texts of a panel that are cut off, and whatever sticks out of it at the right."""


def test_chosen_corrected_planned_applied_verified_undone(
    lab: str, page: Page, errors: list[str], environment: Environment, tidy_runs: None
) -> None:
    before = policies(environment)
    panel = opened(page, lab, "05-bucket-policy")
    panel.get_by_label("tagging-and-deletion").check()
    buckets = panel.get_by_label("Buckets", exact=True)
    expect(buckets).to_have_value("b/website-uploads-b")
    buckets.fill("website-uploads-b")
    expect(panel.get_by_text("does not say whose bucket it is")).to_be_visible()
    shoot(page, panel, "corrected")
    panel.get_by_role("button", name="Look up buckets").click()
    panel.get_by_label("Account", exact=True).select_option("b (222222222222)")
    panel.get_by_role("button", name="Look up buckets").click()
    buckets.fill("")
    panel.get_by_label("website-uploads-b").check()
    expect(buckets).to_have_value("b/website-uploads-b")
    expect(panel.get_by_text("These values can be used")).to_be_visible()

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.get_by_text("Save these values, or run them without this page").click()
    panel.get_by_role("button", name="Copy").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("papermill notebooks/05-bucket-policy.ipynb runs/")

    apply, undo = button(panel, "Apply"), button(panel, "Undo")
    expect(apply).to_be_disabled()
    button(panel, "Plan").click()
    expect(panel.get_by_text("Nothing else changes.")).to_be_visible(timeout=30_000)
    expect(apply).to_be_enabled()
    shoot(page, panel, "planned")
    apply.click()
    expect(panel.get_by_text("1 change made.")).to_be_visible(timeout=30_000)
    assert "bucketAVRequired1" in str(policies(environment)["arn:aws:s3:::website-uploads-b"])
    button(panel, "Verify").click()
    expect(panel.get_by_text("✓ new").first).to_be_visible(timeout=30_000)
    shoot(page, panel, "verified")
    undo.click()
    expect(panel.get_by_text("put back as it was")).to_be_visible(timeout=30_000)
    assert policies(environment) == before
    assert errors == []


def test_keys_alone_are_enough(lab: str, page: Page, environment: Environment, tidy_runs: None) -> None:
    panel = opened(page, lab, "01-allowlist")
    panel.get_by_label("one-account").focus()
    several = panel.get_by_label("several-accounts")
    _tab_to(page, several)
    page.keyboard.press("Space")
    expect(several).to_be_checked()
    _tab_to(page, panel.get_by_label("Accounts", exact=True))
    page.keyboard.press("Control+A")
    page.keyboard.type("d")
    expect(panel.get_by_label("d (444444444444)").first).to_be_checked()
    _tab_to(page, button(panel, "Plan"))
    page.keyboard.press("Space")
    expect(panel.get_by_text("Nothing else changes.")).to_be_visible(timeout=30_000)
    _tab_to(page, button(panel, "Apply"))
    page.keyboard.press("Enter")
    expect(panel.get_by_text("1 change made.")).to_be_visible(timeout=60_000)


def test_what_is_chosen_in_the_form_is_what_the_next_cells_use(lab: str, page: Page, environment: Environment) -> None:
    panel = opened(page, lab, "05-bucket-policy")
    panel.get_by_label("Buckets", exact=True).fill("b/website-uploads-b")
    expect(panel.get_by_text("These values can be used")).to_be_visible()
    run_cell(page, "plan = choice.plan()")
    shown = page.locator(".jp-CodeCell", has_text="plan = choice.plan()").locator(".jp-OutputArea-output")
    expect(shown.get_by_text("website-uploads-b").first).to_be_visible()


def opened(page: Page, lab: str, notebook: str) -> Locator:
    """A notebook whose cells have run, and its form with the buttons."""
    page.goto(lab.format(notebook=notebook))
    wait_for_kernel(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    panel = page.locator(".rb-panel", has=page.locator(".rb-buttons")).first
    expect(panel).to_be_visible(timeout=90_000)
    expect(page.get_by_text("Preview: nothing was changed.").first).to_be_visible(timeout=90_000)
    return panel


def button(panel: Locator, name: str) -> Locator:
    return panel.locator(".rb-buttons").get_by_role("button", name=name, exact=True)


def shoot(page: Page, panel: Locator, name: str) -> None:
    """Keep pictures in both widths; nothing may be cut off in either."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 4000})
        panel.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")
        assert panel.evaluate(CUT) == [], f"{name} at {width} pixels"


def run_cell(page: Page, source: str) -> None:
    """Run the cell that begins so, and wait until it has run."""
    cell = page.locator(".jp-CodeCell", has_text=source).first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).not_to_contain_text("*", timeout=30_000)


def wait_for_kernel(page: Page) -> None:
    """On a busy machine JupyterLab may ask which kernel to take before it has heard of the notebook's own."""
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    select = page.locator(".jp-Dialog button.jp-mod-accept")
    expect(idle.or_(select).first).to_be_visible(timeout=90_000)
    if select.is_visible():
        select.click()
    expect(idle).to_be_visible(timeout=90_000)


def _tab_to(page: Page, target: Locator) -> None:
    for _ in range(60):
        if target.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail("The Tab key does not lead there.")


def test_the_launcher_and_the_file_browser_show_the_notebooks_in_order(
    lab: str, page: Page, errors: list[str], environment: Environment
) -> None:
    page.goto(lab.format(notebook="00-start-here"))
    wait_for_kernel(page)
    labels = [f"{name[:2]} {title.partition(':')[0]}" for name, title in titles().items()]
    files = page.locator(".jp-DirListing-itemText")
    expect(files).to_have_text(labels)
    page.keyboard.press("Control+Shift+L")
    cards = page.locator(".jp-Launcher-section").first.locator(".jp-LauncherCard-label")
    expect(cards).to_have_text([*labels, "Python 3 (ipykernel)"])
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    page.screenshot(path=SCREENSHOTS / "launcher.png")
    cards.nth(1).click()
    expect(page.get_by_role("tab", name="01-allowlist.ipynb")).to_be_visible()
    assert errors == []
