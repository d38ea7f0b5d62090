"""Stored outputs and pictures where no front end brings colors: readable on light and on dark backgrounds."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page

from runbook.display.style import sheet, styled
from runbook.execute import NOTEBOOK, REPORT, leave_evidence, notebook_names, notebook_path
from runbook.parameters import project_root
from tests.browser.test_pages import SCREENSHOTS, violations

BACKGROUNDS = {
    "github-light": ("#ffffff", "#1f2328"),
    "github-dark": ("#0d1117", "#e6edf3"),
    "vscode-light": ("#ffffff", "#3b3b3b"),
    "vscode-dark": ("#1f1f1f", "#cccccc"),
    "colab-dark": ("#383838", "#d5d5d5"),
    "pycharm-dark": ("#2b2b2b", "#bbbbbb"),
    "high-contrast": ("#000000", "#ffffff"),
}
"""Background and text color of the pages that show notebooks without JupyterLab's variables."""

MEASURE = """() => {
  const channel = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * channel(r / 255) + .7152 * channel(g / 255) + .0722 * channel(b / 255);
  const parse = color => { const found = color.match(/[\\d.]+/g).map(Number); return [...found, 1].slice(0, 4); };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, at) => value * a + below[at] * (1 - a));
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const backgrounds = new Map();
  const background = node => {
    if (!node) return [255, 255, 255];
    if (!backgrounds.has(node))
      backgrounds.set(node, over(parse(getComputedStyle(node).backgroundColor), background(node.parentElement)));
    return backgrounds.get(node);
  };
  const opacity = node => node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
  const seen = (color, node) => {
    const [r, g, b, a] = parse(color);
    return over([r, g, b, a * opacity(node)], background(node));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ['STYLE', 'SCRIPT'].includes(node.tagName)) continue;
    found.push(['text', ratio(seen(getComputedStyle(node).color, node), background(node)),
      `${node.className} ${walker.currentNode.data.trim().slice(0, 60)}`]);
  }
  for (const node of document.querySelectorAll('.rb *')) {
    const style = getComputedStyle(node);
    for (const side of ['Top', 'Left']) {
      const color = style[`border${side}Color`];
      if (style[`border${side}Style`] === 'none' || parse(color)[3] === 0) continue;
      found.push(['line', ratio(seen(color, node.parentElement), background(node.parentElement)),
        `${node.tagName} ${node.className}`]);
    }
  }
  return found;
}"""
"""Return kind, contrast and place of every text and every border of a page, as the eye sees them."""

MEASURE_PICTURE = """() => {
  const channel = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * channel(r / 255) + .7152 * channel(g / 255) + .0722 * channel(b / 255);
  const ratio = (one, other) => {
    const [low, high] = [one, other].map(color => luminance(color.match(/[\\d.]+/g).map(Number))).sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const below = (node, x, y, kinds) => {
    const all = document.elementsFromPoint(x, y);
    const after = all.slice(all.indexOf(node) + 1);
    const shape = after.find(each => kinds.includes(each.tagName) && getComputedStyle(each).fill !== 'none');
    return getComputedStyle(shape ?? document.body)[shape ? 'fill' : 'backgroundColor'];
  };
  const found = [];
  for (const node of document.querySelectorAll('svg text')) {
    const box = node.getBoundingClientRect();
    const fill = below(node, box.left + box.width / 2, box.top + box.height / 2, ['rect', 'circle', 'path']);
    found.push(['text', ratio(getComputedStyle(node).fill, fill), node.textContent]);
  }
  const page = getComputedStyle(document.querySelector('svg > rect')).fill;
  for (const node of document.querySelectorAll('svg :is(rect, path, circle, line)')) {
    const { stroke } = getComputedStyle(node);
    if (stroke !== 'none') found.push(['line', ratio(stroke, page), node.outerHTML.slice(0, 80)]);
  }
  return found;
}"""
"""The same of a picture: a text against the shape that it stands on, a stroke against the picture's background."""

LEAST = {"text": 4.5, "line": 3.0}
"""WCAG 2.2, 1.4.3 Contrast (Minimum) and 1.4.11 Non-text Contrast."""


@pytest.mark.parametrize("host", BACKGROUNDS)
@pytest.mark.parametrize("notebook", notebook_names())
def test_stored_outputs_can_be_read_without_jupyterlab(notebook: str, host: str, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    show(page, host, "".join(html_outputs(notebook)))
    assert page.locator("main > :not(h1)").count(), "no output of ours is on the page"
    assert too_weak(page, MEASURE) == []
    if host in ("vscode-dark", "github-light"):
        page.screenshot(path=SCREENSHOTS / f"{notebook}-{host}.png", full_page=True)


@pytest.mark.parametrize("host", BACKGROUNDS)
def test_every_class_of_the_style_sheet_can_be_read(host: str, page: Page) -> None:
    """Those that no stored output has among them: problems, lost access, what is not known."""
    classes = sorted({*re.findall(r"\.(rb-[a-z]+)", sheet())} - {"rb-panel"})
    shown = [f'<div class="rb-cell {name}">{name} <code>code</code> <a href="#top">link</a></div>' for name in classes]
    show(page, host, styled("".join(shown)))
    assert too_weak(page, MEASURE) == []
    page.screenshot(path=SCREENSHOTS / f"classes-{host}.png", full_page=True)


@pytest.mark.parametrize("host", ["vscode-light", "vscode-dark"])
def test_axe_finds_nothing_on_light_and_on_dark(host: str, page: Page) -> None:
    show(page, host, "".join(html for notebook in notebook_names() for html in html_outputs(notebook)))
    # One page of all notebooks repeats what each of them has once.
    assert violations(page, {"rules": {"duplicate-id": {"enabled": False}}}) == []


@pytest.mark.parametrize("host", ["github-light", "github-dark"])
def test_pictures_can_be_read_on_light_and_on_dark(host: str, page: Page) -> None:
    pictures = {path.name: path.read_text(encoding="utf-8") for path in (project_root() / "notebooks").rglob("*.svg")}
    pictures["topology"] = unquote(
        re.findall('src="data:image/svg[+]xml,([^"]+)"', "".join(html_outputs("00-start-here")))[0]
    )
    for name, picture in pictures.items():
        show(page, host, f'<div style="width: 1100px">{picture}</div>')
        assert page.locator("svg text").count(), name
        assert too_weak(page, MEASURE_PICTURE) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("notebook", notebook_names())
def test_the_page_of_a_run_can_be_read(
    notebook: str, scheme: Literal["light", "dark"], page: Page, tmp_path: Path
) -> None:
    shutil.copy(notebook_path(notebook), tmp_path / NOTEBOOK)
    leave_evidence(tmp_path, "")
    page.emulate_media(color_scheme=scheme)
    page.goto((tmp_path / REPORT).as_uri())
    assert too_weak(page, MEASURE) == []


def test_gray_on_gray_is_found(page: Page) -> None:
    show(page, "vscode-dark", '<div class="rb"><p style="color: #333; border: 1px solid #222">x</p></div>')
    assert [found[0] for found in too_weak(page, MEASURE)] == ["text", "line"]
    show(page, "vscode-dark", '<svg viewBox="0 0 9 9"><rect width="9" height="9"/><text x="3" y="6">x</text></svg>')
    assert [found[0] for found in too_weak(page, MEASURE_PICTURE)] == ["text"]


def html_outputs(notebook: str) -> list[str]:
    """Return what a front end shows as HTML of a notebook's stored outputs."""
    cells = json.loads(notebook_path(notebook).read_text(encoding="utf-8"))["cells"]
    data = [output["data"] for cell in cells for output in cell.get("outputs", ()) if "data" in output]
    return ["".join(each["text/html"]) for each in data if "text/html" in each]


def show(page: Page, host: str, body: str) -> None:
    """Show HTML on a page that has a background and a color, and none of JupyterLab's variables; nothing is folded."""
    background, color = BACKGROUNDS[host]
    page.set_content(
        f'<!doctype html><html lang="en"><title>{host}</title><style>body {{ background: {background}; color: {color}; '
        f"font: 14px sans-serif }}</style><main><h1>Outputs</h1>{body}</main></html>"
    )
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


def too_weak(page: Page, measure: str) -> list[tuple[Any, ...]]:
    """Return what has too little contrast, each place once: kind, contrast, where."""
    found = page.evaluate(measure)
    assert found
    return sorted({(kind, round(ratio, 2), where) for kind, ratio, where in found if ratio < LEAST[kind]}, reverse=True)
