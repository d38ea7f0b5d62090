"""Markdown as every view of the package writes it: tables, lists of names, links, and blocks that fold."""

import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit

from runbook.untrusted import Untrusted, code, printable, text, visible

_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")

_HOSTS = re.compile(
    r"bucketav\.com|bucketav-add-ons\.s3\.eu-west-1\.amazonaws\.com|docs\.aws\.amazon\.com"
    r"|sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
    r"|([a-z0-9-]+\.)?console\.(aws\.amazon\.com|amazonaws-us-gov\.com|amazonaws\.cn)"
)
"""The hosts that addresses of ours are at: the product's page and templates, AWS's documentation, SNS, consoles."""

_NEAR = re.compile(r"(#[\w.:-]*|[\w-][\w./-]*\.(ipynb|html|md|json)([?#]\S*)?)")
"""Addresses beside the page that a link is on."""

_OURS = re.compile(r"</?(?:details|summary|code)>|<br>")
"""The HTML that our own Markdown holds."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars inside a value are kept from breaking it, and HTML in one from being any."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def code_block(text: str, language: str) -> str:
    """A fenced block; the fence is longer than any that the text itself has, and all of its characters are seen."""
    text = printable(text)
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


def names(values: Sequence[str | Untrusted], most: int = 3) -> str:
    """`x`, `y`, `z` and 4 more."""
    return joined([code(value) for value in values[:most]] + [""] * len(values[most:]), most)


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


def link(words: str, address: str) -> str:
    """A link to a page of the product or of AWS, or to one of ours; to no other: there the address is only shown."""
    if not is_known(address):
        return f"{text(words)} ({code(address)})"
    return f"[{text(words)}]({re.sub(r'[^!#-&*-;=?-Z_a-z~]', lambda found: quote(found[0], safe=''), address)})"


def is_known(address: str) -> bool:
    """Return whether a link may lead to an address: nobody else can have put one there that leads elsewhere."""
    if not address.isascii() or not address.isprintable() or re.search(r"[\\\s]", address):
        return False
    if _NEAR.fullmatch(address):
        return True
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(_HOSTS.fullmatch(parts.netloc))


def gate(document: str) -> str:
    """A whole text in Markdown on its way out, in which nothing fetches, leads elsewhere, or is HTML of others.

    Text from outside is inert before it comes here (`runbook.untrusted`): this holds for what somebody forgot, and for
    plans that were saved. Blocks and spans of code stay as they are.
    """
    lines, fence = [], ""
    for line in printable(document).split("\n"):
        mark = re.match(r" {0,3}(`{3,})", line)
        if fence:
            lines.append(line)
            fence = "" if mark and len(mark[1]) >= len(fence) and not line.strip().strip("`") else fence
        elif mark and "`" not in line[mark.end() :]:
            lines.append(line)
            fence = mark[1]
        else:
            lines.append(_gated(line))
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text from elsewhere as one line, of a list for example, in which `<` and `&` are nothing but themselves.

    Code spans stay code spans.
    """
    return " ".join(map(_without_html, text.splitlines()))


def _gated(line: str) -> str:
    parts: list[str] = []
    end = 0
    for found in _KEPT.finditer(line):
        address = found["address"] or found["bare"]
        kept = address is None or is_known(address)
        parts += [_inert(line[end : found.start()]), found[0] if kept else _inert(found[0])]
        end = found.end()
    return "".join([*parts, _inert(line[end:])])


_KEPT = re.compile(
    rf"{_CODE_SPAN.pattern}|{_OURS.pattern}|\]\((?P<address>[^\s()<>]+)\)"
    r"|(?P<bare>https://[^\s()<>`|\]]+)"
)
"""Parts of a line that stay as they are: code, tags of ours, and the end of a link, if it is one of ours."""


def _inert(text: str) -> str:
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    text = text.replace("![", r"!\[").replace("](", r"]\(").replace("]:", r"]\:").replace("][", r"]\[")
    text = text.replace("://", r":\//")
    text = re.sub(r"(?<!\\)\$", r"\\$", text)
    text = re.sub(r"&(?=(#?\w+;))", lambda found: "&" if _is_seen(html.unescape(f"&{found[1]}")) else "&amp;", text)
    return re.sub(r"(?i)\bwww\.", lambda found: f"{found[0][:-1]}\\.", re.sub(r"(?<=[\w.+-])@(?=\w)", r"\\@", text))


def _cell(value: str) -> str:
    """A cell's text. A backslash before a bar would take the one that is to keep it from ending the cell."""
    cell = "<br>".join(map(_without_html, value.splitlines()))
    return re.sub(r"(\\*)\|", lambda found: f"{found[1]}{'&#124;' if found[1] else BAR}", cell)


def _is_seen(text: str) -> bool:
    return visible(text) == text


BAR = "\\|"


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
    """A code span; as HTML, Markdown still means something in it, but for characters that are written as entities."""
    if "<" not in span[2]:
        return span[0]
    words = html.escape(span[2].strip(), quote=False)
    return f"<code>{re.sub(_MEANT_IN_HTML, lambda found: f'&#{ord(found[0])};', words)}</code>"


_MEANT_IN_HTML = re.compile(r"[\\`*_\[\]()!|~$@{}]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
