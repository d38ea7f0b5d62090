"""Scenarios: named sets of parameters for a step, one YAML file each.

The sandbox's samples are in `params/<notebook>/`. An environment of one's own has its own, which were saved there:
`params/environments/<environment>/<notebook>/`.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from runbook.environment import Environment
from runbook.parameters import (
    LARGEST_FILE,
    ParameterError,
    Written,
    build,
    did_you_mean,
    mapping_in,
    project_root,
    quoted,
    read_file,
    resolve_path,
    shown,
)
from runbook.steps.step import Asked
from runbook.untrusted import code

NOTEBOOK_PARAMETERS = ("environment", "scenario", "apply", "run_folder")
"""What every notebook takes besides the parameters of its step."""

AnyStep = TypeVar("AnyStep", bound=Asked)


@dataclass(frozen=True)
class Scenario:
    """A scenario file: its name, the sentence that its first comment holds, and the values in it."""

    name: str
    description: str
    path: Path
    values: Mapping[str, Any]


def scenario_names(notebook: str, environment: Environment | None = None) -> list[str]:
    """Return the scenarios of a notebook in an environment, in alphabetical order; without one, the sandbox's."""
    return sorted(path.stem for path in _folder(notebook, environment).glob("*.yaml"))


def load_scenario(notebook: str, name: str, environment: Environment | None = None) -> Scenario:
    """Read the file of a scenario.

    Raises ParameterError when there is none, or when it calls itself something else: papermill's `-f` hands the file's
    own `scenario` to the notebook.
    """
    folder, names = _folder(notebook, environment), scenario_names(notebook, environment)
    if name not in names:
        sample = "" if name not in scenario_names(notebook) else " It is a sample for the sandbox."
        raise ParameterError(
            [f"{shown(folder)}: there is no scenario {code(name)}.{sample or did_you_mean(name, names)}"]
        )
    path = folder / f"{name}.yaml"
    scenario = read_parameter_file(path)
    if scenario.name != name:
        raise ParameterError([f"{shown(path)}: `scenario` is {quoted(scenario.name)}; write `scenario: {name}`."])
    return scenario


def read_parameter_file(path: Path) -> Scenario:
    """Read a scenario, or any other file of parameters that papermill's `-f` would take."""
    text = read_file(path)
    values = mapping_in(text, shown(path))
    first = text.partition("\n")[0]
    description = first.removeprefix("#").strip() if first.startswith("#") else ""
    return Scenario(str(values.get("scenario", "")), description, path, values)


def make_step(
    step_class: type[AnyStep],
    scenario: str,
    given: Mapping[str, Any],
    where: str = "",
    written: Written = Written.NOTEBOOK,
    environment: Environment | None = None,
) -> AnyStep:
    """The step that a scenario and given values describe; a value that is given wins, an empty one is not given.

    `where` says in errors where the given values came from, `written` how they are spelled there.

    Raises ParameterError.
    """
    values: dict[str, Any] = {}
    if scenario:
        loaded = load_scenario(step_class.notebook, scenario, environment)
        values = _step_values(loaded.values)
        build(step_class, values, shown(loaded.path))
    values = _merged(step_class, values, given)
    return build(step_class, values, where or f"the parameters of {step_class.notebook}", written)


def merge_values(
    step_class: type[Asked], scenario: str, given: Mapping[str, Any], environment: Environment | None = None
) -> dict[str, Any]:
    """Return the values of a scenario with those that are given in their place, of which an empty one is not given."""
    values = _step_values(load_scenario(step_class.notebook, scenario, environment).values) if scenario else {}
    return _merged(step_class, values, given)


def _merged(step_class: type[Asked], values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in given.items() if value not in ("", [], {}, None)}
    for group in step_class.alternatives:
        if any(name in given for name in group):
            values = {name: value for name, value in values.items() if name not in group}
    return {**values, **given}


def scenario_in(step_class: type[Asked], scenario: str, environment: Environment) -> str:
    """Return the scenario to start from: a notebook's default is one of the sandbox, and none elsewhere."""
    own = environment.file.sandbox or scenario in scenario_names(step_class.notebook, environment)
    return "" if scenario == step_class.default_scenario and not own else scenario


def save_scenario(step: Asked, name: str, about: str = "", environment: Environment | None = None) -> Path:
    """Write a scenario file with the parameters of a step, and a sentence about them in its first line.

    It belongs to the environment, and to the sandbox without one. Raises ParameterError for a name that a file cannot
    have, and when there is such a file: none is written over.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ParameterError(
            [f"The name is {quoted(name)}; write small letters, digits and single hyphens: `two-accounts`."]
        )
    path = _folder(step.notebook, environment) / f"{name}.yaml"
    own = {"environment": environment.name} if environment and not environment.file.sandbox else {}
    own = {**own, "scenario": name, **step.as_given()}
    values = yaml.safe_dump(own, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    first = f"# {' '.join(about.split())}\n" if about.strip() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(first + values)
    except FileExistsError:
        raise ParameterError([f"{shown(path)}: is there already. Take another name, or delete the file."]) from None
    return path


def save_table(notebook: str, name: str, content: bytes, environment: Environment | None = None) -> str:
    """Keep a table that somebody has chosen beside the scenarios, and return its path as a parameter has it.

    The same content is kept once; another of the same name gets a number. Raises ParameterError for a name that is none
    of a CSV file.
    """
    found = re.fullmatch(r"(.+)\.csv", Path(name).name, re.IGNORECASE)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", found[1]).strip("-") if found else ""
    if not stem:
        raise ParameterError([f"{quoted(name)} is not the name of a CSV file. Save the table as CSV in UTF-8."])
    if len(content) > LARGEST_FILE:
        raise ParameterError([f"{quoted(name)}: has {len(content):,} bytes; a table has {LARGEST_FILE:,} at most."])
    folder = _folder(notebook, environment)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1_000):
        path = folder / f"{stem if number == 1 else f'{stem}-{number}'}.csv"
        if not path.exists():
            path.write_bytes(content)
        if path.read_bytes() == content:
            return shown(path)
    raise ParameterError([f"{shown(folder)}: no name is left for {stem}.csv."])


def papermill_command(step: Asked, environment: Environment, scenario: str = "") -> str:
    """The command that runs the step's notebook with these parameters; what the scenario says anyway is left out."""
    given = dict(step.as_given())
    if scenario:
        of_scenario = make_step(type(step), scenario, {}, environment=environment).as_given()
        differing = {name: value for name, value in given.items() if of_scenario.get(name) != value}
        if make_step(type(step), scenario, differing, environment=environment) == step:
            given = differing
        else:
            scenario = ""  # what it says and the step does not cannot be taken back: empty means from the scenario
    return papermill_line(step.notebook, {"environment": environment.name, "scenario": scenario, **given})


def papermill_line(notebook: str, values: Mapping[str, Any]) -> str:
    """The command that runs a notebook with these values, from the folder of the project."""
    return shlex.join(["papermill", f"notebooks/{notebook}.ipynb", f"runs/{notebook}.ipynb", "-y", json.dumps(values)])


def examine_file(step_class: type[AnyStep], file: Scenario, environment: Environment | None = None) -> AnyStep:
    """The step that a file of parameters describes, on its own or on top of the scenario that it names."""
    inside = _folder(step_class.notebook, environment) == file.path.resolve().parent
    name = "" if inside else file.name
    return make_step(step_class, name, _step_values(file.values), shown(file.path), Written.FILE, environment)


def _step_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in NOTEBOOK_PARAMETERS}


def _folder(notebook: str, environment: Environment | None) -> Path:
    if environment is None or environment.file.sandbox:
        return project_root() / "params" / notebook
    return resolve_path(environment.where).with_suffix("") / notebook
