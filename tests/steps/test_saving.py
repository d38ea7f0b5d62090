"""What was chosen once is chosen again: from a parameter file, and by a papermill command."""

import shlex
from pathlib import Path

import pytest
import yaml

from runbook.environment import load_environment
from runbook.parameters import ParameterError
from runbook.steps import STEPS, scenarios
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.scenarios import (
    load_scenario,
    make_step,
    papermill_command,
    save_scenario,
    save_table,
    scenario_names,
)

EVERY_SCENARIO = [(notebook, scenario) for notebook in STEPS for scenario in scenario_names(notebook)]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of parameter files that is empty."""
    monkeypatch.setattr(scenarios, "project_root", lambda: tmp_path)
    for notebook in STEPS:
        (tmp_path / "params" / notebook).mkdir(parents=True)
    return tmp_path / "params"


def test_a_step_that_was_saved_is_the_same_when_it_is_loaded(params: Path) -> None:
    step = Allowlist(accounts=("d", "012345670123"), organizations=("o-exampleorg",))
    path = save_scenario(step, "two-accounts", "Two accounts:\nand # everybody")
    assert path == params / "01-allowlist" / "two-accounts.yaml"
    assert load_scenario("01-allowlist", "two-accounts").description == "Two accounts: and # everybody"
    assert make_step(Allowlist, "two-accounts", {}) == step


def test_no_file_is_written_over_and_no_name_leads_elsewhere(params: Path) -> None:
    step = Allowlist(accounts=("d",))
    save_scenario(step, "mine")
    with pytest.raises(ParameterError, match="is there already"):
        save_scenario(Allowlist(accounts=("e",)), "mine")
    assert make_step(Allowlist, "mine", {}) == step
    for name in ("", "../mine", "Mine", "a b", "-x"):
        with pytest.raises(ParameterError, match="small letters"):
            save_scenario(step, name)
    assert [path.name for path in params.rglob("*.yaml")] == ["mine.yaml"]


def test_a_table_is_kept_once_and_never_written_over(params: Path) -> None:
    path = save_table("05-bucket-policy", "my buckets.csv", b"account,bucket\nb,uploads-b\n")
    assert path.endswith("params/05-bucket-policy/my-buckets.csv")
    assert save_table("05-bucket-policy", "my buckets.csv", b"account,bucket\nb,uploads-b\n") == path
    assert save_table("05-bucket-policy", "my buckets.csv", b"another").endswith("my-buckets-2.csv")
    for name in ("buckets.xlsx", ".csv", "..csv"):
        with pytest.raises(ParameterError, match="not the name of a CSV file"):
            save_table("05-bucket-policy", name, b"")


@pytest.mark.parametrize(("notebook", "scenario"), EVERY_SCENARIO)
@pytest.mark.parametrize("named", [True, False])
def test_the_command_gives_the_notebook_the_same_step(notebook: str, scenario: str, named: bool) -> None:
    step = make_step(STEPS[notebook], scenario, {})
    name, values = given_by(papermill_command(step, load_environment("sandbox"), scenario if named else ""))
    assert name == (scenario if named else "")
    assert values == {} or not named
    assert make_step(STEPS[notebook], name, values) == step


def test_the_command_names_no_scenario_that_says_more_than_the_step() -> None:
    step = BucketPolicy(buckets=("b/website-uploads-b",))
    name, values = given_by(papermill_command(step, load_environment("sandbox"), "tagging-and-deletion"))
    assert (name, make_step(BucketPolicy, name, values)) == ("", step)
    step = BucketPolicy(buckets=("b/uploads-b",), mode="hardened")
    assert given_by(papermill_command(step, load_environment("sandbox"), "one-bucket")) == (
        "one-bucket",
        {"mode": "hardened"},
    )


def given_by(command: str) -> tuple[str, dict[str, object]]:
    """The scenario and the other parameters that a command hands to a step's notebook in the sandbox."""
    *head, option, text = shlex.split(command)
    assert (head[0], option) == ("papermill", "-y")
    values = yaml.safe_load(text)
    assert values.pop("environment") == "sandbox"
    return values.pop("scenario"), values
