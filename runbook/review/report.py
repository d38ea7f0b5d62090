"""What a review has found, as plain data, and as Markdown that fits a comment on a pull request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runbook import commands, markdown

COMMENT = 60_000
"""Characters; GitHub takes 65,536 in a comment, and the workflow adds a few of its own."""

LONG = 12_000
"""Characters that a folded part keeps when the whole has to be cut, if there is room for so many."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: of which part of the review, where, what, and what to do; a sentence each.

    `where` names the place: a file, and in it the cell, the key or the statement. `difference` is what there is to see
    in several lines, as a unified difference, or nothing.
    """

    part: str
    where: str
    what: str
    todo: str
    difference: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.todo}"


@dataclass(frozen=True)
class Part:
    """One kind of question: what was looked at (`78 entries, 7 notebooks`), what was found, and how long it took."""

    name: str
    looked_at: str
    findings: tuple[Finding, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Detail:
    """Something to open: a title, what it holds in numbers, and its Markdown."""

    title: str
    holds: str
    text: str


@dataclass(frozen=True)
class Changed:
    """What is different in meaning from an earlier state of the project.

    `base` says which state that is, `headlines` are sentences, the weightiest first; `details` prove them.
    """

    base: str
    headlines: tuple[str, ...]
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True)
class Review:
    """All parts, what changed since the base if there was one to compare with, and documents to open that are no
    findings: what hardened mode leaves out, for example.
    """

    parts: tuple[Part, ...]
    changed: Changed | None = None
    shown: tuple[Detail, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, part by part."""
        return tuple(finding for part in self.parts for finding in part.findings)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; that something has changed is not wrong."""
        return not self.findings

    def to_markdown(self, most: int | None = None) -> str:
        """What has changed, what is wrong, what was looked at; `most` is how many characters it may have.

        What does not fit is cut from the longest folded parts, each of which then says so; findings come first.
        """
        text = self._text(None)
        if most is None or len(text) <= most:
            return text
        for each in (most // 4, LONG, LONG // 4, LONG // 16, 0):
            text = self._text(each)
            if len(text) <= most:
                return text
        end = f"\n\n{_CUT}\n"
        return text[: most - len(end)].rpartition("\n")[0] + end

    def _text(self, each: int | None) -> str:
        return "\n\n".join(self._pieces(each)) + "\n"

    def _pieces(self, each: int | None) -> Iterator[str]:
        """The paragraphs; of anything that is folded at most `each` characters."""
        yield f"## Review of the runbook: {self.sentence}"
        if self.changed:
            yield f"### What changes since {self.changed.base}"
            yield "\n".join(f"- {line}" for line in self.changed.headlines)
            yield from _folded(self.changed.details, each)
        if self.findings:
            yield "### What is wrong"
            yield from (_told(finding, each) for finding in self.findings)
        yield "### What was looked at"
        yield markdown.table(["Part", "Looked at", "Found"], [_row(part) for part in self.parts])
        yield from _folded(self.shown, each)

    @property
    def sentence(self) -> str:
        """How it went, in a few words."""
        wrong = len(self.findings)
        return f"✗ {wrong} things are wrong" if wrong > 1 else "✗ one thing is wrong" if wrong else "✓ nothing is wrong"


# --- helpers ---------------------------------------------------------------------------------------------------------

_CUT = (
    f"… cut here: a comment has to be short. {commands.span('review', '--output', 'build/review')} writes all of it, "
    "as a page of its site."
)


def _told(finding: Finding, each: int | None) -> str:
    text = f"- **{finding.part}**, {markdown.plain(str(finding))}"
    if not finding.difference:
        return text
    block = Detail("The difference", "", markdown.code_block(finding.difference, "diff"))
    return "\n\n".join([text, *_folded([block], each)])


def _folded(details: Iterable[Detail], each: int | None) -> Iterator[str]:
    for detail in details:
        title = f"{detail.title} ({detail.holds})" if detail.holds else detail.title
        yield markdown.folded(markdown.plain(title), _cut(detail.text, each))


def _row(part: Part) -> tuple[str, str, str]:
    return part.name, part.looked_at, f"**{len(part.findings)}**" if part.findings else "✓"


def _cut(text: str, most: int | None) -> str:
    """The first lines of a text, and a sentence that says that there are more; a block of code is closed."""
    if most is None or len(text) <= most:
        return text
    kept = text[:most].rpartition("\n")[0]
    fence = ""
    for mark in filter(None, map(markdown.fence_of, kept.splitlines())):
        fence = "" if mark == fence else fence or mark
    return "\n".join([kept, *([fence] if fence else []), "", _CUT])
