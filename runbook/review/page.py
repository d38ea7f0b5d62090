"""A newly saved copy of the product page against the outline: which entries changed, which are new, and which are gone.

The outline keeps no text of the page, only a fingerprint of each entry's words. So the entries that are still there are
found first, by fingerprint and in order; what lies between two of them is then told apart by how many lines it has, and
by the words that it shares with what the outline says of an entry. Numbers in front of list items do not count: a step
that is put in gives all others after it another one.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runbook import markdown
from runbook.files import FileError, read_text
from runbook.parameters import LARGEST_FILE, ParameterError, shown
from runbook.review.coverage import coverage
from runbook.review.outline import Entry, Lines, Outline, OutlineError, fingerprint, load
from runbook.review.report import Finding, Part
from runbook.review.stored import file_of

PART = "page"
OUTLINE = "runbook/review/outline.yaml"

LONGEST = 60
"""Lines that one entry may have."""

NUMBER = re.compile(r"(\d{1,3})(?=\. )")
"""In front of an item of a list; list markers of Markdown are written the same way."""

MOST = 200
"""More lines in one place are all new, without a look for what they might have been."""

FEWEST = 0.3
"""Of the outline's entries so many have to be found; a page that has less in common with it is another page."""


@dataclass(frozen=True)
class Found:
    """Where an entry, changed or not, or something new is in the copy, and what stands there."""

    entry: Entry | None
    lines: Lines
    text: str
    after: Entry | None = None
    """Of something new: the entry that it comes after."""


@dataclass(frozen=True)
class Comparison:
    """How a copy of the page differs from the outline, in the order of the page."""

    same: tuple[Found, ...]
    changed: tuple[Found, ...]
    new: tuple[Found, ...]
    gone: tuple[Entry, ...]


def examine_page(file: Path) -> Part:
    """What is different in a copy of the page that was saved in `file`. Raises ParameterError when it is none."""
    try:
        text = read_text(file, LARGEST_FILE)
    except FileNotFoundError as error:
        raise ParameterError([f"--page: {file} cannot be read ({error.strerror})."]) from None
    except FileError as error:
        if "UTF-8" in error.why:
            told = f"--page: {file} is not text in UTF-8. Save the page as text, not as a web page."
            raise ParameterError([told]) from None
        raise ParameterError([f"--page: {file} {error.why}"]) from None
    outline = load()
    try:
        found = compared(text, outline)
    except OutlineError as error:
        raise ParameterError([f"--page: {file}: {error}"]) from None
    looked_at = f"{len(found.same)} of {markdown.count(len(outline.entries), 'entry')} as they were"
    return Part(PART, looked_at, tuple(_told(found, outline, shown(file))))


def compared(page: str, outline: Outline) -> Comparison:
    """The copy of a page against an outline. Raises OutlineError when it has too little in common with it."""
    lines = [(number, line) for number, line in enumerate(page.splitlines(), start=1) if line.strip()]
    anchors = _in_order(outline.entries, _candidates(outline.entries, [line for _, line in lines]))
    if len(anchors) < FEWEST * len(outline.entries):
        raise OutlineError(
            f"{len(anchors)} of {len(outline.entries)} entries of {outline.page.address} are in it as they were. "
            "Save that page as text: a line for each paragraph, item of a list, row of a table and line of JSON."
        )
    same, changed, new, gone = list[Found](), list[Found](), list[Found](), list[Entry]()
    last: Entry | None = None
    entry_from = line_from = 0
    for index, first, end in [*anchors, (len(outline.entries), len(lines), len(lines))]:
        pairs = _paired(outline.entries[entry_from:index], lines, line_from, first)
        for entry, start, stop in pairs:
            if entry and start == stop:
                gone.append(entry)
            elif entry:
                last = entry
                changed.append(_found(entry, lines[start:stop]))
            elif new and new[-1].after == last and _is_open(new[-1].text):
                new[-1] = Found(
                    None, Lines(new[-1].lines.first, lines[start][0]), f"{new[-1].text}\n{lines[start][1]}", last
                )
            else:
                new.append(_found(None, lines[start:stop], last))
        if index < len(outline.entries):
            last = outline.entries[index]
            same.append(_found(last, lines[first:end]))
        entry_from, line_from = index + 1, end
    return Comparison(tuple(same), tuple(changed), tuple(new), tuple(gone))


def _found(entry: Entry | None, lines: Sequence[tuple[int, str]], after: Entry | None = None) -> Found:
    return Found(entry, Lines(lines[0][0], lines[-1][0]), "\n".join(line for _, line in lines), after)


def _is_open(text: str) -> bool:
    """Whether it is the beginning of JSON that goes on in the next line."""
    return text.count("{") + text.count("[") > text.count("}") + text.count("]")


# --- entries that are as they were -----------------------------------------------------------------------------------

Span = tuple[int, int]
"""The first line, and the one after the last."""


def _candidates(entries: Sequence[Entry], lines: Sequence[str]) -> dict[str, list[Span]]:
    """Where in the lines each fingerprint of an entry is found, at its own number in a list or at another."""
    wanted = {entry.fingerprint for entry in entries}
    found: dict[str, list[Span]] = {}
    for start in range(len(lines)):
        for first in _numbered(lines[start]):
            digest, words = hashlib.sha256(), first.split()
            for end in range(start + 1, min(start + LONGEST, len(lines)) + 1):
                digest.update((" " if end > start + 1 else "").encode() + " ".join(words).encode())
                if digest.hexdigest() in wanted:
                    found.setdefault(digest.hexdigest(), []).append((start, end))
                words = lines[end].split() if end < len(lines) else []
    return {name: sorted(set(spans)) for name, spans in found.items()}


def _numbered(line: str) -> Iterator[str]:
    """A line as it stands and, where it is an item of a numbered list, with every other number that it may have had."""
    yield line
    if found := NUMBER.match(line.strip()):
        rest = line.strip()[found.end() :]
        yield from (f"{number}{rest}" for number in range(1, 41) if str(number) != found[1])


@dataclass(frozen=True)
class _Link:
    """One entry where it was found, after others in a chain."""

    index: int
    start: int
    end: int
    weight: float
    before: "_Link | None"


def _in_order(entries: Sequence[Entry], candidates: Mapping[str, Sequence[Span]]) -> list[tuple[int, int, int]]:
    """As many entries as can be found one after the other: the entry's index, its first line and the one after its
    last. Of several ways the one that explains the most lines.
    """
    links: list[_Link] = []
    for index, entry in enumerate(entries):
        made = []
        for start, end in candidates.get(entry.fingerprint, ()):
            before = max((link for link in links if link.end <= start), key=lambda link: link.weight, default=None)
            weight = (before.weight if before else 0) + 1 + (end - start) / 1000
            made.append(_Link(index, start, end, weight, before))
        links += made
    link = max(links, key=lambda each: each.weight, default=None)
    found = []
    while link:
        found.append((link.index, link.start, link.end))
        link = link.before
    return found[::-1]


# --- what lies between them ------------------------------------------------------------------------------------------


def _paired(
    entries: Sequence[Entry], lines: Sequence[tuple[int, str]], start: int, end: int
) -> list[tuple[Entry | None, int, int]]:
    """Entries that are not there as they were, each with the lines that most likely took its place, or with none; and
    lines that belong to none of them, which are new.
    """
    if end - start > MOST:
        return [*((entry, start, start) for entry in entries), *((None, line, line + 1) for line in range(start, end))]

    @cache
    def cheapest(index: int, line: int) -> tuple[float, tuple[tuple[Entry | None, int, int], ...]]:
        """From this entry and this line on: what it costs, and how."""
        ways = []
        if index < len(entries):
            cost, rest = cheapest(index + 1, line)
            ways.append((cost + 1, ((entries[index], line, line), *rest)))
            for after in range(line + 1, min(line + LONGEST, end) + 1):
                cost, rest = cheapest(index + 1, after)
                text = " ".join(each for _, each in lines[line:after])
                ways.append(
                    (cost + _unlike(entries[index], text, after - line), ((entries[index], line, after), *rest))
                )
        if line < end:
            cost, rest = cheapest(index, line + 1)
            ways.append((cost + 1, ((None, line, line + 1), *rest)))
        return min(ways, key=lambda way: way[0], default=(0.0, ()))

    return list(cheapest(0, start)[1])


def _unlike(entry: Entry, text: str, lines: int) -> float:
    """How little some lines look like the new form of an entry: from 0 on. Not to be one costs 2."""
    length = entry.lines.last - entry.lines.first + 1
    asked, said = _words(f"{entry.asks} {entry.id}"), _words(text)
    shared = len(asked & said) / max(1, min(len(asked), len(said)))
    grown = abs(length - lines)
    # A paragraph or a step is a line: a second one is more likely new. What is longer may well have become longer.
    return (grown / max(length, lines) if entry.kind in ("snippet", "table") else 1.5 * grown) + 1 - shared


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))


# --- telling it ------------------------------------------------------------------------------------------------------


def _told(found: Comparison, outline: Outline, file: str) -> Iterator[Finding]:
    cells = coverage().covered

    def concerned(entry: Entry | None) -> str:
        if entry is None:
            return "the first notebook"
        return f"{file_of(outline.notebook_of(entry))}, {markdown.names(cells.get(entry.id, ())) or 'no cell'}"

    for each in found.changed:
        assert each.entry is not None
        yield Finding(
            PART,
            f"{file}, {each.lines}, entry `{each.entry.id}`",
            f"It has changed. It says now: “{_short(each.text)}” The outline has: “{each.entry.asks.strip()}”",
            f"See {concerned(each.entry)}. Then renew the entry in {OUTLINE}: its lines, what it asks, and "
            f"`fingerprint: {fingerprint(each.text)}`.",
        )
    for each in found.new:
        after = f", after entry `{each.after.id}`" if each.after else ""
        yield Finding(
            PART,
            f"{file}, {each.lines}{after}",
            f"This is new: “{_short(each.text)}”",
            f"See {concerned(each.after)}. Then add an entry to {OUTLINE}, with "
            f"`fingerprint: {fingerprint(each.text)}`, and name it in the cell that carries it out.",
        )
    for entry in found.gone:
        yield Finding(
            PART,
            f"{file}, entry `{entry.id}` ({entry.lines} so far)",
            f"It is gone. The outline has: “{entry.asks.strip()}”",
            f"See {concerned(entry)}. Then take the entry out of {OUTLINE}, and its name out of the cells.",
        )


def _short(text: str, most: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} …"
