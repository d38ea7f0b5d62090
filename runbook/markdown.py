"""Markdown as every view of the package writes it: tables, lists of names, and blocks that fold."""

import html
import re
from collections.abc import Iterable, Sequence

_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars inside a value are kept from breaking it, and HTML in one from being any."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def code_block(text: str, language: str) -> str:
    """A fenced block; the fence is longer than any that the text itself has."""
    longest = max((len(found) for found in re.findall(r"^\s*[+-]?\s*(`{3,})", text, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def fence_of(line: str) -> str:
    """The fence that a line begins or ends a block of code with; nothing for any other line."""
    found = re.match(r"`{3,}", line)
    return found[0] if found else ""


def folded(summary: str, body: str) -> str:
    """A block that opens when its summary is clicked; GitHub, JupyterLab and nbconvert all show it."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def names(values: Sequence[str], most: int = 3) -> str:
    """`x`, `y`, `z` and 4 more."""
    return joined([f"`{value}`" for value in values[:most]] + list(values[most:]), most)


def joined(values: Sequence[str], most: int = 3) -> str:
    """x, y, z and 4 more."""
    first = ", ".join(values[:most])
    return first if len(values) <= most else f"{first} and {len(values) - most} more"


def first(texts: Sequence[str], most: int) -> list[str]:
    """The first of many texts, and one that says how many there are besides."""
    return [*texts[:most], *([f"… and {len(texts) - most} more"] if len(texts) > most else [])]


def count(number: int, thing: str) -> str:
    """1 bucket, 2 buckets; policy becomes policies, key keys."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if re.search("[^aeiou]y$", thing) else f"{number} {thing}s"


def plain(text: str) -> str:
    """Text from elsewhere as one line, of a list for example, in which `<` and `&` are nothing but themselves.

    Code spans stay code spans.
    """
    return " ".join(map(_without_html, text.splitlines()))


def _cell(value: str) -> str:
    return "<br>".join(map(_without_html, value.splitlines())).replace("|", "\\|")


def _without_html(line: str) -> str:
    """Escape `<` and `&`: outside code spans only, because inside one the escape itself would show.

    No `<` is left to be one even in a code span, for renderers do not agree about where spans begin: a span that holds
    one is written as HTML.
    """
    parts, end = [], 0
    for span in _CODE_SPAN.finditer(line):
        parts += [_escaped(line[end : span.start()]), _code(span)]
        end = span.end()
    return "".join([*parts, _escaped(line[end:])])


def _code(span: re.Match[str]) -> str:
    return f"<code>{html.escape(span[2].strip(), quote=False)}</code>" if "<" in span[2] else span[0]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
