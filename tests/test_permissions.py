"""What the credentials need is what is written down: with that every way succeeds, with any one less it says so."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook.environment import Environment, load_environment
from runbook.errors import RunbookError
from runbook.parameters import project_root
from runbook.plan import Plan
from runbook.review import permissions
from runbook.review.observed import fresh_sandbox, go, observe, summed_up, with_tables
from runbook.review.permissions import ALWAYS, PHASES, grants, needed, statements, step_of, ways
from runbook.review.resources import DELEGATED, HOME, MANAGEMENT, Known
from runbook.steps import ASKED, STEPS
from runbook.steps.step import Step

EVERYWHERE = os.environ.get("RUNBOOK_FAULTS") == "all"

pytestmark = pytest.mark.usefixtures("time_by_calls")  # each observation resets the sandbox by itself


@pytest.mark.parametrize("notebook", ASKED)
def test_every_way_succeeds_with_exactly_what_it_needs(notebook: str) -> None:
    observed = {way: observe(notebook, way, fresh_sandbox(by_place(notebook, way))) for way in ways(notebook)}
    assert summed_up(observed) == permissions.read(notebook)


@pytest.mark.parametrize("notebook", STEPS)
def test_a_saved_plan_narrows_to_what_it_changes(notebook: str) -> None:
    """Every way goes through with what its plan says it needs."""
    for way in ways(notebook):
        step = step_of(notebook, way)
        assert isinstance(step, Step)
        environment = fresh_sandbox()
        plan = step.plan(environment, step.observe(environment), way)
        allowed = by_place(notebook, way, plan)
        used = set().union(*observe(notebook, way, fresh_sandbox(allowed)).values())
        assert used == {(place, action) for place, actions in needed(notebook, way).items() for action in actions}
        keys = {change.resource.arn for change in plan.changes if change.resource.kind.startswith("kms.")}
        written = [each for listed in allowed.values() for each in listed if "kms:PutKeyPolicy" in each["Action"]]
        assert {arn for each in written for arn in _listed(each["Resource"])} == keys


def test_the_readme_has_the_tables() -> None:
    readme = (project_root() / "README.md").read_text(encoding="utf-8")
    assert with_tables(readme) == readme, "Renew them: make permissions"


def one_less() -> Iterator[tuple[str, str, str, str, str]]:
    """Every permission with a way that needs it: notebook, way, phase, place, action.

    One that several notebooks need is taken from the last of them; from each with RUNBOOK_FAULTS=all (`make faults`).
    What is refused is told by one piece of code for all of them.
    """
    found = {}
    for notebook in ASKED:
        for place, actions in permissions.read(notebook).items():
            for action, phases in actions.items():
                phase = next(each for each in PHASES if each in phases)
                way = ways(notebook)[0] if phases[phase] == ALWAYS else phases[phase][0]
                found[place, action, notebook if EVERYWHERE else ""] = (notebook, way, phase, place, action)
    yield from found.values()


@pytest.mark.parametrize(("notebook", "way", "phase", "place", "action"), tuple(one_less()))
def test_with_any_one_less_the_error_names_it(
    notebook: str, way: str, phase: str, place: str, action: str, tmp_path: Path
) -> None:
    allowed = by_place(notebook, way)
    for statement in allowed[place]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    # SQS says sqs:createqueue, SNS says SNS:Subscribe: IAM does not care.
    said = told(notebook, way, phase, fresh_sandbox(allowed), tmp_path / "run")
    assert action.lower() in said.lower()


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def by_place(notebook: str, way: str, plan: Plan | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return what a way needs, as narrow as its parameters say, by the place. Account a may administrate."""
    found = grants(notebook, way, known=Known(load_environment("sandbox"), step_of(notebook, way), plan))
    places = {HOME: "account a", DELEGATED: "account a", MANAGEMENT: "management account"}
    allowed: dict[str, list[dict[str, Any]]] = {}
    for part, needs in found.items():
        allowed.setdefault(places.get(part, "other accounts"), []).extend(statements(needs))
    return allowed


def told(notebook: str, way: str, phase: str, environment: Environment, folder: Path) -> str:
    """All that is said on the way up to a phase, or until an error ends it."""
    said: list[str] = []
    try:
        for _, text in go(notebook, way, environment, folder, apply=False, until=phase):
            said.append(text)
    except RunbookError as error:
        said.append(str(error))
    return "\n".join(said)
