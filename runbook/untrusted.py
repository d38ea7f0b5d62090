"""Text from outside: a type for it, and the forms in which it may stand in Markdown, in HTML and on a terminal.

Object keys, names of OUs and accounts, items of DynamoDB tables, messages, Sids and error texts are written by others.
In Markdown such text is an image that a browser fetches, a link or a heading; on a terminal it moves the cursor; line
breaks in it forge lines of ours. Here each is shown for what it is and does nothing.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that Python takes for printable, and that nobody sees."""

_PLAIN = re.compile(r"[\w/(][\w ,.:;?/()'+=%&’–\"-]*")
"""Text that no Markdown means anything by, but for what `_MEANT` finds."""

_MEANT = re.compile(
    r"\b_|_\b"  # emphasis: only an underscore inside a word is nothing but itself
    r"|://|www\.|xmpp:"  # addresses that become links
    r"|&#?\w+;"  # entities
    r"|^\d+[.)](?: |$)"  # an item of a list
    r"|\s$",
    re.IGNORECASE,
)

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


@dataclass(frozen=True, order=True, slots=True, repr=False)
class Untrusted:
    """A text that somebody else wrote. `raw` is for comparing and for calls, everything else for showing.

    It is no `str`, so that mypy refuses it wherever text of ours is wanted. In an f-string it is `text` of itself.
    """

    raw: str

    def __str__(self) -> str:
        return text(self)

    def __format__(self, specification: str) -> str:
        return format(text(self), specification)

    def __bool__(self) -> bool:
        return bool(self.raw)

    def __repr__(self) -> str:
        return f"Untrusted({self.raw!a})"


NOTHING = Untrusted("")


def visible(text: str, keep: str = "") -> str:
    """The text with an escape for each character that is not seen or moves others: controls, bidi, zero-width.

    Characters of `keep` stay, for example the line breaks of a document.
    """
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(char if char in keep or _is_visible(char) else _escape(char) for char in text)


def printable(text: str) -> str:
    """The same for several lines: what may go to a terminal. Line breaks and tabs stay."""
    return visible(text, keep="\n\t")


def code(value: object) -> str:
    """A code span of Markdown that holds any text, and nothing but it.

    Backticks would end it and bars a table's cell, with or without a backslash before them: both are escapes.
    """
    shown = visible(_raw(value)).replace("`", r"\x60").replace("|", r"\x7c")
    return f"`{shown or ' '}`"


def text(value: object) -> str:
    """A text within a sentence in Markdown: as it is where it means nothing in Markdown, else as a code span."""
    raw = _raw(value)
    return raw if not raw or _is_plain(raw) else code(raw)


def prose(value: object) -> str:
    """The same for a sentence, of which only the words that mean something in Markdown are code: an address, say."""
    raw = _raw(value)
    if not raw or _is_plain(raw):
        return raw
    return " ".join(word if _is_plain(word.lstrip("\"'")) else code(word) for word in raw.split())


def pattern_text(value: object) -> str:
    """The same for an ARN, an action or a part of a policy, in which `*` is an everyday character.

    Nor does `~` change anything: it is what the stand-in for a bucket's name is made of (`policy.naming`).
    """
    raw = _raw(value)
    return raw if _is_plain_pattern(raw) else code(raw)


def quoted(value: object) -> str:
    """The same in quotes, as Python writes a text; a value that is no text is shown as it stands."""
    raw = value.raw if isinstance(value, Untrusted) else value
    shown = repr(raw)
    return shown if _is_plain_pattern(str(raw)) else code(shown)


def escaped(value: object, *, quote: bool = True) -> str:
    """The text for HTML and SVG, in an element or, with `quote`, in an attribute; line breaks and tabs stay."""
    return html.escape(printable(_raw(value)), quote=quote)


def _raw(value: object) -> str:
    return value.raw if isinstance(value, Untrusted) else str(value)


def _is_plain(raw: str) -> bool:
    if not _PLAIN.fullmatch(raw) or _MEANT.search(raw) or _INVISIBLE.search(raw):
        return False
    return raw.isascii() or all(unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT for char in raw)


def _is_plain_pattern(raw: str) -> bool:
    return not raw or _is_plain(re.sub(r"[*~]", "x", raw))


def _is_visible(char: str) -> bool:
    return char.isprintable() and not _INVISIBLE.match(char)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
