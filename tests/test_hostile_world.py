"""Payloads in every field that AWS lets others write, through every view: they are shown as code, and do nothing."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from runbook.by_hand import by_hand
from runbook.checks import Checks
from runbook.display.matrix import matrix
from runbook.display.start import Advice
from runbook.display.style import styled
from runbook.display.topology import Picture
from runbook.display.views import view, view_of_failure
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.steps import STEPS
from runbook.steps.approach import recommend
from runbook.steps.scenarios import make_step, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.step import Verification
from runbook.steps.topology import read_topology
from tests.hostile import FREE_TEXT, MARK, World, payloads, problems_of_html, problems_of_markdown, problems_of_text

ALL = payloads()
JOINED = tuple(" ".join((*ALL[turn:], *ALL[:turn])) for turn in (0, 7, 15))
"""All in one, in three orders: one may open what the next closes."""

View = tuple[str, str]
"""The kind of text, and the text."""


def shown(result: Checks | Plan | Verification) -> Iterator[View]:
    """All forms of a result."""
    yield "text", repr(result)
    yield "markdown", result._repr_markdown_()
    yield "html", styled(view(result))


def views(environment: Environment, notebook: str, scenario: str, folder: Path) -> Iterator[View]:
    """Everything that a preview shows, and what it writes."""
    step = make_step(STEPS[notebook], scenario, {})
    procedure = Procedure(step, environment, scenario=scenario, folder=str(folder))
    try:
        yield from shown(procedure.check())
        plan = procedure.plan()
        yield from shown(plan)
        yield "markdown", by_hand(plan)._repr_markdown_()
        run = procedure.preview(plan)
        yield "text", repr(run)
        yield "html", view(run)
        verification = procedure.verify(run)
        yield from shown(verification)
        yield "html", matrix(verification.access)
    except RunbookError as error:
        yield "text", f"{type(error).__name__}: {error}"
        yield "html", view_of_failure(error, "Apply")
    if (folder / "plan.md").exists():
        yield "markdown", (folder / "plan.md").read_text(encoding="utf-8", errors="surrogatepass")


def problems(kind: str, text: str) -> list[str]:
    """A fault of a view."""
    walks: dict[str, Callable[[str], Iterable[str]]] = {
        "text": problems_of_text,
        "markdown": problems_of_markdown,
        "html": problems_of_html,
    }
    return list(dict.fromkeys(walks[kind](text)))


@pytest.mark.parametrize("texts", [ALL, JOINED], ids=["each", "joined"])
@pytest.mark.parametrize("notebook", list(STEPS))
def test_nothing_gets_out_of_any_view_of_a_step(
    notebook: str, texts: tuple[str, ...], environment: Environment, tmp_path: Path
) -> None:
    world = World(environment, texts)
    looked_at = marks = 0
    for scenario in scenario_names(notebook):
        for kind, text in views(environment, notebook, scenario, tmp_path / scenario):
            assert problems(kind, text) == [], f"{notebook} {scenario}, {kind}: {text[:3000]}"
            looked_at += 1
            marks += text.count(MARK)
    fields = {field for field, _ in world.seen}
    print(f"{notebook}: {len(fields)} fields × {len(texts)} payloads, {looked_at} views, {marks} marks shown")
    assert len(fields) >= 3, "the world was not hostile"
    assert marks, "no view showed a payload: the test looks at nothing"


def test_the_world_is_hostile_wherever_others_write(environment: Environment, tmp_path: Path) -> None:
    world = World(environment, ALL)
    for notebook in STEPS:
        scenario = scenario_names(notebook)[0]
        assert list(views(environment, notebook, scenario, tmp_path / notebook))
    assert {field.partition(".")[0] for field, _ in world.seen} == set(FREE_TEXT)
    assert len({number for _, number in world.seen}) == len(ALL), "every payload was somewhere"


@pytest.mark.parametrize("texts", [ALL, JOINED], ids=["each", "joined"])
def test_nothing_gets_out_of_the_start_page(texts: tuple[str, ...], environment: Environment) -> None:
    World(environment, texts)
    topology = read_topology(environment)
    assert all(re.fullmatch("[0-9]{12}", account.id) for account in topology.accounts), "nobody else is asked"
    assert any("which is no account" in each for each in topology.problems)
    picture = Picture(topology)
    found: list[View] = [("text", repr(picture)), ("html", picture.to_svg())]
    found += [("html", picture._repr_mimebundle_()["text/html"])]
    found += shown(topology.checks)
    for name in scenario_names(StartHere.notebook):
        advice = Advice(recommend(make_step(StartHere, name, {}), topology), "sandbox")
        found += [("text", repr(advice)), ("markdown", advice._repr_markdown_())]
    for kind, text in found:
        assert problems(kind, text) == [], f"{kind}: {text[:3000]}"
    assert any(MARK in text for _, text in found)
