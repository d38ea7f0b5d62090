"""`runbook run`: one job in this process, several as a batch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from runbook import commands
from runbook.batch import batch
from runbook.batch.fleet import fleet_of
from runbook.batch.run_report import show_run
from runbook.execute import Execution, execute, notebook_path
from runbook.jobs import Job, in_a_sandbox_of_its_own, shared_sandbox, tell_of_sandbox
from runbook.parameters import shown
from runbook.run import new_folder, removed_if_empty
from runbook.terminal import echo


def run(jobs: Sequence[Job], *, apply: bool, runs: Path | None) -> bool:
    """Run the jobs, print how each went, and return whether all succeeded."""
    jobs[0].environment.log_in()  # here, because notebooks run where nobody can be asked
    if len(jobs) == 1:
        return _run_one(jobs[0], apply=apply, runs=runs)
    notebooks = {job.notebook for job in jobs}
    name = "all" if len(notebooks) > 1 else notebooks.pop()
    return batch.begin_with(fleet_of(name, jobs), batch.Options(), apply=apply, runs=runs).succeeded


def _run_one(job: Job, *, apply: bool, runs: Path | None) -> bool:
    """Run a job, which Ctrl-C ends."""
    sandbox = job.environment.file.sandbox
    kept = apply and not in_a_sandbox_of_its_own(sandbox=sandbox)
    echo(f"{job.notebook} {job.scenario} ({job.environment.name})")
    folder = new_folder(job.notebook, job.scenario, runs)
    with shared_sandbox(sandbox), removed_if_empty(folder):
        parameters = {**job.parameters, "apply": apply}
        execution = execute(notebook_path(job.notebook), parameters, folder, progress=sys.stderr.isatty())
    if execution.ended == "interrupted":
        echo(_stopped(execution, kept=kept), err=True)
    show_run(execution)
    tell_of_sandbox(sandbox=sandbox)
    return execution.succeeded


def _stopped(execution: Execution, *, kept: bool) -> str:
    """Return where Ctrl-C hit and, when changes may have been made and are kept, how to resume or undo."""
    folder = shown(execution.folder)
    left = folder if execution.folder.exists() else "nothing was begun"
    said = f"Stopped in {' '.join([execution.notebook, execution.scenario]).strip()}: {left}."
    if kept and (execution.folder / "plan.json").exists():
        resume, undo = (commands.span(verb, folder) for verb in ("apply", "undo"))
        said += f" {resume} goes on there; {undo} takes back what was changed."
    return said
