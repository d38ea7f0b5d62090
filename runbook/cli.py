"""The `runbook` command: lists, runs, plans, applies and undoes; thin, everything is done by the package."""

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook import __version__, commands, markdown, secrets
from runbook.errors import Declined, RunbookError
from runbook.files import FileError
from runbook.parameters import ParameterError, parse_yaml, project_root, quoted, resolve_path, shortened, shown
from runbook.policy.document import PolicyError
from runbook.terminal import confirm, echo, is_attended

if TYPE_CHECKING:
    from runbook.batch.fleet import Fleet
    from runbook.environment import Environment
    from runbook.jobs import Job
    from runbook.plan import Plan
    from runbook.put_back import PutBack

DONE, FAILED, BAD_INPUT = 0, 1, 2

SHORTEST = 16
"""Minimum number of hexadecimal digits of a fingerprint: as many as a plan shows of it."""


def main() -> None:
    """Run the command; an error of ours is its message on standard error, and 1 or 2 as exit status.

    An error that nobody expected is shown with where it was raised.
    """
    secrets.guard()
    try:
        sys.exit(command(standalone_mode=False) or DONE)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except click.Abort as stopped:
        echo(str(stopped) or "Stopped.", err=True)
        sys.exit(FAILED)
    except Declined as declined:
        echo(str(declined), err=True)
        sys.exit(FAILED if declined.asked else BAD_INPUT)
    except (FileError, ParameterError, PolicyError) as error:
        echo(secrets.redact(str(error)), err=True)
        sys.exit(BAD_INPUT)
    except RunbookError as error:
        echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(FAILED)
    except UnicodeDecodeError as error:
        echo(f"A file that was read is not UTF-8 text ({error}). Save it in UTF-8.", err=True)
        sys.exit(BAD_INPUT)
    except OSError as error:
        file = f"{shortened(str(error.filename))}: " if error.filename else ""
        echo(secrets.redact(f"{file}cannot be read or written ({error.strerror or error})."), err=True)
        sys.exit(BAD_INPUT)
    except Exception as error:  # noqa: BLE001 (shown as Python would, without secrets)
        # botocore takes half a second to import, which no other command waits for.
        from runbook.aws_errors import in_words

        echo(in_words(error) or secrets.trace(error).rstrip("\n"), err=True)
        sys.exit(FAILED)


@click.group()
@click.version_option(__version__)
@click.option("--verbose", is_flag=True, help="Also say how kernels start here.")
def command(verbose: bool) -> None:
    """Connect AWS accounts to bucketAV: check, plan, apply, verify, undo.

    Uses the sandbox, a simulation on this machine, unless --environment or the variable RUNBOOK_ENVIRONMENT names
    another environment.
    """
    if verbose:
        from runbook.kernels import switch

        echo(switch.description(), err=True)


_YES = click.option("--yes", is_flag=True, help="Do not ask before real accounts are changed.")


@command.command("list")
def list_() -> None:
    """List the notebooks, their scenarios, the fleets, and the environments."""
    from runbook.batch.fleet import fleet_names
    from runbook.environment import environment_names
    from runbook.steps import ASKED
    from runbook.steps.scenarios import load_scenario, scenario_names

    for name, asked in ASKED.items():
        echo(f"{name}: {asked.title}")
        for scenario in scenario_names(name):
            echo(f"  --scenario {scenario:<24}{load_scenario(name, scenario).description}")
    echo(f"fleets: {', '.join(fleet_names())}")
    echo(f"environments: {', '.join(environment_names())}")


def _choosing_jobs(function: Callable[..., int]) -> Callable[..., int]:
    """The argument and options that say what to run; the command itself gets the jobs that they describe."""

    @click.argument("notebook")
    @click.option("--scenario", help="One scenario; without it and without other values, all of them.")
    @click.option("--params", type=click.Path(dir_okay=False, path_type=Path), help="A file of parameters.")
    @click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="One parameter; a list is YAML.")
    @click.option(
        "--environment", help="Where; params/environments/NAME.yaml. Default: RUNBOOK_ENVIRONMENT, else sandbox."
    )
    @functools.wraps(function)
    def with_jobs(
        notebook: str,
        scenario: str | None,
        params: Path | None,
        given: Sequence[tuple[str, str]],
        environment: str | None,
        **others: Any,
    ) -> int:
        from runbook.jobs import prepare

        if scenario and params:
            raise ParameterError(["--scenario and --params: give one of them."])
        jobs = prepare(notebook, scenario=scenario, params=params, given=_given(given), environment=environment)
        return function(jobs, **others)

    return with_jobs


@command.command()
@_choosing_jobs
@click.option("--apply", is_flag=True, help="Make the changes. Without it, everything is a preview.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Where run folders go. Default: runs/.")
@_YES
def run(jobs: "Sequence[Job]", apply: bool, runs: Path | None, yes: bool) -> int:
    """Run NOTEBOOK (or `all`) headless and leave evidence. Exit status 0 done, 1 failed, 2 bad input.

    With --apply on real accounts it asks first.
    """
    from runbook.batch.runs import run as run_jobs

    if apply:
        environment = jobs[0].environment
        _refuse_unnamed("Add --environment NAME", named=jobs[0].named)
        if not (yes or environment.file.sandbox):
            _ask_about(markdown.count(len(jobs), "run"), environment.name, environment.account_a)
    return DONE if run_jobs(jobs, apply=apply, runs=runs.resolve() if runs else None) else FAILED


@command.command()
@click.argument("fleet", required=False, default="")
@click.option("--apply", is_flag=True, help="Make the changes. Without it, everything is a preview.")
@click.option("--workers", type=click.IntRange(min=1), help="Notebooks at a time. Default: one for each processor.")
@click.option("--engine", help="papermill's engine, by its name. Default: its own.")
@click.option("--runs", default="", help="Where the folder goes; an s3:// address gets a copy. Default: runs/.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with the batch in this folder.")
@click.option("--only", type=click.Choice(["failed"]), help="With --resume: only jobs that were begun and not done.")
@click.option("--stop-at-failure", is_flag=True, help="Begin no more jobs once one has failed.")
@_YES
def batch(
    fleet: str,
    apply: bool,
    workers: int | None,
    engine: str | None,
    runs: str,
    resume: Path | None,
    only: str | None,
    stop_at_failure: bool,
    yes: bool,
) -> int:
    """Run all jobs of FLEET, a name in params/fleets or a YAML or CSV file. Exit status as of `runbook run`.

    With --resume, --apply and an address of --runs are given again as at the beginning. With --apply on real accounts
    it asks first.
    """
    from runbook.batch import batch as batches

    def agree(loaded: "Fleet") -> None:
        if apply:
            _refuse_unnamed(f"Write `environment: NAME` into {loaded.file}", named=loaded.named)
            if not (yes or loaded.sandbox):
                _ask_about(markdown.count(len(loaded.jobs), "job"), loaded.environment_name, loaded.account_a)

    options = batches.Options(workers or 0, engine, only is not None, stop_at_failure)
    if resume:
        resumed = batches.resume(_found(resume), options, agree, fleet=fleet, apply=apply, runs=runs)
        return DONE if resumed.succeeded else FAILED
    if not fleet or only:
        raise ParameterError(["Which batch? Name a FLEET, or --resume RUN; --only goes with --resume."])
    return DONE if batches.begin(fleet, options, agree, apply=apply, runs=runs).succeeded else FAILED


@command.command()
@_choosing_jobs
@click.option("--by-hand", "instructions", is_flag=True, help="Also as console steps and AWS CLI commands.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Where run folders go. Default: runs/.")
def plan(jobs: "Sequence[Job]", instructions: bool, runs: Path | None) -> int:
    """Check and plan NOTEBOOK without running it; changes nothing. Writes plan.json and plan.md to a run folder."""
    from runbook.by_hand import by_hand
    from runbook.jobs import in_a_sandbox_of_its_own, tell_of_sandbox
    from runbook.run import new_folder, removed_if_empty
    from runbook.terminal import TerminalProgress

    status = DONE
    for job in jobs:
        folder = new_folder(job.notebook, job.scenario, runs.resolve() if runs else None)
        with removed_if_empty(folder):
            procedure = job.procedure(folder, progress=TerminalProgress())
            checks, made = procedure.check(), procedure.plan()
        echo(f"{checks!r}\n\n{made.to_markdown()}")
        if instructions:
            echo(f"\n{by_hand(made).to_markdown(most=len(made.changes))}")
        echo(f"\nThe plan is in {shown(folder)}.")
        if checks.failed:
            status = FAILED
        elif made.changes and not in_a_sandbox_of_its_own(sandbox=job.environment.file.sandbox):
            line = commands.command("apply", shown(folder), "--fingerprint", made.fingerprint[:SHORTEST])
            echo(f"To make these changes: {line}")
    tell_of_sandbox(sandbox=jobs[0].environment.file.sandbox)
    return status


@command.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--fingerprint", default="", metavar="HEX", help="Apply only the plan that has this fingerprint.")
@_YES
def apply(plan: Path, fingerprint: str, yes: bool) -> int:
    """Apply PLAN, a plan.json or the run folder that holds one; goes on with a run that was interrupted.

    The plan is made again from its parameters, and shown. Nothing is changed when it differs from the saved one. On
    real accounts it asks before anything is changed.
    """
    from runbook.jobs import KEEP_ONE_RUNNING, in_a_sandbox_of_its_own, procedure_of, tell_of_sandbox
    from runbook.plan import Plan
    from runbook.terminal import TerminalProgress

    plan = _found(plan)
    loaded = Plan.load(plan)
    if fingerprint:
        _refuse_other_fingerprint(plan, loaded.fingerprint, fingerprint)
    folder = plan if plan.is_dir() else plan.parent
    procedure = procedure_of(loaded, folder=folder, progress=TerminalProgress())
    sandbox = procedure.environment.file.sandbox
    if in_a_sandbox_of_its_own(sandbox=sandbox):
        raise ParameterError(
            [
                f"{shown(plan)}: is a plan for the sandbox, and its changes would be gone with this command.",
                KEEP_ONE_RUNNING,
            ]
        )
    with _telling_how_to_go_on(folder):
        ask = not (yes or sandbox)
        made = procedure.apply_saved(loaded, lambda now: _show_plan_and_ask(now, procedure.environment, ask=ask))
        echo(repr(made))
        echo(repr(procedure.verify(made)))
    tell_of_sandbox(sandbox=sandbox)
    return DONE


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--leave", multiple=True, metavar="ARN", help="Leave this resource as it is now. May be repeated.")
@_YES
def undo(run: Path, leave: tuple[str, ...], yes: bool) -> int:
    """Take back what RUN, a run folder, has changed; refused when someone else changed the same thing since.

    Shows what it is going to put back, and asks first; not in the sandbox.
    """
    from runbook.environment import load_environment
    from runbook.jobs import KEEP_ONE_RUNNING, in_a_sandbox_of_its_own, tell_of_sandbox
    from runbook.plan import Plan
    from runbook.run import undo as take_back
    from runbook.terminal import TerminalProgress

    run = _found(run)
    if not run.is_dir():
        raise ParameterError([f"{shown(run)}: is a file; name the run folder, {shown(run.parent)}."])
    environment = load_environment(Plan.load(run).environment)
    if in_a_sandbox_of_its_own(sandbox=environment.file.sandbox):
        raise ParameterError(
            [f"{shown(run)}: was a run in a sandbox that is gone, and its changes with it.", KEEP_ONE_RUNNING]
        )
    ask = not (yes or environment.file.sandbox)
    with _telling_how_to_go_on(run):
        undone = take_back(run, environment, leave, TerminalProgress(), lambda back: _show_and_ask(run, back, ask=ask))
        echo(repr(undone))
    tell_of_sandbox(sandbox=environment.file.sandbox)
    return FAILED if undone.unaccounted else DONE


@command.group("environment")
def environment_() -> None:
    """Write an environment file, and test whether its accounts can be reached."""


@environment_.command("new")
@click.argument("name")
@click.option("--region", help="The Region bucketAV runs in.")
@click.option("--stack-name", help="The name of bucketAV's stack. Default: bucketav.")
@click.option("--profile", help="The AWS profile to start from. Default: boto3's default credentials.")
@click.option("--role-arn", help="The role to assume in every account, with {account_id} for its id.")
@click.option("--external-id", help="The external id that the role's trust policy asks for.")
@click.option("--mfa-serial", help="The MFA device of the user to start from.")
@click.option("--account", "accounts", multiple=True, metavar="NAME=ID", help="An account; `a=ID` runs bucketAV.")
@click.option("--organization", is_flag=True, help="Add all accounts of the organization.")
@click.option("--replace", is_flag=True, help="Replace the file where there is one.")
def new_environment(
    name: str, accounts: tuple[str, ...], organization: bool, replace: bool, **given: str | None
) -> int:
    """Write params/environments/NAME.yaml. Asks in a terminal for what no option says, and tests each account.

    An account's own way in goes behind its id: --account b=222222222222,profile=NAME (or role_arn, external_id).
    """
    from runbook.environment_dialog import new

    new(name, given, accounts, organization=organization, replace=replace)
    return DONE


@environment_.command("test")
@click.argument("name")
def test_environment(name: str) -> int:
    """Print a line for each account of NAME: reached as whom, or why not. Exit status 0 all, 1 not all, 2 bad input."""
    from runbook.environment import load_environment
    from runbook.environment_dialog import tell_access

    return DONE if all(each.identity for each in tell_access(load_environment(name))) else FAILED


@command.command()
@click.argument("notebook", default="")
@click.option("--scenario", default="", help="Only what this scenario needs, on what it names; default: all of them.")
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="One parameter; a list is YAML.")
@click.option(
    "--plan", "saved", type=click.Path(path_type=Path), help="Only what this plan needs: a file or run folder."
)
@click.option("--environment", default="", help="The accounts, Region and stack; params/environments/NAME.yaml.")
@click.option("--preview", is_flag=True, help="Only what check and plan need.")
@click.option("--role-template", is_flag=True, help="A CloudFormation template of the role to assume in every account.")
def permissions(
    notebook: str,
    scenario: str,
    given: Sequence[tuple[str, str]],
    saved: Path | None,
    environment: str,
    preview: bool,
    role_template: bool,
) -> int:
    """Print the IAM policies that NOTEBOOK needs, one for each part that an account has, as JSON.

    Names in the resources are patterns where no environment, scenario, parameter or plan tells them.
    """
    from runbook.environment import load_environment
    from runbook.review.permissions import choose, policies, reasons
    from runbook.review.role_template import role_template as template_of
    from runbook.steps import ASKED, asked_class

    name = Path(notebook).name.removesuffix(".ipynb")
    if role_template:
        if scenario or given or saved or preview:
            raise ParameterError(["--role-template: the role is for all runs; leave out the scenario, -p and --plan."])
        notebooks = [asked_class(name).notebook] if name else list(ASKED)
        echo(template_of(load_environment(environment) if environment else None, notebooks))
        return DONE
    chosen = choose(name, scenario, _given(given), saved, environment)
    until = "look" if preview else "undo"
    found = policies(chosen.notebook, chosen.way, until=until, known=chosen.known)
    echo(json.dumps({part: policy.body for part, policy in found.items()}, indent=2))
    for reason in reasons(chosen.notebook, found):
        echo(reason, err=True)
    return DONE


@command.command()
@click.option("--base", default="", metavar="REV", help="Also: what changes in meaning since this revision.")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Write report and site to this folder."
)
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Only: compare this copy of the page.")
@click.option("--part", "parts", multiple=True, metavar="PART", help="Only this part of it. May be repeated.")
def review(base: str, output: Path | None, page: Path | None, parts: tuple[str, ...]) -> int:
    """Review the notebooks as the product's documentation. Exit status 0 nothing wrong, 1 something is, 2 bad input."""
    from runbook.review import command as reviewing

    if page and (base or parts):
        raise ParameterError(["--page compares a page and nothing else: leave out --base and --part."])
    if output:
        reviewing.refuse_unusable(output.resolve())
    found = reviewing.review_page(page) if page else reviewing.review(base, parts)
    echo(found.to_markdown())
    for path in reviewing.write(found, output.resolve()) if output else ():
        echo(f"Written: {shown(path)}", err=True)
    return DONE if found.ok else FAILED


@command.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
def sandbox(port: int) -> None:
    """Run the sandbox in the foreground and print the variables that other tools need to use it.

    Where one of this project is running already, print the variables of that one.
    """
    from runbook import running_sandbox
    from runbook.sandbox import server

    try:
        if there := running_sandbox.find():
            server.print_variables(there)
            return echo(f"The sandbox at {there.endpoint_url} is running already: there is one to share.", err=True)
        with ExitStack() as end:
            server.serve(port, lambda started: end.enter_context(running_sandbox.announced(started)))
    except server.SandboxError as error:
        raise ParameterError([str(error)]) from None


@command.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open the notebooks in JupyterLab, for this machine only; ARGUMENTS are JupyterLab's own."""
    from runbook.frontends import lab
    from runbook.jobs import shared_sandbox

    with shared_sandbox(announced=True):
        lab.serve(arguments)


@command.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def app(arguments: tuple[str, ...]) -> None:
    """Open the notebooks as pages without code, for this machine only; ARGUMENTS are Voilà's own."""
    from runbook.frontends import app
    from runbook.jobs import shared_sandbox

    with shared_sandbox(announced=True):
        app.serve(arguments)


def _refuse_other_fingerprint(plan: Path, found: str, wanted: str) -> None:
    """Raise ParameterError unless the plan has the fingerprint that somebody knows from `runbook plan`."""
    if len(wanted) < SHORTEST:
        raise ParameterError([f"--fingerprint {wanted}: give at least {SHORTEST} characters of it."])
    if not found.startswith(wanted.lower()):
        raise ParameterError(
            [
                f"{shown(plan)}: has the fingerprint {found[: len(wanted)]}, not {wanted}: it is another plan than the "
                "one that was reviewed. Nothing was changed."
            ]
        )


def _refuse_unnamed(remedy: str, *, named: bool) -> None:
    """Raise ParameterError for changes in an environment that nobody has named, where nobody is there to notice."""
    if not (named or is_attended()):
        raise ParameterError(
            [
                "--apply without a terminal: name the environment, so that nobody takes the sandbox for real accounts. "
                f"{remedy}, or set RUNBOOK_ENVIRONMENT; the simulation is `sandbox`. Nothing was changed."
            ]
        )


def _ask_about(work: str, environment: str, account: str) -> None:
    """Ask before notebooks make changes on real accounts. Raises Declined."""
    question = f"Make the changes of {work} on real accounts? Environment {environment}, bucketAV account {account}."
    confirm(question, f"{environment}: nothing was changed")


def _show_plan_and_ask(plan: "Plan", environment: "Environment", *, ask: bool) -> None:
    """Show the plan that is going to be applied, and stop it unless somebody agrees."""
    echo(f"{plan.to_markdown()}\n")
    if ask and plan.changes:
        accounts = dict.fromkeys(environment.account_name(change.resource.account) for change in plan.changes)
        question = f"Make {markdown.count(len(plan.changes), 'change')} in {markdown.joined([*accounts], most=5)}?"
        confirm(question, f"{environment.name}: nothing was changed")


def _show_and_ask(run: Path, back: "PutBack", *, ask: bool) -> None:
    """Show everything that an undo is going to do, and stop it unless somebody agrees."""
    if not back.changes:
        return
    echo(f"{back.to_markdown()}\n")
    if ask:
        confirm(back.question, f"{shown(run)}: nothing was taken back")


def _found(path: Path) -> Path:
    """What a path means: from the working directory or, as our own messages write paths, from the project root."""
    if path.exists():
        return path.resolve()
    from_root = resolve_path(str(path))
    if not from_root.exists():
        raise ParameterError(
            [f"{path}: there is no such file or folder, neither in {Path.cwd()} nor in {project_root()}."]
        )
    return from_root


@contextmanager
def _telling_how_to_go_on(folder: Path) -> Iterator[None]:
    """Whoever stops an apply or an undo halfway learns what to do next."""
    try:
        yield
    except KeyboardInterrupt:
        run = shown(folder)
        resume, undo = (commands.span(verb, run) for verb in ("apply", "undo"))
        raise click.Abort(f"Stopped: {run}. {resume} goes on; {undo} takes back what was changed.") from None


def _given(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Values of `-p`: text as it stands, so that an account id stays one; lists and mappings as YAML."""
    return {
        name: parse_yaml(text, f"-p {name}: {quoted(text)}") if text.startswith(("[", "{")) else text
        for name, text in pairs
    }
