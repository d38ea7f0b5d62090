"""Markdown as every view of the package writes it: tables, lists of names, and blocks that fold."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars inside a value are kept from breaking it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def code_block(text: str, language: str) -> str:
    """A fenced block."""
    return f"```{language}\n{text.rstrip()}\n```"


def folded(summary: str, body: str) -> str:
    """A block that opens when its summary is clicked; GitHub, JupyterLab and nbconvert all show it."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def names(values: Sequence[str], most: int = 3) -> str:
    """`x`, `y`, `z` and 4 more."""
    first = ", ".join(f"`{value}`" for value in values[:most])
    return first if len(values) <= most else f"{first} and {len(values) - most} more"


def count(number: int, thing: str) -> str:
    """1 bucket, 2 buckets; policy becomes policies."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", "<br>")
