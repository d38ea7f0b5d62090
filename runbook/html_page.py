"""An executed notebook as one HTML page that needs no network and runs nothing: static views stand in for widgets."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from runbook.files import write_text
from runbook.parameters import project_root

CONTENT_SECURITY_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:\">"
)
"""For pages that show texts from AWS: whatever stands in one, nothing runs, and nothing is fetched or sent."""

_STYLE = """
.jp-RenderedMarkdown pre { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
.jp-InputPrompt, .jp-OutputPrompt { color: #555555 !important; opacity: 1 !important }
body { --jp-mirror-editor-atom-color: #3a3ad6; --jp-mirror-editor-bracket-color: #66663f;
  --jp-mirror-editor-comment-color: #2f6868; --jp-mirror-editor-error-color: #c00000;
  --jp-mirror-editor-operator-color: #8a1fd6; --jp-mirror-editor-quote-color: #067506 }
"""
"""nbconvert shows code blocks in Markdown outputs in the font of the text, and prompts and code too pale to read."""

_FOCUSABLE = re.compile(r'<div class="[^"]*\bjp-(?:Cell-inputWrapper|OutputArea-output)\b[^"]*"(?! tabindex)')
_IMAGE = re.compile(r"<img\b(?![^>]*\balt=)")


def write_page(notebook: Any, file: Path) -> None:
    """Write the page of a notebook. Raises FileError."""
    notebook.metadata.pop("widgets", None)
    resources = {"metadata": {"path": str(project_root() / "notebooks"), "name": file.parent.name}}
    body, _ = _exporter().from_notebook_node(notebook, resources=resources)
    # nbconvert's page would load formulas, diagrams and widgets from the internet; there are none here.
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = body.replace("<head>", f"<head>{CONTENT_SECURITY_POLICY}", 1)
    body = body.replace("</head>", f"<style>{_STYLE}</style></head>", 1)
    write_text(file, body)


@cache
def _exporter() -> Any:
    """Return an exporter, which takes a while to make, for all notebooks of a process.

    nbconvert's own parses every page again, with BeautifulSoup, to make code and outputs focusable and to say that an
    image has no description. That takes as long as everything else; here the same is done in the text.
    """
    from nbconvert import HTMLExporter
    from nbconvert.exporters.templateexporter import TemplateExporter
    from traitlets.config import Config

    class Body(TemplateExporter):
        """Keeps the page as the template has it, and gives nothing to parse."""

        page = ""

        def from_notebook_node(self, *arguments: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
            self.page, resources = super().from_notebook_node(*arguments, **named)
            return "", resources

    class Page(HTMLExporter, Body):
        def from_notebook_node(self, *arguments: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
            _, resources = super().from_notebook_node(*arguments, **named)
            page, self.page = self.page, ""
            page = _FOCUSABLE.sub(r'\g<0> tabindex="0"', page)
            return _IMAGE.sub('<img alt="No description has been provided for this image"', page), resources

    priority = ["text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": priority}, "Exporter": {"optimistic_validation": True}})
    return Page(config=config, embed_images=True)  # type: ignore[no-untyped-call]
