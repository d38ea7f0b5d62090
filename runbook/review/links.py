"""Links of notebooks and of the project's Markdown: well formed, and those inside the project lead somewhere."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mistune

from runbook import markdown
from runbook.parameters import did_you_mean, project_root, shown
from runbook.review import outline
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, read_cells, stored_notebooks

PART = "links"

DOCUMENTS = ("README.md", "CHANGELOG.md")

MARKDOWN, HTML = "text/markdown", "text/html"


def examine_links() -> Part:
    """Every link of every Markdown cell, of every output in Markdown or HTML, and of the project's documents."""
    found = [
        (cell.where, project_root() / "notebooks", link)
        for cells in stored_notebooks().values()
        for cell in cells
        for link in links_of(cell)
    ]
    for name in DOCUMENTS:
        if (file := project_root() / name).exists():
            found += [(name, file.parent, link) for link in links_in_markdown(file.read_text(encoding="utf-8"))]
    findings = [
        Finding(PART, where, f"The link `{link}` {what}", todo)
        for where, folder, link in found
        for what, todo in problems(link, folder, where)
    ]
    return Part(PART, f"{markdown.count(len(found), 'link')}", tuple(dict.fromkeys(findings)))


def links_of(cell: StoredCell) -> list[str]:
    """The links of a cell's text and of its outputs."""
    found = links_in_markdown(cell.source) if cell.kind == "markdown" else []
    for output in cell.outputs:
        found += links_in_markdown(output.get(MARKDOWN, ""))
        found += links_in_html(output.get(HTML, ""))
    return found


def links_in_markdown(text: str) -> list[str]:
    """Where the links and pictures of a Markdown text lead, those written in HTML included."""
    found: list[str] = []
    pending: list[Any] = list(_parser()(text))
    while pending:
        token = pending.pop(0)
        if token["type"] in ("link", "image"):
            found.append(token["attrs"]["url"])
        elif token["type"] in ("block_html", "inline_html"):
            found += links_in_html(token["raw"])
        pending += token.get("children", [])
    return found


def links_in_html(text: str) -> list[str]:
    """Where the links and pictures of an HTML text lead."""
    collector = _Collector()
    collector.feed(text)
    return collector.found


def problems(link: str, folder: Path, where: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a link that stands in `folder`: what, and what to do."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return
    if parts.scheme or parts.netloc:
        yield from _of_address(link)
        return
    target = (folder / unquote(parts.path)).resolve() if parts.path else _own_file(where)
    if not target.exists():
        names = [path.name for path in target.parent.iterdir()] if target.parent.is_dir() else []
        meant = did_you_mean(target.name, names)
        yield f"leads to {shown(target)}, which there is not.", f"Correct it.{meant}"
    elif project_root() not in (target, *target.parents):
        yield "leads out of the project.", "Link to something that everybody has."
    elif parts.fragment and parts.fragment not in anchors(target):
        meant = did_you_mean(parts.fragment, sorted(anchors(target)))
        yield f"leads to a place in {shown(target)} that there is not.", f"Correct what comes after the `#`.{meant}"


@cache
def anchors(file: Path) -> frozenset[str]:
    """The places in a document or notebook that can be linked to: its headings, as GitHub and as JupyterLab name them,
    and the ids of HTML.
    """
    if file.suffix == ".ipynb":
        texts = [cell.source for cell in read_cells(file) if cell.kind == "markdown"]
    else:
        texts = [file.read_text(encoding="utf-8")] if file.suffix == ".md" else []
    found: set[str] = set()
    for text in texts:
        for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE):
            plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
            found |= {re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"), plain.replace(" ", "-")}
        found |= set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))
    return frozenset(found)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _of_address(link: str) -> Iterator[tuple[str, str]]:
    """Whether an address on the internet is well formed; none is asked for."""
    parts = urlsplit(link)
    try:
        well_formed = parts.port != 0 and re.fullmatch(r"(?:[\w-]+\.)+[a-z]{2,}", parts.hostname or "") is not None
    except ValueError:
        well_formed = False
    if parts.scheme not in ("https", "mailto"):
        yield f"is no address of a page: it begins with `{parts.scheme or '//'}`.", "Write it with `https://`."
    elif parts.scheme == "https" and (not well_formed or re.search(r"[\s<>\"{}|\\^`]", link)):
        yield "is not well formed.", "Correct it: a host, a path, nothing that has to be escaped."
    page = outline.load().page.address
    known = {outline.load().address(entry) for entry in outline.load().entries}
    if link.startswith(page) and link not in known:
        meant = did_you_mean(link, sorted(known))
        yield "leads to a place of the product page that the outline does not have.", f"Correct it.{meant}"


def _own_file(where: str) -> Path:
    """The file that a finding's place begins with."""
    return project_root() / where.partition(",")[0]


@cache
def _parser() -> Any:
    return mistune.create_markdown(renderer=None, plugins=["table", "strikethrough"])


class _Collector(HTMLParser):
    """Gathers what `href` and `src` hold."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [value for name, value in attrs if name in ("href", "src") and value]
