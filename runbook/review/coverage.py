"""Which cell of which notebook carries out which entry of the outline, what no cell carries out, and what is not there.

The outline says which notebook a section belongs to, and each cell says in its metadata which entries it carries out:

    {"outline": ["bucket-policy.statements", "bucket-policy.role-arn"]}

Nothing is written down twice: a cell is moved, renamed or split without touching the outline, and whoever reads a cell
sees what it is there for. The table of both together is made here: `python -m runbook.review.coverage`.
"""

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.parameters import did_you_mean, project_root
from runbook.review.outline import Entry, Outline, links, load
from runbook.terminal import echo


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook by its id, and the entries that it says it carries out."""

    notebook: str
    id: str
    entries: tuple[str, ...]


@dataclass(frozen=True)
class Unknown:
    """An entry that a cell cannot carry out, and why."""

    notebook: str
    cell: str
    entry: str
    why: str


@dataclass(frozen=True)
class Coverage:
    """How the notebooks cover the outline, as plain data.

    `covered` has the ids of the cells, in the order of the notebook, by the id of the entry; `missing` the entries that
    no cell carries out although their notebook is there; `later` those whose notebook is not; `unknown` what a cell
    names by mistake.
    """

    outline: Outline
    covered: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    later: tuple[str, ...]
    unknown: tuple[Unknown, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing from the notebooks that are there, and nothing in them is unknown."""
        return not self.missing and not self.unknown

    @property
    def problems(self) -> tuple[str, ...]:
        """What to do, a sentence each; nothing when complete."""
        missing = [
            f"{self.outline.notebook_of(self.outline.entry(name))}: no cell carries out `{name}`. "
            f'Add it to the cell that does: metadata {{"outline": ["{name}"]}}.'
            for name in self.missing
        ]
        unknown = [f"{each.notebook}, cell `{each.cell}`: names `{each.entry}`. {each.why}" for each in self.unknown]
        return (*missing, *unknown)

    def to_markdown(self) -> str:
        """The outline as a table, with the cells; what is wrong comes first."""
        rows = [self._row(entry) for entry in self.outline.entries]
        table = markdown.table(["Page", "Entry", "What it asks", "Notebook", "Cell"], rows)
        done, due = len(self.covered), len(self.covered) + len(self.missing)
        later = f" {len(self.later)} more belong to notebooks that do not exist yet." if self.later else ""
        lines = [f"{done} of {due} entries are carried out.{later}", *(f"- {problem}" for problem in self.problems)]
        return "\n".join(lines) + f"\n\n{table}"

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def _row(self, entry: Entry) -> Sequence[str]:
        cells = ", ".join(f"`{cell}`" for cell in self.covered.get(entry.id, ()))
        none = "**none**" if entry.id in self.missing else "not yet"
        return links(self.outline, [entry]), f"`{entry.id}`", entry.asks, self.outline.notebook_of(entry), cells or none


def coverage(notebooks: Path | None = None) -> Coverage:
    """How the notebooks of a folder, the project's own by default, cover the outline of the product page."""
    files = sorted((notebooks or project_root() / "notebooks").glob("*.ipynb"))
    cells = [cell for file in files for cell in cells_of(file)]
    return join(load(), [file.stem for file in files], cells)


def join(outline: Outline, notebooks: Collection[str], cells: Iterable[Cell]) -> Coverage:
    """Bring together what the outline says of notebooks, and what their cells say of the outline."""
    covered: dict[str, tuple[str, ...]] = {}
    unknown = []
    for cell in cells:
        for name in dict.fromkeys(cell.entries):
            if why := _not_of(outline, cell.notebook, name):
                unknown.append(Unknown(cell.notebook, cell.id, name, why))
            else:
                covered[name] = (*covered.get(name, ()), cell.id)
    rest = [entry for entry in outline.entries if entry.id not in covered]
    return Coverage(
        outline=outline,
        covered={entry.id: covered[entry.id] for entry in outline.entries if entry.id in covered},
        missing=tuple(entry.id for entry in rest if outline.notebook_of(entry) in notebooks),
        later=tuple(entry.id for entry in rest if outline.notebook_of(entry) not in notebooks),
        unknown=tuple(unknown),
    )


def cells_of(notebook: Path) -> Sequence[Cell]:
    """The cells of a notebook file that name entries."""
    content: Mapping[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    named = [(cell["id"], entries_of(cell)) for cell in content["cells"]]
    return [Cell(notebook.stem, cell, names) for cell, names in named if names]


def entries_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """The entries that a cell, as a notebook file holds it, says it carries out."""
    names = cell["metadata"].get("outline", [])
    # One name may stand without a list around it; taken for a list, it would be its letters.
    return (names,) if isinstance(names, str) else tuple(names)


def main() -> int:
    """Print the table. The exit status is 1 when something is missing or unknown."""
    found = coverage()
    echo(found.to_markdown())
    return 0 if found.complete else 1


def _not_of(outline: Outline, notebook: str, name: str) -> str:
    """Why a cell of `notebook` cannot carry out `name`; nothing if it can."""
    known = {entry.id: outline.notebook_of(entry) for entry in outline.entries}
    if name not in known:
        own = [entry for entry, owner in known.items() if owner == notebook]
        return f"The outline has no such entry.{did_you_mean(name, own or list(known))}"
    if known[name] != notebook:
        return f"It belongs to notebook {known[name]}."
    return ""


if __name__ == "__main__":
    sys.exit(main())
