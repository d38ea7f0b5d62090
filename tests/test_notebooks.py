"""Every notebook under plain papermill: every scenario, every parameter in the help, nothing but calls in the cells."""

import ast
import json
from pathlib import Path

import nbformat
import papermill
import pytest
from click.testing import CliRunner
from papermill.cli import papermill as papermill_command

from runbook.environment import Environment
from runbook.execute import notebook_names, notebook_path
from runbook.steps import ASKED, STEPS
from runbook.steps.scenarios import NOTEBOOK_PARAMETERS, load_scenario, scenario_names
from tests.world import everything

EVERY_SCENARIO = [
    pytest.param(notebook, scenario, marks=[pytest.mark.slow] if number else [])
    for notebook in STEPS
    for number, scenario in enumerate(scenario_names(notebook))
]
FIRST = ("00-start-here", "organization")  # other scenarios are other answers to the same questions


def cells(name: str) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(notebook_path(name), as_version=4)  # type: ignore[no-untyped-call]
    found: list[nbformat.NotebookNode] = notebook.cells
    return found


def test_every_step_has_its_notebook() -> None:
    assert set(ASKED) <= set(notebook_names())


@pytest.mark.parametrize(("notebook", "scenario"), [FIRST, *EVERY_SCENARIO])
def test_plain_papermill_applies_every_scenario(
    notebook: str, scenario: str, environment: Environment, tmp_path: Path
) -> None:
    before = everything(environment)
    parameters = dict(load_scenario(notebook, scenario).values)
    parameters |= {"apply": True, "run_folder": str(tmp_path / "run")}
    papermill.execute_notebook(
        notebook_path(notebook),
        tmp_path / "out.ipynb",
        parameters,
        cwd=tmp_path,
        kernel_name="python3",
        progress_bar=False,
    )
    nothing = (FIRST, ("04-add-ons", "connected"), ("06-findings-topic", "read-findings"))
    nothing_to_do = (notebook, scenario) in nothing
    assert (everything(environment) == before) == nothing_to_do
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "done"


def test_papermill_stops_at_a_failed_check_and_shows_why(environment: Environment, tmp_path: Path) -> None:
    before = everything(environment)
    parameters = {"buckets": ["b/crowded-b"], "apply": True, "run_folder": str(tmp_path / "run")}
    with pytest.raises(papermill.exceptions.PapermillExecutionError, match="S3 takes 20,480"):
        papermill.execute_notebook(
            notebook_path("05-bucket-policy"),
            tmp_path / "out.ipynb",
            parameters,
            kernel_name="python3",
            progress_bar=False,
        )
    assert everything(environment) == before


@pytest.mark.parametrize("notebook", list(ASKED))
def test_papermill_help_shows_every_parameter(notebook: str) -> None:
    result = CliRunner().invoke(papermill_command, ["--help-notebook", str(notebook_path(notebook))])
    assert result.exit_code == 0, result.output
    for name in (*NOTEBOOK_PARAMETERS, *ASKED[notebook].model_fields):
        assert f"  {name}: " in result.output


@pytest.mark.parametrize("notebook", notebook_names())
def test_cells_call_and_the_package_decides(notebook: str) -> None:
    forbidden = (ast.For, ast.While, ast.Try, ast.JoinedStr, ast.FunctionDef, ast.Lambda, ast.With, ast.ListComp)
    for cell in cells(notebook):
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)], cell.source
            assert "boto3" not in cell.source
            # One parameter is a line; everything else is short.
            assert len(tree.body) <= 12 or "parameters" in cell.metadata.get("tags", []), cell.source
