"""A hostile world in JupyterLab and on a page: nothing is fetched, nothing runs, nothing leads away; and what the
Content-Security-Policy holds up by itself, should a text get out after all.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from runbook.display.style import styled
from runbook.display.views import view
from runbook.environment import Environment
from runbook.plan import Plan
from runbook.steps import STEPS
from runbook.steps.findings_reading import Finding, Findings, Result
from runbook.steps.scenarios import scenario_names
from runbook.untrusted import Untrusted
from tests.hostile import MARK, World, payloads
from tests.test_hostile_world import View, views
from tests.test_untrusted import hostile_change

END = "That was the last view."

SHOW = """
import json
from pathlib import Path
from IPython.display import HTML, Markdown, display
for kind, text in json.loads(Path("views.json").read_text())[{first}:{last}]:
    display(HTML(text) if kind == "html" else Markdown(text))
"""

AT_ONCE = 40
"""Views that a cell displays: JupyterLab folds the outputs of one from the fiftieth on."""


@dataclass
class Listener:
    """Whoever waits for a browser to come: its address, and what was asked of it."""

    address: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Listener(f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()


def hostile_views(environment: Environment, listener: Listener, folder: Path) -> tuple[list[View], World]:
    """Every form of a preview of each step, of findings, and of a plan that somebody has written into a file."""
    texts = payloads(listener.address)
    world = World(environment, texts)
    found: list[View] = []
    for notebook in STEPS:
        for scenario in scenario_names(notebook)[:2]:
            made = views(environment, notebook, scenario, folder / notebook / scenario)
            found += [(kind, text) for kind, text in made if kind != "text"]
    for text in texts:
        hostile = Untrusted(text.replace("\ud800", ""))
        finding = Finding("1", "q", Result.INFECTED, *(hostile, hostile, hostile), 1, hostile, hostile)
        found.append(("markdown", Findings((finding,), sources=("q",))._repr_markdown_()))
        change = hostile_change(hostile.raw).model_copy(update={"summary": hostile.raw})
        plan = Plan(
            step="x", scenario="", environment="sandbox", parameters={}, changes=(change,), notes=(hostile.raw,)
        )
        plan = plan.model_copy(update={"overview": hostile.raw})
        found += [("markdown", plan._repr_markdown_()), ("html", styled(view(plan)))]
    return found, world


def notebook_of(folder: Path, found: list[View]) -> Path:
    """A notebook that displays these views."""
    file = folder / "notebooks" / "hostile.ipynb"
    file.parent.mkdir()
    (file.parent / "views.json").write_text(json.dumps(found))
    sources = [SHOW.format(first=first, last=first + AT_ONCE) for first in range(0, len(found), AT_ONCE)]
    head = {"cell_type": "markdown", "id": "head", "metadata": {}, "source": "# Hostile"}
    code: dict[str, object] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    sources.append(f"print({END!r})")
    cells = [head, *({**code, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources))]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(content))
    return file


def open_in_lab(page: Page, address: str) -> None:
    """Open and run the notebook."""
    page.goto(address)
    expect(page.get_by_text(re.compile(r"Python 3.*\| Idle"))).to_be_visible(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


BAD = """address => [...document.querySelectorAll('img, a[href], iframe, object, embed, link, script, form, base')]
    .map(each => [each, each.getAttribute('src') || each.getAttribute('href') || each.getAttribute('data') || ''])
    .filter(([each, to]) => to.includes('EVIL') && !to.startsWith('#') || to.startsWith(address)
        || to.startsWith('javascript:')
        || each.closest('.jp-OutputArea-output') && each.tagName !== 'A' && !to.startsWith('data:'))
    .map(([each, to]) => each.outerHTML.slice(0, 200))"""
"""Patterns of outputs that would fetch something, or lead to where the payloads lead."""

HANDLERS = """() => [...document.querySelectorAll('.jp-OutputArea-output *')]
    .filter(each => [...each.attributes].some(one => one.name.startsWith('on')))
    .map(each => each.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("where", ["lab", "page"])
def test_nothing_is_fetched_and_nothing_runs(
    where: str,
    page: Page,
    errors: list[str],
    listener: Listener,
    environment: Environment,
    lab_of: Callable[[Path], str],
    page_of: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.context.on("request", lambda request: asked.append(request.url))
    found, world = hostile_views(environment, listener, tmp_path / "runs")
    notebook = notebook_of(tmp_path, found)
    if where == "lab":
        # Otherwise JupyterLab takes cells that are out of sight off the page.
        settings = tmp_path / "jupyterlab_settings_dir" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
        open_in_lab(page, lab_of(notebook))
    else:
        page.goto(page_of(notebook))
    expect(page.get_by_text(END).last).to_be_visible(timeout=120_000)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.wait_for_timeout(2000)
    shown = page.locator(".jp-OutputArea-output").all_inner_texts()
    marks = sum(text.count(MARK) for text in shown)
    fields = {name for name, _ in world.seen}
    print(f"{where}: {len(fields)} fields × {len(payloads())} payloads, {len(found)} views, {marks} marks shown")
    assert marks > 300, "the payloads are shown, as text"
    assert page.evaluate(BAD, listener.address) == []
    assert page.evaluate(HANDLERS) == []
    assert page.evaluate("window.hit === undefined")
    assert [text for text in errors if "Content Security" in text] == [], "nothing was left to the policy"
    assert (listener.asked, dialogs) == ([], [])
    assert [url for url in asked if url.startswith(listener.address) or "evil" in url.lower()] == []


@pytest.mark.parametrize("where", ["lab", "page"])
def test_the_policy_lets_nothing_be_fetched_by_what_gets_out_after_all(
    where: str,
    page: Page,
    errors: list[str],
    listener: Listener,
    environment: Environment,
    lab_of: Callable[[Path], str],
    page_of: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    there = listener.address
    page.set_content(f"<img src={there}/without-a-policy>")
    page.wait_for_timeout(500)
    assert listener.asked == ["/without-a-policy"], "the listener listens"
    listener.asked.clear()
    scripts = (f"fetch('{there}/fetch')", f"navigator.sendBeacon('{there}/beacon')", f"new Image().src='{there}/x'")
    raw = [
        ("html", f"<img src={there}/image><iframe src={there}/frame></iframe><object data={there}/object></object>"),
        ("html", f"<script>{'; '.join(scripts)}</script>"),
        ("markdown", f"![x]({there}/markdown)"),
    ]
    notebook = notebook_of(tmp_path, raw)
    if where == "lab":
        open_in_lab(page, lab_of(notebook))
    else:
        page.goto(page_of(notebook))
    expect(page.get_by_text(END).last).to_be_visible(timeout=120_000)
    page.wait_for_timeout(2000)
    assert listener.asked == []
    assert len([text for text in errors if "Content Security Policy" in text]) >= 5
