"""Scenarios: named sets of parameters for a step, one YAML file in `params/<notebook>/` each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from runbook.parameters import ParameterError, build, did_you_mean, load_yaml, project_root, shown
from runbook.steps.step import Asked

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


def scenario_names(notebook: str) -> list[str]:
    """The scenarios of a notebook, in alphabetical order."""
    return sorted(path.stem for path in _folder(notebook).glob("*.yaml"))


def load_scenario(notebook: str, name: str) -> Scenario:
    """Read `params/<notebook>/<name>.yaml`.

    Raises ParameterError when there is none, or when it calls itself something else: papermill's `-f` hands the file's
    own `scenario` to the notebook.
    """
    if name not in scenario_names(notebook):
        raise ParameterError(
            [f"params/{notebook}: there is no scenario `{name}`.{did_you_mean(name, scenario_names(notebook))}"]
        )
    path = _folder(notebook) / f"{name}.yaml"
    scenario = read_parameter_file(path)
    if scenario.name != name:
        raise ParameterError([f"{shown(path)}: `scenario` is {scenario.name!r}; write `scenario: {name}`."])
    return scenario


def read_parameter_file(path: Path) -> Scenario:
    """Read a scenario, or any other file of parameters that papermill's `-f` would take."""
    values = load_yaml(path)
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    description = first.removeprefix("#").strip() if first.startswith("#") else ""
    return Scenario(str(values.get("scenario", "")), description, path, values)


def make_step(step_class: type[AnyStep], scenario: str, given: Mapping[str, Any], where: str = "") -> AnyStep:
    """The step that a scenario and given values describe; a value that is given wins, an empty one is not given.

    `where` says in errors where the given values came from. Raises ParameterError.
    """
    values: dict[str, Any] = {}
    if scenario:
        loaded = load_scenario(step_class.notebook, scenario)
        values = _step_values(loaded.values)
        build(step_class, values, shown(loaded.path))
    given = {name: value for name, value in given.items() if value not in ("", [], {}, None)}
    for group in step_class.alternatives:
        if any(name in given for name in group):
            values = {name: value for name, value in values.items() if name not in group}
    return build(step_class, values | given, where or f"the parameters of {step_class.notebook}")


def examine_file(step_class: type[AnyStep], file: Scenario) -> AnyStep:
    """The step that a file of parameters describes, on its own or on top of the scenario that it names."""
    inside = _folder(step_class.notebook) == file.path.resolve().parent
    return make_step(step_class, "" if inside else file.name, _step_values(file.values), shown(file.path))


def _step_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in NOTEBOOK_PARAMETERS}


def _folder(notebook: str) -> Path:
    return project_root() / "params" / notebook
