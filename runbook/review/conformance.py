"""Whether the notebooks still say and do all of the product page: its entries, and what is known to be wrong with it.

An entry that asks for something to be done is done by a code cell: its stored output, which is compared with that of a
fresh run, is its test. What only has to be known may be said by a text.
"""

from collections.abc import Iterator, Mapping, Sequence

from runbook import markdown
from runbook.review.coverage import Coverage, coverage
from runbook.review.outline import Entry, defect_notes
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, file_of, stored_notebooks

PART = "outline"

DONE = ("step", "snippet")
"""Kinds of entries that something has to be done about."""


def examine_outline() -> Part:
    """Every entry has its cell and its test, and every defect of the page is shown where it matters."""
    found, notebooks = coverage(), stored_notebooks()
    outline = found.outline
    looked_at = ", ".join(
        [
            markdown.count(len(outline.entries), "entry"),
            f"{len(outline.defects)} defects of the page",
            markdown.count(len(notebooks), "notebook"),
        ]
    )
    findings = (*_about_cells(found), *_about_tests(found, notebooks), *_about_defects(found, notebooks))
    return Part(PART, looked_at, findings)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _about_cells(found: Coverage) -> Iterator[Finding]:
    for name in (*found.missing, *found.later):
        entry = found.outline.entry(name)
        yield Finding(
            PART,
            file_of(found.outline.notebook_of(entry)),
            f"No cell carries out `{name}` ({entry.lines} of the page): {_quoted(entry)}",
            f'Add it to the cell that does: metadata {{"outline": ["{name}"]}}.',
        )
    for unknown in found.unknown:
        where = f"{file_of(unknown.notebook)}, cell `{unknown.cell}`"
        yield Finding(PART, where, f"It names `{unknown.entry}`. {unknown.why}", "Correct its metadata `outline`.")


def _about_tests(found: Coverage, notebooks: Mapping[str, Sequence[StoredCell]]) -> Iterator[Finding]:
    for name, cells in found.covered.items():
        entry = found.outline.entry(name)
        notebook = found.outline.notebook_of(entry)
        by_id = {cell.id: cell for cell in notebooks[notebook]}
        if entry.kind in DONE and not any(by_id[cell].kind == "code" and by_id[cell].outputs for cell in cells):
            yield Finding(
                PART,
                f"{file_of(notebook)}, {markdown.count(len(cells), 'cell')[2:]} {markdown.names(cells)}",
                f"`{name}` is to be done, and nothing runs it, so that nothing tests it: {_quoted(entry)}",
                "Name it in the code cell that does it, or whose output shows it; and store that output: "
                "`make notebooks`.",
            )


def _about_defects(found: Coverage, notebooks: Mapping[str, Sequence[StoredCell]]) -> Iterator[Finding]:
    for notebook, cells in notebooks.items():
        if not any(section.notebook == notebook for section in found.outline.sections):
            continue
        shown = {line for cell in cells for text in cell.texts() for line in text.splitlines()}
        defects = found.outline.defects_of(notebook)
        lines = defect_notes(notebook).to_markdown().splitlines()[2:] if defects else []
        for defect, line in zip(defects, lines, strict=True):
            if line not in shown:
                yield Finding(
                    PART,
                    f"{file_of(notebook)}, cell `defects`",
                    f"It does not show defect {defect.number} of the page as the outline has it: {defect.found}",
                    "Let a cell show `defect_notes`, and store its output: `make notebooks`.",
                )


def _quoted(entry: Entry) -> str:
    return f"“{entry.asks.strip()}”"
