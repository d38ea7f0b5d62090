"""Parameters: every one documented, the same in the notebook as in its step, and every file of them valid."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from runbook import markdown
from runbook.environment import environment_names, load_environment
from runbook.execute import notebook_path
from runbook.jobs import DEFAULT_ENVIRONMENT
from runbook.parameters import ParameterError, did_you_mean, project_root, shown
from runbook.review.bones import PARAMETERS
from runbook.review.report import Finding, Part
from runbook.review.stored import StoredCell, stored_notebooks
from runbook.steps import ASKED
from runbook.steps.scenarios import (
    NOTEBOOK_PARAMETERS,
    examine_file,
    load_scenario,
    scenario_names,
)
from runbook.steps.step import Asked

PART = "parameters"

EMPTY: Mapping[str, str] = {"str": '""', "list[str]": "[]", "dict[str, str]": "{}"}
"""What stands for "from the scenario, else what the step has by default", by the type."""

OF_EVERY_NOTEBOOK: Mapping[str, tuple[str, str]] = {
    "environment": ("str", '"sandbox"'),
    "apply": ("bool", "False"),
    "run_folder": ("str", '""'),
}
"""Types and defaults of what every notebook takes; of `scenario` the default is one that there is."""


@dataclass(frozen=True)
class Line:
    """One parameter as the notebook's cell writes it: everything as its source has it."""

    name: str
    type: str
    default: str
    help: str
    source: str


def examine_parameters() -> Part:
    """The parameter cells of all notebooks, what papermill makes of them, and the files in `params/`."""
    notebooks = stored_notebooks()
    findings: list[Finding] = []
    number = 0
    for name, asked in ASKED.items():
        cells = notebooks.get(name, ())
        number += len(asked.model_fields) + len(NOTEBOOK_PARAMETERS)
        findings += _of_model(name, asked)
        for cell in cells:
            if PARAMETERS in cell.tags:
                findings += of_cell(cell, cells, asked)
                findings += _of_papermill(cell)
    scenarios = sum(len(scenario_names(name)) for name in ASKED)
    environments = environment_names()
    findings += _of_files(environments)
    looked_at = ", ".join(
        [
            markdown.count(number, "parameter"),
            markdown.count(scenarios, "scenario"),
            markdown.count(len(environments), "environment"),
        ]
    )
    return Part(PART, looked_at, tuple(findings))


def of_cell(cell: StoredCell, cells: Sequence[StoredCell], asked: type[Asked]) -> Iterator[Finding]:
    """What is wrong with one notebook's cell of parameters, against the parameters of its step."""
    lines = {}
    for source in cell.source.splitlines():
        line = parsed(source)
        if line is None:
            yield Finding(
                PART,
                f"{cell.where}, `{source.partition(':')[0].strip()}`",
                f"The line `{source.strip()}` is not of the form that papermill understands.",
                "One line each: `name: type = default  # help`, with one `=` and one `#`.",
            )
        else:
            lines[line.name] = line
    known = [*NOTEBOOK_PARAMETERS, *asked.model_fields]
    for name in (name for name in known if name not in lines):
        yield Finding(
            PART,
            f"{cell.where}, `{name}`",
            "The notebook does not take this parameter.",
            f'Add a line: `{name}: str = ""  # what it is`, and hand it on.',
        )
    for name, line in lines.items():
        where = f"{cell.where}, `{name}`"
        if name not in known:
            yield Finding(
                PART, where, f"The step has no such parameter.{did_you_mean(name, known)}", "Take the line out."
            )
            continue
        if not line.help:
            yield Finding(PART, where, "The parameter is not documented.", f"Say what it is: `{line.source}  # …`.")
        yield from _of_default(line, where, asked)
        if not (name == "apply" or _handed_on(name, cells)):
            yield Finding(
                PART, where, "No cell hands its value on: it does nothing.", f"Write `{name}={name}` beside the others."
            )


def parsed(source: str) -> Line | None:
    """A line of a cell of parameters, or None for one that papermill would leave out or garble."""
    code, _, told = source.partition("#")
    if source.count("=") != 1:
        return None
    try:
        statements = ast.parse(code.strip()).body
    except SyntaxError:
        return None
    if len(statements) != 1 or not isinstance(statements[0], ast.AnnAssign) or statements[0].value is None:
        return None
    found = re.match(r"\s*(\w+)\s*:\s*(.+?)\s*=\s*(.+?)\s*$", code)
    return Line(found[1], found[2], found[3], told.strip(), source.strip()) if found else None


# --- helpers ---------------------------------------------------------------------------------------------------------


def _of_default(line: Line, where: str, asked: type[Asked]) -> Iterator[Finding]:
    """A notebook's own defaults are always the same; those that mean something belong to the step."""
    if line.name in OF_EVERY_NOTEBOOK:
        kind, default = OF_EVERY_NOTEBOOK[line.name]
    elif line.name == "scenario":
        kind, default = "str", line.default
        names = scenario_names(asked.notebook)
        if ast.literal_eval(default) not in names:
            meant = did_you_mean(str(ast.literal_eval(default)), names)
            yield Finding(
                PART, where, f"Its default, {line.default}, is no scenario.{meant}", f"Name one: {', '.join(names)}."
            )
    else:
        kind = _kind(asked.model_fields[line.name].annotation)
        default = EMPTY[kind]
    if line.type != kind:
        yield Finding(PART, where, f"Its type is `{line.type}`, where it should be `{kind}`.", "Correct the line.")
    elif line.default != default:
        yield Finding(
            PART,
            where,
            f"Its default is `{line.default}`, where it should be `{default}`.",
            "Put it back; what a parameter is without a value is said by its step, and its scenarios.",
        )


def _kind(annotation: Any) -> str:
    """How a notebook has what a step takes: papermill understands no others."""
    written = str(annotation)
    return "list[str]" if written.startswith("tuple") else "dict[str, str]" if written.startswith("dict") else "str"


def _handed_on(name: str, cells: Sequence[StoredCell]) -> bool:
    """Whether some cell has `name=name` in a call."""
    return any(
        keyword.arg == name and isinstance(keyword.value, ast.Name) and keyword.value.id == name
        for cell in cells
        if cell.kind == "code"
        for node in ast.walk(_tree(cell))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )


def _tree(cell: StoredCell) -> ast.Module:
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _of_model(name: str, asked: type[Asked]) -> Iterator[Finding]:
    for parameter, field in asked.model_fields.items():
        if not field.description:
            yield Finding(
                PART,
                f"{asked.__module__}, `{asked.__name__}.{parameter}`",
                f"The parameter of {name} is not documented, and its field in the form has no explanation.",
                "Say what it is: `Field(…, description=…)`.",
            )


def _of_papermill(cell: StoredCell) -> Iterator[Finding]:
    """Whether `papermill --help-notebook` shows every line of the cell, whole."""
    import papermill

    shown_by_papermill = papermill.inspect_notebook(str(notebook_path(cell.notebook)))
    for line in filter(None, map(parsed, cell.source.splitlines())):
        told = shown_by_papermill.get(line.name)
        wanted = {"inferred_type_name": line.type, "default": line.default, "help": line.help}
        if told is None or any(told[key] != value for key, value in wanted.items()):
            yield Finding(
                PART,
                f"{cell.where}, `{line.name}`",
                f"`papermill --help-notebook` {'leaves it out' if told is None else 'shows something else of it'}.",
                "Write it as the other lines are: `name: type = default  # help`.",
            )


def _of_files(environments: Sequence[str]) -> Iterator[Finding]:
    """The scenarios and environments: each is read as it would be to run."""
    folder = project_root() / "params"
    for path in sorted(each for each in folder.iterdir() if each.is_dir() and each.name != "environments"):
        if path.name not in ASKED:
            meant = did_you_mean(path.name, list(ASKED))
            yield Finding(PART, shown(path), f"There is no notebook of this name.{meant}", "Rename the folder.")
    for name in environments:
        yield from _problems(f"params/environments/{name}.yaml", partial(load_environment, name))
    for notebook in ASKED:
        for scenario in scenario_names(notebook):
            yield from _problems(f"params/{notebook}/{scenario}.yaml", partial(_examine, notebook, scenario))


def _examine(notebook: str, name: str) -> None:
    """Read a scenario as it would be to run; and it has to say what it is for. Raises ParameterError."""
    scenario = load_scenario(notebook, name)
    environment = load_environment(str(scenario.values.get("environment") or DEFAULT_ENVIRONMENT))
    examine_file(ASKED[notebook], scenario).examine(environment)
    if not scenario.description.endswith("."):
        raise ParameterError(
            [f"{shown(scenario.path)}: does not say what it is for. Its first line is a comment, a sentence."]
        )


def _problems(where: str, read: Callable[[], object]) -> Iterator[Finding]:
    """What reading a file is refused for, each problem by itself."""
    try:
        read()
    except ParameterError as error:
        for problem in error.problems:
            yield Finding(PART, where, problem.removeprefix(f"{where}: "), "Correct the file.")
