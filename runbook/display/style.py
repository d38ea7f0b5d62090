"""The look of the views of this package: in the colors of the page around them, light or dark, and on paper."""

from importlib.resources import files

from runbook import markdown
from runbook.display.rich_text import inline
from runbook.secrets import redact

LABEL = {"description_width": "14em"}
"""How wide the labels of inputs are, so that they stand below each other."""
INPUT = {"width": "44em", "max_width": "100%"}
INDENT = {"margin": "0 0 0 14.3em"}
"""Below an input, for what belongs to it."""


def styled(body: str) -> str:
    """HTML that stands by itself in an output: JupyterLab takes cells that are out of sight off the page."""
    return f'<style>{sheet()}</style><div class="rb">{body}</div>'


def sheet() -> str:
    """The style sheet of all views, on one line: it is in every stored output."""
    return " ".join(files(__package__).joinpath("style.css").read_text(encoding="utf-8").split())


def problem(text: str) -> str:
    """Something that is wrong, said at once to those who listen."""
    return f'<div class="rb-problem" role="alert">✗ {_lines(redact(text))}</div>'


def _lines(text: str) -> str:
    return "<br>".join(inline(markdown.plain(line)) for line in text.splitlines())
