"""Applies a plan change by change, journals it, goes on after an interruption, and takes it back.

Everything here works from the plan's data alone: a plan that was saved yesterday, or by CI, applies the same way.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.aws.kinds import kind_of, reader_of, same_json
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
            return f"**Applied.** {self.plan.summary}"
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


class Journal:
    """`journal.jsonl`: one JSON object a line, on disk before the call that it announces is made."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"

    def write(self, event: str, **details: Any) -> None:
        """Append an event and wait until the disk has it."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All events so far; a last line that was cut off by a crash was never acted on, and is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def states(self) -> dict[int, str]:
        """For each change that was begun, by its number, the last thing that happened to it.

        `started` and `undo-started` mean that nobody knows whether the call was carried out.
        """
        steps = ("started", "done", "undo-started", "undone")
        return {entry["index"]: entry["event"] for entry in self.read() if entry["event"] in steps}


# --- apply -----------------------------------------------------------------------------------------------------------


def apply(plan: Plan, environment: Environment, folder: Path, progress: Progress | None = None) -> Run:
    """Make the plan's changes, in order, and journal each in `folder`.

    When the folder's journal shows that this plan was begun before, goes on where it stopped. Raises StalePlan before
    any change when something observed has moved, and ApplyFailed at the first change that cannot be made.
    """
    journal = Journal(folder)
    save_plan(plan, folder)
    states = journal.states()
    _refuse_stale(plan, environment, states)
    journal.write("run-started", fingerprint=plan.fingerprint, changes=len(plan.changes), resumed=bool(states))
    for index, change in enumerate(plan.changes):
        if progress:
            progress(index, len(plan.changes), change.summary)
        if states.get(index) != "done":
            _make(index, change, environment, journal, in_doubt=states.get(index) in ("started", "undo-started"))
    journal.write("run-finished")
    if progress:
        progress(len(plan.changes), len(plan.changes), "done")
    return Run(plan, True, folder, plan.changes)


def _make(index: int, change: Change, environment: Environment, journal: Journal, *, in_doubt: bool) -> None:
    """One change: look once more, announce it, make it, look at the result."""
    resource = change.resource
    try:
        kind = kind_of(resource)
        present = kind.read(environment, resource)
        if in_doubt and kind.same(present, change.after):
            journal.write("done", index=index, found="it had been made before the interruption")
            return
        if not same_json(present, change.before):
            raise StalePlan(_moved(resource, change.before, present))
        journal.write("started", index=index, resource=resource.model_dump(), before=present, after=change.after)
        kind.write(environment, resource, change.after)
        left = _settled(kind.read, kind.same, environment, resource, change.after)
        if not kind.same(left, change.after):
            raise RunbookError(
                f"AWS accepted the change, but shows something else.\n{_moved(resource, change.after, left)}"
            )
        journal.write("done", index=index)
    except Exception as error:
        journal.write("failed", index=index, error=f"{type(error).__name__}: {error}")
        made = list(journal.states().values()).count("done")
        folder = shown(journal.path.parent)
        raise ApplyFailed(
            f"{resource}: the change was not made. {error}\n"
            f"Changes made before it: {made}. "
            f"`runbook apply {folder}` goes on from here; `runbook undo {folder}` takes all of it back.",
            journal.path.parent,
        ) from error


def save_plan(plan: Plan, folder: Path) -> None:
    """Write `plan.json` and `plan.md`. Raises ParameterError when the folder has the journal of another plan."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "plan.json"
    if file.exists() and Plan.load(file).to_json() != plan.to_json() and Journal(folder).read():
        raise ParameterError(
            [f"{shown(folder)}: holds the run of another plan. Leave the folder out to start a new one."]
        )
    file.write_text(plan.to_json(), encoding="utf-8")
    (folder / "plan.md").write_text(plan.to_markdown(most=len(plan.changes)) + "\n", encoding="utf-8")


def _refuse_stale(plan: Plan, environment: Environment, states: Mapping[int, str]) -> None:
    """Read again everything that the plan observed, and raise StalePlan with the differences when it has moved.

    `states` says which changes an earlier run has begun: those it finished have to be there still, those it was at when
    it stopped may be there or not.
    """
    moved = []
    for index, change in enumerate(plan.changes):
        kind, state = kind_of(change.resource), states.get(index, "undone")
        present = kind.read(environment, change.resource)
        made = state != "undone" and kind.same(present, change.after)
        not_made = state != "done" and same_json(present, change.before)
        if not (made or not_made):
            expected = change.after if state == "done" else change.before
            moved.append(_moved(change.resource, expected, present))
    for observation in plan.observed:
        present = reader_of(observation.resource).read(environment, observation.resource)
        if not same_json(present, observation.value):
            moved.append(_moved(observation.resource, observation.value, present))
    if moved:
        raise StalePlan("\n\n".join(["The plan is out of date, and nothing was changed. Make it again.", *moved]))


def _moved(resource: Resource, expected: str | None, present: str | None) -> str:
    difference = document.difference(expected, present, name=resource.kind, sides=("expected", "found"))
    return f"{resource} is not as expected:\n{difference}"


def _settled(
    read: Callable[[Environment, Resource], str | None],
    same: Callable[[str | None, str | None], bool],
    environment: Environment,
    resource: Resource,
    wanted: str | None,
) -> str | None:
    """The value after a write, asked for again for a while as long as it is not the one that was written."""
    present = None
    for seconds in SETTLING_SECONDS:
        time.sleep(seconds)
        present = read(environment, resource)
        if same(present, wanted):
            break
    return present


# --- undo ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undone:
    """What was put back, and what was already as before the run."""

    restored: tuple[Change, ...]
    untouched: tuple[Change, ...]

    def __repr__(self) -> str:
        """A line for each resource."""
        lines = [f"{change.resource.account} {change.name}: put back as it was" for change in self.restored]
        lines += [f"{change.resource.account} {change.name}: was already as before" for change in self.untouched]
        return "\n".join(
            lines or ["There is nothing to take back: the run made no changes, or they were taken back before."]
        )


def undo(folder: Path, environment: Environment) -> Undone:
    """Put back, last change first, what the run in `folder` found, to the letter.

    Raises UndoRefused, before anything is put back, when a resource was changed by someone else since, with the
    difference.
    """
    journal = Journal(folder)
    plan = Plan.load(folder)
    begun = sorted((index for index, state in journal.states().items() if state != "undone"), reverse=True)
    to_restore, untouched = [], []
    for index in begun:
        change = plan.changes[index]
        kind = kind_of(change.resource)
        present = kind.read(environment, change.resource)
        if kind.same(present, change.after):
            to_restore.append(index)
        elif kind.same(present, change.before):
            untouched.append(index)
        else:
            raise UndoRefused(
                "Nothing was taken back: since the run, someone else changed a resource. Undo would lose that change.\n"
                f"{_moved(change.resource, change.after, present)}\n"
                "Take the run's statements out by hand, or put the resource back as the run left it, and undo again."
            )
    for index in to_restore:
        change = plan.changes[index]
        kind = kind_of(change.resource)
        journal.write("undo-started", index=index)
        kind.write(environment, change.resource, change.before)
        left = _settled(kind.read, kind.same, environment, change.resource, change.before)
        if not kind.same(left, change.before):
            raise RunbookError(
                f"AWS accepted the undo, but shows something else.\n{_moved(change.resource, change.before, left)}"
            )
        journal.write("undone", index=index)
    return Undone(_changes(plan, to_restore), _changes(plan, untouched))


def _changes(plan: Plan, indices: Sequence[int]) -> tuple[Change, ...]:
    return tuple(plan.changes[index] for index in indices)
