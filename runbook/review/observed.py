"""Watches the steps in the sandbox, and writes down which permissions their calls needed.

    python -m runbook.review.observed [NOTEBOOK ...]

renews `permissions/NOTEBOOK.yaml` beside this module, and README.md's tables of it. Each way through a step is looked
at (check and plan), applied and verified, and undone, in a fresh sandbox.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError, project_root
from runbook.policy.document import new
from runbook.procedure import Procedure
from runbook.review import permissions
from runbook.review.permissions import ALWAYS, MORE, PHASES, PLACES, ways
from runbook.run import undo
from runbook.sandbox import server
from runbook.steps import STEPS, step_class
from runbook.steps.scenarios import make_step
from runbook.steps.step import Step
from runbook.terminal import echo

ROLE = "Runbook"
"""The role in every account that the steps start from while they are observed."""

MARKS = ("<!-- permissions: make permissions -->", "<!-- end of permissions -->")
"""Lines of README.md; what is between them is generated."""

NOTHING = new([{"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"}])
"""A policy that has nothing to do with any of this."""

Used = set[tuple[str, str]]
"""Places and actions."""

# What needs moto is imported once the sandbox has been started, which imports moto in a way of its own.


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew the files of the named notebooks (all by default) and the README. Exit status 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m runbook.review.observed", description=str(__doc__).splitlines()[0])
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="such as 05-bucket-policy; default: all")
    try:
        for notebook in parser.parse_args(arguments).notebooks or STEPS:
            step_class(notebook)
            needs = summed_up({way: observe(notebook, way) for way in ways(notebook)})
            text = yaml.safe_dump(needs, sort_keys=False, width=120, default_flow_style=None)
            (permissions.FOLDER / f"{notebook}.yaml").write_text(text, encoding="utf-8")
    except ParameterError as error:
        echo(str(error), err=True)
        return 2
    file = project_root() / "README.md"
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def step_of(notebook: str, way: str) -> Step:
    """The step that goes this way."""
    more = MORE.get(notebook, {})
    return make_step(step_class(notebook), "" if way in more else way, more.get(way, {}))


def observe(notebook: str, way: str, allowed: Mapping[str, Sequence[str]] | None = None) -> dict[str, Used]:
    """What each phase used that none before it did, in a fresh sandbox.

    `allowed`: the actions that the credentials may do, by the place; everything by default.
    """
    environment = fresh_sandbox(allowed)
    from runbook.sandbox.authorization import recorded

    with tempfile.TemporaryDirectory() as temporary, recorded() as calls:
        folder = Path(temporary) / "run"
        procedure = Procedure(step_of(notebook, way), environment, apply=True, folder=str(folder))
        found: dict[str, Used] = {}
        procedure.check()
        plan = procedure.plan()
        found["look"] = _used(calls, environment)
        procedure.verify(procedure.apply(plan))
        found["apply"] = _used(calls, environment).difference(*found.values())
        if plan.changes:
            undo(folder, environment)
        found["undo"] = _used(calls, environment).difference(*found.values())
    return found


def fresh_sandbox(allowed: Mapping[str, Sequence[str]] | None = None) -> Environment:
    """The sandbox, reset, as someone sees it who has in every account a role that may do `allowed`, by the place."""
    server.start()
    server.reset()
    from runbook.sandbox.accounts import MANAGEMENT
    from runbook.sandbox.world import ACCOUNTS, add_role

    loaded = load_environment("sandbox")
    role = f"arn:aws:iam::{{account_id}}:role/{ROLE}"
    # The role in the management account is assumed as well, although the credentials to start from belong to it.
    accounts = {name: entry.model_copy(update={"role_arn": role}) for name, entry in loaded.file.accounts.items()}
    changed = {"role_arn": role, "accounts": accounts, "probe": False}
    environment = Environment(loaded.name, loaded.file.model_copy(update=changed), loaded.where)
    for account in (MANAGEMENT, *(each.id for each in ACCOUNTS if each.status == "ACTIVE")):
        actions = ["*"] if allowed is None else allowed.get(_place(environment, account), ())
        add_role(account, ROLE, MANAGEMENT, actions)
    _attach_managed_policies(loaded)
    return environment


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
