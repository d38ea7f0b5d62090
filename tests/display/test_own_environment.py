"""Notebooks with accounts of one's own: a form that is empty at first, and a sentence where something is missing."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook.cli import BAD_INPUT
from runbook.display import by_hand, choose, start_here
from runbook.display.band import band
from runbook.display.halted import BELOW, Halted
from runbook.environment import load_environment
from runbook.parameters import ParameterError
from runbook.steps import ASKED, STEPS
from runbook.steps.allowlist import Allowlist
from runbook.steps.scenarios import load_scenario, make_step, save_scenario, scenario_in, scenario_names
from tests.command import Command

FILE = """\
region: eu-west-1
endpoint_url: http://127.0.0.1:9
accounts:
  a: { account_id: "123456789012" }
  media: { account_id: "210987654321" }
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An environment file of accounts that cannot be reached: nothing here may need them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    file = tmp_path / "own.yaml"
    file.write_text(FILE)
    yield str(file)
    for thread in threading.enumerate():
        if thread.name == "band":  # it asks who we are, again and again, and draws random pauses meanwhile
            thread.join()


@pytest.fixture
def in_front_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the notebook's functions believe that somebody sees widgets."""
    for module in ("chooser", "start", "halted"):
        monkeypatch.setattr(f"runbook.display.{module}.shows_widgets", lambda: True)


@pytest.mark.parametrize("notebook", list(STEPS))
def test_the_form_opens_empty_and_the_cells_below_say_what_is_missing(
    notebook: str, own: str, in_front_of_people: None
) -> None:
    step = STEPS[notebook]
    choice = choose(step, environment=own, scenario=step.default_scenario)
    form = choice.panel.form
    assert choice.scenario == ""
    assert [name for _, name in form._scenarios.options] == [""], "samples are for the sandbox"
    assert "text/markdown" in choice._repr_mimebundle_()
    if notebook == "03-stack-sets":
        return  # no parameter is needed: what is to be connected is asked by a check
    assert not form.usable
    for result in (choice.check(), plan := choice.plan()):
        assert isinstance(result, Halted)
        assert "Traceback" not in repr(result)
        assert "?" in repr(result) or "is missing" in repr(result), "the sentence asks for what is missing"
    assert repr(choice.preview(plan)) == repr(by_hand(plan)) == BELOW
    assert repr(choice.verify(choice.preview(plan))) == BELOW


def test_start_here_opens_and_is_empty(own: str, in_front_of_people: None) -> None:
    start = start_here(environment=own, scenario="few-accounts")
    assert "text/markdown" in start._repr_mimebundle_()
    assert (start.scenario, start.answers.accounts) == ("", ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accounts": ["nobody"]}, "there is no account <code>nobody</code>"),
        ({"accounts": [12]}, "not an account id"),
        ({"accounts": "media"}, "not a list"),
    ],
)
def test_wrong_parameters_stand_beside_their_field(
    given: dict[str, Any], said: str, own: str, in_front_of_people: None
) -> None:
    choice = choose(Allowlist, environment=own, **given)
    field = choice.panel.form._fields["accounts"]
    assert said in field._problem.value
    field.input.control.value = ""
    field.input.control.value = "media"
    assert choice.step == Allowlist(accounts=("media",))


def test_what_cannot_even_begin_is_said_and_can_be_tried_again(own: str, in_front_of_people: None) -> None:
    choice = choose(Allowlist, environment="nowhere")
    assert "nowhere" in repr(choice)
    assert "rb-again" in choice._repr_mimebundle_()["text/html"]
    assert repr(choice.verify(choice.preview(choice.plan()))) == BELOW


def test_headless_it_is_an_error(own: str, runbook: Command) -> None:
    with pytest.raises(ParameterError, match="none of them is given"):
        choose(Allowlist, environment=own, scenario="one-account")
    ended = runbook("run", "01-allowlist", "--environment", own)
    assert ended.status == BAD_INPUT
    assert "no saved scenarios" in ended.err
    ended = runbook("plan", "01-allowlist", "--environment", own, "--scenario", "removal")
    assert ended.status == BAD_INPUT
    assert "It is a sample for the sandbox." in ended.err


def test_scenarios_belong_to_their_environment(own: str) -> None:
    environment = load_environment(own)
    assert scenario_names("01-allowlist", environment) == []
    step = Allowlist(accounts=("media",))
    path = save_scenario(step, "one-account", "Mine.", environment)
    assert path == Path(own).with_suffix("") / "01-allowlist" / "one-account.yaml"
    assert scenario_in(Allowlist, "one-account", environment) == "one-account", "one of its own is no sample"
    assert make_step(Allowlist, "one-account", {}, environment=environment) == step
    assert load_scenario("01-allowlist", "one-account").values["accounts"] == ["d"], "the sample is another"
    assert load_scenario("01-allowlist", "one-account", environment).values["environment"] == environment.name


@pytest.mark.parametrize("notebook", list(ASKED))
def test_the_default_scenario_is_the_one_in_the_notebook(notebook: str) -> None:
    (cell,) = [
        cell
        for cell in nbformat.read(f"notebooks/{notebook}.ipynb", as_version=4).cells  # type: ignore[no-untyped-call]
        if "parameters" in cell.metadata.get("tags", [])
    ]
    assert f'scenario: str = "{ASKED[notebook].default_scenario}"' in cell.source


def test_the_band_says_that_accounts_are_real_and_why_nobody_is_known(own: str) -> None:
    environment = load_environment(own)
    shown = band(environment, ask=False)
    assert "*real accounts*" in shown
    assert "123456789012" in shown
    assert "sandbox" not in shown
