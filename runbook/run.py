"""Applies a plan change by change, journals it, goes on after an interruption, and takes it back.

Everything here works from the plan's data alone: a plan that was saved yesterday, or by CI, applies the same way.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.aws.kinds import Kind, ResourceGone, kind_of, reader_of, same_json
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, project_root, shown
from runbook.plan import Change, Plan, Resource
from runbook.policy import document

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what) as changes are made."""

SETTLING_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait before each look at what was just written: AWS may show the old value for a moment."""


class StalePlan(RunbookError):
    """Something the plan rests on has changed since it was made; nothing was changed."""


class ApplyFailed(RunbookError):
    """A change could not be made. What was done before it is in the journal of `folder`, to be resumed or undone."""

    def __init__(self, message: str, folder: Path) -> None:
        self.folder = folder
        super().__init__(message)


class UndoRefused(RunbookError):
    """A resource is neither as the run left it nor as it was before; nothing was taken back."""


class UndoFailed(RunbookError):
    """A resource could not be put back; undoing again goes on from there."""


@dataclass(frozen=True)
class Run:
    """One execution of a plan. A preview has no changes made, and no folder unless somebody wanted the evidence."""

    plan: Plan
    applied: bool
    folder: Path | None
    changed: tuple[Change, ...] = ()

    def __repr__(self) -> str:
        return self._repr_markdown_().replace("**", "").replace("`", "")

    def _repr_markdown_(self) -> str:
        if not self.applied:
            more = "" if not self.plan.changes else " To make the changes, run again with `apply = True`."
            return f"**Preview: nothing was changed.** {self.plan.summary}{more}"
        if not self.changed:
            return f"**Applied: nothing was left to do.** {self.plan.summary}"
        folder = shown(self.folder) if self.folder else ""
        made = f"**Applied: {markdown.count(len(self.changed), 'change')} made.**"
        return f"{made} Journal and plan: `{folder}`. To take it back: `runbook undo {folder}`"


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

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep every other command from this run. Raises RunbookError when one is at it already.

        A last line that a crash cut off is taken away: what it would have announced was never done.
        """
        with self.path.open("ab+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunbookError(f"{shown(self.path.parent)}: another command is working on this run.") from None
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            yield

    def write(self, event: str, **details: Any) -> None:
        """Append an event and wait until the disk has it."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
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


def apply(plan: Plan, environment: Environment, folder: Path, progress: Progress | None = None) -> Run:
    """Make the plan's changes, in order, and journal each in `folder`.

    When the folder's journal shows that this plan was begun before, goes on where it stopped. Raises StalePlan before
    any change when something observed has moved, and ApplyFailed at the first change that cannot be made.
    """
    save_plan(plan, folder)
    journal = Journal(folder)
    made = []
    with journal.exclusively():
        events = {index: entry["event"] for index, entry in journal.last_events().items()}
        _refuse_stale(plan, environment, events)
        journal.write("run-started", fingerprint=plan.fingerprint, changes=len(plan.changes), resumed=bool(events))
        for index, change in enumerate(plan.changes):
            if progress:
                progress(index, len(plan.changes), change.summary)
            if events.get(index) != "done" and _make(index, change, environment, journal):
                made.append(change)
        journal.write("run-finished")
    if progress:
        progress(len(plan.changes), len(plan.changes), "done")
    return Run(plan, True, folder, tuple(made))


def _make(index: int, change: Change, environment: Environment, journal: Journal) -> bool:
    """Make one change; False when an interrupted run turns out to have made it already."""
    kind, resource, folder = kind_of(change.resource), change.resource, journal.path.parent
    in_doubt = index in journal.last_events()
    try:
        present = kind.read(environment, resource)
        if in_doubt and kind.same(present, change.after):
            journal.write("done", index=index, left=present, found="it had been made before the interruption")
            return False
        if not same_json(present, change.before):
            raise StalePlan(_moved(resource, change.before, present))
        _replace(environment, resource, present, change.after, journal, index, ("started", "done"))
    except Exception as error:
        journal.write("failed", index=index, error=f"{type(error).__name__}: {error}")
        events = [entry["event"] for entry in journal.last_events().values()]
        begun = index in journal.last_events()
        raise ApplyFailed(
            f"{resource}: {error}\n"
            f"{_what_became(environment, resource, change.after) if begun else 'The change was not made.'} "
            f"Changes made before it: {events.count('done')}. "
            f"`runbook apply {shown(folder)}` goes on from here; `runbook undo {shown(folder)}` takes all of it back.",
            folder,
        ) from error
    return True


def _replace(
    environment: Environment,
    resource: Resource,
    present: str | None,
    wanted: str | None,
    journal: Journal,
    index: int,
    events: tuple[str, str],
) -> None:
    """Put `wanted` in the place of `present`, which was read a moment ago: announce it, write it, look at the result.

    The events journalled hold what was there before and what is there now, to the letter.
    """
    kind = kind_of(resource)
    begun, done = events
    journal.write(begun, index=index, resource=resource.model_dump(), before=present, after=wanted)
    kind.write(environment, resource, wanted)
    left = present
    for seconds in SETTLING_SECONDS:
        time.sleep(seconds)
        left = kind.read(environment, resource)
        if kind.same(left, wanted):
            journal.write(done, index=index, left=left)
            return
    raise RunbookError(f"AWS accepted what was written, but shows something else. {_moved(resource, wanted, left)}")


def _what_became(environment: Environment, resource: Resource, wanted: str | None) -> str:
    """After an error in the middle of a change, the truth as far as it can be seen."""
    kind = kind_of(resource)
    try:
        present = kind.read(environment, resource)
    except Exception:  # noqa: BLE001 (whatever keeps us from looking, the answer is the same)
        return "Whether the change was made could not be seen."
    return "The change was made all the same." if kind.same(present, wanted) else "The change was not made."


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
    (folder / "plan.md").write_text(plan.to_markdown(most=len(plan.changes)) + "\n", encoding="utf-8")


def _refuse_stale(plan: Plan, environment: Environment, events: Mapping[int, str]) -> None:
    """Read again everything that the plan observed, and raise StalePlan with the differences when it has moved.

    `events` says which changes an earlier run has begun: those it finished have to be there still, those it was at when
    it stopped may be there or not.
    """
    moved = []
    for index, change in enumerate(plan.changes):
        kind, event = kind_of(change.resource), events.get(index, "undone")
        present = kind.read(environment, change.resource)
        made = event != "undone" and kind.same(present, change.after)
        not_made = event != "done" and same_json(present, change.before)
        if not (made or not_made):
            expected = change.after if event == "done" else change.before
            moved.append(_moved(change.resource, expected, present))
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
        raise StalePlan("\n\n".join([head, *moved]))


def _moved(resource: Resource, expected: str | None, present: str | None) -> str:
    difference = document.difference(expected, present, name=resource.kind, sides=("expected", "found"))
    return f"{resource} is not as expected:\n{difference}"


def in_place(plan: Plan, environment: Environment) -> Iterator[Check]:
    """Look once more, at the end: is everything that the plan was to change there?"""
    title = "The change is in place"
    for change in plan.changes:
        kind = kind_of(change.resource)
        present = kind.read(environment, change.resource)
        if kind.same(present, change.after):
            yield Check(title, change.name, Status.OK, "Yes.")
        else:
            yield Check(title, change.name, Status.FAILED, f"No. {_moved(change.resource, change.after, present)}")


# --- undo ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undone:
    """What was put back, what was already as before the run, what no longer exists, and what was left on request."""

    restored: tuple[Change, ...]
    untouched: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    left: tuple[Change, ...] = ()

    def __repr__(self) -> str:
        """A line for each resource."""
        told = {
            "put back as it was": self.restored,
            "was already as before": self.untouched,
            "no longer exists": self.gone,
            "left as it is now": self.left,
        }
        lines = [f"{change.resource.account} {change.name}: {what}" for what, all_ in told.items() for change in all_]
        return "\n".join(
            lines or ["There is nothing to take back: the run made no changes, or they were taken back before."]
        )


def undo(folder: Path, environment: Environment, leave: Collection[str] = ()) -> Undone:
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
    with journal.exclusively():
        events = {index: entry for index, entry in journal.last_events().items() if entry["event"] != "undone"}
        found = {index: _look(plan.changes[index], events[index], environment, leave) for index in events}
        if refused := [told for told in found.values() if told not in _EXPECTED]:
            raise UndoRefused(
                "\n\n".join(
                    [
                        "Nothing was taken back. Since the run, someone else changed what undo would overwrite:",
                        *refused,
                        "Put it back as the run left it and undo again; or leave it out with `--leave ARN`, and take "
                        "the run's statements out of it by hand.",
                    ]
                )
            )
        for index in sorted(found, reverse=True):
            if found[index] == "restore":
                _take_back(index, plan.changes[index], events[index], environment, journal)
            elif found[index] != "leave":
                journal.write("undone", index=index, found=found[index])
    record(folder, {"status": "partly undone" if "leave" in found.values() else "undone"})
    return Undone(*(tuple(plan.changes[index] for index in found if found[index] == told) for told in _EXPECTED))


_EXPECTED = ("restore", "untouched", "gone", "leave")
"""What `_look` may find before an undo; anything else is the reason for which it is refused."""


def _look(change: Change, entry: Mapping[str, Any], environment: Environment, leave: Collection[str]) -> str:
    """What undo has to do on one resource, or why it must not do anything."""
    if change.resource.arn in leave:
        return "leave"
    kind = kind_of(change.resource)
    try:
        present = kind.read(environment, change.resource)
    except ResourceGone:
        return "gone"
    except Exception as error:  # noqa: BLE001 (told, with everything else that stands against it)
        return f"{change.resource} cannot be read. {error}"
    if same_json(present, change.before):
        return "untouched"
    return "restore" if _as_left(kind, change, entry, present) else _moved(change.resource, change.after, present)


def _as_left(kind: Kind, change: Change, entry: Mapping[str, Any], present: str | None) -> bool:
    """Whether a resource is as the run left it: to the letter where that was seen, else by meaning."""
    return same_json(present, entry["left"]) if "left" in entry else kind.same(present, change.after)


def _take_back(
    index: int, change: Change, entry: Mapping[str, Any], environment: Environment, journal: Journal
) -> None:
    kind, folder = kind_of(change.resource), shown(journal.path.parent)
    try:
        present = kind.read(environment, change.resource)
        if not _as_left(kind, change, entry, present):
            raise UndoRefused(_moved(change.resource, change.after, present))
        _replace(environment, change.resource, present, change.before, journal, index, ("undo-started", "undone"))
    except Exception as error:
        journal.write("undo-failed", index=index, error=f"{type(error).__name__}: {error}")
        raise UndoFailed(
            f"{change.resource}: was not put back. {error}\n"
            f"What was done after it in the run was taken back. `runbook undo {folder}` goes on from here."
        ) from error
