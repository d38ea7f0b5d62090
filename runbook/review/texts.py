"""What must not stand in a notebook: secrets, and in its outputs what another run would not show again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from runbook import markdown
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, stored_notebooks

SECRETS_PART = "secrets"
REPEATABLE_PART = "repeatable"

SECRETS: Mapping[str, re.Pattern[str]] = {
    "an access key id": re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "a secret access key": re.compile(
        r"(?i)secret_?access_?key\W{1,8}(?!None\b)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    "a session token": re.compile(
        r"(?i)(?:session|security)_?token\W{1,8}[A-Za-z0-9/+=]{60,}|\bIQoJb3JpZ2lu[\w/+=]{20,}"
    ),
    "a signed address": re.compile(r"(?i)X-Amz-(?:Signature|Security-Token)=[\w%]{16,}"),
    "the token that confirms a subscription": re.compile(r"(?i)\bToken\b\W{1,8}[0-9a-f]{48,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a token of GitHub": re.compile(r"\b(?:gh[opsru]_[A-Za-z0-9]{36,}|github_pat_\w{40,})"),
    "a password in an address": re.compile(r"\bhttps?://[^\s/:@\"'<>]+:[^\s/@\"'<>]+@"),
}
"""What each looks like. A value is a secret by its form, whoever made it up."""

MADE_UP = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "ASIAIOSFODNN7EXAMPLE")
"""Credentials that AWS's documentation uses as examples: nobody's."""

UNREPEATABLE: Mapping[str, re.Pattern[str]] = {
    "the address of an object in memory": re.compile(r"\bat 0x[0-9a-f]{6,}"),
    "a point in time": re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?|\b20\d{6}T\d{6}Z?"),
    "a path of this machine": re.compile(
        r"(?<![\w.:}>\])*~/-])/(?:home|root|tmp|Users|private|var/folders)/[\w.][^\s\"'<>`]*|\b[A-Z]:\\{1,2}Users\\\w+"
    ),
    "a port of this machine": re.compile(r"\b(?:127\.0\.0\.1|localhost):\d{4,5}\b"),
    "how long something took": re.compile(r"\b(?:Wall time|CPU times): "),
}
"""What each looks like. Everything else that differs is found by running the notebook."""


def examine_secrets() -> Part:
    """Whether anything in a notebook, outputs first of all, has the form of a secret."""
    notebooks = stored_notebooks()
    findings = [
        Finding(
            SECRETS_PART,
            where,
            f"It holds {what}: `{_veiled(found)}`.",
            "Take it out, renew it where it came from (it is in the history of git by now), and keep it from being "
            "shown.",
        )
        for cells in notebooks.values()
        for cell in cells
        for where, text in _named_texts(cell)
        for what, found in secrets_in(text)
    ]
    return Part(SECRETS_PART, _looked_at(notebooks, "text"), tuple(dict.fromkeys(findings)))


def examine_repeatable() -> Part:
    """Whether an output shows what cannot be the same in another run."""
    notebooks = stored_notebooks()
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    findings = [
        Finding(
            REPEATABLE_PART,
            where,
            f"It shows {what}, which another run will not show again: `{found}`.",
            "Let the package show something else, and store the output again: `make notebooks`.",
        )
        for cells in notebooks.values()
        for cell in cells
        for where, text in _outputs(cell)
        for what, found in unrepeatable_in(text, today)
    ]
    return Part(REPEATABLE_PART, _looked_at(notebooks, "output"), tuple(dict.fromkeys(findings)))


def secrets_in(text: str) -> Iterator[tuple[str, str]]:
    """What has the form of a secret: what it is, and it."""
    for what, pattern in SECRETS.items():
        for found in pattern.finditer(text):
            if not any(made_up in found[0] for made_up in MADE_UP):
                yield what, found[0]


def unrepeatable_in(text: str, today: str) -> Iterator[tuple[str, str]]:
    """What a run cannot show twice: what it is, and it. `today` is a date as `2026-11-24`."""
    for what, pattern in UNREPEATABLE.items():
        for found in pattern.finditer(text):
            yield what, found[0]
    if today in text and not any(found.startswith(today) for _, found in unrepeatable_in(text, "\0")):
        yield "the date of the run", today


# --- helpers ---------------------------------------------------------------------------------------------------------


def _named_texts(cell: StoredCell) -> Iterator[tuple[str, str]]:
    """The texts of a cell, its source and what its outputs show, each with how findings name it."""
    yield f"{cell.where}, its source", cell.source
    yield from _outputs(cell)


def _outputs(cell: StoredCell) -> Iterator[tuple[str, str]]:
    for output in cell.outputs:
        for kind, text in output.items():
            yield f"{cell.where}, output {kind}", text


def _veiled(secret: str) -> str:
    """Enough to find it, and not it: a report is read by more people than a notebook."""
    kept = " ".join(secret.split())[:12]
    return f"{kept}…"


def _looked_at(notebooks: Mapping[str, Sequence[StoredCell]], thing: str) -> str:
    outputs = sum(len(cell.outputs) for cells in notebooks.values() for cell in cells)
    cells = sum(map(len, notebooks.values()))
    number = outputs if thing == "output" else outputs + cells
    return f"{markdown.count(number, thing)} in {markdown.count(len(notebooks), 'notebook')}"
