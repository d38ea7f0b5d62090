"""The way through a step with buttons: check, plan, apply, verify, undo; what the cells do, beside a form."""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets

from runbook import markdown
from runbook import run as runs
from runbook.checks import Checks
from runbook.display.rich_text import inline
from runbook.display.views import view, view_of_failure
from runbook.display.worker import Worker
from runbook.environment import Environment
from runbook.journal import Journal
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import Progress
from runbook.put_back import PutBack
from runbook.run import Run

STAGES = {
    "Check": "Ask everything that could stand against it; reads only",
    "Plan": "Check, and work out what would be changed; reads only",
    "Apply": "Make the changes of the plan that is shown",
    "Verify": "Look again and prove the result; before an apply, predict it",
    "Undo": "Put back what the last apply of these buttons has changed",
}


class Buttons:
    """Buttons for one step. `begin` makes the way through for the values of now, or raises what is wrong with them;
    `is_current` says whether a plan is one for the values of now.

    What a button does is done in a thread, and what is raised there is shown. Nobody can apply what is not on screen.
    """

    def __init__(
        self, begin: Callable[[Progress], Procedure], is_current: Callable[[Plan], bool], environment: Environment
    ) -> None:
        self._begin = begin
        self._is_current = is_current
        self._environment = environment
        self._procedure: Procedure | None = None
        self._checks = Checks()
        self._plan: Plan | None = None
        self._run: Run | None = None
        self._applied: tuple[Plan, Path] | None = None
        self._shown: PutBack | None = None
        self._confirming: Plan | None = None
        self._stage = ""
        self._refreshing = threading.RLock()
        self._worker = Worker(self._on_end)
        self._buttons = {
            stage: ipywidgets.Button(description=stage, tooltip=tooltip, layout={"width": "8em"})
            for stage, tooltip in STAGES.items()
        }
        self._results = {stage: ipywidgets.HTML() for stage in STAGES}
        for result in self._results.values():
            result.add_class("rb-result")
        work = (self._do_check, self._do_plan, self._do_apply, self._do_verify, self._do_undo)
        for (stage, button), do in zip(self._buttons.items(), work, strict=True):
            button.on_click(partial(self._on_click, stage, do))
        self._buttons["Plan"].button_style = "primary"
        self._buttons["Apply"].button_style = "danger"
        row = ipywidgets.HBox([*self._buttons.values(), self._worker.cancel], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self._worker.line, *self._results.values()])
        self.box.add_class("rb-buttons")
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be done now: with the values of now, what is on screen, and nothing else under way.

        One thread at a time: work that ends at once meets the click that began it.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        idle = not self._worker.busy
        plan = self._plan if self._plan and self._is_current(self._plan) else None
        offered = {
            "Check": True,
            "Plan": True,
            "Apply": plan is not None and bool(plan.changes) and not self._checks.failed and not self._run,
            "Verify": plan is not None,
            "Undo": self._applied is not None,
        }
        for stage, button in self._buttons.items():
            button.disabled = not (idle and offered[stage])
        self._buttons["Apply"].description = "Apply now" if self._confirming else "Apply"
        self._buttons["Undo"].description = "Put back" if self._shown else "Undo"
        if idle and self._plan and not plan:
            self._worker.say("The values have changed since this plan was made. Plan again.")

    # --- what each button does, in a thread ---

    def _do_check(self) -> None:
        self._procedure, self._plan, self._run = None, None, None
        procedure = self._begin(self._worker.progress)
        self._checks = procedure.check()
        self._procedure = procedure
        self._show("Check", self._checks)

    def _do_plan(self) -> None:
        self._do_check()
        assert self._procedure
        self._plan = self._procedure.plan()
        self._show("Plan", self._plan)

    def _do_apply(self) -> None:
        """Make the changes. On real accounts, name them first: the next click confirms it."""
        assert self._procedure
        assert self._plan
        confirmed, self._confirming = self._confirming, None
        if not (self._environment.file.sandbox or confirmed is self._plan):
            self._confirming = self._plan
            self._results["Apply"].value = confirmation(self._plan, self._environment)
            return
        try:
            self._run = self._procedure.apply(self._plan)
        finally:
            folder = self._procedure.folder
            if folder and Journal(folder).last_events():
                self._applied = (self._plan, folder)
        self._show("Apply", self._run)

    def _do_verify(self) -> None:
        assert self._procedure
        assert self._plan
        self._show("Verify", self._procedure.verify(self._run or self._procedure.preview(self._plan)))

    def _do_undo(self) -> None:
        """Put everything back. On real accounts, show it first: the next click confirms it."""
        assert self._applied
        folder, progress = self._applied[1], self._worker.progress
        shown, self._shown = self._shown, None
        if not (shown or self._environment.file.sandbox):
            back = runs.preview_undo(folder, self._environment, progress=progress)
            if back.changes:
                self._show("Undo", back)
                self._shown = back
                return

        def confirm(now: PutBack) -> None:
            if shown and now != shown:
                raise runs.UndoRefused("Nothing was taken back: something has changed since it was shown. Undo again.")

        undone = runs.undo(folder, self._environment, progress=progress, confirm=confirm)
        self._plan, self._run, self._applied = None, None, None
        self._clear(STAGES)  # what they show is no longer so
        self._show("Undo", undone)

    # --- around it ---

    def _on_click(self, stage: str, do: Callable[[], None], _: Any) -> None:
        self._stage = stage
        if stage != "Undo":
            self._shown = None
        if stage != "Apply":
            self._confirming = None
        self._clear(list(STAGES)[list(STAGES).index(stage) :])
        self._worker.start(do, f"{stage}: under way")
        self.refresh()

    def _on_end(self, failure: BaseException | None) -> None:
        if failure:
            self._results[self._stage].value = view_of_failure(failure, self._stage)
        self.refresh()

    def _clear(self, stages: Iterable[str]) -> None:
        for stage in stages:
            self._results[stage].value = ""

    def _show(self, stage: str, result: object) -> None:
        self._results[stage].value = f'<section aria-label="{stage}"><h4>{stage}</h4>{view(result)}</section>'


def confirmation(plan: Plan, environment: Environment) -> str:
    """Return the question before changes on real accounts: how many, in which accounts."""
    accounts = list(dict.fromkeys(change.resource.account for change in plan.changes))
    named = markdown.joined([environment.account_name(account) for account in accounts])
    text = f"**Apply {markdown.count(len(plan.changes), 'change')} in account {named}?**"
    return f'<div role="alert"><p>{inline(text)} These are real accounts. Then click <i>Apply now</i>.</p></div>'
