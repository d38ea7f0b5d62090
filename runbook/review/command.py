"""`runbook review`: every part of it, several at a time, and what is made of their findings."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from runbook.parameters import ParameterError, did_you_mean
from runbook.review.base import described, extracted, taken_in
from runbook.review.bones import examine_bones
from runbook.review.conformance import examine_outline
from runbook.review.documents import examine_documents, hardened_detail
from runbook.review.links import examine_links
from runbook.review.meaning import what_changes
from runbook.review.outputs import examine_outputs
from runbook.review.page import examine_page
from runbook.review.parameter_cells import examine_parameters
from runbook.review.report import COMMENT, Changed, Part, Review
from runbook.review.texts import examine_repeatable, examine_secrets

REPORT, SITE = "review.md", "site"

PARTS: Mapping[str, Callable[[], Part]] = {
    "outline": examine_outline,
    "documents": examine_documents,
    "notebooks": examine_bones,
    "parameters": examine_parameters,
    "secrets": examine_secrets,
    "repeatable": examine_repeatable,
    "links": examine_links,
    "outputs": examine_outputs,
}
"""What a review looks at, in the order in which it tells of it. The last one runs the notebooks and takes its time."""


def review(base: str = "", parts: Sequence[str] = ()) -> Review:
    """Look at all parts, or some, and at what changes since a revision.

    Raises ParameterError for an unknown part or revision, before anything is looked at.
    """
    if unknown := [name for name in parts if name not in PARTS]:
        raise ParameterError(
            [f"--part: there is no part `{name}`.{did_you_mean(name, list(PARTS))}" for name in unknown]
        )
    chosen = [name for name in PARTS if name in parts or not parts]
    with ExitStack() as stack:
        earlier = stack.enter_context(extracted(base)) if base else None
        # What is compared runs in processes of its own, and so do notebooks: nothing here waits for this one.
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="base"))
        changed = pool.submit(_changed, base, earlier) if earlier else None
        looked_at = tuple(_timed(PARTS[name]) for name in chosen)
        since = changed.result() if changed else None
    return Review(looked_at, since, (hardened_detail(),) if "documents" in chosen else ())


def review_page(file: Path) -> Review:
    """Compare a newly saved copy of the product page with the outline. Raises ParameterError when it cannot be read."""
    return Review((examine_page(file),))


def refuse_unusable(folder: Path) -> None:
    """Raise ParameterError for a folder with something else in it where the site is to be: minutes before `write`."""
    from runbook.review import site

    site.refuse_a_folder_of_somebody_else(folder / SITE)


def write(found: Review, folder: Path) -> list[Path]:
    """Write the report, as a comment would hold it, and the site, in which it is whole; and say where both begin."""
    from runbook.review import site

    folder.mkdir(parents=True, exist_ok=True)
    report = folder / REPORT
    report.write_text(found.to_markdown(COMMENT), encoding="utf-8")
    return [report, site.build(folder / SITE, review=found)]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _changed(base: str, earlier: Path) -> Changed:
    before, now = taken_in(earlier)
    return what_changes(described(base), before, now)


def _timed(examine: Callable[[], Part]) -> Part:
    started = time.monotonic()
    return replace(examine(), seconds=time.monotonic() - started)
