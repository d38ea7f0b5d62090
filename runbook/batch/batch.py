"""A batch from its first job to its report: bounded, in order where jobs need each other, stopped and gone on with."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook import call_limit, commands, markdown
from runbook.batch import evidence, report, run_report
from runbook.batch.fleet import Fleet, FleetJob, load_fleet
from runbook.batch.job import JobSpec, Outcome, outcome_left, run_job
from runbook.batch.processes import Processes, WorkerDied, usable_processors
from runbook.batch.record import ENDED_BADLY, Batch
from runbook.batch.report_facts import Facts
from runbook.batch.schedule import Schedule, not_begun
from runbook.batch.state import BatchFolder, differences
from runbook.batch.telling import Telling
from runbook.environment import load_environment
from runbook.execute import refuse_unknown_engine
from runbook.jobs import KEEP_ONE_RUNNING, in_a_sandbox_of_its_own, shared_sandbox, tell_of_sandbox
from runbook.kernels import switch
from runbook.parameters import ParameterError, resolve_path, shown
from runbook.secrets import redact
from runbook.terminal import echo

SIGNAL_SECONDS = 0.1
"""Seconds between two looks at whether a signal has come."""


@dataclass(frozen=True)
class Options:
    """How a batch goes on: `workers` 0 is one for each processor, `engine` None papermill's own.

    `only_failed`: only the jobs that ended badly, when it goes on; `stop_at_failure`: begin no more once a job did.
    """

    workers: int = 0
    engine: str | None = None
    only_failed: bool = False
    stop_at_failure: bool = False


Agree = Callable[[Fleet], None]


def begin(fleet: str, options: Options, agree: Agree = lambda _: None, *, apply: bool, runs: str) -> Batch:
    """Run a fleet, by its name or file; `runs` is where its folder goes, or an address (`s3://…`) that gets a copy.

    `agree` is asked with the fleet before anything is begun, and raises what keeps it from being run.
    """
    refuse_unknown_engine(options.engine)
    loaded = load_fleet(fleet)
    agree(loaded)
    _log_in(loaded)
    copy_to = runs if evidence.is_address(runs) else ""
    here = Path(runs).resolve() if runs and not copy_to else None
    return begin_with(loaded, options, apply=apply, runs=here, copy_to=copy_to)


def _log_in(fleet: Fleet) -> None:
    """Ask for the MFA code that the environment takes, here: notebooks run where nobody can be asked."""
    load_environment(fleet.environment_name).log_in()


def begin_with(fleet: Fleet, options: Options, *, apply: bool, runs: Path | None, copy_to: str = "") -> Batch:
    """Run a fleet; `runs` is where its folder goes, `copy_to` an address that gets a copy."""
    return go_on(BatchFolder.new(fleet, apply=apply, runs=runs, copy_to=copy_to), fleet, options)


def resume(
    run: Path,
    options: Options,
    agree: Agree = lambda _: None,
    *,
    fleet: str = "",
    apply: bool = False,
    runs: str = "",
) -> Batch:
    """Go on with the batch in a folder: what is done is not done again.

    The folder says what is done and no more: whether changes are made (`apply`), where evidence is copied to (`runs`),
    and a fleet that is none of `params/fleets` have to be given again. Raises ParameterError when they are others than
    at the beginning, when the fleet means something else by now, or when its sandbox, and everything that was changed
    in it, is gone.
    """
    refuse_unknown_engine(options.engine)
    if runs and not evidence.is_address(runs):
        raise ParameterError(["--resume goes on in the folder that there is: leave out --runs."])
    folder = BatchFolder.found(run)
    if not folder.fleet.file:
        raise ParameterError(
            [
                f"{shown(run)}: was begun by a run of notebooks, not from a fleet file. Give that command again: what "
                "is in place already is not changed again."
            ]
        )
    _refuse_unsaid(folder, fleet=fleet, apply=apply, runs=runs)
    now = load_fleet(fleet or str(resolve_path(folder.fleet.file)))
    if found := differences(folder.fleet, now):
        told = "; ".join(markdown.first(found, 10))
        raise ParameterError(
            [
                f"{shown(run)}: cannot be gone on with, because {now.file} has changed since: {told}. "
                "Put it back as it was, or start a new batch: what is in place already is not changed again."
            ]
        )
    begun = any(standing.attempts for standing in folder.standings.values())
    if folder.apply and begun and in_a_sandbox_of_its_own(sandbox=now.sandbox):
        raise ParameterError(
            [f"{shown(run)}: was a batch in a sandbox that is gone, and its changes with it.", KEEP_ONE_RUNNING]
        )
    agree(now)
    _log_in(now)
    return go_on(folder, now, options)


def _refuse_unsaid(folder: BatchFolder, *, fleet: str, apply: bool, runs: str) -> None:
    """Raise ParameterError for what only the folder says: whoever can write it could have it do more."""
    where, problems = shown(folder.path), []
    if folder.apply and not apply:
        problems.append(f"{where}: is a batch that makes changes. To make them, say --apply again.")
    elif apply and not folder.apply:
        problems.append(f"{where}: is a preview. Leave out --apply, or start a new batch.")
    if folder.copy_to != (f"{runs.rstrip('/')}/{folder.path.name}" if runs else ""):
        copied = f"is copied to {folder.copy_to}" if folder.copy_to else "stays on this machine"
        again = f"say --runs {folder.copy_to.rpartition('/')[0]} again" if folder.copy_to else "leave out --runs"
        problems.append(f"{where}: its evidence {copied}; {again}.")
    if not (fleet or folder.fleet_is_known):
        problems.append(f"{where}: name its fleet, which is none of params/fleets: {folder.fleet.file}.")
    if problems:
        raise ParameterError(problems)


def go_on(folder: BatchFolder, fleet: Fleet, options: Options) -> Batch:
    """Run what is left of a batch in processes of this machine, and report it."""
    workers = options.workers or usable_processors()
    switch.warm_up()
    with folder.exclusively() as held, shared_sandbox(fleet.sandbox), _limited(fleet):
        processes = Processes(workers, folder.path / "workers.log", kept_open=[held])
        try:
            running = Running(folder, fleet, options, processes, processes.interrupt, workers)
            batch = running.to_the_end()
        finally:
            processes.shutdown()
        page = report.write(batch, folder.path)
        if folder.copy_to:
            evidence.copy(folder.path, folder.copy_to)
    _tell(folder, batch, page, options)
    return batch


@contextmanager
def _limited(fleet: Fleet) -> Iterator[None]:
    """Inside, all kernels together make no more calls to an account than the fleet allows."""
    if fleet.calls_per_second is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="runbook-calls-") as folder:
        os.environ[call_limit.VARIABLE] = f"{fleet.calls_per_second:g} {folder}"
        try:
            yield
        finally:
            del os.environ[call_limit.VARIABLE]


class Running:
    """Hands jobs to an executor, never more than `workers` at a time, and notes how each ends.

    Nothing here knows where a job runs: any executor does whose processes see the same files. `interrupt` ends the
    jobs that are on.
    """

    def __init__(
        self,
        folder: BatchFolder,
        fleet: Fleet,
        options: Options,
        executor: Executor,
        interrupt: Callable[[], None],
        workers: int,
    ) -> None:
        self._folder = folder
        self._fleet = fleet
        self._options = options
        self._executor = executor
        self._interrupt = interrupt
        self._workers = workers
        self._signals = self._heeded = 0
        self._stopped_at_failure = False
        standings = folder.standings
        done = {name for name, standing in standings.items() if standing.state == "done"}
        failed = {name for name, standing in standings.items() if standing.state in ENDED_BADLY}
        wanted = failed if options.only_failed else {name for name in standings if name not in done}
        self._schedule = Schedule(
            fleet.jobs,
            wanted=wanted,
            done=done,
            jobs_at_a_time=fleet.jobs_at_a_time,
            preview=not folder.apply,
        )
        self._telling = Telling(len(standings), len(done), len(wanted), apply=folder.apply)

    def to_the_end(self) -> Batch:
        """Run all jobs that can be run; the batch as it stands then."""
        running: dict[Future[Outcome], FleetJob] = {}
        self._folder.journal.write("batch-started", workers=self._workers, engine=self._options.engine)
        with self._told_to_stop(), self._telling:
            while True:
                while not self._stops and len(running) < self._workers and (job := self._schedule.take()):
                    running[self._begin(job)] = job
                    self._telling.begun()
                self._telling.now_and_then()
                if not running:
                    break
                for future in self._ended(running):
                    self._over(running.pop(future), future)
        self._folder.journal.write("batch-ended")
        began = {name: each.state == "done" for name, each in self._folder.standings.items() if each.attempts}
        return self._folder.batch(not_begun(self._fleet.jobs, began))

    def _begin(self, job: FleetJob) -> Future[Outcome]:
        folder = self._folder.begins(job.name)
        spec = JobSpec(
            resolve_path(job.notebook),
            {**job.given, "apply": self._folder.apply},
            folder,
            self._options.engine,
            self._fleet.cell_seconds,
            self._folder.copies(job.name),
        )
        return self._executor.submit(run_job, spec)

    def _over(self, job: FleetJob, future: Future[Outcome]) -> None:
        standing = self._folder.standings[job.name]
        try:
            outcome = future.result()
        except WorkerDied as error:
            outcome = outcome_left(self._folder.path / standing.folder, standing.begun, str(error))
        except KeyboardInterrupt:
            outcome = outcome_left(self._folder.path / standing.folder, standing.begun, "Stopped by Ctrl-C.")
        except Exception as error:  # noqa: BLE001 (one job's trouble, of whatever kind, is not the others')
            said = redact(f"{type(error).__name__}: {error}")
            outcome = outcome_left(self._folder.path / standing.folder, standing.begun, said)
        self._folder.ended(job.name, outcome)
        succeeded = outcome.state == "done"
        self._schedule.over(job.name, succeeded=succeeded)
        self._telling.over(job.name, outcome)
        if not succeeded and self._options.stop_at_failure and not self._stops:
            self._stopped_at_failure = True
            self._telling.say("No more jobs are begun, because one has failed.")

    @contextmanager
    def _told_to_stop(self) -> Iterator[None]:
        """Ctrl-C lets nothing more begin; a second one, and SIGTERM, end what is on as well."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in before:
                signal.signal(number, self._stop)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: Any) -> None:
        """Count a signal and nothing else: whatever a handler called might be what it has interrupted."""
        self._signals += 2 if number == signal.SIGTERM else 1

    @property
    def _stops(self) -> int:
        """1 when no more jobs are to begin, more when those that are on are to end as well."""
        return self._signals + self._stopped_at_failure

    def _ended(self, running: Iterable[Future[Outcome]]) -> Collection[Future[Outcome]]:
        """Wait for jobs to end, and do meanwhile what signals have asked for."""
        while not (done := wait(running, SIGNAL_SECONDS, FIRST_COMPLETED).done):
            self._heed()
        self._heed()
        return done

    def _heed(self) -> None:
        signals = self._signals
        if signals == self._heeded:
            return
        self._heeded = signals
        if self._stops > 1:
            self._telling.say("Ending what is on.")
            self._interrupt()
        else:
            self._telling.say("No more jobs are begun; what is on is finished. Ctrl-C once more ends that as well.")


def _tell(folder: BatchFolder, batch: Batch, page: Path, options: Options) -> None:
    """How the batch went, in a few lines, and what to do next."""
    if not folder.fleet.file:
        run_report.show_table(Facts.of(batch, folder.path))
    echo("\n".join(report.lines(batch, folder.path)))
    echo(f"Report: {shown(page)}")
    if not batch.succeeded:
        _tell_how_to_go_on(folder, batch, options)
    tell_of_sandbox(sandbox=folder.fleet.sandbox)


def _tell_how_to_go_on(folder: BatchFolder, batch: Batch, options: Options) -> None:
    if batch.apply and in_a_sandbox_of_its_own(sandbox=folder.fleet.sandbox):
        echo("Its sandbox ends here, so that it cannot be gone on with.")
    elif not folder.fleet.file:
        echo("To go on with what is not done, give the same command again: nothing in place is changed again.")
    else:
        words = ["batch", "--resume", shown(folder.path)]
        words += [] if folder.fleet_is_known else [folder.fleet.file]
        words += ["--apply"] if batch.apply else []
        words += ["--workers", str(options.workers)] if options.workers else []
        words += ["--engine", options.engine] if options.engine else []
        words += ["--runs", folder.copy_to.rpartition("/")[0]] if folder.copy_to else []
        echo(f"To go on with what is not done: {commands.command(*words)}")
