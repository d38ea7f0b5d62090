"""Take secrets out of every text that is shown, logged or written: by their form, and by their value where it is known.

`redact` is the one function for it, and `guard` puts it in front of what Python itself writes: tracebacks of a process
and of its threads, and every logger's records, botocore's and urllib3's included.
"""

import html
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from urllib.parse import quote

from runbook.untrusted import printable

MARK = "[REDACTED]"
"""Stands where a secret was."""

PIECE = 12
"""Characters of a known secret that are recognized as part of it."""

SHORTEST = 20
"""Minimum length of a value that is remembered: AWS's secret keys have 40 characters, words have fewer."""


class ShownOnce(str):
    """A line that holds a secret on purpose, for the person who has to use it; `kept` is what any file gets instead."""

    kept: str

    def __new__(cls, shown: str, kept: str) -> "ShownOnce":
        line = super().__new__(cls, shown)
        line.kept = kept
        return line


def redact(text: str) -> str:
    """Return `text` without the secrets in it, also where one is cut off, escaped or encoded; the rest to the letter.

    Policies, templates, ARNs, account ids and hashes stay as they are. Takes time in proportion to the text.
    """
    if isinstance(text, ShownOnce):
        text = text.kept
    text = _KNOWN.taken_out(text)
    lower = text.lower()
    for hints, pattern, replacement in _PATTERNS:
        if any(hint in lower for hint in hints):
            text = pattern.sub(replacement, text)
    return text


def shown(line: str) -> str:
    """Return a line for the person at the screen: as `redact` makes it, but one that is meant to be shown as it is."""
    return line if isinstance(line, ShownOnce) else redact(line)


def remember(value: str | None) -> None:
    """Take `value`, a secret that this process was given, out of every text from now on. It stays in memory only."""
    if value and len(value) >= SHORTEST:
        _KNOWN.add(value)


def trace(error: BaseException) -> str:
    """Return the traceback of an error, causes included, without secrets."""
    return redact("".join(traceback.format_exception(error)))


def guard() -> None:
    """Redact what Python writes by itself in this process: uncaught exceptions, threads' too, and logs."""
    if sys.excepthook is not _excepthook and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _excepthook
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_excepthook
    if not isinstance(logging.getLogRecordFactory(), _Records):
        logging.setLogRecordFactory(_Records(logging.getLogRecordFactory()))


# --- by value --------------------------------------------------------------------------------------------------------


class _Known:
    """The secrets that this process knows, in each form in which one may stand in a text.

    A form is found by its pieces of PIECE characters, one after the other: so a part of a secret is found as well, from
    its beginning if it has PIECE characters, from anywhere else if it has twice as many. What is written together with
    a piece is taken out with it.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._begins: dict[str, bool] = {}  # for each piece, whether a secret begins with it

    def add(self, value: str) -> None:
        if value in self._values:
            return
        self._values.add(value)
        for form in {value, quote(value, safe=""), quote(value), value.replace("/", "\\/"), html.escape(value)}:
            # The last piece is the end of the value: a part of it is found there too.
            for start in (*range(0, len(form) - PIECE, PIECE), len(form) - PIECE):
                piece = form[start : start + PIECE]
                self._begins[piece] = start == 0 or self._begins.get(piece, False)

    def taken_out(self, text: str) -> str:
        if not self._begins:
            return text
        parts, end = [], 0
        for begins, ends in self._found(text):
            parts += [text[end:begins], MARK]
            end = ends
        return "".join([*parts, text[end:]]) if parts else text

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where known secrets stand, whole or in part."""
        is_first, end = self._begins, 0
        for run in _RUN.finditer(text):
            position, last = max(run.start(), end), run.end() - PIECE
            while position <= last:
                if (first := is_first.get(text[position : position + PIECE])) is None:
                    position += 1
                    continue
                begins = position if first else _back(text, position, max(run.start(), end))
                rest = _FORWARD.match(text, position + PIECE)
                assert rest, "it may be empty"
                position = end = rest.end()
                yield begins, end


_RUN = re.compile(rf"\S{{{PIECE},}}")

_FORWARD = re.compile(r"(?:[A-Za-z0-9+/=_%~-]|\.(?=[A-Za-z0-9])|\\(?=/))*+")
"""The rest of a secret, and of what is written together with it."""

_BACK = re.compile(r"[A-Za-z0-9+/]")


def _back(text: str, position: int, free: int) -> int:
    """Return where the word begins that a piece of a secret stands in, nothing before `free`."""
    begins = position
    while begins > free and _BACK.match(text[begins - 1]):
        begins -= 1
    # What follows a backslash may belong to it: without it, the text would not be JSON any more.
    return position if begins > free and text[begins - 1] == "\\" else begins


_KNOWN = _Known()


# --- by form ---------------------------------------------------------------------------------------------------------

_ESCAPE = r"&#(?:4[37]|61|x2[bf]|x3d);|\\+(?:/|x2[bf]|x3d|u002[bf]|u003d)"
"""Characters of base64 as XML, JSON, JavaScript and Python escape them."""

_CHARACTER = rf"(?:[a-z0-9+/=_.~%-]|{_ESCAPE})"
"""One character of a secret, however it is encoded."""

_MARKED = rf"(?:{re.escape(MARK)}|{_CHARACTER})++"
"""A secret, of which a part may be taken out already."""

_VALUE = rf"(?:{re.escape(MARK)}|{_CHARACTER}{{6}}|{_CHARACTER}++(?=[\"'<&]|\\+[\"'nrt]|\s*+$))"
"""Beginning of a secret after its name: no short word, unless something marks its end or the text is cut."""

_AFTER_ESCAPE = (
    r"(?<=\\[nrt])|(?<=%[0-9a-f][0-9a-f])(?<!2f)|(?<=\\x[0-9a-f][0-9a-f])(?<!2f)|(?<=u00[0-9a-f][0-9a-f])(?<!2f)"
)
_START = rf"(?:(?<![a-z/])|{_AFTER_ESCAPE})"
"""Where a name may begin: not in the middle of a word, and not in the end tag of an XML element."""

_BETWEEN = (
    r"(?=\s*+[^\s\w])"
    r"(?:[\"'<>=:\s]|\\+[\"'nrt]|\\+x(?:3[acde]|22|27|20)|\\+u003[ce]|\\+u0022"
    r"|&(?:amp;)*(?:quot|apos|lt|gt|#3[49]|#6[0-2]|#x2[27]|#x3[ce]);"
    r"|%(?:25)*(?:22|27|3[acde]|20|0[9ad])|!\[cdata\[|\bb(?=['\"&\\%])){1,16}+"
)
"""Characters between the name of a secret and its value, in JSON, XML, a query, a shell or a Python text."""

_HEADER = rf"(?:[a-z0-9 +/=_.,;:~%-]|{_ESCAPE})"
"""One character of what an Authorization header says."""

_KEY_ID = rf"(?:(?<![a-z0-9])|{_AFTER_ESCAPE})(?-i:A(?:KI|SI|BI)A[A-Z0-9]{{8,}}+)"
_KEY_CHARACTER = rf"(?:[a-z0-9+/]|%(?:25)*2[bf]|{_ESCAPE})"
_APART = r"(?:%(?:25)*[0-9a-f]{2}|[^a-z0-9+/%])"

_NAMES = "|".join(
    (
        "(?:aws[_-]?)?secret[_-]?(?:access[_-]?)?key",
        "(?:aws[_-]?)?session[_-]?token",
        "(?:aws[_-]?)?(?:x[_-]amz[_-])?security[_-]?token",
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-sso[_-]bearer[_-]token",
        "(?:aws[_-]?)?bearer[_-]token(?:[_-][a-z]+)?",
        "access[_-]?token",
        "refresh[_-]?token",
        "id[_-]?token",
        "authorization[_-]?token",
        "client[_-]?secret",
        "x-aws-ec2-metadata-token",
    )
)

_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (hints, re.compile(pattern, re.IGNORECASE), replacement)
    for hints, pattern, replacement in (
        (
            ("-----begin",),
            r"-----BEGIN[A-Z0-9 %+]{0,60}PRIVATE(?: |%20|\+)KEY-----"
            r"(?:[a-z0-9+/=%\s]|\\+(?:[nr/]|x[0-9a-f]{2}|u[0-9a-f]{4}))*+"
            r"(?:-----(?:END[A-Z0-9 %+]{0,60}PRIVATE(?: |%20|\+)KEY-----)?)?",
            MARK,
        ),
        (
            ("authorization", "aws4-hmac", "bearer"),
            rf"({_START}authorization{_BETWEEN})(?:(?:AWS|Bearer|Basic|Digest|Negotiate|Token)\b"
            rf"{_HEADER}*+)",
            rf"\1{MARK}",
        ),
        (
            ("aws4-hmac",),
            rf"AWS4-HMAC-SHA256(?=[ +,]|%20)[ a-z0-9+_.,;:~%-]{{1,99}}=?{_HEADER}*+",
            MARK,
        ),
        (("bearer",), r"(?<![a-z])(bearer )[a-z0-9+/=_.~-]{16,}+", rf"\1{MARK}"),
        (
            ("key", "token", "signature", "credential", "secret"),
            rf"({_START}(?:{_NAMES})(?:{_BETWEEN}(?={_VALUE})|[ \t]{{1,8}}+(?={_CHARACTER}{{12}}))){_MARKED}",
            rf"\1{MARK}",
        ),
        # A signature, a confirmation token of SNS, and Jupyter's token, in an address and its encodings.
        (
            ("signature", "token"),
            r"((?:[?&;]|%(?:25)*26|\\+u0026|%(?:25)*3f)(?:Signature|Token)(?:=|%(?:25)*3d|\\+u003d))"
            rf"(?:{re.escape(MARK)}|[a-z0-9+/=_.~-]|%(?:25)*(?:2[bf]|3d))++",
            rf"\1{MARK}",
        ),
        (
            ("token",),
            rf"({_START}(?<![_-])Token{_BETWEEN})(?:[0-9a-f]{{12,}}+|[a-z0-9+/=_-]{{40,}}+)",
            rf"\1{MARK}",
        ),
        # A key id, and the secret beside it.
        (
            ("akia", "asia", "abia"),
            rf"{_KEY_ID}({_APART}{{1,8}}+(?:[a-z]{{1,20}}+{_APART}{{1,8}}+)?)"
            rf"(?:{_KEY_CHARACTER}{{40}}(?![a-z0-9+/=])|{_KEY_CHARACTER}{{12,}}+[^a-z0-9]?[0-9a-z]{{0,4}}\Z)",
            rf"{MARK}\1{MARK}",
        ),
        (("akia", "asia", "abia"), _KEY_ID, MARK),
    )
)


# --- what Python writes ----------------------------------------------------------------------------------------------


def _excepthook(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, at)
    else:
        sys.stderr.write(printable(redact("".join(traceback.format_exception(kind, error, at)))))


def _thread_excepthook(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is SystemExit:
        return
    name = found.thread.name if found.thread else "unknown"
    lines = traceback.format_exception(found.exc_type, found.exc_value, found.exc_traceback)
    sys.stderr.write(printable(redact(f"Exception in thread {name}:\n{''.join(lines)}")))


class _Records:
    """Makes log records; one whose text has a secret in it gets another text."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, *arguments: Any, **keywords: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._factory(*arguments, **keywords)
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 (a message and arguments that do not fit: logging says so itself)
            said = redact(f"{record.msg!r} with {record.args!r}")
            record.msg, record.args = "%s", (said,)
        if (cleaned := redact(said)) != said:
            record.msg, record.args = "%s", (cleaned,)
        if record.exc_info and record.exc_info[0]:
            raised = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (cleaned := redact(raised)) != raised:
                record.exc_info, record.exc_text = None, cleaned
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record
