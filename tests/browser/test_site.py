"""The review's site as it opens from the disk: on a screen and on a phone, light and dark, on paper, and searched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from runbook.review.site import pages
from tests.browser.test_pages import SCREENSHOTS, violations

WIDTHS = (1280, 390)
"""A screen, and a phone."""

KEPT = {
    "home": "index.html",
    "notebook": "notebooks/05-bucket-policy.html",
    "picture": "notebooks/00-start-here.html",
    "tree": "notebooks/03-stack-sets.html",
    "example": "scenarios/05-bucket-policy/encrypted-bucket.html",
    "outline": "outline.html",
    "permissions": "permissions.html",
    "review": "review.html",
}
"""The pages of which pictures are kept."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_nothing_is_missing(scheme: str, built_site: Path, browser: Browser) -> None:
    with _window(browser, scheme) as page:
        for name, path in KEPT.items():
            page.goto((built_site / path).as_uri())
            for width in WIDTHS:
                _fits(page, width)
                page.screenshot(
                    path=SCREENSHOTS / f"site-{name}-{width}-{scheme}.png",
                    full_page=True,
                    clip={"x": 0, "y": 0, "width": width, "height": 2400},
                )


def test_all_other_pages_fit_as_well(built_site: Path, browser: Browser) -> None:
    kept = [built_site / path for path in KEPT.values()]
    others = [file for file in sorted(built_site.rglob("*.html")) if file not in kept]
    assert len(others) > 30
    with _window(browser, "light") as page:
        for file in others:
            page.goto(file.as_uri())
            for width in WIDTHS:
                _fits(page, width)


@pytest.mark.parametrize(
    ("scheme", "names"), [("light", ["home", "example", "review"]), ("dark", ["notebook", "review"])]
)
def test_everybody_can_read_it(scheme: str, names: list[str], built_site: Path, browser: Browser) -> None:
    with _window(browser, scheme) as page:
        for name in names:
            page.goto((built_site / KEPT[name]).as_uri())
            assert violations(page, {"preload": False}) == [], name  # from the disk, axe may not read style sheets


def test_a_search_from_the_disk_finds_what_stands_in_outputs(built_site: Path, browser: Browser) -> None:
    with _window(browser, "light") as page:
        page.goto((built_site / "index.html").as_uri())
        page.get_by_placeholder("Search").fill("bucketAVDecrypt")
        page.get_by_placeholder("Search").press("Enter")
        page.get_by_role("link", name="05-bucket-policy: encrypted-bucket").click()
        expect(page.get_by_role("heading", name="05-bucket-policy: encrypted-bucket")).to_be_visible()


def test_an_entry_of_the_outline_leads_to_its_cell_and_back(built_site: Path, browser: Browser) -> None:
    with _window(browser, "light") as page:
        page.goto((built_site / "outline.html").as_uri())
        row = page.get_by_role("row", name="bucket-policy.statements")
        row.get_by_role("link", name="plan").click()
        assert page.url.endswith(f"#{pages.cell_label('05-bucket-policy', 'plan')}")
        cell = page.locator(".carries:target")
        expect(cell).to_be_in_viewport()
        cell.get_by_role("link", name="bucket-policy.statements").click()
        expect(row).to_be_in_viewport()


def test_dark_is_chosen_by_the_reader_as_well(built_site: Path, browser: Browser) -> None:
    with _window(browser, "light") as page:
        page.goto((built_site / KEPT["example"]).as_uri())
        difference, color = page.locator(".rb-diff").first, "e => getComputedStyle(e).color"
        light = difference.evaluate(color)
        for _ in range(3):
            if page.locator("body").get_attribute("data-theme") == "dark":
                break
            page.locator("button.theme-toggle:visible").click()
        expect(page.locator("body")).to_have_attribute("data-theme", "dark")
        assert difference.evaluate(color) != light


def test_on_paper_everything_is_open_and_the_sidebar_is_gone(built_site: Path, browser: Browser) -> None:
    with _window(browser, "light") as page:
        page.goto((built_site / KEPT["example"]).as_uri())
        whole = page.locator("details", has_text="The whole document afterwards").locator("pre").last
        expect(whole).not_to_be_visible()
        page.emulate_media(media="print")
        expect(whole).to_be_visible()
        expect(page.locator(".sidebar-drawer")).not_to_be_visible()
        page.screenshot(path=SCREENSHOTS / "site-example-print.png", full_page=True)


@contextmanager
def _window(browser: Browser, scheme: str) -> Iterator[Page]:
    """A window in which nothing may go wrong, and that may not ask for anything that is not on the disk."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    context.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    context.on("weberror", lambda found: wrong.append(str(found.error)))
    context.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
    )
    context.on("requestfailed", lambda asked: wrong.append(asked.url))
    yield context.new_page()
    context.close()
    assert wrong == []


def _fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width, page.url
    assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)") == [], (
        page.url
    )
