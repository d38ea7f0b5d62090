"""The pages of the site as Sphinx reads them: MyST Markdown, and notebooks whose cells can be linked to.

A page of ours links by labels: `cell-05-bucket-policy-plan` is a cell, `entry-bucket-policy-statements` an entry of the
outline. A label that there is not is an error of the build.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runbook import commands, markdown
from runbook.display.rich_text import from_markdown
from runbook.jobs import DEFAULT_ENVIRONMENT
from runbook.review import permissions
from runbook.review.coverage import Coverage, entries_of
from runbook.review.outline import Defect, Entry, Outline, links
from runbook.review.site.applied import Example
from runbook.steps import STEPS

HOME = "index"
SCENARIOS = "scenarios"
"""The folder of the applied examples."""


def home(readme: str, titles: Mapping[str, str], others: Sequence[str]) -> str:
    """The README, and with it the order of the pages: the notebooks, then what stands behind them."""
    notebooks = [f"{name[:2]} · {title} <notebooks/{name}>" for name, title in titles.items()]
    return "\n\n".join([readme, _toctree(notebooks, "Notebooks"), _toctree(others, "Behind them")]) + "\n"


def notebook(content: Mapping[str, Any], name: str, outline: Outline, found: Sequence[Example]) -> dict[str, Any]:
    """A notebook in which every cell has an anchor and says which entries of the outline it carries out."""
    cells = [each for cell in content["cells"] for each in _with_anchor(cell, name, outline)]
    if found:
        cells.append(_text("applied-examples", _list_of_examples(found)))
    return {**content, "cells": cells}


def scenario(example: Example, title: str, yaml: str) -> str:
    """A scenario: its file, the command, and what each part of its way showed."""
    notebook, name = example.notebook, example.scenario.name
    changes = len(example.parts) > 1
    what = (
        "What follows is what it shows when it is applied in a fresh sandbox: it was really carried out there."
        if changes
        else "What follows is what it shows in a fresh sandbox; it changes nothing."
    )
    options = ("--apply",) if changes else ()
    command = commands.for_notebook("run", notebook, DEFAULT_ENVIRONMENT, scenario=name, options=options)
    parts = [
        f"# {notebook}: {name}",
        markdown.plain(example.scenario.description),
        f"A scenario of [{title}](../../notebooks/{notebook}.ipynb). {what}",
        markdown.code_block(yaml, "yaml"),
        markdown.code_block(command, "sh"),
    ]
    for heading, body in example.parts:
        parts += [f"## {heading}", raw(f'<div class="rb">{_inside(body)}</div>')]
    return "\n\n".join(parts) + "\n"


def outline_page(found: Coverage, titles: Mapping[str, str]) -> str:
    """Every entry of the outline: what the page asks, which cells carry it out, what is wrong with the page there."""
    outline = found.outline
    kinds = Counter(entry.kind for entry in outline.entries)
    counts = markdown.joined([markdown.count(number, kind) for kind, number in kinds.items()], most=len(kinds))
    parts = [
        "# The outline of the product page",
        f"What the page [Multi-account setup]({outline.page.address}) asks, entry by entry, and the cells of the "
        f"notebooks that carry it out. {len(found.covered)} of {len(outline.entries)} entries are carried out "
        f"({counts}); {markdown.count(len(outline.defects), 'defect')} of the page are known. "
        "Lines are those of the saved page; each links to the published one.",
    ]
    for section in outline.sections:
        entries = [entry for entry in outline.entries if entry.section == section.id]
        title = titles.get(section.notebook, section.notebook)
        parts += [
            f"(section-{section.id})=\n## {section.title}",
            f"Notebook [{section.notebook}: {title}](notebooks/{section.notebook}.ipynb).",
            markdown.table(["Page", "What it asks", "Cells", "Entry"], [_row(entry, found) for entry in entries]),
        ]
        defects = [defect for entry in entries for defect in entry.defects]
        if defects:
            parts += ["### Known defects of the page", *(_defect(outline, each) for each in defects)]
    return "\n\n".join(parts) + "\n"


def permissions_page() -> str:
    """What credentials need, place by place."""
    parts = [
        "# Permissions",
        "What the credentials that a notebook starts from need to be allowed, as it was observed in the sandbox: "
        "`look` for a preview already, `apply` to apply and verify, `undo` to take back; in parentheses what only some "
        f"scenarios need. As IAM policies to attach: {commands.span('permissions', next(iter(STEPS)))}. "
        f"As the role to assume in every account: {commands.span('permissions', '--role-template')}.",
    ]
    for place in permissions.PLACES:
        parts += [f"## {place.capitalize()}", permissions.table(place)]
    return "\n\n".join(parts) + "\n"


def review_page(report: str, cells: Mapping[str, Sequence[str]], scenarios: Iterable[str]) -> str:
    """The report of a review. Where it names a cell or a scenario that has a place on the site, it links there."""
    body = _DIFFERENCE.sub(_highlighted, from_markdown(report))
    body = _CELL.sub(lambda found: _link_to_cell(found, cells), body)
    known = set(scenarios)
    body = _PARAMETERS.sub(lambda found: _link_to_scenario(found, known), body)
    framed = raw(f'<div class="rb review">{body}</div>')
    return f"# Review\n\n{framed}\n"


def raw(body: str) -> str:
    """HTML as it stands, in a fence that is longer than any in it."""
    fence = "`" * (max([2, *(len(ticks) for ticks in re.findall("`+", body))]) + 1)
    return f"{fence}{{raw}} html\n{body}\n{fence}"


def cell_label(notebook: str, cell: str) -> str:
    """The label of a cell, which is its anchor as well."""
    return f"cell-{notebook}-{cell}"


def entry_label(entry: str) -> str:
    """The label of an entry of the outline, which is its anchor as well."""
    return f"entry-{entry.replace('.', '-')}"


# --- helpers ---------------------------------------------------------------------------------------------------------

_CELL = re.compile(r"notebooks/([\w-]+)\.ipynb, cell <code>([\w-]+)</code>")
_PARAMETERS = re.compile(r"params/([\w-]+/[\w-]+)\.yaml")
_DIFFERENCE = re.compile(r'<pre><code class="language-diff">(.*?)</code></pre>', re.DOTALL)
_NOTEBOOK_LINK = re.compile(r'(href="|\]\()(\d\d-[\w-]+)\.ipynb(?=["#)])')
"""A link from one notebook to another, in HTML or in Markdown."""


def _with_anchor(cell: Mapping[str, Any], notebook: str, outline: Outline) -> list[Mapping[str, Any]]:
    """A cell with what goes before it; after it where it is text, whose first line may be the title of the page."""
    label = f"({cell_label(notebook, cell['id'])})="
    named = entries_of(cell)
    known = [entry for entry in outline.entries if entry.id in named]
    carries = _carries(cell["id"], known)
    if cell["cell_type"] == "markdown":
        text = "".join(cell["source"])
        return [_text(cell["id"], "\n\n".join([f"{label}\n{text}", *([carries] if known else [])]))]
    outputs = [_with_links(output) for output in cell["outputs"]]
    return [_text(f"{cell['id']}-anchor", f"{label}\n{carries}"), {**cell, "outputs": outputs}]


def _with_links(output: Mapping[str, Any]) -> Mapping[str, Any]:
    """An output whose links to other notebooks lead to their pages: Sphinx sees to those of text cells only."""
    if "data" not in output:
        return output
    texts = {kind: "".join(output["data"][kind]) for kind in ("text/html", "text/markdown") if kind in output["data"]}
    linked = {kind: _NOTEBOOK_LINK.sub(r"\1\2.html", text) for kind, text in texts.items()}
    return {**output, "data": {**output["data"], **linked}}


def _carries(cell: str, entries: Sequence[Entry]) -> str:
    """The name of a cell and links to what it carries out, in small letters."""
    listed = ", ".join(f"[{entry.id}](#{entry_label(entry.id)})" for entry in entries)
    text = f"Cell `{cell}`" + (f" carries out {listed}" if listed else "")
    return f":::{{container}} carries\n{text}\n:::"


def _text(cell: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": cell, "metadata": {}, "source": source}


def _list_of_examples(found: Sequence[Example]) -> str:
    names = [example.scenario.name for example in found]
    folder = f"../{SCENARIOS}/{found[0].notebook}"
    listed = [
        f"- [{each.scenario.name}]({folder}/{each.scenario.name}.md): {markdown.plain(each.scenario.description)}"
        for each in found
    ]
    tree = _toctree([f"{name} <{folder}/{name}>" for name in names])
    return "\n\n".join(
        ["## Applied examples", "Each scenario, carried out in a fresh sandbox:", "\n".join(listed), tree]
    )


def _toctree(pages: Sequence[str], caption: str = "") -> str:
    options = [f":caption: {caption}"] if caption else []
    return "\n".join(["```{toctree}", *options, ":hidden:", "", *pages, "```"])


def _row(entry: Entry, found: Coverage) -> Sequence[str]:
    notebook = found.outline.notebook_of(entry)
    cells = [f"[`{cell}`](#{cell_label(notebook, cell)})" for cell in found.covered.get(entry.id, ())]
    name = f"[`{entry.id}`]{{#{entry_label(entry.id)}}}"
    return links(found.outline, [entry]), entry.asks, ", ".join(cells) or "**none**", name


def _defect(outline: Outline, defect: Defect) -> str:
    places = ", ".join(f"[{each.id}](#{entry_label(each.id)})" for each in outline.places(defect))
    return f"**{defect.number}.** {markdown.plain(defect.found)} {markdown.plain(defect.handled)} ({places})"


def _inside(body: str) -> str:
    """Links between notebooks, as they are in a notebook, from a page of a scenario."""
    return _NOTEBOOK_LINK.sub(r"\1../../notebooks/\2.html", body)


def _highlighted(block: re.Match[str]) -> str:
    """A difference in the theme's colours, as Sphinx makes them elsewhere."""
    from sphinx.highlighting import PygmentsBridge

    return PygmentsBridge("html").highlight_block(html.unescape(block[1]), "diff")


def _link_to_cell(found: re.Match[str], cells: Mapping[str, Sequence[str]]) -> str:
    notebook, cell = found[1], found[2]
    if cell not in cells.get(notebook, ()):
        return found[0]
    return f'<a href="notebooks/{notebook}.html#{cell_label(notebook, cell)}">{found[0]}</a>'


def _link_to_scenario(found: re.Match[str], scenarios: set[str]) -> str:
    name = html.unescape(found[1])
    return f'<a href="{SCENARIOS}/{name}.html">{found[0]}</a>' if name in scenarios else found[0]
