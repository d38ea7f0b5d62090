"""Whether stored outputs are those of a fresh run, cell by cell; and if not, whether two fresh runs agree.

A notebook whose outputs are not current is run once more: a cell that shows something else each time is told apart from
one whose output was only not renewed.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runbook import markdown
from runbook.parameters import project_root
from runbook.review.notebooks import NotebookError, notebook_files, renewed
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, file_of, parse_cells

PART = "outputs"

AT_A_TIME = max(2, min(4, os.cpu_count() or 2))
"""Notebooks that run beside each other; each has a kernel of its own, which is another process."""

SHOWN = ("text/markdown", "text/plain", "text/html")
"""In this order, the kind of an output whose difference is shown: the one that reads best."""


def examine_outputs(names: Sequence[str] = ()) -> Part:
    """Run the notebooks (all by default), several at a time, and compare. Raises ParameterError for an unknown one."""
    files = notebook_files(names, project_root() / "notebooks")
    # The longest first, so that none of them is the only one that still runs.
    largest = sorted(files, key=lambda file: -file.stat().st_size)
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="review") as pool:
        findings = dict(zip(largest, pool.map(lambda file: tuple(of_notebook(file)), largest), strict=True))
    return Part(
        PART, markdown.count(len(files), "notebook") + ", run again", tuple(f for file in files for f in findings[file])
    )


def of_notebook(file: Path) -> Iterator[Finding]:
    """What a fresh run of one notebook shows that is not stored, a finding for each cell."""
    try:
        stored, fresh = file.read_text(encoding="utf-8"), renewed(file)
        if stored == fresh:
            return
        again = renewed(file)
    except NotebookError as error:
        yield _failed(file.stem, str(error))
        return
    cells = {cell.id: cell for cell in parse_cells(file.stem, stored)}
    told = list(_differing(cells, parse_cells(file.stem, fresh), parse_cells(file.stem, again)))
    yield from told or [
        Finding(
            PART,
            file_of(file.stem),
            "What stands outside its outputs (metadata, numbers of cells) is not as a fresh run leaves it.",
            "Renew it: `make notebooks`.",
        )
    ]


def difference(before: Mapping[str, str], after: Mapping[str, str], sides: tuple[str, str]) -> str:
    """What is different in two outputs, as a unified difference of the kind that reads best."""
    kinds = [kind for kind in (*SHOWN, *before, *after) if before.get(kind) != after.get(kind)]
    if not kinds:
        return ""
    one, other = (texts.get(kinds[0], "").splitlines() for texts in (before, after))
    return "\n".join(
        difflib.unified_diff(one, other, f"{sides[0]} {kinds[0]}", f"{sides[1]} {kinds[0]}", lineterm="", n=2)
    )


# --- helpers ---------------------------------------------------------------------------------------------------------


def _differing(
    stored: Mapping[str, StoredCell], fresh: Sequence[StoredCell], again: Sequence[StoredCell]
) -> Iterator[Finding]:
    for cell, other in zip(fresh, again, strict=True):
        before = stored[cell.id].outputs
        if cell.outputs != other.outputs:
            yield Finding(
                PART,
                cell.where,
                "Its output is not repeatable: two fresh runs, one after the other, do not agree.",
                "Find what differs from run to run, and let the package show something else.",
                _differences(cell.outputs, other.outputs, ("one run", "the next run")),
            )
        elif before != cell.outputs:
            yield Finding(
                PART,
                cell.where,
                "Its stored output is stale: a fresh run shows something else.",
                "See whether the difference is meant; then renew it: `make notebooks`.",
                _differences(before, cell.outputs, ("stored", "fresh")),
            )


def _differences(
    before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]], sides: tuple[str, str]
) -> str:
    number = max(len(before), len(after))
    pairs = zip([*before, *[{}] * (number - len(before))], [*after, *[{}] * (number - len(after))], strict=True)
    return "\n".join(filter(None, (difference(one, other, sides) for one, other in pairs)))


def _failed(notebook: str, said: str) -> Finding:
    """A notebook that cannot be run: `05-bucket-policy.ipynb, cell `plan`: NameError: …`."""
    place, _, what = said.partition(": ")
    where = f"notebooks/{place}" if place.startswith(notebook) else file_of(notebook)
    return Finding(PART, where, f"It does not run: {what}", "Repair it; a fresh run has to come to its end.")
