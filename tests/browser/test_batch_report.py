"""The report of a batch of 300 jobs in a browser: for everybody, in light and dark, on paper, without scripts."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from runbook.batch import report
from tests.batch.reports import a_batch
from tests.browser.test_pages import SCREENSHOTS, violations


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("batch")
    return report.write(a_batch(folder), folder).as_uri()


@pytest.fixture
def without_scripts(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(address: str, page: Page, errors: list[str], scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 1280, "height": 1600})
    page.goto(address)
    page.screenshot(path=SCREENSHOTS / f"batch-report-{scheme}.png")
    kind = page.locator("details.changed", has_text="let bucketAV's scan role")
    kind.locator("summary").first.click()
    expect(kind.get_by_text('+  "Version": "2012-10-17"').first).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"batch-report-{scheme}-whole.png", full_page=True)
    page.get_by_label("4 failed").check()  # axe takes seconds for hundreds of rows that are all alike
    assert violations(page) == []
    assert errors == []


@pytest.mark.parametrize("width", [1920, 1280, 640])
def test_nothing_sticks_out(address: str, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(address)
    page.locator("details.changed summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_what_matters_stands_on_the_first_screen(address: str, page: Page) -> None:
    """Whoever opens it on a laptop sees, without scrolling, how many jobs failed and why most of them did."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(address)
    for text in ("6 of 300 jobs failed", "3 failed in cell check", "There is no such bucket", "changes made"):
        expect(page.get_by_text(text).first).to_be_in_viewport()


def test_jobs_in_one_state_can_be_looked_at_alone_without_scripts(address: str, without_scripts: Page) -> None:
    page = without_scripts
    page.goto(address)
    rows = page.locator("tbody tr:visible")
    expect(rows).to_have_count(300)
    page.get_by_label("4 failed").check()
    expect(rows).to_have_count(4)
    page.get_by_label("1 timed out").check()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("timed out in apply")
    page.get_by_label("all 300").check()
    expect(rows).to_have_count(300)


def test_a_job_leads_to_its_notebook(address: str, page: Page) -> None:
    page.goto(address)
    page.get_by_role("row", name="connect[200000000037]").get_by_role("link").click()
    expect(page.get_by_text("an executed notebook")).to_be_visible()


def test_paper_shows_what_is_folded_on_screen(address: str, page: Page) -> None:
    page.goto(address)
    page.emulate_media(media="print")
    difference = page.locator("details.changed pre").last
    expect(difference).to_be_visible()
    pdf = page.pdf(format="A4")
    (SCREENSHOTS / "batch-report.pdf").write_bytes(pdf)
    assert pdf.startswith(b"%PDF")
