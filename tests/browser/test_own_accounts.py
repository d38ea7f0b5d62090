"""Accounts of one's own in JupyterLab and Voilà: the form by itself, what is missing in a sentence, and the band."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from runbook.execute import notebook_names, notebook_path
from tests.browser.test_jupyterlab import SCREENSHOTS, button, wait_for_kernel
from tests.own import Own, own_environment

SECONDS, BUSY = 2.0, 5
"""Seconds from opening 03-stack-sets to its form on an idle machine, and how many times that on a busy one."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with own_environment(tmp_path_factory.mktemp("own")) as made:
        yield made


@pytest.fixture
def credentials(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers that are started from here have the credentials."""
    for name, value in own.variables.items():
        monkeypatch.setenv(name, value)


def notebooks_of(own: Own, folder: Path) -> Path:
    """Write the notebooks with `environment` set as the page says."""
    (folder / "notebooks").mkdir()
    for name in notebook_names():
        text = notebook_path(name).read_text()
        asked = json.dumps('environment: str = "sandbox"')[1:-1]
        assert asked in text
        text = text.replace(asked, json.dumps(f'environment: str = "{own.file}"')[1:-1])
        (folder / "notebooks" / f"{name}.ipynb").write_text(text)
    return folder / "notebooks"


def test_every_page_opens_an_empty_form_and_apply_asks(
    own: Own, credentials: None, page: Page, page_of: Callable[[Path], str], tmp_path: Path, tidy_runs: None
) -> None:
    folder = notebooks_of(own, tmp_path)
    address = page_of(folder / "00-start-here.ipynb")
    for name in notebook_names():
        page.goto(address.replace("00-start-here", name))
        expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)
        expect(band_of(page)).to_contain_text("assumed-role/OrganizationAccountAccessRole", timeout=60_000)
        expect(band_of(page)).to_contain_text("real accounts")
        expect(page.get_by_label("my own values")).to_be_checked()
        assert page.locator(".rb-scenarios input").count() == 1, "samples are for the sandbox"
        assert page.get_by_text(re.compile("Traceback|show_tracebacks")).count() == 0
        if name == "01-allowlist":
            expect(page.get_by_text("none of them is given").last).to_be_visible()
            page.set_viewport_size({"width": 1280, "height": 1000})
            page.screenshot(path=SCREENSHOTS / "own-page.png", full_page=True)
            apply_and_undo(page)
    page.close()


def apply_and_undo(page: Page) -> None:
    """Allowlist an account with the buttons, with a second click for the change and another for taking it back."""
    panel = page.locator(".rb-panel", has=page.locator(".rb-buttons")).first
    panel.get_by_label("Accounts", exact=True).fill("d")
    expect(panel.get_by_text("These values can be used")).to_be_visible()
    for name, shown in {
        "Plan": "Nothing else changes.",
        "Apply": "Apply 1 change in account 111111111111 (a)?",
        "Apply now": "Applied:",
        "Undo": "goes back to the state",
        "Put back": "put back as it was",
    }.items():
        expect(button(panel, name)).to_be_enabled(timeout=60_000)
        button(panel, name).click()
        expect(panel.get_by_text(shown).first).to_be_visible(timeout=60_000)
        if name == "Apply":
            panel.screenshot(path=SCREENSHOTS / "own-apply.png")


def test_a_page_says_why_credentials_cannot_be_used_and_offers_to_try_again(
    own: Own, page: Page, page_of: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = notebooks_of(own, tmp_path)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(re.sub(r"^role_arn: .*$", "profile: not-there", own.file.read_text(), flags=re.MULTILINE))
    notebook = folder / "01-allowlist.ipynb"
    given = notebook.read_text().replace(str(own.file), str(wrong))
    notebook.write_text(
        given.replace("accounts: list[str] = []  # accounts to let", "accounts: list[str] = ['d']  # accounts to let")
    )
    page.goto(page_of(notebook))
    expect(page.locator(".rb-problem", has_text="not-there").first).to_be_visible(timeout=90_000)
    expect(page.get_by_text("show_tracebacks")).to_have_count(0)
    page.screenshot(path=SCREENSHOTS / "own-why.png", full_page=True)
    wrong.write_text(own.file.read_text())
    with page.expect_navigation():
        page.get_by_role("button", name="Try again").first.click()
    expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)


def test_in_jupyterlab_the_form_is_there_by_itself_and_cells_say_what_is_missing(
    own: Own, credentials: None, page: Page, lab_of: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = notebooks_of(own, tmp_path)
    page.goto(lab_of(folder / "05-bucket-policy.ipynb"))
    expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)
    expect(band_of(page)).to_contain_text("real accounts")
    page.get_by_label("Buckets", exact=True).fill("b/uploads-b")
    page.get_by_label("Buckets", exact=True).fill("")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.get_by_text("which buckets?").last).to_be_visible(timeout=90_000)
    expect(page.get_by_text("Nothing to show yet").last).to_be_visible(timeout=90_000)
    assert page.get_by_text("Traceback").count() == 0
    page.screenshot(path=SCREENSHOTS / "own-lab.png")
    page.get_by_label("Buckets", exact=True).fill("b/uploads-b")
    page.get_by_role("button", name="Try again").first.click()
    expect(page.get_by_text("Preview: nothing was changed.").first).to_be_visible(timeout=90_000)


def test_the_form_of_03_stack_sets_is_there_soon_after_it_is_opened(lab: str, page: Page) -> None:
    taken = []
    for _ in range(3):
        begun = time.monotonic()
        page.goto(lab.format(notebook="03-stack-sets"))
        expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)
        taken.append(time.monotonic() - begun)
        wait_for_kernel(page)
        restart(page)
    print(f"\n03-stack-sets: form after {', '.join(f'{seconds:.2f}' for seconds in taken)} s")
    assert min(taken) < SECONDS * BUSY


def restart(page: Page) -> None:
    """Shut the kernel down, so that the next opening has to have one of its own."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
    expect(page.get_by_text("| No Kernel").or_(page.get_by_text("No Kernel")).first).to_be_visible(timeout=30_000)


def test_the_next_day_no_view_of_a_widget_is_missing(lab: str, page: Page) -> None:
    page.goto(lab.format(notebook="02-iam-role"))
    expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)
    page.keyboard.press("Control+s")
    wait_for_kernel(page)
    restart(page)
    page.goto(lab.format(notebook="02-iam-role"))
    expect(page.locator(".rb-form").first).to_be_visible(timeout=90_000)
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def band_of(page: Page) -> Locator:
    return page.get_by_role("note", name="Environment").first
