"""Every scenario as it goes when it is applied: each in a fresh sandbox, so that none depends on another."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

from runbook.display.rich_text import from_markdown
from runbook.display.start import Advice
from runbook.display.views import view, view_of_failure
from runbook.environment import load_environment
from runbook.errors import RunbookError
from runbook.jobs import DEFAULT_ENVIRONMENT
from runbook.parameters import project_root
from runbook.procedure import Procedure
from runbook.run import Run
from runbook.sandbox import server
from runbook.steps import ASKED, step_class
from runbook.steps.approach import recommend
from runbook.steps.scenarios import Scenario, load_scenario, make_step, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.step import Step
from runbook.steps.topology import read_topology

PROCESSES = 2
"""So many scenarios are gone through at a time; there is one sandbox in a process."""


@dataclass(frozen=True)
class Example:
    """A scenario, and what each part of its way showed: a heading and HTML. `failure` says why it ended early."""

    notebook: str
    scenario: Scenario
    parts: tuple[tuple[str, str], ...]
    failure: str = ""


def examples() -> list[Example]:
    """All scenarios of all notebooks, in their order, in processes of their own: this one's sandbox stays as it is."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"), initializer=_begin) as processes:
        return [example for found in processes.map(examples_of, ASKED) for example in found]


def examples_of(notebook: str) -> list[Example]:
    """The scenarios of a notebook, each in the sandbox of this process as it is when it begins."""
    if notebook == StartHere.notebook:
        return _recommended(notebook)
    return [_applied(notebook, load_scenario(notebook, name)) for name in scenario_names(notebook)]


def failures(found: Sequence[Example]) -> list[str]:
    """A line for each that ended early."""
    return [f"{each.notebook} {each.scenario.name}: {each.failure}" for each in found if each.failure]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _begin() -> None:
    """A sandbox for this process, whatever else is running on this machine."""
    os.environ[server.VARIABLE] = server.start().endpoint_url


def _recommended(notebook: str) -> list[Example]:
    """What the answers of each scenario lead to. They change nothing: one look is enough for all of them."""
    server.reset()
    topology = read_topology(load_environment(DEFAULT_ENVIRONMENT))
    found = []
    for name in scenario_names(notebook):
        advice = Advice(recommend(make_step(StartHere, name, {}), topology), DEFAULT_ENVIRONMENT)
        parts = (("What fits", from_markdown(advice._repr_markdown_())),)
        found.append(Example(notebook, load_scenario(notebook, name), parts))
    return found


def _applied(notebook: str, scenario: Scenario) -> Example:
    """One scenario as its notebook runs with `apply`. What goes wrong is part of the answer."""
    server.reset()
    parts: list[tuple[str, str]] = []
    try:
        parts.extend(_way(make_step(step_class(notebook), scenario.name, {}), scenario.name))
    except RunbookError as error:
        parts.append(("It ended here", view_of_failure(error, "")))
        return Example(notebook, scenario, tuple(parts), f"{type(error).__name__}: {error}")
    return Example(notebook, scenario, tuple(parts))


def _way(step: Step, scenario: str) -> Iterator[tuple[str, str]]:
    """What each part shows, as soon as it is done."""
    with tempfile.TemporaryDirectory() as folder:
        procedure = Procedure(step, load_environment(DEFAULT_ENVIRONMENT), scenario=scenario, folder=folder)
        yield "1. Check", view(procedure.check())
        plan = procedure.plan()
        yield "2. Plan", view(plan)
        run = procedure.apply(plan)
        yield "3. Apply", view(_repeatable(run))
        yield "4. Verify", view(procedure.verify(run))


def _repeatable(run: Run) -> Run:
    """A run without what is another each time: the folder's name, and how long things took."""
    folder = project_root() / "runs" / f"TIME-{run.plan.step}-{run.plan.scenario}"
    return replace(run, folder=folder, told=tuple(re.sub(r" after \d+ s\b", "", line) for line in run.told))
