"""The notebooks as pages without code: in order, readable, for everybody, and one leads to the next."""

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from runbook.environment import Environment
from runbook.frontends.titles import titles
from runbook.parameters import project_root

WIDTHS = (1280, 1920)
SCREENSHOTS = project_root() / "build" / "screenshots"


def test_pages_lead_from_the_first_question_to_a_form_that_is_filled_in(
    pages: str, page: Page, errors: list[str], environment: Environment
) -> None:
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.goto(pages)
    assert page.get_by_role("main").get_by_role("link").all_inner_texts() == [
        f"{name[:2]}\n{title}" for name, title in titles().items()
    ]
    assert violations(page) == []

    page.get_by_role("link", name=titles()["00-start-here"]).click()
    picture = page.get_by_role("img", name="connected by IAM role: c (archive), pilot")
    expect(picture).to_be_visible(timeout=90_000)
    assert page.title() == f"{titles()['00-start-here']} – bucketAV runbook"
    fits = page.locator("[cell-index]", has=page.get_by_role("heading", name="Recommended:"))
    expect(fits.get_by_role("heading", name="Recommended: IAM role-based access", exact=True)).to_be_visible()
    expect(page.get_by_label("few-accounts")).to_be_checked()
    assert violations(page) == []
    shoot(page, "page")
    page.set_viewport_size({"width": 1280, "height": 1000})
    picture.screenshot(path=SCREENSHOTS / "start.png")

    page.get_by_label("single-bucket").check()
    expect(fits.get_by_role("heading", name="Recommended: S3 bucket-policy-based access")).to_be_visible()
    page.get_by_label("Buckets", exact=True).fill("uploads-b")
    expect(page.get_by_text("Correct what is marked in the form above.")).to_be_visible()
    page.get_by_label("Buckets", exact=True).fill("b/website-uploads-b")
    with page.expect_popup() as opened:
        fits.get_by_role("link", name="05-bucket-policy").click()

    step = opened.value
    expect(step.get_by_label("Buckets", exact=True)).to_have_value("b/website-uploads-b", timeout=90_000)
    expect(step.get_by_text("Preview: nothing was changed.").first).to_be_visible()
    assert step.get_by_text("choice.plan()").count() == 0
    assert violations(step) == []
    shoot(step, "page-of-a-step")
    assert errors == []
    host = re.escape(pages.partition("?")[0])
    assert [url for url in asked if not re.match(rf"{host}|data:|blob:", url)] == []


def test_nobody_gets_in_without_the_address_that_was_printed(pages: str, page: Page) -> None:
    page.goto(pages.partition("?")[0] + "voila/render/02-iam-role.ipynb")
    expect(page.get_by_label("Password or token")).to_be_visible()


def shoot(page: Page, name: str) -> None:
    """Keep pictures in both widths; nothing sticks out in either."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    """What axe finds that keeps people from using a page."""
    found: Any = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
