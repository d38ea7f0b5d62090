"""What the credentials need is what is written down: with that every way succeeds, with any one less it says so."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import project_root
from runbook.procedure import Procedure
from runbook.review import permissions
from runbook.review.observed import fresh_sandbox, observe, step_of, summed_up, with_tables
from runbook.review.permissions import ALWAYS, PHASES, needed, ways
from runbook.run import undo
from runbook.steps import STEPS

EVERYWHERE = os.environ.get("RUNBOOK_FAULTS") == "all"

pytestmark = pytest.mark.usefixtures("time_by_calls")  # each observation resets the sandbox by itself


@pytest.mark.parametrize("notebook", STEPS)
def test_every_way_succeeds_with_exactly_what_it_needs(notebook: str) -> None:
    observed = {way: observe(notebook, way, needed(notebook, way)) for way in ways(notebook)}
    assert summed_up(observed) == permissions.read(notebook)


def test_the_readme_has_the_tables() -> None:
    readme = (project_root() / "README.md").read_text(encoding="utf-8")
    assert with_tables(readme) == readme, "Renew them: make permissions"


def one_less() -> Iterator[tuple[str, str, str, str, str]]:
    """Every permission with a way that needs it: notebook, way, phase, place, action.

    One that several notebooks need is taken from the last of them; from each with RUNBOOK_FAULTS=all (`make faults`).
    What is refused is told by one piece of code for all of them.
    """
    found = {}
    for notebook in STEPS:
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
    allowed = needed(notebook, way)
    allowed[place].remove(action)
    # SQS says sqs:createqueue, SNS says SNS:Subscribe: IAM does not care.
    assert action.lower() in told(notebook, way, phase, allowed, tmp_path / "run").lower()


def told(notebook: str, way: str, phase: str, allowed: Mapping[str, Sequence[str]], folder: Path) -> str:
    """All that is said on the way up to a phase, or until an error ends it."""
    environment = fresh_sandbox(allowed)
    said: list[str] = []
    try:
        for text in go(Procedure(step_of(notebook, way), environment, folder=str(folder)), environment, phase, folder):
            said.append(text)
    except RunbookError as error:
        said.append(str(error))
    return "\n".join(said)


def go(procedure: Procedure, environment: Environment, phase: str, folder: Path) -> Iterator[str]:
    yield repr(procedure.check())
    plan = procedure.plan()
    yield plan.to_markdown()
    if phase != "look":
        run = procedure.apply(plan)
        yield repr(run)
        yield repr(procedure.verify(run))
    if phase == "undo":
        yield repr(undo(folder, environment))
