"""How far a batch has come: a bar in a terminal, and in a log a line for what failed and one now and then."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from runbook import markdown
from runbook.batch.job import Outcome
from runbook.commands import runnable
from runbook.terminal import echo
from runbook.untrusted import code, visible

SECONDS_IN_A_LOG = 10.0
"""How long there is no new line in a log, as long as nothing fails."""


class Telling:
    """What is said while a batch goes on, on standard error: of `jobs` in all, `done` of them earlier."""

    def __init__(self, jobs: int, done: int, wanted: int, *, apply: bool) -> None:
        self._of, self._done, self._failed, self._running = jobs, done, 0, 0
        self._left = wanted
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
            speed_estimate_period=3600,  # a notebook may take minutes
        )
        self._task = self._progress.add_task("", total=wanted)
        self._began = self._said = time.monotonic()
        how = "changes are made" if apply else "a preview: nothing is changed"
        earlier = f", {done} of them done earlier" if done else ""
        echo(f"{markdown.count(jobs, 'job')}{earlier}, {how}.", err=True)

    def __enter__(self) -> "Telling":
        self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begun(self) -> None:
        """A job has begun."""
        self._running += 1
        self._progress.update(self._task, description=self._counts)

    def over(self, name: str, outcome: Outcome) -> None:
        """A job has ended."""
        self._running -= 1
        self._left -= 1
        if outcome.state == "done":
            self._done += 1
        else:
            self._failed += 1
            where = f" in cell {code(outcome.cell)}" if outcome.cell else ""
            self.say(f"✗ {name} {outcome.state}{where}: {outcome.error.partition(chr(10))[0]}")
        self._progress.update(self._task, advance=1, description=self._counts)

    def now_and_then(self) -> None:
        """A line for a log, unless there was one a moment ago; the last one in any case."""
        now = time.monotonic()
        if self._progress.disable and (now - self._said >= SECONDS_IN_A_LOG or not self._left):
            self._said = now
            self.say(f"{self._counts}, {self._left} to go, after {now - self._began:.0f} s")

    def say(self, line: str) -> None:
        """One line for itself, above the bar where there is one."""
        self._console.print(runnable(visible(line)), markup=False)

    @property
    def _counts(self) -> str:
        return f"{self._done} of {self._of} done, {self._failed} failed, {self._running} running"
