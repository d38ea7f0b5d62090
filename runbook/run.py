"""Applies a plan change by change, journals it, goes on after an interruption, and takes it back.

Everything here works from the plan's data alone: a plan that was saved yesterday, or by CI, applies the same way.
Changes of a kind do not depend on each other and are made several at a time. Where a kind calls them independent, one
that cannot be made does not keep the others from being made either. Of kinds that come after it only those changes are
begun that hang on another thread: the subscription of another queue, for example.
"""

import fcntl
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from runbook import markdown, untrusted
from runbook.aws.kinds import Kind, ResourceGone, Told, kind_of, reader_of, same_json
from runbook.aws_errors import in_words, told_in_words
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, project_root, shown
from runbook.plan import Change, Plan, Resource
from runbook.policy import document
from runbook.progress import Progress, in_parallel, silent

SETTLING_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait before each look at what was just written: AWS may show the old value for a moment."""


MOST = 5
"""So many of many things that went wrong are told."""

IN_DOUBT = ("started", "undo-started")
"""The last events of a change of which nobody knows whether, or how far, it was made or taken back."""

NOT_MADE = "The change was not made."


class StalePlan(RunbookError):
    """Something the plan rests on has changed since it was made; nothing was changed."""


class ApplyFailed(RunbookError):
    """Changes could not be made. What was done is in the journal of `folder`, to be resumed or undone."""

    def __init__(self, message: str, folder: Path) -> None:
        self.folder = folder
        super().__init__(message)


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
        return self.to_markdown().replace("**", "").replace("`", "")

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def to_markdown(self) -> str:
        """What was done, and how to take it back."""
        if not self.applied:
            more = "" if not self.plan.changes else " To make the changes, run again with `apply = True`."
            return f"**Preview: nothing was changed.** {self.plan.summary}{more}"
        if not self.changed:
            return f"**Applied: nothing was left to do.** {self.plan.summary}"
        folder = shown(self.folder) if self.folder else ""
        made = f"**Applied: {markdown.count(len(self.changed), 'change')} made.**"
        head = f"{made} Journal and plan: `{folder}`. To take it back: `runbook undo {folder}`"
        return "\n".join([head, *([""] if self.told else []), *(f"- {markdown.plain(line)}" for line in self.told)])


# --- the run folder --------------------------------------------------------------------------------------------------


def new_folder(step: str, scenario: str, runs: Path | None = None) -> Path:
    """Make `runs/<time>-<step>-<scenario>/`, in UTC; a number is added when two runs start within a second."""
    runs = runs or project_root() / "runs"
    stem = "-".join(part for part in (f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", step, scenario) if part)
    for number in range(1, 10_000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise RunbookError(f"{shown(runs)}: no name is left for {stem}.")


def record(folder: Path, values: Mapping[str, Any]) -> None:
    """Put `values` into the folder's `result.json`, which keeps what it had: when the run started, what was checked."""
    folder.mkdir(parents=True, exist_ok=True)
    file, now = folder / "result.json", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"started": now}
    text = json.dumps({**before, "updated": now, **values}, indent=2, ensure_ascii=False) + "\n"
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


class Journal:
    """`journal.jsonl`: one JSON object a line, on disk before the call that it announces is made."""

    def __init__(self, folder: Path, name: str = "journal.jsonl") -> None:
        self.path = folder / name
        self._lock = threading.Lock()

    @contextmanager
    def exclusively(self) -> Iterator[int]:
        """Keep every other command from this run. Raises RunbookError when one is at it already.

        That ends when the file descriptor is closed here, and in every process that has been handed it. A last line
        that a crash cut off is taken away: what it would have announced was never done.
        """
        with self.path.open("ab+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunbookError(f"{shown(self.path.parent)}: another command is working on this run.") from None
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            yield file.fileno()

    def write(self, event: str, **details: Any) -> None:
        """Append an event and wait until the disk has it. Several threads may do so at a time."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details}
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with self.path.open("ab", buffering=0) as file:
            with self._lock:
                file.write(line)
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All events so far, without a last line that was cut off. Raises RunbookError for a damaged one."""
        if not self.path.exists():
            return []
        events = []
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
            if not line.endswith("\n"):
                break
            try:
                events.append(json.loads(line))
            except ValueError:
                raise RunbookError(f"{shown(self.path)}, line {number}: is damaged. Was it edited?") from None
        return events

    def last_events(self) -> dict[int, dict[str, Any]]:
        """For each change that was begun, by its number, the last thing that happened to it.

        `started` and `undo-started` mean that nobody knows whether the call was carried out.
        """
        steps = ("started", "done", "undo-started", "undone")
        return {entry["index"]: entry for entry in self.read() if entry["event"] in steps}


# --- apply -----------------------------------------------------------------------------------------------------------


def apply(plan: Plan, environment: Environment, folder: Path, progress: Progress = silent) -> Run:
    """Make the plan's changes and journal each in `folder`: in order, but those of one kind together.

    When the folder's journal shows that this plan was begun before, goes on where it stopped. Raises StalePlan before
    any change when something observed has moved. When a change cannot be made no other is begun, but for those of its
    kind if they are independent, and ApplyFailed is raised as soon as those under way are through.
    """
    save_plan(plan, folder)
    work = _Work(environment, Journal(folder), len(plan.changes), progress)
    with work.journal.exclusively(), told_in_words():
        events = work.journal.last_events()
        _refuse_stale(plan, environment, {index: entry["event"] for index, entry in events.items()}, progress)
        begun = {index for index in events if events[index]["event"] != "undone"}
        work.journal.write("run-started", fingerprint=plan.fingerprint, changes=len(plan.changes), resumed=bool(begun))
        left = [index for index in range(len(plan.changes)) if index not in begun or events[index]["event"] != "done"]
        made = work.through(
            [(index, plan.changes[index]) for index in left],
            lambda index, change: work.make(index, change, in_doubt=index in begun),
            "changes made",
        )
        if work.failures:
            raise ApplyFailed(_failed(work.failures, folder, f"Changes made: {_standing(work.journal)}."), folder)
        work.journal.write("run-finished")
    told = tuple(line for each in made for line in each.told)
    return Run(plan, True, folder, tuple(each.change for each in made), told)


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
            return same_json(present, change.before) or (in_doubt and _between(kind, change, present))

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
        kind, resource, begun = kind_of(change.resource), change.resource, False
        try:
            self.journal.write(
                begins, index=index, resource=resource.model_dump(), before=change.before, after=change.after
            )
            present = kind.read(self._environment, resource)
            if not expected(present):
                raise StalePlan(_moved(resource, change.before, present))
            begun = True
            told = kind.write(self._environment, change, self._report)
            left = self._settled(kind, change)
            self.journal.write(ends, index=index, left=left, **({"told": told} if told else {}))
        except Exception as error:  # noqa: BLE001 (told with everything else that failed)
            if not begun:
                details = {name: value for name, value in not_begun.items() if name != "event"}
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
            f"at the same moment. {_moved(change.resource, change.after, left)}"
        )

    def _fail(self, index: int, change: Change, error: Exception, event: str, *, begun: bool) -> None:
        why = in_words(error) or str(error) or type(error).__name__
        self.journal.write(event, index=index, error=f"{type(error).__name__}: {why}")
        became = _what_became(self._environment, change) if begun else NOT_MADE
        self.failures.append(_Failure(index, change.resource, why, became, kind_of(change.resource).thread(change)))

    def _report(self, what: str) -> None:
        self._progress(0, 0, what)


def _failed(failures: Sequence[_Failure], folder: Path, standing: str, *, undoing: bool = False) -> str:
    """What went wrong, what stands, and how to go on.

    What went wrong with many in the same way is told once, and of which.
    """
    apply_again, undo_again = f"`runbook apply {shown(folder)}`", f"`runbook undo {shown(folder)}`"
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


def _standing(journal: Journal) -> int:
    """How many changes are made and stand."""
    return [entry["event"] for entry in journal.last_events().values()].count("done")


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


def _between(kind: Kind, change: Change, present: str | None) -> bool:
    """Whether a change, nobody knows how far it came, was made in part, or taken back in part."""
    return kind.in_part(change, present) or kind.in_part(change.reversed(), present)


def save_plan(plan: Plan, folder: Path) -> None:
    """Write `plan.json` and `plan.md`. Raises ParameterError when the folder has the journal of another plan.

    Undo lives on `plan.json`: it appears whole or not at all, and is not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "plan.json"
    if file.exists():
        if file.read_text(encoding="utf-8") == plan.to_json():
            return
        if Journal(folder).read():
            raise ParameterError([f"{shown(folder)}: holds the run of another plan. Start one in another folder."])
    part = file.with_suffix(".part")
    part.write_text(plan.to_json(), encoding="utf-8")
    part.replace(file)
    (folder / "plan.md").write_text(markdown.gate(plan.to_markdown(most=len(plan.changes))) + "\n", encoding="utf-8")


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
        in_part = event in IN_DOUBT and _between(kind, change, present)
        if made or not_made or in_part:
            return None
        return _moved(change.resource, change.after if event == "done" else change.before, present)

    found = in_parallel(look, range(len(plan.changes)), what="looked at again", progress=progress)
    moved = [difference for difference in found if difference]
    for observation in plan.observed:
        present = reader_of(observation.resource).read(environment, observation.resource)
        if not same_json(present, observation.value):
            moved.append(_moved(observation.resource, observation.value, present))
    if moved:
        standing = [event for event in events.values() if event != "undone"]
        head = "The plan is out of date, and nothing was changed. Make it again."
        if standing:
            head = (
                f"The plan is out of date, and nothing more was changed. {markdown.count(len(standing), 'change')} of "
                "this run were begun before and stand: undo them, or put right what has moved, before a new plan."
            )
        raise StalePlan("\n\n".join([head, *markdown.first(moved, MOST)]))


def _moved(resource: Resource, expected: str | None, present: str | None) -> str:
    difference = document.difference(expected, present, name=resource.kind, sides=("expected", "found"))
    return f"{resource} is not as expected:\n{difference}"


def in_place(plan: Plan, environment: Environment, progress: Progress = silent) -> list[Check]:
    """Look once more, at the end: is everything that the plan was to change there?"""

    named = Counter(change.name for change in plan.changes)

    def look(change: Change) -> Check:
        title, kind = "The change is in place", kind_of(change.resource)
        subject = change.name if named[change.name] == 1 else f"{change.name} of {change.resource.account}"
        present = kind.read(environment, change.resource)
        if kind.made(change, present):
            return Check(title, subject, Status.OK, "Yes.")
        return Check(title, subject, Status.FAILED, f"No. {_moved(change.resource, change.after, present)}")

    return in_parallel(look, plan.changes, what="looked at again", progress=progress)


# --- undo ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undone:
    """What was put back, what was already as before the run, what no longer exists, and what was left on request.

    `told` is what happened on the way, a line each.
    """

    restored: tuple[Change, ...]
    untouched: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    left: tuple[Change, ...] = ()
    told: Told = ()

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
            [*lines, *self.told]
            or ["There is nothing to take back: the run made no changes, or they were taken back before."]
        )


def undo(folder: Path, environment: Environment, leave: Collection[str] = (), progress: Progress = silent) -> Undone:
    """Put back, last change first, what the run in `folder` found, to the letter; not on the ARNs in `leave`.

    Raises UndoRefused, before anything is put back, when a resource was changed by someone else since or cannot be
    read, and UndoFailed when it stops half-way: undoing again goes on from there.
    """
    plan, journal = Plan.load(folder), Journal(folder)
    if not journal.path.exists():
        raise ParameterError(
            [f"{shown(folder)}: has no journal. Its plan was not applied, or the journal was deleted."]
        )
    if unknown := set(leave) - {change.resource.arn for change in plan.changes}:
        raise ParameterError([f"{shown(folder)}: its plan does not change {', '.join(sorted(unknown))}."])
    with journal.exclusively(), told_in_words():
        events = {index: entry for index, entry in journal.last_events().items() if entry["event"] != "undone"}
        begun = sorted(events)
        looks = in_parallel(
            lambda index: _look(plan.changes[index], events[index], environment, leave),
            begun,
            what="looked at",
            progress=progress,
        )
        found = dict(zip(begun, looks, strict=True))
        if refused := [told for told in looks if told not in _EXPECTED]:
            raise UndoRefused(
                "\n\n".join(
                    [
                        "Nothing was taken back. Since the run, someone else changed what undo would overwrite:",
                        *markdown.first(refused, MOST),
                        "Put it back as the run left it and undo again; or leave it out with `--leave ARN`, and take "
                        "the run's statements out of it by hand.",
                    ]
                )
            )
        told = _take_back(plan, events, found, _Work(environment, journal, len(begun), progress))
    record(folder, {"status": "partly undone" if "leave" in found.values() else "undone"})
    became = [tuple(plan.changes[index] for index in found if found[index] == what) for what in _EXPECTED]
    restored, untouched, gone, left = became
    return Undone(restored, untouched, gone, left, told)


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
        record(folder, {"status": "undo-failed"})
        raise UndoFailed(
            _failed(work.failures, folder, f"Taken back: {markdown.count(len(restored), 'change')}.", undoing=True)
        )
    return tuple(line for each in restored for line in each.told)


def _look(change: Change, entry: Mapping[str, Any], environment: Environment, leave: Collection[str]) -> str:
    """What undo has to do on one resource, or why it must not do anything."""
    if change.resource.arn in leave:
        return "leave"
    kind = kind_of(change.resource)
    try:
        if entry["event"] != "done":
            kind.tidy(environment, change)
        present = kind.read(environment, change.resource)
    except ResourceGone:
        return "gone"
    except Exception as error:  # noqa: BLE001 (told, with everything else that stands against it)
        return f"{change.resource} cannot be read. {in_words(error) or error}"
    if same_json(present, change.before):
        return "untouched"
    return "restore" if _as_left(kind, change, entry, present) else _moved(change.resource, change.after, present)


def _as_left(kind: Kind, change: Change, entry: Mapping[str, Any], present: str | None) -> bool:
    """Whether a resource is as the run left it: to the letter where that was seen, else by meaning, or in part.

    What was made whole may be so in part by now without anybody's doing: an account that joined an OU is connected as
    well, or is not yet.
    """
    if "left" in entry:
        return same_json(present, entry["left"]) or kind.in_part(change, present)
    return kind.made(change, present) or (entry["event"] in IN_DOUBT and _between(kind, change, present))
