"""Watches the notebooks in the sandbox, and writes down which permissions their calls needed.

    python -m runbook.review.observed [NOTEBOOK ...]

renews `permissions/NOTEBOOK.yaml` beside this module, and README.md's tables of it. Each way through a step is looked
at (check and plan), applied and verified, and undone, in a fresh sandbox.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runbook.display.start import Start
from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, project_root
from runbook.policy.document import new
from runbook.procedure import Procedure
from runbook.review import permissions
from runbook.review.permissions import ALWAYS, PHASES, PLACES, step_of, ways
from runbook.run import undo
from runbook.sandbox import server
from runbook.steps import ASKED, asked_class
from runbook.steps.step import Step
from runbook.terminal import echo

if TYPE_CHECKING:
    pass

ROLE = "Runbook"
"""The role in every account that the steps start from while they are observed."""

MARKS = ("<!-- permissions: make permissions -->", "<!-- end of permissions -->")
"""Lines of README.md; what is between them is generated."""

NOTHING = new([{"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"}])
"""A policy that has nothing to do with any of this."""

EVERYTHING = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]

Used = set[tuple[str, str]]
"""Places and actions."""

# What needs moto is imported once the sandbox has been started, which imports moto in a way of its own.


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew the files of the named notebooks (all by default) and the README. Exit status 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m runbook.review.observed", description=str(__doc__).splitlines()[0])
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="such as 05-bucket-policy; default: all")
    try:
        for notebook in parser.parse_args(arguments).notebooks or ASKED:
            asked_class(notebook)
            needs = summed_up({way: observe(notebook, way) for way in ways(notebook)})
            text = yaml.safe_dump(needs, sort_keys=False, width=120, default_flow_style=None)
            (permissions.FOLDER / f"{notebook}.yaml").write_text(text, encoding="utf-8")
    except ParameterError as error:
        echo(str(error), err=True)
        return 2
    file = project_root() / "README.md"
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def observe(notebook: str, way: str, environment: Environment | None = None) -> dict[str, Used]:
    """Return what each phase used that none before it did.

    `environment`: a fresh sandbox, seen with the permissions to try; by default with all of them.
    """
    environment = environment or fresh_sandbox()
    from runbook.sandbox.authorization import recorded

    found: dict[str, Used] = {}
    with tempfile.TemporaryDirectory() as temporary, recorded() as calls:
        for phase, _ in go(notebook, way, environment, Path(temporary) / "run"):
            found[phase] = found.get(phase, set()) | _used(calls, environment).difference(*found.values())
    return {phase: found.get(phase, set()) for phase in PHASES}


def go(
    notebook: str, way: str, environment: Environment, folder: Path, *, apply: bool = True, until: str = "undo"
) -> Iterator[tuple[str, str]]:
    """Go through a notebook up to a phase: the name of each phase, and what was said in it.

    Without `apply` a failed check or verification raises nothing.
    """
    step = step_of(notebook, way)
    if not isinstance(step, Step):
        start = Start(step.as_given(), environment, way, "")
        yield "look", "\n".join(map(repr, (start.check(), start.picture(), start.recommend())))
        return
    procedure = Procedure(step, environment, apply=apply, folder=str(folder))
    checks, plan = procedure.check(), procedure.plan()
    yield "look", f"{checks!r}\n{plan.to_markdown()}"
    if until == "look":
        return
    run = procedure.apply(plan)
    yield "apply", repr(run)
    yield "apply", repr(procedure.verify(run))
    if plan.changes and until == "undo":
        yield "undo", repr(undo(folder, environment))


def fresh_sandbox(allowed: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> Environment:
    """Reset the sandbox, and return it as seen by someone who has a role in every account.

    `allowed`: the statements of the role's policy, by the place; everything by default.
    """
    loaded = reset_sandbox()
    from runbook.sandbox.world import add_role

    for account in active_accounts():
        allowing = EVERYTHING if allowed is None else allowed.get(_place(loaded, account), ())
        add_role(account, ROLE, loaded.account_id("management"), [dict(statement) for statement in allowing])
    return with_role(loaded)


def reset_sandbox() -> Environment:
    """Start the sandbox or reset it, and return it as its administrator sees it."""
    server.start()
    server.reset()
    environment = load_environment("sandbox")
    _attach_managed_policies(environment)
    return environment


def active_accounts() -> list[str]:
    """Return the ids of the organization's accounts in which anything can be done, the management account first."""
    from runbook.sandbox.accounts import MANAGEMENT
    from runbook.sandbox.world import ACCOUNTS

    return [MANAGEMENT, *(account.id for account in ACCOUNTS if account.status == "ACTIVE")]


def with_role(loaded: Environment) -> Environment:
    """Return the environment with the role `ROLE` in all accounts, the management account among them."""
    role = f"arn:aws:iam::{{account_id}}:role/{ROLE}"
    accounts = {name: entry.model_copy(update={"role_arn": role}) for name, entry in loaded.file.accounts.items()}
    changed = {"role_arn": role, "accounts": accounts, "probe": False}
    return Environment(loaded.name, loaded.file.model_copy(update=changed), loaded.where)


def _attach_managed_policies(environment: Environment) -> None:
    """bucketAV's roles in account a have only policies of their own in the sandbox; on AWS they may have others too."""
    iam = environment.client("iam", environment.account_a)
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=NOTHING.text)["Policy"]["Arn"]
    names = [role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]]
    for name in names:
        # Not to the one that goes with the last entry of the allowlist: IAM deletes no role that has a managed policy.
        if name.startswith(f"{environment.stack_name}-") and "AccountConnection" not in name:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)


def summed_up(observed: Mapping[str, Mapping[str, Used]]) -> dict[str, Any]:
    """What all ways used, as the notebook's file holds it."""
    phases = {
        (place, action, phase): [way for way in observed if (place, action) in observed[way][phase]]
        for phase in PHASES
        for place, action in sorted({used for each in observed.values() for used in each[phase]})
    }
    found: dict[str, Any] = {}
    for place, action, phase in sorted(
        phases, key=lambda each: (PLACES.index(each[0]), each[1], PHASES.index(each[2]))
    ):
        listed = phases[place, action, phase]
        every = len(listed) == len(observed)
        found.setdefault(place, {}).setdefault(action, {})[phase] = ALWAYS if every else listed
    return found


def with_tables(readme: str) -> str:
    """The text of README.md with the tables renewed."""
    start, end = (readme.index(mark) for mark in MARKS)
    return f"{readme[:start]}{MARKS[0]}\n\n{permissions.tables()}\n\n{readme[end:]}"


def _used(calls: Iterable[tuple[str, str, str]], environment: Environment) -> Used:
    """Of all recorded calls, those of the role that everything starts from."""
    return {(_place(environment, account), action) for account, name, action in list(calls) if name == ROLE}


def _place(environment: Environment, account: str) -> str:
    own = {environment.account_a: "account a", environment.account_id("management"): "management account"}
    return own.get(account, "other accounts")


if __name__ == "__main__":
    sys.exit(main())
