"""Applies a plan change by change, journals it, goes on after an interruption, and takes it back.

Everything here works from the plan's data alone. A plan from a file is made again first, and applied as it is then.
Changes of a kind do not depend on each other and are made several at a time. Where a kind calls them independent, one
that cannot be made does not keep the others from being made either. Of kinds that come after it only those changes are
begun that hang on another thread: the subscription of another queue, for example.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from runbook import commands, markdown, saved_plan, untrusted
from runbook.aws.kinds import Kind, ResourceGone, Told, kind_of, reader_of, same_json
from runbook.aws_errors import in_words, told_in_words
from runbook.checks import Check, Status
from runbook.environment import AccountError, Environment
from runbook.errors import RunbookError
from runbook.files import LARGEST, FileError, make_folder, write_text
from runbook.journal import REMEDY, Journal, JournalDamaged, JournalNotWritten
from runbook.parameters import ParameterError, project_root, shown
from runbook.plan import Change, Observation, Plan, Resource
from runbook.progress import Progress, in_parallel, silent
from runbook.put_back import PutBack
from runbook.result import record, refuse_cut_journal
from runbook.saved_plan import between, moved
from runbook.secrets import redact
from runbook.secrets import shown as shown_once

SETTLING_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait before each look at what was just written: AWS may show the old value for a moment."""


MOST = 5
"""So many of many things that went wrong are told."""

IN_DOUBT = ("started", "undo-started")
"""The last events of a change of which nobody knows whether, or how far, it was made or taken back."""

NOT_MADE = "The change was not made."

ROOM = 8 * 1024
"""Bytes that are kept in the journal for the error or the messages of each change."""


class StalePlan(RunbookError):
    """Something the plan rests on has changed since it was made; nothing was changed."""


class ApplyFailed(RunbookError):
    """Changes could not be made. What was done is in the journal of `folder`, to be resumed or undone."""

    def __init__(self, message: str, folder: Path) -> None:
        self.folder = folder
        super().__init__(message)


class PlanEdited(RunbookError):
    """The plan of a run says something else than the run's journal; nothing was done."""


class UndoRefused(RunbookError):
    """A resource is neither as the run left it nor as it was before; nothing was taken back."""


class UndoFailed(RunbookError):
    """A resource could not be put back; undoing again goes on from there."""


@dataclass(frozen=True)
class Run:
    """One execution of a plan. A preview has no changes made, and no folder unless somebody wanted the evidence.

    `told` is what happened on the way, a line each: what CloudFormation did to a stack's resources, for example.
    """

    plan: Plan
    applied: bool
    folder: Path | None
    changed: tuple[Change, ...] = ()
    told: Told = ()

    def __repr__(self) -> str:
        return "\n".join([self._head().replace("**", "").replace("`", ""), *self._lines(str)])

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def to_markdown(self) -> str:
        """Return what was done, and how to take it back."""
        return "\n".join([self._head(), *self._lines(markdown.plain)])

    def _lines(self, form: Callable[[str], str]) -> list[str]:
        """Return the events as a list; empty when there is nothing to tell."""
        return [*([""] if self.told else []), *(f"- {form(line)}" for line in self.told)]

    def _head(self) -> str:
        if not self.applied:
            more = "" if not self.plan.changes else " To make the changes, run again with `apply = True`."
            return f"**Preview: nothing was changed.** {self.plan.summary}{more}"
        if not self.changed:
            return f"**Applied: nothing was left to do.** {self.plan.summary}"
        made = f"**Applied: {markdown.count(len(self.changed), 'change')} made.**"
        if not self.folder:
            return made
        folder = shown(self.folder)
        return f"{made} Journal and plan: {untrusted.code(folder)}. To take it back: {commands.span('undo', folder)}"


# --- the run folder --------------------------------------------------------------------------------------------------


def new_folder(step: str, scenario: str, runs: Path | None = None) -> Path:
    """Make `runs/<time>-<step>-<scenario>/`, in UTC; a number is added when two runs start within a second."""
    runs = runs or project_root() / "runs"
    stem = "-".join(part for part in (f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", step, scenario) if part)
    for number in range(1, 10_000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            make_folder(folder)
        except FileExistsError:
            continue
        return folder
    raise RunbookError(f"{shown(runs)}: no name is left for {stem}.")


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Leave no run folder behind in which there is nothing, because what was to fill it failed or was stopped."""
    try:
        yield
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _last_events(plan: Plan, journal: Journal, standing: str) -> dict[int, dict[str, Any]]:
    """Return the last event of each change that was begun.

    Raises PlanEdited, saying how things stand, when the plan is not the one that the journal was begun with.
    """
    _refuse_edited(plan, journal, standing)
    events = journal.last_events()
    known = range(len(plan.changes))
    if not all(index in known and isinstance(each.get("left"), str | None) for index, each in events.items()):
        raise JournalDamaged(f"{shown(journal.path)}: does not fit the plan.json beside it. {REMEDY}")
    return events


def _room(changes: Iterable[Change]) -> int:
    """Maximum number of bytes that the journal of these changes needs until each is made or taken back."""
    texts = (json.dumps([change.before, change.after, change.resource.model_dump()]) for change in changes)
    return ROOM + sum(3 * len(text) + ROOM for text in texts)


# --- apply -----------------------------------------------------------------------------------------------------------


def apply(plan: Plan, environment: Environment, folder: Path, progress: Progress = silent) -> Run:
    """Make the plan's changes and journal each in `folder`: in order, but those of one kind together.

    When the folder's journal shows that this plan was begun before, goes on where it stopped. Raises AccountError when
    the credentials of an account of the plan belong to another one, and StalePlan when something observed has moved,
    both before any change. When a change cannot be made no other is begun, but for those of its kind if they are
    independent, and ApplyFailed is raised as soon as those under way are through.
    """
    _require_identities(environment, plan.changes, [each.resource.account for each in plan.observed], progress)
    refuse_cut_journal(folder)
    save_plan(plan, folder)
    journal = Journal(folder)
    with journal.exclusively(), told_in_words():
        events = _events(plan, journal)
        _refuse_stale(plan, environment, events, progress)
        return _make(plan, environment, journal, events, progress)


def apply_saved(
    saved: Plan,
    planned: Plan,
    environment: Environment,
    folder: Path,
    agreed: Callable[[Plan, Plan], None],
    progress: Progress = silent,
) -> Run:
    """Apply a plan that was read from a file, where `planned`, the same plan made again just now, does not differ.

    Anybody who can write the file can compute its fingerprint, so it is `planned` that is applied. When the folder's
    journal shows that the plan was begun before, `planned` holds what is left of it. Raises StalePlan with what differs
    before anything is written. Otherwise `agreed` is called before the first change, with the plan of the whole run and
    with `planned`.
    """
    refuse_cut_journal(folder)
    journal = Journal(folder)
    with journal.exclusively(), told_in_words():
        events = _events(saved, journal)
        _refuse_different(saved, planned, environment, events, progress)
        _require_identities(
            environment, planned.changes, [each.resource.account for each in planned.observed], progress
        )
        plan = saved if journal.read() else planned
        save_plan(plan, folder)
        agreed(plan, planned)
        return _make(plan, environment, journal, events, progress)


def _events(plan: Plan, journal: Journal) -> dict[int, str]:
    """The last event of every change that was begun. Raises PlanEdited when the plan is not that of the journal."""
    return {index: entry["event"] for index, entry in _last_events(plan, journal, "Nothing was changed").items()}


def _refuse_edited(plan: Plan, journal: Journal, standing: str) -> None:
    if found := saved_plan.contradictions(plan, journal.read()):
        head = (
            f"{shown(journal.path.parent)}: {standing}, because plan.json is not the plan that this run was begun "
            "with. Was it edited? Put it back as it was."
        )
        raise PlanEdited("\n\n".join([head, *markdown.first(found, MOST)]))


def _make(plan: Plan, environment: Environment, journal: Journal, events: Mapping[int, str], progress: Progress) -> Run:
    """Make the changes that are not made, and journal them. Raises ApplyFailed."""
    work, folder = _Work(environment, journal, len(plan.changes), progress), journal.path.parent
    begun = {index for index, event in events.items() if event != "undone"}
    work.journal.reserve(_room(plan.changes))
    work.journal.write("run-started", fingerprint=plan.fingerprint, changes=len(plan.changes), resumed=bool(begun))
    left = [index for index in range(len(plan.changes)) if index not in begun or events[index] != "done"]
    made = work.through(
        [(index, plan.changes[index]) for index in left],
        lambda index, change: work.make(index, change, in_doubt=index in begun),
        "changes made",
    )
    if work.failures:
        raise ApplyFailed(_failed(work.failures, folder, f"Changes made: {_standing(work.journal)}."), folder)
    try:
        work.journal.write("run-finished")
    except JournalNotWritten as error:
        said = "The changes were made, and the journal has each of them; it has no last line that says so."
        raise ApplyFailed(f"{error}\n{said}", folder) from None
    told = tuple(line for each in made for line in each.told)
    return Run(plan, True, folder, tuple(each.change for each in made), told)


def _require_identities(
    environment: Environment, changes: Iterable[Change], others: Iterable[str], progress: Progress
) -> None:
    """Raise AccountError unless the credentials of all these accounts are theirs, before a run begins on any of them.

    `others` are accounts that are only read. Every account is asked, so that all wrong ones are named at once.
    """
    accounts = {*others}.union(*(kind_of(change.resource).accounts(change) for change in changes))

    def problem(account: str) -> str:
        try:
            environment.identity(account)
        except AccountError as error:
            return str(error)
        return ""

    found = in_parallel(problem, sorted(accounts), what="identities verified", progress=progress)
    if problems := [each for each in found if each]:
        raise AccountError("\n\n".join(["Nothing was changed.", *markdown.first(problems, MOST)]))


@dataclass(frozen=True)
class _Made:
    """A change that was made, or taken back, and what there is to tell about it."""

    change: Change
    told: Told


@dataclass(frozen=True)
class _Failure:
    """Why a change, by its number in the plan, was not made or not taken back, and what is known of it now."""

    index: int
    resource: Resource
    why: str
    became: str
    thread: str

    def __str__(self) -> str:
        head = "" if self.why.startswith(str(self.resource)) else f"{self.resource}: "
        return f"{head}{self.why}\n{self.became}"

    @property
    def elsewhere(self) -> str:
        """The same wherever the same happened."""
        return f"{self.why}\n{self.became}".replace(self.resource.arn, "ARN").replace(self.resource.account, "ACCOUNT")


class _Work:
    """Changes being made, or taken back, several at a time.

    Once one of them has failed no more are begun, but for those of the same kind where these are independent.
    """

    def __init__(self, environment: Environment, journal: Journal, number: int, progress: Progress) -> None:
        self.journal = journal
        self.failures: list[_Failure] = []
        self._environment = environment
        self._number = number
        self._progress = progress
        self._finished = 0

    def through(
        self, changes: Sequence[tuple[int, Change]], function: Callable[[int, Change], _Made | None], what: str
    ) -> list[_Made]:
        """`function` of every change with its index, those of neighbours of a kind together; what was made.

        A key's policy stands before those of the buckets that it encrypts, so that order is kept between kinds.
        """
        made: list[_Made] = []
        for _, group in groupby(changes, key=lambda each: each[1].resource.kind):
            made += self._of_a_kind([each for each in group if not self._hangs_on_a_failure(each[1])], function, what)
        return made

    def _hangs_on_a_failure(self, change: Change) -> bool:
        """Whether a change may need one of an earlier kind that failed."""
        threads = {failure.thread for failure in self.failures}
        thread = kind_of(change.resource).thread(change)
        return bool(threads) and (not thread or thread in threads or "" in threads)

    def _of_a_kind(
        self, changes: Sequence[tuple[int, Change]], function: Callable[[int, Change], _Made | None], what: str
    ) -> list[_Made]:
        if not changes:
            return []
        independent, earlier = kind_of(changes[0][1].resource).independent, len(self.failures)

        def begun(each: tuple[int, Change]) -> _Made | None:
            return None if len(self.failures) > earlier and not independent else function(*each)

        outcomes = in_parallel(
            begun,
            changes,
            what=what,
            progress=lambda done, _of, what: self._progress(self._finished + done, self._number, what),
        )
        self._finished += len(changes)
        return [outcome for outcome in outcomes if outcome]

    def make(self, index: int, change: Change, *, in_doubt: bool) -> _Made | None:
        """Make one change; None when it failed, or when an interrupted run turns out to have made it already."""
        kind = kind_of(change.resource)

        def expected(present: str | None) -> bool:
            return same_json(present, change.before) or (in_doubt and between(change, present))

        try:
            if in_doubt:
                kind.tidy(self._environment, change)
                present = kind.read(self._environment, change.resource)
                if kind.made(change, present):
                    found = "it had been made before the interruption"
                    self.journal.write("done", index=index, left=present, found=found)
                    return None
        except Exception as error:  # noqa: BLE001 (told with everything else that failed)
            self._fail(index, change, error, "failed", begun=True)
            return None
        not_begun = {"event": "started" if in_doubt else "undone"}
        return self._replace(index, change, expected, "started", "done", not_begun)

    def take_back(self, index: int, change: Change, entry: Mapping[str, Any]) -> _Made | None:
        """Take one change back that is as `entry`, its last event, has left it; None when it failed."""
        kind = kind_of(change.resource)
        return self._replace(
            index,
            change.reversed(),
            lambda present: _as_left(kind, change, entry, present),
            "undo-started",
            "undone",
            {name: entry[name] for name in ("event", "left") if name in entry},
        )

    def _replace(
        self,
        index: int,
        change: Change,
        expected: Callable[[str | None], bool],
        begins: str,
        ends: str,
        not_begun: Mapping[str, Any],
    ) -> _Made | None:
        """Put `after` in the place of what is `expected`: announce it, look, write it, look at the result.

        The announcement is on disk before the look, so that nothing but the way to AWS lies between the look and the
        write: what somebody else writes in that moment would be lost, because there are no conditional writes. What
        was announced and then not begun is taken back in the journal, with the event `not_begun`.
        """
        kind, resource = kind_of(change.resource), change.resource
        announced = begun = False
        try:
            self.journal.write(
                begins, index=index, resource=resource.model_dump(), before=change.before, after=change.after
            )
            announced = True
            present = kind.read(self._environment, resource)
            if not expected(present):
                raise StalePlan(moved(resource, change.before, present))
            begun = True
            told = tuple(map(shown_once, kind.write(self._environment, change, self._report)))
            left = self._settled(kind, change)
            kept = [redact(line) for line in told]
            self.journal.write(ends, index=index, left=left, **({"told": kept} if kept else {}))
        except Exception as error:  # noqa: BLE001 (told with everything else that failed)
            if announced and not begun:
                details = {name: value for name, value in not_begun.items() if name != "event"}
                with suppress(JournalNotWritten):  # it stays announced: the next command looks whether it was made
                    self.journal.write(not_begun["event"], index=index, found="it was not begun", **details)
            self._fail(index, change, error, "failed" if begins == "started" else "undo-failed", begun=begun)
            return None
        return _Made(change, told)

    def _settled(self, kind: Kind, change: Change) -> str | None:
        """What is there after a write, once it is what was written."""
        left = None
        for seconds in SETTLING_SECONDS:
            time.sleep(seconds)
            left = kind.read(self._environment, change.resource)
            if kind.made(change, left):
                return left
        raise RunbookError(
            f"AWS accepted what was written, but shows something else: it has not settled yet, or somebody else wrote "
            f"at the same moment. {moved(change.resource, change.after, left)}"
        )

    def _fail(self, index: int, change: Change, error: Exception, event: str, *, begun: bool) -> None:
        why = in_words(error) or redact(str(error)) or type(error).__name__
        became = _what_became(self._environment, change) if begun else NOT_MADE
        try:
            self.journal.write(event, index=index, error=f"{type(error).__name__}: {why}")
        except JournalNotWritten as unwritten:
            if not isinstance(error, JournalNotWritten):
                why = f"{why}\n{unwritten}"
        if begun and isinstance(error, JournalNotWritten):
            became = f"{became} The journal announces it, but does not say how it ended."
        self.failures.append(_Failure(index, change.resource, why, became, kind_of(change.resource).thread(change)))

    def _report(self, what: str) -> None:
        self._progress(0, 0, what)


def _failed(failures: Sequence[_Failure], folder: Path, standing: str, *, undoing: bool = False) -> str:
    """What went wrong, what stands, and how to go on.

    What went wrong with many in the same way is told once, and of which.
    """
    apply_again, undo_again = (commands.span(verb, shown(folder)) for verb in ("apply", "undo"))
    way = f"{apply_again} goes on from here, with what is not made yet; {undo_again} takes all of it back."
    if undoing:
        way = f"{undo_again} goes on from here."
    alike: dict[str, list[_Failure]] = {}
    for failure in sorted(failures, key=lambda each: each.index):
        alike.setdefault(failure.elsewhere, []).append(failure)
    told = [_told(group) for group in alike.values()]
    number = f"{markdown.count(len(failures), 'change')} failed. " if len(failures) > 1 else ""
    return "\n".join([*told, f"{number}{standing} {way}"])


def _told(failures: Sequence[_Failure]) -> str:
    """The first of failures that are alike, and the accounts and names of the others."""
    others = [f"{each.resource.account} {each.resource.name}" for each in failures[1:]]
    return "\n".join([str(failures[0]), *([f"The same of: {', '.join(others)}."] if others else [])])


def _standing(journal: Journal) -> str:
    """Return the number of changes that are made and stand, as far as the journal can be read."""
    try:
        return str([entry["event"] for entry in journal.last_events().values()].count("done"))
    except RunbookError as error:
        return f"unknown, because the journal cannot be read: {error}"


def _what_became(environment: Environment, change: Change) -> str:
    """After an error in the middle of a change, the truth as far as it can be seen."""
    kind = kind_of(change.resource)
    try:
        present = kind.read(environment, change.resource)
    except Exception:  # noqa: BLE001 (whatever keeps us from looking, the answer is the same)
        return "Whether the change was made could not be seen."
    if kind.made(change, present):
        return "The change was made all the same."
    return "The change was made in part." if kind.in_part(change, present) else NOT_MADE


def save_plan(plan: Plan, folder: Path) -> None:
    """Write `plan.json` and `plan.md`. Raises ParameterError when the folder has the journal of another plan.

    Undo lives on `plan.json`: it appears whole or not at all, and is not written again.
    """
    if not folder.is_dir():
        make_folder(folder)
    file, text = folder / "plan.json", plan.to_json()
    if _saved(folder) != plan:
        if Journal(folder).read():
            raise ParameterError([f"{shown(folder)}: holds the run of another plan. Start one in another folder."])
        if len(text) > LARGEST:
            raise FileError(file, f"would be larger than {LARGEST:,} bytes. Divide the plan, for example by account.")
        write_text(file, text)
    write_text(folder / "plan.md", markdown.gate(plan.to_markdown(most=len(plan.changes))) + "\n")


def _saved(folder: Path) -> Plan | None:
    """Return the plan in a run folder; None where there is none that can be read."""
    try:
        return Plan.load(folder)
    except ParameterError:
        return None


def _refuse_stale(plan: Plan, environment: Environment, events: Mapping[int, str], progress: Progress) -> None:
    """Read again everything that the plan observed, and raise StalePlan with the differences when it has moved.

    `events` says which changes an earlier run has begun: those it finished have to be there still, those it was at when
    it stopped may be there or not.
    """

    def look(index: int) -> str | None:
        change, event = plan.changes[index], events.get(index, "undone")
        kind = kind_of(change.resource)
        present = kind.read(environment, change.resource)
        made = event != "undone" and kind.made(change, present)
        not_made = event != "done" and same_json(present, change.before)
        in_part = event in IN_DOUBT and between(change, present)
        if made or not_made or in_part:
            return None
        difference = moved(change.resource, change.after if event == "done" else change.before, present)
        return f"{_NOT_OURS}\n{difference}" if event == "undone" and kind.made(change, present) else difference

    found = in_parallel(look, range(len(plan.changes)), what="looked at again", progress=progress)
    differing = [difference for difference in found if difference]
    differing += _moved_observations(plan.observed, environment)
    if differing:
        raise StalePlan("\n\n".join([_out_of_date(events), *markdown.first(differing, MOST)]))


_NOT_OURS = (
    "This is in place already, but the journal of this run does not say that the run made it: another run or somebody "
    "else did, or the journal was cut."
)


def _refuse_different(
    saved: Plan, planned: Plan, environment: Environment, events: Mapping[int, str], progress: Progress
) -> None:
    """Raise StalePlan with all that differs between a saved plan, or what is left of it, and the plan made again."""
    begun = sorted(index for index, event in events.items() if event != "undone")
    if not begun:
        differing = saved_plan.differences(saved, planned)
    else:
        again = {change.resource: change for change in planned.changes}

        def look(index: int) -> str | None:
            """The present value: planning has just read it, unless it has nothing to change there."""
            resource = saved.changes[index].resource
            change = again.get(resource)
            return change.before if change else kind_of(resource).read(environment, resource)

        present = in_parallel(look, begun, what="looked at again", progress=progress)
        in_doubt = [index for index in begun if events[index] in IN_DOUBT]
        differing = saved_plan.differences_of_rest(saved, planned, dict(zip(begun, present, strict=True)), in_doubt)
        differing += _moved_observations(saved.observed, environment)
    if differing:
        why = "Planning again from its parameters gives another plan. If nothing has moved, plan.json was edited."
        raise StalePlan("\n\n".join([f"{_out_of_date(events)} {why}", *markdown.first(differing, MOST)]))


def _moved_observations(observed: Sequence[Observation], environment: Environment) -> list[str]:
    """Return the values that a plan rests on without changing them, and that have changed."""
    found = ((each, reader_of(each.resource).read(environment, each.resource)) for each in observed)
    return [moved(each.resource, each.value, present) for each, present in found if not same_json(present, each.value)]


def _out_of_date(events: Mapping[int, str]) -> str:
    standing = [event for event in events.values() if event != "undone"]
    if not standing:
        return "The plan is out of date, and nothing was changed. Make it again."
    return (
        f"The plan is out of date, and nothing more was changed. {markdown.count(len(standing), 'change')} of "
        "this run were begun before and stand: undo them, or put right what has moved, before a new plan."
    )


def in_place(
    plan: Plan, environment: Environment, known: Mapping[Resource, str | None], progress: Progress = silent
) -> list[Check]:
    """Look once more, at the end: is everything that the plan was to change there?

    `known` are values that were read after the apply; the others are read.
    """

    named = Counter(change.name for change in plan.changes)

    def look(change: Change) -> Check:
        title, kind = "The change is in place", kind_of(change.resource)
        subject = change.name if named[change.name] == 1 else f"{change.name} of {change.resource.account}"
        resource = change.resource
        present = known[resource] if resource in known else kind.read(environment, resource)
        if kind.made(change, present):
            return Check(title, subject, Status.OK, "Yes.")
        return Check(title, subject, Status.FAILED, f"No. {moved(change.resource, change.after, present)}")

    return in_parallel(look, plan.changes, what="looked at again", progress=progress)


# --- undo ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undone:
    """What was put back, what was already as before the run, what no longer exists, and what was left on request.

    `unaccounted` are changes of the plan that stand or may stand, without the journal saying that the run made them.
    `told` is what happened on the way, a line each.
    """

    restored: tuple[Change, ...]
    untouched: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    left: tuple[Change, ...] = ()
    told: Told = ()
    unaccounted: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """A line for each resource."""
        became = {
            "put back as it was": self.restored,
            "was already as before": self.untouched,
            "no longer exists": self.gone,
            "left as it is now": self.left,
        }
        lines = [
            f"{change.resource.account} {untrusted.text(change.name)}: {what}"
            for what, all_ in became.items()
            for change in all_
        ]
        return "\n".join(
            [*lines, *self.told, *self.unaccounted]
            or ["There is nothing to take back: the run made no changes, or they were taken back before."]
        )


def undo(
    folder: Path,
    environment: Environment,
    leave: Collection[str] = (),
    progress: Progress = silent,
    confirm: Callable[[PutBack], None] = lambda _: None,
) -> Undone:
    """Put back, last change first, what the run in `folder` found, to the letter; not on the ARNs in `leave`.

    `confirm` gets all that is going to be done before anything is, and raises to prevent it. Raises AccountError,
    PlanEdited and UndoRefused, before anything is put back, when the credentials of an account belong to another one,
    when the plan is not that of the journal, when a resource was changed by someone else since or cannot be read, and
    UndoFailed when it stops half-way: undoing again goes on from there.
    """
    with _undoing(folder, environment, leave, progress) as going:
        plan, looks, unaccounted = going.plan, going.looks, going.unaccounted
        confirm(_put_back(plan, looks))
        _tidy(plan, going.events, looks, environment, progress)
        found = {index: look.outcome for index, look in looks.items()}
        going.work.journal.reserve(_room(plan.changes[index] for index in going.events))
        told = (*_take_back(plan, going.events, found, going.work), *going.moved)
    try:
        record(folder, {"status": "partly undone" if unaccounted or "leave" in found.values() else "undone"})
    except RunbookError as error:
        raise UndoFailed(f"{error}\nWhat had to be taken back was, and the journal says so.") from None
    became = [tuple(plan.changes[index] for index in found if found[index] == what) for what in _EXPECTED]
    restored, untouched, gone, left = became
    return Undone(restored, untouched, gone, left, told, unaccounted)


def preview_undo(
    folder: Path, environment: Environment, leave: Collection[str] = (), progress: Progress = silent
) -> PutBack:
    """Return all that `undo` would do now. Changes nothing; raises as `undo` does."""
    with _undoing(folder, environment, leave, progress) as going:
        return _put_back(going.plan, going.looks)


@dataclass(frozen=True)
class _Look:
    """The outcome of looking at a resource before an undo, one of _EXPECTED or the reason to refuse; its value."""

    outcome: str
    present: str | None = None


@dataclass(frozen=True)
class _Undoing:
    """An undo before its first change: the plan, the last event of each change that stands, and what was found.

    `unaccounted` and `moved` are lines about changes that the journal does not account for.
    """

    plan: Plan
    events: Mapping[int, dict[str, Any]]
    looks: Mapping[int, _Look]
    work: _Work
    unaccounted: tuple[str, ...]
    moved: tuple[str, ...]


@contextmanager
def _undoing(folder: Path, environment: Environment, leave: Collection[str], progress: Progress) -> Iterator[_Undoing]:
    """Keep other commands from the run, and look at every resource that it has begun to change.

    Raises as `undo` does before anything is put back.
    """
    environment.works_in(folder)
    plan, journal = Plan.load(folder), Journal(folder)
    if not journal.exists():
        raise ParameterError(
            [f"{shown(folder)}: has no journal, `{journal.path.name}`. Its plan was not applied, or it was deleted."]
        )
    if unknown := set(leave) - {change.resource.arn for change in plan.changes}:
        raise ParameterError([f"{shown(folder)}: its plan does not change {', '.join(sorted(unknown))}."])
    refuse_cut_journal(folder)
    with journal.exclusively(), told_in_words():
        last = _last_events(plan, journal, "Nothing was taken back")
        events = {index: entry for index, entry in last.items() if entry["event"] != "undone"}
        begun = sorted(events)
        changes = (plan.changes[index] for index in begun)
        _require_identities(environment, (each for each in changes if each.resource.arn not in leave), (), progress)
        looks = in_parallel(
            lambda index: _look(plan.changes[index], events[index], environment, leave),
            begun,
            what="looked at",
            progress=progress,
        )
        _refuse_undo([look.outcome for look in looks if look.outcome not in _EXPECTED])
        others = [index for index in range(len(plan.changes)) if index not in events]
        unaccounted, not_as_before = _unaccounted(plan, others, last, environment, leave, progress)
        work = _Work(environment, journal, len(begun), progress)
        yield _Undoing(plan, events, dict(zip(begun, looks, strict=True)), work, unaccounted, not_as_before)


def _refuse_undo(reasons: Sequence[str]) -> None:
    if not reasons:
        return
    raise UndoRefused(
        "\n\n".join(
            [
                "Nothing was taken back. Since the run, someone else changed what undo would overwrite:",
                *markdown.first(reasons, MOST),
                "Put it back as the run left it and undo again; or leave it out with `--leave ARN`, and take "
                "the run's statements out of it by hand.",
            ]
        )
    )


def _put_back(plan: Plan, looks: Mapping[int, _Look]) -> PutBack:
    """All that an undo is going to do."""
    present = {index: look.present for index, look in looks.items() if look.outcome == "restore"}
    others = [(plan.changes[index], _NOTHING[look.outcome]) for index, look in looks.items() if index not in present]
    return PutBack.of(plan, present, others)


_NOTHING = {
    "untouched": "is as before the run.",
    "gone": "does not exist any more.",
    "leave": "stays as it is now, as you asked.",
}


def _tidy(
    plan: Plan,
    events: Mapping[int, Mapping[str, Any]],
    looks: Mapping[int, _Look],
    environment: Environment,
    progress: Progress,
) -> None:
    """Take away what writes that were cut off may have left beside their resources. Raises UndoRefused."""

    def tidied(index: int) -> str:
        change = plan.changes[index]
        try:
            kind_of(change.resource).tidy(environment, change)
        except Exception as error:  # noqa: BLE001 (told, with everything else that stands against it)
            return f"{change.resource} cannot be read. {in_words(error) or redact(str(error))}"
        return ""

    to_tidy = [i for i, look in looks.items() if events[i]["event"] != "done" and look.outcome in _TO_TIDY]
    _refuse_undo([why for why in in_parallel(tidied, to_tidy, what="looked at", progress=progress) if why])


_TO_TIDY = ("restore", "untouched")

_EXPECTED = ("restore", "untouched", "gone", "leave")
"""What `_look` may find before an undo; anything else is the reason for which it is refused."""


def _take_back(plan: Plan, events: Mapping[int, dict[str, Any]], found: Mapping[int, str], work: _Work) -> Told:
    """Do what was found that has to be done, and answer with what there is to tell of it. Raises UndoFailed."""
    for index in found:
        if found[index] in ("untouched", "gone"):
            work.journal.write("undone", index=index, found=found[index])
    restored = work.through(
        [(index, plan.changes[index]) for index in sorted(found, reverse=True) if found[index] == "restore"],
        lambda index, change: work.take_back(index, change, events[index]),
        "changes taken back",
    )
    if work.failures:
        folder = work.journal.path.parent
        said = _failed(work.failures, folder, f"Taken back: {markdown.count(len(restored), 'change')}.", undoing=True)
        try:
            record(folder, {"status": "undo-failed"})
        except RunbookError as error:
            said = f"{said}\n{error}"
        raise UndoFailed(said)
    return tuple(line for each in restored for line in each.told)


def _unaccounted(
    plan: Plan,
    others: Sequence[int],
    last: Mapping[int, Mapping[str, Any]],
    environment: Environment,
    leave: Collection[str],
    progress: Progress,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each change that the journal knows nothing of, or as undone, and that stands all the same.

    A journal that was cut between two lines reads as one of a run that came no further: only AWS knows better. Then, a
    line for each resource that was never announced and is neither as before nor as planned.
    """

    def look(index: int) -> tuple[str, str]:
        change = plan.changes[index]
        kind, named = kind_of(change.resource), f"{change.resource.account} {change.name}"
        not_said = "but the journal does not say that this run made it"
        if change.resource.arn in leave:
            return "", ""
        try:
            present = kind.read(environment, change.resource)
        except ResourceGone:
            return "", ""
        except Exception as error:  # noqa: BLE001 (told: nobody knows)
            why = in_words(error) or redact(str(error))
            return f"{named}: cannot be read, so that nobody knows whether it is as before the run. {why}", ""
        if same_json(present, change.before) or kind.made(change.reversed(), present):
            return "", ""
        if kind.made(change, present) or kind.in_part(change, present):
            why = "Another run may have, or the journal was cut. It was left as it is now."
            return f"{named}: stands as planned, {not_said}. {why}", ""
        return "", "" if index in last else f"{named}: is not as before the run, {not_said}. It was left as it is now."

    found = in_parallel(look, others, what="looked at", progress=progress)
    return tuple(one for one, _ in found if one), tuple(other for _, other in found if other)


def _look(change: Change, entry: Mapping[str, Any], environment: Environment, leave: Collection[str]) -> _Look:
    """Return the outcome that undo has for one resource, or the reason to refuse it. Reads only."""
    if change.resource.arn in leave:
        return _Look("leave")
    kind = kind_of(change.resource)
    try:
        present = kind.read(environment, change.resource)
    except ResourceGone:
        return _Look("gone")
    except Exception as error:  # noqa: BLE001 (told, with everything else that stands against it)
        return _Look(f"{change.resource} cannot be read. {in_words(error) or redact(str(error))}")
    if same_json(present, change.before):
        return _Look("untouched")
    if _as_left(kind, change, entry, present):
        return _Look("restore", present)
    return _Look(moved(change.resource, change.after, present))


def _as_left(kind: Kind, change: Change, entry: Mapping[str, Any], present: str | None) -> bool:
    """Whether a resource is as the run left it: to the letter where that was seen, else by meaning, or in part.

    What was made whole may be so in part by now without anybody's doing: an account that joined an OU is connected as
    well, or is not yet.
    """
    if "left" in entry:
        return same_json(present, entry["left"]) or kind.in_part(change, present)
    return kind.made(change, present) or (entry["event"] in IN_DOUBT and between(change, present))
