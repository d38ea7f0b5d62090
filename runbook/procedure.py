"""The way through a step, always the same and never back: check, plan, apply or preview, verify; with its evidence.

The world is read once for check and plan, and once more to verify an apply. In between, `run.py` reads what is changed
and what the plan observed.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runbook import commands, markdown, saved_plan
from runbook import run as runs
from runbook.aws_errors import told_in_words
from runbook.checks import Check, Checks, ChecksFailed, Status
from runbook.environment import Environment, Refusal
from runbook.errors import Declined, RunbookError
from runbook.journal import Journal
from runbook.parameters import resolve_path, shown
from runbook.plan import Plan
from runbook.progress import Progress, silent
from runbook.result import record
from runbook.run import Run
from runbook.secrets import redact
from runbook.steps.step import Step, Verification
from runbook.untrusted import code

FRESH_SECONDS = 60
"""Maximum age of a state, from the end of its reading, that a plan, an apply or a preview still rests on.

A headless run takes seconds from check to apply. A person who reads a plan takes longer: then the world is read again,
checked again, and planned again, and the apply is refused if the plan is another one. Within this time an apply rests
on what `run.py` reads before it writes: every value that is changed, and everything that the plan observed.
"""


@dataclass(frozen=True)
class _World:
    """A state as `step` observed it, when that was, and what could not be read; the plan made from it, if one was."""

    step: Step
    state: Any
    read_at: float
    refused: frozenset[Refusal]
    plan: Plan | None = None

    def serves(self, step: Step, plan: Plan | None = None) -> bool:
        """Return whether it is fresh enough for this step, and the one that `plan` was made from, or no plan yet."""
        return self.step == step and self.plan == plan and time.monotonic() - self.read_at < FRESH_SECONDS


class Procedure:
    """One way through. With `apply`, a failed check raises before any change and a failed verification at the end.

    `folder` takes plan, journal and result; when it is empty, an apply makes one under `runs/` and a preview leaves
    nothing behind. `progress` is told how far each part of the way has come. What AWS refuses is raised as AwsRefused,
    in a sentence.
    """

    def __init__(
        self,
        step: Step,
        environment: Environment,
        *,
        scenario: str = "",
        apply: bool = False,
        folder: str = "",
        progress: Progress = silent,
    ) -> None:
        self._step = step
        self._scenario = scenario
        self.environment = environment
        self.applies = apply
        self.folder: Path | None = resolve_path(folder) if folder else None
        if self.folder:
            environment.works_in(self.folder)
        self._result: dict[str, Any] = {}
        self._progress = progress
        self._world: _World | None = None

    @property
    def step(self) -> Step:
        """The step as it stands now."""
        return self._step

    @property
    def scenario(self) -> str:
        """The name of the scenario that it started from; empty for none."""
        return self._scenario

    def check(self) -> Checks:
        """Ask everything that could stand against it. Raises ChecksFailed when something does and this is to apply."""
        self._leave_earlier_run()
        self._world = self._observe()
        return self._check(self._world)

    def _observe(self) -> _World:
        """Read the world."""
        step = self.step
        with told_in_words(), self.environment.noting_refusals() as refused:
            state = step.observe(self.environment, progress=self._progress)
        return _World(step, state, time.monotonic(), frozenset(refused))

    def _settle(self, world: _World) -> _World:
        """Wait for what goes on in the world, and read it again if something did."""
        with told_in_words(), self.environment.noting_refusals() as refused:
            state = world.step.settle(self.environment, world.state, progress=self._progress)
        if state is world.state:
            return world
        return _World(world.step, state, time.monotonic(), world.refused | refused)

    def _check(self, world: _World) -> Checks:
        with told_in_words():
            checks = world.step.checks(self.environment, world.state)
        checks = Checks.of([*checks, *about_refusals(self.environment, self.step.notebook, world.refused, checks)])
        self._record("checks-failed" if checks.failed else "checked", checks=checks.as_json())
        if checks.failed and self.applies:
            raise ChecksFailed(checks, "Nothing was changed, because checks failed")
        return checks

    def plan(self) -> Plan:
        """Plan the changes, from what was read for the checks if that is fresh, and was not planned from yet."""
        self._leave_earlier_run()
        world = self._world if self._world and self._world.serves(self.step) else self._observe()
        world = self._settle(world)
        plan = self._plan(world)
        self._world = replace(world, plan=plan)
        if self.folder:
            runs.save_plan(plan, self.folder)
        self._record(plan=plan.summary, changes=_listed(plan))
        return plan

    def _plan(self, world: _World) -> Plan:
        with told_in_words():
            return world.step.plan(self.environment, world.state, self.scenario)

    def preview(self, plan: Plan) -> Run:
        """A run that changes nothing."""
        return Run(plan, False, self.folder)

    def apply(self, plan: Plan) -> Run:
        """Make the changes of `plan`, unless checks failed on what it was made from.

        What it was made from is read, checked and planned again where that is not fresh, or not known here. Raises
        StalePlan when the plan was made for other parameters than those of now, when it would be another one now, or
        when what it observed has moved; ChecksFailed before any change; ApplyFailed when a change cannot be made.
        """
        self._refuse_another_plan(plan)
        self.applies = True
        self._check_for(plan)
        folder = self.folder = self.folder or runs.new_folder(self.step.notebook, self.scenario)
        self._record("applying", plan=plan.summary, changes=_listed(plan))
        return self._made(lambda: runs.apply(plan, self.environment, folder, self._progress))

    def apply_saved(self, saved: Plan, show: Callable[[Plan], None]) -> Run:
        """Check and plan again, and make the changes of that plan where it does not differ from the one in the folder.

        `show` gets the plan made now right before its changes are made, and raises Declined to stop them. Raises as
        `apply` does, and StalePlan with all that differs.
        """
        assert self.folder
        folder = self.folder
        self.applies = True
        world = self._observe()
        self._check(world)
        planned = self._plan(self._settle(world))

        def agreed(plan: Plan, planned: Plan) -> None:
            show(planned)
            self._record("applying", plan=plan.summary, changes=_listed(plan))

        return self._made(lambda: runs.apply_saved(saved, planned, self.environment, folder, agreed, self._progress))

    def _check_for(self, plan: Plan) -> None:
        """Raise ChecksFailed or StalePlan where the plan may not be applied, by what it was made from or by now."""
        if self._world and self._world.serves(self.step, plan):
            self._check(self._world)
            return
        self._world = None  # before the next one is read: it may be large
        world = self._observe()
        self._check(world)
        if self.folder and Journal(self.folder).last_events():
            return  # a part of the plan is made, so that planning again gives the rest
        if differing := saved_plan.differences(plan, self._plan(self._settle(world))):
            raise runs.StalePlan(
                "\n\n".join(
                    [
                        "The plan is out of date, and nothing was changed. Make it again.",
                        *markdown.first(differing, runs.MOST),
                    ]
                )
            )

    def _made(self, apply: Callable[[], Run]) -> Run:
        """The run, with how it ended in the result."""
        self._world = None  # it is about to be another one
        try:
            with self.environment.noting_refusals() as refused:
                run = apply()
        except Declined:
            raise
        except BaseException as failure:
            try:
                self._record("apply-failed" if isinstance(failure, Exception) else "interrupted")
            except RunbookError as unwritten:  # no reason to hide why the apply failed
                failure.args = (f"{failure}\n{unwritten}", *failure.args[1:])
            raise
        lines = [f"Not allowed, and done without: {each.action} in {each.account}." for each in sorted(refused)]
        run = replace(run, told=(*run.told, *lines))
        with self._saying_that_changes_stand(run):
            self._record("applied", told=[redact(line) for line in run.told])
        return run

    def verify(self, run: Run) -> Verification:
        """Prove the result of an apply, raising ChecksFailed if it is not the planned one; or predict a preview's."""
        world = self._world if not run.applied and self._world and self._world.serves(self.step, run.plan) else None
        world = world or self._settle(self._observe())
        with told_in_words(), self.environment.noting_refusals() as refused:
            probed = world.step.probe(self.environment, world.state, run, progress=self._progress)
            verification = world.step.verify(self.environment, world.state, run, probed)
            known = world.step.present(self.environment, world.state) if run.applied else {}
            in_place = runs.in_place(run.plan, self.environment, known, self._progress) if run.applied else ()
        checks = [*verification.checks, *in_place]
        checks += about_refusals(self.environment, self.step.notebook, world.refused | refused, checks)
        verification = replace(verification, checks=Checks.of(checks))
        failed = verification.checks.failed
        with self._saying_that_changes_stand(run):
            self._record(
                "verification-failed" if failed and run.applied else self._status_at_the_end(run),
                verification=verification.checks.as_json(),
                access=verification.access.as_json(),
            )
        if failed and run.applied:
            raise ChecksFailed(verification.checks, "The changes were made, but the result is not the planned one")
        return verification

    @contextmanager
    def _saying_that_changes_stand(self, run: Run) -> Iterator[None]:
        """Raise ApplyFailed where the changes were made and the result cannot be written."""
        try:
            yield
        except RunbookError as error:
            if not (run.applied and self.folder):
                raise
            folder = shown(self.folder)
            raise runs.ApplyFailed(
                f"{error}\nThe changes were made, and the journal in {folder} has each of them. Once the file can be "
                f"written, {commands.span('apply', folder)} verifies them, and {commands.span('undo', folder)} takes "
                "them back.",
                self.folder,
            ) from None

    def is_current(self, plan: Plan) -> bool:
        """Whether a plan is one for the step as it stands now."""
        made_for = (plan.step, plan.environment, plan.parameters)
        return made_for == (self.step.notebook, self.environment.name, dict(self.step.as_given()))

    def _refuse_another_plan(self, plan: Plan) -> None:
        """What is verified afterwards is the step as it is now: it has to be the one that the plan was made for."""
        if not self.is_current(plan):
            raise runs.StalePlan(
                "The plan was made for other parameters than those of now. Make it again; nothing was changed."
            )

    def _leave_earlier_run(self) -> None:
        """A folder with a journal is the evidence of a run; whoever goes through the cells again gets another one."""
        if self.folder and Journal(self.folder).last_events():
            self.folder = None

    def _status_at_the_end(self, run: Run) -> str:
        return "done" if run.applied or self._result.get("status") != "checks-failed" else "checks-failed"

    def _record(self, status: str | None = None, **values: Any) -> None:
        """Keep `result.json` true at every moment: a run that dies leaves the status of the last thing it finished."""
        self._result |= values | ({"status": status} if status else {})
        if self.folder:
            head = {
                "mode": "apply" if self.applies else "preview",
                "step": self.step.notebook,
                "scenario": self.scenario,
                "environment": self.environment.name,
            }
            record(self.folder, head | self._result)


def about_refusals(
    environment: Environment, notebook: str, refused: Iterable[Refusal], checks: Iterable[Check]
) -> Iterator[Check]:
    """Return a check for each action that the credentials lack and that no answer has named."""
    told = " ".join(check.answer for check in checks)
    for action in sorted({each.action for each in refused if each.action not in told}):
        accounts = sorted(environment.account_name(each.account) for each in refused if each.action == action)
        yield Check(
            "Nothing was kept from us",
            markdown.joined(accounts),
            Status.WARNING,
            f"{code(action)} is not allowed to our credentials: "
            "what it would have told is not taken into account here.",
            f"{commands.span('permissions', notebook)} prints what the credentials need.",
        )


def _listed(plan: Plan) -> list[dict[str, str]]:
    return [{"resource": str(change.resource), "summary": change.summary} for change in plan.changes]
