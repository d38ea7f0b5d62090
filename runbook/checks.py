"""Read-only questions with an answer, and how a list of them reads."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runbook import markdown
from runbook.errors import RunbookError


class Status(StrEnum):
    """How a check came out; `warning` does not stop anything, `failed` stops an apply before any change."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"

    @property
    def mark(self) -> str:
        """A sign that needs no colour to be told from the others."""
        return {"ok": "✓", "warning": "⚠", "failed": "✗"}[self.value]


@dataclass(frozen=True, slots=True)
class Check:
    """One answer.

    `title` is the question, the same for every subject; `subject` what it was asked about (a bucket's name, a role);
    `found` says why the answer is what it is, and `remedy` what to do unless it is ok.
    """

    title: str
    subject: str
    status: Status
    found: str
    remedy: str = ""

    @property
    def answer(self) -> str:
        """What was found and what to do about it."""
        return f"{self.found} {self.remedy}".rstrip()

    def renamed(self, name: str, other: str) -> "Check":
        """The same answer about something that bears another name. `name` may stand in no other part of a word."""
        if name == other:
            return self
        texts = (text.replace(name, other) for text in (self.subject, self.found, self.remedy))
        subject, found, remedy = texts
        return Check(self.title, subject, self.status, found, remedy)


@dataclass(frozen=True)
class Checks:
    """A list of answers that can show itself and can refuse to go on."""

    items: tuple[Check, ...] = ()

    @classmethod
    def of(cls, checks: Iterable[Check]) -> "Checks":
        """Gather checks, the failed ones first, then the warnings; otherwise in the order they came."""
        order = [Status.FAILED, Status.WARNING, Status.OK]
        return cls(tuple(sorted(checks, key=lambda check: order.index(check.status))))

    def __iter__(self) -> Iterator[Check]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def with_status(self, status: Status) -> tuple[Check, ...]:
        """Those that came out as `status`."""
        return tuple(check for check in self.items if check.status is status)

    @property
    def failed(self) -> bool:
        """Whether one of them failed."""
        return bool(self.with_status(Status.FAILED))

    @property
    def summary(self) -> str:
        """`11 ok, 1 warning, 2 failed`; what does not occur is left out."""
        counts = [(len(self.with_status(status)), status.value) for status in Status]
        return ", ".join(f"{number} {word}" for number, word in counts if number) or "nothing checked"

    def as_json(self) -> list[dict[str, Any]]:
        """Plain data for `result.json`: every answer once, with all the subjects that it was given for."""
        groups: dict[tuple[str, Status, str, str], list[str]] = {}
        for check in self.items:
            groups.setdefault((check.title, check.status, check.found, check.remedy), []).append(check.subject)
        return [
            {"title": title, "status": status.value, "found": found, "remedy": remedy, "subjects": subjects}
            for (title, status, found, remedy), subjects in groups.items()
        ]

    def __repr__(self) -> str:
        lines = [f"{check.status.mark} {check.title}: {check.subject}: {check.answer}" for check in _told(self.items)]
        return "\n".join([*lines, self.summary])

    def _repr_markdown_(self) -> str:
        rows = [
            (f"{check.status.mark} {check.status}", check.title, check.subject, check.answer)
            for check in _told(self.items)
        ]
        return markdown.gate(f"{markdown.table(['', 'Check', 'Of', 'Found'], rows)}\n\n**{self.summary}**")


class ChecksFailed(RunbookError):
    """Raised before any change when a check failed; `checks` holds them all."""

    def __init__(self, checks: Checks, what: str) -> None:
        self.checks = checks
        lines = [
            f"{check.status.mark} {check.title}: {check.subject}: {check.answer}"
            for check in _told(checks.with_status(Status.FAILED))
        ]
        super().__init__("\n".join([f"{what} ({checks.summary}):", *lines]))


MOST = 5
"""So many different answers to a question are shown for each way that it came out."""


def _told(checks: Iterable[Check]) -> list[Check]:
    """Answers that differ in their subject only as one, and of too many different answers to a question the first.

    Fifty buckets that are ok are one line, not fifty; ten thousand that are each wrong in their own way are a few.
    """
    questions: dict[tuple[str, Status], dict[tuple[str, str], list[str]]] = {}
    order: dict[tuple[str, Status, str, str], None] = {}
    for check in checks:
        answers = questions.setdefault((check.title, check.status), {})
        answers.setdefault((check.found, check.remedy), []).append(check.subject)
        order.setdefault((check.title, check.status, check.found, check.remedy))
    told = []
    shown: Counter[tuple[str, Status]] = Counter()
    for title, status, found, remedy in order:
        answers = questions[title, status]
        shown[title, status] += 1
        if shown[title, status] <= MOST:
            told.append(Check(title, markdown.joined(answers[found, remedy]), status, found, remedy))
        elif shown[title, status] == MOST + 1:
            others = list(answers.values())[MOST:]
            more = f"{markdown.count(len(others), 'other answer')}, all of them in the run's `result.json`."
            told.append(Check(title, f"… and {sum(map(len, others))} more", status, more))
    return told
