"""How a notebook differs from an earlier one, as nbdime tells it: what was written apart from what is shown."""

import io
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from runbook.review.outputs import SHOWN


@dataclass(frozen=True)
class NotebookDifference:
    """nbdime's text of what was written in a notebook (cells, their texts and metadata), and of its outputs."""

    notebook: str
    sources: str
    outputs: str


def notebook_differences(before: Path, now: Path) -> list[NotebookDifference]:
    """How each notebook of a folder differs from the one of the same name in another; new and gone ones included."""
    names = sorted({file.stem for folder in (before, now) for file in folder.glob("*.ipynb")})
    found = [_compared(name, _read(before / f"{name}.ipynb"), _read(now / f"{name}.ipynb")) for name in names]
    return [each for each in found if each.sources or each.outputs]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _compared(name: str, before: Any, now: Any) -> NotebookDifference:
    from nbdime import diff_notebooks

    without = [_without_outputs(notebook) for notebook in (before, now)]
    sources = _printed(without[0], diff_notebooks(*without))
    return NotebookDifference(name, sources, _printed(before, _of_outputs(diff_notebooks(before, now))))


def _of_outputs(difference: Any) -> Any:
    """Of a difference, what is about outputs of cells that are in both notebooks."""
    found = []
    for entry in difference:
        if entry.op == "patch" and entry.key == "cells":
            cells = [_only_outputs(cell) for cell in entry.diff if cell.op == "patch"]
            found.append(type(entry)(entry, diff=[cell for cell in cells if cell.diff]))
    return [entry for entry in found if entry.diff]


def _only_outputs(cell: Any) -> Any:
    return type(cell)(cell, diff=[entry for entry in cell.diff if entry.key == "outputs"])


def _without_outputs(notebook: Any) -> Any:
    copied = deepcopy(notebook)
    for cell in copied.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copied


def _printed(before: Any, difference: Any) -> str:
    """nbdime's text, in which cells are named by their ids instead of their numbers."""
    from nbdime.prettyprint import PrettyPrintConfig, pretty_print_diff

    out = io.StringIO()
    pretty_print_diff(
        before, difference, "", PrettyPrintConfig(out=out, use_git=False, use_diff=False, use_color=False)
    )
    ids = [*(cell.id for cell in before.cells), "the end"]
    named = re.sub(r"(?m)^(## .*/cells/)(\d+)", lambda found: f"{found[1]}{ids[int(found[2])]}", out.getvalue())
    return named.strip()


def _read(file: Path) -> Any:
    """A notebook with one text for each output, the one that reads best; an empty one where there is no file."""
    if not file.exists():
        return nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook: Any = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            best = next((kind for kind in SHOWN if kind in data), None)
            for kind in [kind for kind in data if best and kind != best]:
                del data[kind]
    return notebook
