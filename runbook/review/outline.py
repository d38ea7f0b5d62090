"""The product page as an outline: what each part of it asks, where that is, and what is known to be wrong with it.

`outline.yaml`, beside this module, is the data and explains its keys. A section of the outline belongs to one notebook,
and an entry's section is the first part of its id.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from runbook import markdown
from runbook.errors import RunbookError
from runbook.parameters import Parameters, Several, build, did_you_mean

FILE = Path(__file__).with_name("outline.yaml")

Kind = Literal["section", "step", "table", "row", "snippet", "note"]


class OutlineError(RunbookError):
    """Something that the outline does not have was asked for, or a page is not the one that it describes."""


@dataclass(frozen=True)
class Lines:
    """Lines of the saved page, counted from 1, the last one included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"L{self.first}" if self.first == self.last else f"L{self.first}-{self.last}"


def _lines(value: object) -> object:
    """`9` or `113-153` as YAML has it."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))
    if not found:
        raise ValueError(f"is {value!r}; a line is written 9, several are written 113-153.")
    return Lines(int(found[1]), int(found[2] or found[1]))


_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"

SectionId = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
EntryId = Annotated[str, StringConstraints(pattern=rf"^{_NAME}\.{_NAME}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Defect(Parameters):
    """A known defect of the page: what is wrong there, and what the runbook does about it."""

    number: int
    also: Several[EntryId] = ()
    found: Text
    handled: Text


class Entry(Parameters):
    """One part of the page: what it asks in our own words, and the fingerprint of its own."""

    id: EntryId
    kind: Kind
    lines: Annotated[Lines, BeforeValidator(_lines)]
    anchor: str | None = None
    asks: Text
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    defects: Several[Defect] = ()

    @property
    def section(self) -> str:
        """The id of its section."""
        return self.id.partition(".")[0]


class Section(Parameters):
    """What one notebook carries out."""

    id: SectionId
    title: Text
    notebook: Annotated[str, StringConstraints(pattern=rf"^\d\d-{_NAME}$")]


class Page(Parameters):
    """Where the page is published, and how many lines its saved copy has."""

    address: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    lines: int = Field(gt=0)


class Outline(Parameters):
    """The whole page. Entries are in its order, and no line of it belongs to two of them."""

    page: Page
    sections: Several[Section]
    entries: Several[Entry]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Outline":
        if problems := _contradictions(self):
            raise ValueError("\n".join(problems))
        return self

    def entry(self, entry_id: str) -> Entry:
        """The entry with this id. Raises OutlineError for an unknown one."""
        for entry in self.entries:
            if entry.id == entry_id:
                return entry
        meant = did_you_mean(entry_id, [entry.id for entry in self.entries])
        raise OutlineError(f"{FILE.name}: there is no entry `{entry_id}`.{meant}")

    def section(self, section_id: str) -> Section:
        """The section with this id. Raises OutlineError for an unknown one."""
        for section in self.sections:
            if section.id == section_id:
                return section
        meant = did_you_mean(section_id, [section.id for section in self.sections])
        raise OutlineError(f"{FILE.name}: there is no section `{section_id}`.{meant}")

    def notebook_of(self, entry: Entry) -> str:
        """The notebook that carries out an entry, or is to: `05-bucket-policy`."""
        return self.section(entry.section).notebook

    def address(self, entry: Entry) -> str:
        """Where an entry is published: the page, at the heading above it."""
        headings = [each for each in self.entries if each.anchor is not None]
        above = [heading.anchor for heading in headings if heading.lines.first <= entry.lines.first]
        return f"{self.page.address}#{above[-1]}" if above and above[-1] else self.page.address

    def entries_of(self, name: str) -> tuple[Entry, ...]:
        """The entries of a section or a notebook, in the order of the page. Raises OutlineError for an unknown name."""
        sections = [section.id for section in self.sections if name in (section.id, section.notebook)]
        if not sections:
            known = [word for section in self.sections for word in (section.id, section.notebook)]
            raise OutlineError(f"{FILE.name}: `{name}` is neither a section nor a notebook.{did_you_mean(name, known)}")
        return tuple(entry for entry in self.entries if entry.section in sections)

    def defects_of(self, name: str) -> tuple[Defect, ...]:
        """The defects that concern an entry of a section or a notebook, by number. Raises OutlineError."""
        concerned = set(self.entries_of(name))
        return tuple(defect for defect in self.defects if concerned & set(self.places(defect)))

    @property
    def defects(self) -> tuple[Defect, ...]:
        """All defects, by number."""
        defects = [defect for entry in self.entries for defect in entry.defects]
        return tuple(sorted(defects, key=lambda defect: defect.number))

    def places(self, defect: Defect) -> tuple[Entry, ...]:
        """The entries that a defect concerns: the one that it stands beside first, then the others."""
        beside = [entry for entry in self.entries if defect in entry.defects]
        return (*beside, *(self.entry(name) for name in defect.also))


@cache
def load() -> Outline:
    """The outline of the product page. Read once; raises ParameterError when the file is damaged."""
    return parse(FILE.read_text(encoding="utf-8"), FILE.name)


def parse(text: str, where: str) -> Outline:
    """An outline from YAML; `where` goes into messages. Raises ParameterError."""
    return build(Outline, yaml.load(text, Loader=_LOADER), where)


def fingerprint(text: str) -> str:
    """SHA-256, in hexadecimal, of the words of `text`; how they are spaced and broken into lines does not matter."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def fingerprints(page: str, outline: Outline | None = None) -> dict[str, str]:
    """The fingerprint of every entry, by its id, from the text of a page with the outline's lines.

    Raises OutlineError when the page has fewer lines.
    """
    outline = outline or load()
    lines = page.splitlines()
    if len(lines) < outline.page.lines:
        raise OutlineError(f"The page has {len(lines)} lines, where the outline describes {outline.page.lines}.")
    return {
        entry.id: fingerprint("\n".join(lines[entry.lines.first - 1 : entry.lines.last])) for entry in outline.entries
    }


@dataclass(frozen=True)
class Notes:
    """Markdown that a notebook displays."""

    text: str

    def to_markdown(self) -> str:
        """The text."""
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.text)


def section_table(notebook: str) -> Notes:
    """What the page asks of a notebook (or a section), line by line. Raises OutlineError for an unknown one."""
    outline = load()
    rows = [(links(outline, [entry]), f"`{entry.id}`", entry.asks) for entry in outline.entries_of(notebook)]
    return Notes(markdown.table(["Page", "Entry", "What it asks"], rows))


def defect_notes(notebook: str) -> Notes:
    """What is wrong with the page where a notebook (or a section) follows it. Raises OutlineError when unknown."""
    outline = load()
    rows = [
        (str(defect.number), links(outline, outline.places(defect)), defect.found, defect.handled)
        for defect in outline.defects_of(notebook)
    ]
    if not rows:
        return Notes("No defect of the page is known here.")
    return Notes(markdown.table(["Defect", "Page", "What is wrong", "What the runbook does"], rows))


def links(outline: Outline, entries: Sequence[Entry]) -> str:
    """The lines of entries, each a link to the published page."""
    return ", ".join(markdown.link(str(entry.lines), outline.address(entry)) for entry in entries)


# --- helpers ---------------------------------------------------------------------------------------------------------

# Several times as fast where PyYAML was built with libyaml. A key that stands twice is found by the tests.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _contradictions(outline: Outline) -> list[str]:
    """What cannot be right, in a sentence each."""
    sections, entries = [section.id for section in outline.sections], [entry.id for entry in outline.entries]
    problems = [f"The section `{name}` stands twice." for name in _repeated(sections)]
    problems += [f"The entry `{name}` stands twice." for name in _repeated(entries)]
    problems += [f"Defect {number} stands twice." for number in _repeated([each.number for each in outline.defects])]
    for entry in outline.entries:
        if entry.section not in sections:
            problems.append(f"`{entry.id}` is in no section that is listed.{did_you_mean(entry.section, sections)}")
        if not 1 <= entry.lines.first <= entry.lines.last <= outline.page.lines:
            problems.append(f"`{entry.id}`: {entry.lines} is not in the page, which has {outline.page.lines} lines.")
        for name in (each for defect in entry.defects for each in defect.also if each not in entries):
            problems.append(f"`{entry.id}` has a defect that also concerns `{name}`, which there is not.")
    for before, after in pairwise(outline.entries):
        if after.lines.first <= before.lines.last:
            problems.append(f"`{after.id}` ({after.lines}) has to come after `{before.id}` ({before.lines}).")
    return problems


def _repeated(values: Sequence[Any]) -> list[Any]:
    return sorted({value for value in values if values.count(value) > 1})
