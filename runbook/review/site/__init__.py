"""The review as a static site: notebooks with their outputs, applied examples, outline, permissions, and the report.

    python -m runbook.review.site [--output DIR]

Sphinx builds it, with MyST-NB and the theme Furo, without a kernel and without the internet: the pages hold all that
they need, and open from the disk.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from runbook.display import style
from runbook.errors import RunbookError
from runbook.frontends.titles import titles
from runbook.parameters import ParameterError, project_root, shown
from runbook.review.coverage import coverage
from runbook.review.outline import load
from runbook.review.report import Review
from runbook.review.site import pages
from runbook.review.site.applied import Example, examples, failures

STATIC = Path(__file__).with_name("static")

SETTINGS: Mapping[str, Any] = {
    "project": "bucketAV runbook",
    "author": "the bucketav-runbook authors",
    "copyright": "",
    "extensions": ["myst_nb"],
    "root_doc": pages.HOME,
    "exclude_patterns": ["README.md"],
    # Outputs are those that are stored; text in them is GitHub's Markdown, as JupyterLab shows it.
    "nb_execution_mode": "off",
    "nb_render_markdown_format": "gfm",
    "nb_ipywidgets_js": {},
    "myst_enable_extensions": ["attrs_inline", "colon_fence"],
    "myst_heading_anchors": 3,
    "html_theme": "furo",
    "html_title": "bucketAV runbook",
    "html_static_path": ["_ours"],
    "html_css_files": ["views.css", "site.css"],
    "html_js_files": ["site.js"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_use_index": False,
    "html_domain_indices": False,
    "html_permalinks_icon": "#",
}


class SiteError(RunbookError):
    """The site is written, but something in it is not as it should be; or it cannot be built at all."""


def build(output: Path, *, review: Review | None = None) -> Path:
    """Write the site into a folder, which it replaces, and say where its first page is.

    Raises ParameterError for a folder that holds something else; SiteError, once everything is written, when a scenario
    could not be carried out or Sphinx warned of something, a link to nowhere for example.
    """
    refuse_a_folder_of_somebody_else(output)
    found = examples()
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source", Path(folder) / "made" / "site"  # MyST-NB leaves a folder beside it
        _write_source(source, found, review)
        warnings = render(source, made, Path(folder) / "doctrees")
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(made, output)
    if problems := [*failures(found), *warnings]:
        raise SiteError("\n".join([f"The site is in {shown(output)}, but:", *problems]))
    return output / f"{pages.HOME}.html"


def refuse_a_folder_of_somebody_else(output: Path) -> None:
    """Raise ParameterError for a folder that holds anything but an earlier site."""
    if output.exists() and not (output.is_dir() and (not any(output.iterdir()) or (output / ".buildinfo").exists())):
        raise ParameterError(
            [f"{shown(output)}: is not empty, and is no site that was built before. Name another folder."]
        )


def render(source: Path, output: Path, doctrees: Path) -> list[str]:
    """Build, and say what Sphinx warned of. Raises SiteError where it is not installed, or gives up."""
    try:
        from sphinx.application import Sphinx
        from sphinx.errors import SphinxError
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    except ImportError:
        raise SiteError("Sphinx is not installed. `make site` has it; or install the extra `development`.") from None
    said = StringIO()
    try:
        with patch_docutils(source), docutils_namespace():
            application = Sphinx(
                source, None, output, doctrees, "html", confoverrides=dict(SETTINGS), status=None, warning=said
            )
            application.build(force_all=True)
    except SphinxError as error:
        raise SiteError(f"The site cannot be built: {error}") from None
    written = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    return [line.replace(f"{source}/", "") for line in written.splitlines() if line.strip()]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _write_source(source: Path, found: Sequence[Example], review: Review | None) -> None:
    """Everything that Sphinx reads, in the folders that the project has it in, so that links between files hold."""
    root, outline, names = project_root(), load(), titles()
    shutil.copytree(root / "notebooks" / "pictures", source / "notebooks" / "pictures")
    cells: dict[str, list[str]] = {}
    for name in names:
        content = json.loads((root / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        cells[name] = [cell["id"] for cell in content["cells"]]
        made = pages.notebook(content, name, outline, [each for each in found if each.notebook == name])
        _write(source / "notebooks" / f"{name}.ipynb", json.dumps(made))
    for example in found:
        file = source / pages.SCENARIOS / example.notebook / f"{example.scenario.name}.md"
        yaml = example.scenario.path.read_text(encoding="utf-8")
        _write(file, pages.scenario(example, names[example.notebook], yaml))

    documents = sorted(f"docs/{file.stem}" for file in (root / "docs").glob("*.md"))
    others = ["outline", "permissions", *documents, "CHANGELOG"]
    _write(source / "outline.md", pages.outline_page(coverage(), names))
    _write(source / "permissions.md", pages.permissions_page())
    shutil.copytree(root / "docs", source / "docs")
    shutil.copy(root / "CHANGELOG.md", source)
    shutil.copy(root / "LICENSE", source)
    if review:
        others = ["review", *others]
        known = [f"{each.notebook}/{each.scenario.name}" for each in found]
        _write(source / "review.md", pages.review_page(review.to_markdown(), cells, known))
    readme = (root / "README.md").read_text(encoding="utf-8")
    _write(source / f"{pages.HOME}.md", pages.home(readme, names, others))
    shutil.copytree(STATIC, source / "_ours")
    _write(source / "_ours" / "views.css", style.sheet())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
