"""The site: built without a warning, every link leads somewhere, nothing comes from elsewhere, all is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from runbook import markdown
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.frontends.titles import titles
from runbook.parameters import ParameterError, project_root
from runbook.procedure import Procedure
from runbook.review import permissions, site
from runbook.review.coverage import coverage
from runbook.review.outline import load
from runbook.review.site import applied, pages
from runbook.run import Run
from runbook.steps import ASKED
from runbook.steps.scenarios import scenario_names
from runbook.steps.start_here import StartHere


@dataclass
class _Page(HTMLParser):
    """What a page links to, loads, and can be linked to by; and its words."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon", "prefetch"):
            self.loads.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="session")
def read(built_site: Path) -> Mapping[Path, _Page]:
    """All pages of the site."""
    found = {}
    for file in sorted(built_site.rglob("*.html")):
        found[file] = _Page()
        found[file].feed(file.read_text(encoding="utf-8"))
    return found


def test_every_link_inside_the_site_leads_somewhere(built_site: Path, read: Mapping[Path, _Page]) -> None:
    nowhere = []
    followed = 0
    for file, page in read.items():
        for link in page.links:
            path, anchor = urldefrag(link)
            if re.match(r"(https?|mailto):", link):
                continue
            followed += 1
            target = (file.parent / unquote(path)).resolve() if path else file
            if not target.is_file() or (anchor and target.suffix == ".html" and anchor not in read[target].anchors):
                nowhere.append(f"{file.relative_to(built_site)}: {link}")
    assert nowhere == []
    assert followed > 1000


def test_nothing_is_loaded_from_elsewhere(built_site: Path, read: Mapping[Path, _Page]) -> None:
    loads = {(file, load) for file, page in read.items() for load in page.loads}
    assert {load for _, load in loads if re.match(r"(\w+:)?//", load)} == set()
    files = {(file.parent / unquote(load.partition("?")[0])).resolve() for file, load in loads if "data:" not in load}
    assert {file for file in files if not file.is_file()} == set()
    for file in built_site.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(\w+:)?//", file.read_text(encoding="utf-8")), file


def test_notebooks_are_in_the_sidebar_in_order(built_site: Path) -> None:
    text = (built_site / "index.html").read_text(encoding="utf-8")
    sidebar = text[text.index('class="sidebar-tree"') : text.index("<article")]
    named = re.findall(r'toctree-l1[^>]*><a class="reference internal" href="([^"]+)">([^<]+)<', sidebar)
    assert [name for name in named if name[0].startswith("notebooks/")] == [
        (f"notebooks/{name}.html", f"{name[:2]} · {title}") for name, title in titles().items()
    ]
    assert [address for address, _ in named][7:] == [
        "review.html", "outline.html", "permissions.html", "docs/security.html", "CHANGELOG.html",
    ]  # fmt: skip


@pytest.mark.parametrize("notebook", list(ASKED))
def test_a_notebook_has_its_outputs_and_an_applied_example_of_each_scenario(
    notebook: str, built_site: Path, read: Mapping[Path, _Page]
) -> None:
    page = read[built_site / "notebooks" / f"{notebook}.html"]
    content = json.loads((project_root() / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
    assert {pages.cell_label(notebook, cell["id"]) for cell in content["cells"]} <= set(page.anchors)
    shown = "Recommended:" if notebook == StartHere.notebook else "Preview: nothing was changed."
    assert shown in page.words

    for name in scenario_names(notebook):
        assert f"../scenarios/{notebook}/{name}.html" in page.links
        applied = read[built_site / "scenarios" / notebook / f"{name}.html"]
        assert f"scenario: {name}" in applied.words
        if notebook == StartHere.notebook:
            assert "Recommended:" in applied.words
        else:
            assert re.search(r"Applied: (\d+ changes? made|nothing was left to do)\.", applied.words)
            assert "It ended here" not in applied.words
            assert "nothing was left to do" not in applied.words or name in ("connected", "read-findings")


def test_the_outline_and_the_cells_link_to_each_other(built_site: Path, read: Mapping[Path, _Page]) -> None:
    outline, found = load(), coverage()
    page = read[built_site / "outline.html"]
    for entry in outline.entries:
        notebook = outline.notebook_of(entry)
        there = read[built_site / "notebooks" / f"{notebook}.html"]
        assert pages.entry_label(entry.id) in page.anchors
        assert f"../outline.html#{pages.entry_label(entry.id)}" in there.links
        for cell in found.covered[entry.id]:
            assert f"notebooks/{notebook}.html#{pages.cell_label(notebook, cell)}" in page.links
    told = " ".join(page.words.split())
    for defect in outline.defects:
        assert f"{defect.number}. " in told


def test_every_permission_is_there(built_site: Path, read: Mapping[Path, _Page]) -> None:
    words = read[built_site / "permissions.html"].words
    actions = {action for name in ASKED for place in permissions.read(name).values() for action in place}
    assert {action for action in actions if action not in words} == set()
    assert actions


def test_the_report_is_there_word_for_word_and_leads_to_what_it_names(
    built_site: Path, read: Mapping[Path, _Page]
) -> None:
    page = read[built_site / "review.html"]
    assert f"notebooks/05-bucket-policy.html#{pages.cell_label('05-bucket-policy', 'plan')}" in page.links
    assert "scenarios/05-bucket-policy/one-bucket.html" in page.links
    assert not [link for link in page.links if "no-such-cell" in link]
    for said in ("Something is <b>wrong</b>.", "no-such-cell", "-old\n+new", "s3:DeleteObject", "$a$"):
        assert said in page.words
    assert 'class="gd"' in (built_site / "review.html").read_text(encoding="utf-8")


def test_nothing_of_this_machine_or_this_moment_is_in_it(built_site: Path) -> None:
    files = [file for file in built_site.rglob("*") if file.suffix in (".html", ".js", ".css", ".inv")]
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        assert not re.search(rf"{re.escape(str(project_root()))}|{Path.home()}/|/tmp/|127\.0\.0\.1:\d", text), file
        assert not re.search(r"UPDATE_COMPLETE after \d", text), file


def test_a_search_finds_words_of_outputs_and_reports(built_site: Path) -> None:
    index = (built_site / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    documents = found["docnames"]

    def having(word: str) -> set[str]:
        numbers = found["terms"].get(word, [])
        return {documents[number] for number in (numbers if isinstance(numbers, list) else [numbers])}

    assert "scenarios/05-bucket-policy/encrypted-bucket" in having("bucketavdecrypt")
    assert "review" in having("buket")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ParameterError, match="is not empty, and is no site that was built before"):
        site.build(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_cell_that_carries_out_nothing_still_has_its_anchor_and_its_name() -> None:
    code = {"cell_type": "code", "id": "check", "metadata": {}, "source": "choice.check()", "outputs": []}
    text = {"cell_type": "markdown", "id": "closure", "metadata": {}, "source": ["## Afterwards\n", "\n", "More."]}
    made = pages.notebook({"cells": [code, text], "metadata": {}}, "05-bucket-policy", load(), [])["cells"]
    assert [cell["source"] for cell in made] == [
        "(cell-05-bucket-policy-check)=\n:::{container} carries\nCell `check`\n:::",
        "choice.check()",
        "(cell-05-bucket-policy-closure)=\n## Afterwards\n\nMore.",
    ]


def test_html_with_fences_in_it_stays_in_its_fence() -> None:
    assert pages.raw("<pre>\n```sh\n```\n</pre>") == "````{raw} html\n<pre>\n```sh\n```\n</pre>\n````"
    assert markdown.code_block("x", "sh") not in pages.raw(markdown.code_block("x", "sh"))[:4]


def test_a_scenario_that_cannot_be_carried_out_is_told_on_its_page_and_to_who_builds(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> Run:
        raise RunbookError("The bucket is <gone>.")

    monkeypatch.setattr(Procedure, "apply", stopped)
    found = applied.examples_of("05-bucket-policy")
    assert applied.failures(found)[0] == "05-bucket-policy encrypted-bucket: RunbookError: The bucket is <gone>."
    assert [heading for heading, _ in found[0].parts] == ["1. Check", "2. Plan", "It ended here"]
    assert "The bucket is &lt;gone&gt;." in pages.scenario(found[0], "Title", "scenario: encrypted-bucket")


@pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API modifications")  # of MyST, whose authors know
def test_a_link_to_nowhere_is_a_problem_of_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "_ours").mkdir()
    (source / f"{pages.HOME}.md").write_text("# Home\n\n[gone](#cell-05-bucket-policy-gone)\n")
    (problem,) = site.render(source, tmp_path / "output", tmp_path / "doctrees")
    assert problem.startswith("index.md:3: WARNING: 'myst' cross-reference target not found")
    assert "cell-05-bucket-policy-gone" in problem
