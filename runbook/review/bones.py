"""What every notebook has: the same cells in the same order, and the tags that other programs look for."""

from collections.abc import Iterator, Mapping, Sequence

from runbook import markdown
from runbook.parameters import did_you_mean
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, file_of, stored_notebooks
from runbook.steps import ASKED, STEPS
from runbook.steps.start_here import StartHere

PART = "notebooks"

PARAMETERS = "parameters"
"""The one tag: papermill, and so everything that runs notebooks headless, puts values after the cell that has it."""

WAY: Mapping[str, str] = {
    "introduction": "",
    "parameters-help": "",
    PARAMETERS: "",
    "choose": "choice = choose(",
    "section-help": "",
    "section": "section_table(",
    "defects-help": "",
    "defects": "defect_notes(",
    "check-help": "",
    "check": "choice.check()",
    "plan-help": "",
    "plan": "plan = choice.plan()\nplan",
    "apply-help": "",
    "apply": "run = choice.apply(plan) if apply else choice.preview(plan)\nrun",
    "verify-help": "",
    "verify": "choice.verify(run)",
    "by-hand-help": "",
    "by-hand": "by_hand(plan)",
    "closure": "",
}
"""The cells of a notebook that can change something, in order, and what has to be in the source of each."""

START: Mapping[str, str] = {
    "introduction": "",
    "parameters-help": "",
    PARAMETERS: "",
    "questions": "start = start_here(",
    "recommendation": "advice = start.recommend()\nadvice",
    "check": "start.check()",
    "picture": "start.picture()",
    "section": "section_table(",
    "defects": "defect_notes(",
    "own-accounts": "",
}
"""The same of the one that changes nothing."""


def examine_bones() -> Part:
    """Whether every notebook is there and has its cells, in order, and no tag that means nothing."""
    notebooks = stored_notebooks()
    missing = [
        Finding(PART, file_of(name), "There is no such notebook.", "Write it, or take its step out of `runbook.steps`.")
        for name in ASKED
        if name not in notebooks
    ]
    found = [finding for name, cells in notebooks.items() for finding in of_notebook(name, cells)]
    cells = markdown.count(sum(map(len, notebooks.values())), "cell")
    return Part(PART, f"{markdown.count(len(notebooks), 'notebook')}, {cells}", (*missing, *found))


def of_notebook(name: str, cells: Sequence[StoredCell]) -> Iterator[Finding]:
    """What is wrong with the cells of one notebook."""
    yield from _about_tags(name, cells)
    bones = WAY if name in STEPS else START if name == StartHere.notebook else {}
    by_id = {cell.id: cell for cell in cells}
    for bone, piece in bones.items():
        where = f"{file_of(name)}, cell `{bone}`"
        if bone not in by_id:
            meant = did_you_mean(bone, [cell.id for cell in cells if cell.id not in bones])
            yield Finding(PART, where, f"The notebook has no such cell.{meant}", "Every notebook has it: put it back.")
        elif piece not in by_id[bone].source:
            yield Finding(PART, where, "It does not do what its name says.", f"It should hold `{_in_line(piece)}`.")
    order = [cell.id for cell in cells if cell.id in bones]
    wanted = [bone for bone in bones if bone in by_id]
    if order != wanted:
        first = next(found for found, bone in zip(order, wanted, strict=True) if found != bone)
        yield Finding(
            PART,
            f"{file_of(name)}, cell `{first}`",
            "It is not in its place.",
            f"The order is {', '.join(f'`{bone}`' for bone in wanted)}.",
        )


# --- helpers ---------------------------------------------------------------------------------------------------------


def _about_tags(name: str, cells: Sequence[StoredCell]) -> Iterator[Finding]:
    for cell in cells:
        for tag in cell.tags:
            if tag != PARAMETERS:
                yield Finding(
                    PART,
                    cell.where,
                    f"Its tag `{tag}` means nothing to any program.",
                    f"Take it off, or write `{PARAMETERS}`, the only one that does.",
                )
    tagged = [cell.id for cell in cells if PARAMETERS in cell.tags]
    if tagged != [PARAMETERS]:
        yield Finding(
            PART,
            f"{file_of(name)}, cell `{PARAMETERS}`",
            f"The tag `{PARAMETERS}` is on {markdown.names(tagged) if tagged else 'no cell'}, so that papermill does "
            f"{'not find its values a place' if not tagged else 'not put its values where they belong'}.",
            f"Put the tag `{PARAMETERS}` on this cell, and on no other.",
        )


def _in_line(source: str) -> str:
    return "; ".join(source.splitlines())
