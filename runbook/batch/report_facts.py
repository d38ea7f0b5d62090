"""What there is to tell of a batch, worked out before any of it is written: what was changed, what failed and why."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.batch.record import ENDED_BADLY, Batch, JobRecord
from runbook.checks import Status
from runbook.errors import RunbookError
from runbook.journal import Journal
from runbook.plan import NAMELESS, Change, Plan
from runbook.result import read_result, refuse_cut_journal
from runbook.run import IN_DOUBT

_ALL_MADE = ("applied", "done", "verification-failed")
"""The statuses of a `result.json` after which every change of the plan was made."""

_NO_NAME = "\0"
_IDS = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{8}T\d{6}Z\b")
"""What is another one each time and says nothing: ids of requests and stacks, times in names of folders."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt at a job left: whether it came to a plan, how many changes that has, and the numbers of those
    that were made and of those in doubt.

    In doubt is a change that was begun and of which nobody knows whether it was made: the journal ends there.
    """

    folder: Path
    has_plan: bool
    planned: int
    made: tuple[int, ...]
    in_doubt: tuple[int, ...]

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """The changes of its plan, to the letter; none where it cannot be read: others are told all the same."""
        try:
            return Plan.load(self.folder).changes if self.planned else ()
        except RunbookError:
            return ()

    def chosen(self, numbers: Iterable[int]) -> list[Change]:
        """Changes by their numbers."""
        return [self.changes[number] for number in numbers if number < len(self.changes)]


@dataclass(frozen=True)
class JobFacts:
    """One job and what all its attempts did; the last of them is the one that the job's record tells of.

    An attempt that came to a plan has looked what became of the changes that were in doubt before it.
    """

    job: JobRecord
    attempts: tuple[Attempt, ...]

    @property
    def previewed(self) -> bool:
        """Whether it was a preview, as far as it came."""
        return self.job.result.get("mode") == "preview"

    @property
    def made(self) -> int:
        """How many changes were made."""
        return sum(len(each.made) for each in self.attempts) + len(self._turned_out_made)

    @property
    def in_doubt(self) -> int:
        """Of how many changes nobody knows whether they were made."""
        return sum(len(each.in_doubt) for each in self._since_the_last_plan)

    @property
    def planned(self) -> int:
        """How many changes there were to make in all: those made before, and those of the last plan."""
        before = sum(len(each.made) for each in self._before_the_last_plan) + len(self._turned_out_made)
        return before + self._since_the_last_plan[0].planned

    @property
    def told(self) -> list[Change]:
        """The changes that were made, or that a preview has planned, to the letter."""
        if self.previewed:
            return list(self.attempts[-1].changes)
        return [*(change for each in self.attempts for change in each.chosen(each.made)), *self._turned_out_made]

    @property
    def changed(self) -> str:
        """`3`, `2 of 3, 1 in doubt`, or `0 (3 planned)` of a preview; empty when it came to no plan."""
        if not any(each.has_plan for each in self.attempts):
            return ""
        if self.previewed:
            return f"0 ({self.planned} planned)" if self.planned else "0"
        of = f" of {self.planned}" if self.made < self.planned else ""
        return f"{self.made}{of}" + (f", {self.in_doubt} in doubt" if self.in_doubt else "")

    @property
    def _before_the_last_plan(self) -> tuple[Attempt, ...]:
        return self.attempts[: len(self.attempts) - len(self._since_the_last_plan)]

    @property
    def _since_the_last_plan(self) -> tuple[Attempt, ...]:
        last = max((number for number, each in enumerate(self.attempts) if each.has_plan), default=0)
        return self.attempts[last:]

    @cached_property
    def _turned_out_made(self) -> tuple[Change, ...]:
        """What was in doubt and did not have to be made by the attempt that looked next."""
        found: list[Change] = []
        doubtful: list[Change] = []
        for each in self.attempts:
            if each.has_plan and doubtful:
                still_to_make = {change.resource for change in each.changes}
                found += [change for change in doubtful if change.resource not in still_to_make]
                doubtful = []
            doubtful += each.chosen(each.in_doubt)
        return tuple(found)


@dataclass(frozen=True)
class Reason:
    """Why jobs ended badly, or were not begun: the text of the first of them, to the letter.

    The texts of the others differ in nothing but names.
    """

    text: str
    jobs: tuple[JobRecord, ...]

    @property
    def title(self) -> str:
        """`2 timed out in cell apply`."""
        first = self.jobs[0]
        where = f" in cell {first.cell}" if first.cell else ""
        return f"{len(self.jobs)} {said_of(first.state)}{where}"


@dataclass(frozen=True)
class Changed:
    """Changes that say the same of themselves but for names: made, or planned by a preview; with the job of each."""

    summary: str
    changes: tuple[tuple[JobRecord, Change], ...]

    @property
    def accounts(self) -> int:
        """In how many accounts."""
        return len({change.resource.account for _, change in self.changes})

    def alike(self) -> list[list[tuple[JobRecord, Change]]]:
        """Those together whose differences are the same, too, but for the name of the resource and of its account."""
        groups: dict[tuple[object, ...], list[tuple[JobRecord, Change]]] = {}
        for job, change in self.changes:
            texts = (_nameless(text, _names_of(change)) for text in (change.before or "", change.after or ""))
            whether = (change.before is None, change.after is None)
            groups.setdefault((*whether, *texts, change.effects), []).append((job, change))
        return sorted(groups.values(), key=len, reverse=True)


@dataclass(frozen=True)
class Facts:
    """A batch with what its jobs' folders hold, and the ways to sum it up."""

    batch: Batch
    jobs: tuple[JobFacts, ...]

    @classmethod
    def of(cls, batch: Batch, folder: Path) -> "Facts":
        """Read what the jobs left in their folders; `folder` is the one that they are named from."""
        return cls(batch, tuple(_facts(job, folder) for job in batch.jobs))

    @property
    def planned(self) -> int:
        """How many changes all plans have together."""
        return sum(each.planned for each in self.jobs)

    @property
    def made(self) -> int:
        """How many changes were made."""
        return sum(each.made for each in self.jobs)

    @property
    def in_doubt(self) -> int:
        """Of how many changes nobody knows whether they were made."""
        return sum(each.in_doubt for each in self.jobs)

    @cached_property
    def sentence(self) -> str:
        """How it went, in one line."""
        jobs = self.batch.jobs
        thing = "job" if self.batch.fleet else "run"
        number = markdown.count(len(jobs), thing)
        if self.batch.succeeded:
            return f"✓ {number}, {self._changes_told}."
        failed = [job for job in jobs if job.state in ENDED_BADLY]
        left = len(jobs) - len(failed) - sum(job.succeeded for job in jobs)
        others = Counter(job.state for job in failed if job.state != "failed")
        kinds = ", ".join(f"{count} {said_of(state)}" for state, count in others.items())
        names = markdown.joined([job.name for job in failed])
        parts = [f"{len(failed)} of {number} failed: {names}{f' ({kinds})' if kinds else ''}"] if failed else []
        if left:
            parts.append(f"{markdown.count(left, thing) if failed else f'{left} of {number}'} not started")
        return f"✗ {'; '.join(parts)}"

    @property
    def _changes_told(self) -> str:
        # A notebook that changes nothing by its nature counts among either.
        changing = [each for each in self.jobs if each.planned] or self.jobs
        if any(each.previewed for each in changing):
            return f"{markdown.count(self.planned, 'change')} previewed, none made"
        return f"{markdown.count(self.made, 'change')} made and verified"

    @cached_property
    def reasons(self) -> list[Reason]:
        """Why jobs are not done, those together that differ in names only; what most jobs met first.

        What was not started comes last: it is a consequence.
        """
        groups: dict[tuple[str, ...], list[tuple[str, JobRecord]]] = {}
        for job in self.batch.jobs:
            if not job.succeeded:
                text = reason(job)
                key = (job.state, job.cell, _nameless(text, _names_in(job)))
                groups.setdefault(key, []).append((text, job))
        found = [Reason(group[0][0], tuple(job for _, job in group)) for group in groups.values()]
        return sorted(found, key=lambda each: (each.jobs[0].state not in ENDED_BADLY, -len(each.jobs)))

    @cached_property
    def changed(self) -> list[Changed]:
        """What was made, or would be by a preview, those together that say the same; what there is most of first."""
        groups: dict[tuple[str, str], list[tuple[JobRecord, Change]]] = {}
        for each in self.jobs:
            for change in each.told:
                summary = _nameless(change.summary, _names_of(change)).replace(_NO_NAME, NAMELESS.strip("`"))
                groups.setdefault((change.resource.kind, summary), []).append((each.job, change))
        found = [Changed(summary, tuple(changes)) for (_, summary), changes in groups.items()]
        return sorted(found, key=lambda each: -len(each.changes))

    @cached_property
    def access(self) -> list[tuple[str, list[str]]]:
        """What can be done now that could not be before, and by or on what; what holds for most of them first."""
        groups: dict[str, dict[str, None]] = {}
        for job in self.batch.jobs:
            for subject, told in access_by_subject(job.result).items():
                if told.startswith(_GAINED):
                    groups.setdefault(told, {})[subject] = None
        return sorted(((told, list(subjects)) for told, subjects in groups.items()), key=lambda each: -len(each[1]))


def said_of(state: str) -> str:
    """How a state reads after a number: `timed out`, `not started`."""
    return state.replace("-", " ")


def reason(job: JobRecord) -> str:
    """Why a job is not done."""
    return job.error.strip() or f"The job is {said_of(job.state)}; nothing more is known."


def counted(checks: Sequence[Mapping[str, Any]] | None) -> Mapping[str, int] | None:
    """How many answers of a result came out as what; None where it was not reached."""
    if checks is None:
        return None
    counts = Counter({status.value: 0 for status in Status})
    for check in checks:
        counts[check["status"]] += len(check["subjects"])
    return counts


def statuses(checks: Sequence[Mapping[str, Any]] | None) -> str:
    """`12 ok, 1 warning` of the checks that a result holds."""
    counts = counted(checks)
    if counts is None:
        return "not reached"
    return ", ".join(f"{number} {word}" for word, number in counts.items() if number)


_GAINED = ("could then", "can now")


def access_by_subject(result: Mapping[str, Any]) -> dict[str, str]:
    """What can be done now and could not before, and what was asked and is denied: by resource, or by principal where
    there are several.
    """
    groups = result.get("access", [])
    could, can = _GAINED
    several = len({group["principal"] for group in groups}) > 1
    lines: dict[str, str] = {}
    for group in groups:
        answers = group["answers"]
        gained = [each["action"] for each in answers if each["after"] == "allowed" != each["before"]]
        kept = [each["action"] for each in answers if each["after"] == "allowed" == each["before"]]
        denied = [each["action"] for each in answers if each["after"] != "allowed"]
        parts = [
            (could if result.get("mode") == "preview" else can, gained),
            ("could before", kept),
            ("cannot", denied),
        ]
        told = "; ".join(f"{word} {', '.join(actions)}" for word, actions in parts if actions)
        lines |= dict.fromkeys([group["principal"]] if several else group["resources"], told)
    return lines


def _facts(job: JobRecord, folder: Path) -> JobFacts:
    earlier = tuple(_earlier_attempt(folder / each) for each in job.earlier)
    return JobFacts(job, (*earlier, _attempt(folder / job.folder, job.result)))


def _earlier_attempt(folder: Path) -> Attempt:
    """Read what an attempt before the last has left: with a damaged result, all changes of its plan are in doubt."""
    try:
        return _attempt(folder, read_result(folder))
    except RunbookError:
        try:
            planned = len(Plan.load(folder).changes)
        except RunbookError:
            return Attempt(folder, False, 0, (), ())
        return Attempt(folder, True, planned, (), tuple(range(planned)))


def _attempt(folder: Path, result: Mapping[str, Any]) -> Attempt:
    planned = len(result.get("changes", []))
    return Attempt(folder, "plan" in result, planned, *_made(folder, result, planned))


def _made(folder: Path, result: Mapping[str, Any], planned: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which changes were made, and which are in doubt; of a run that did not come to its end, its journal knows."""
    if result.get("mode") != "apply":
        return (), ()
    if result.get("status") in _ALL_MADE:
        return tuple(range(planned)), ()
    try:
        refuse_cut_journal(folder)
        events = {index: entry["event"] for index, entry in Journal(folder).last_events().items()}
    except RunbookError:
        return (), tuple(range(planned))  # whoever damaged it, it says nothing for sure
    made = (index for index, event in events.items() if event == "done")
    return tuple(sorted(made)), tuple(sorted(index for index, event in events.items() if event in IN_DOUBT))


def _names_of(change: Change) -> tuple[str, ...]:
    return (change.resource.arn, change.name, change.resource.account)


def _names_in(job: JobRecord) -> list[str]:
    """What is called otherwise in every job: the job itself, its account, and what its checks and changes are about."""
    checks = [*job.result.get("checks", []), *job.result.get("verification", [])]
    subjects = (subject for check in checks for subject in check["subjects"])
    resources = (change["resource"].split(" of ", 1)[-1].split(" (")[0] for change in job.result.get("changes", []))
    names = [job.name, job.folder, job.account, *subjects]
    for resource in resources:
        names += [resource, re.split("[:/]", resource)[-1]]
    return names


def _nameless(text: str, names: Iterable[str]) -> str:
    """A text without names, where they stand as words, and without what is another one each time."""
    for name in sorted({name for name in names if name}, key=len, reverse=True):
        if name in text:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", _NO_NAME, text)
    return _IDS.sub(_NO_NAME, text)
