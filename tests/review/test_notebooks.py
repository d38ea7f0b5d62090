"""Stored outputs are those of a fresh run, the same bytes every time; a cell that fails is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.parameters import ParameterError
from runbook.review import notebooks
from runbook.review.notebooks import differences, main, notebook_files

WIDGET = """
import ipywidgets
ipywidgets.Label("chosen")
"""
SURROUNDINGS = """
import os
from pathlib import Path

print([name for name in sorted(os.environ) if name.startswith("AWS_")], os.environ["RUNBOOK_SANDBOX"], flush=True)
print("KEPT" in os.environ, Path.cwd().name, flush=True)
"""
CELLS = {"widget": WIDGET, "surroundings": SURROUNDINGS, "nothing": "", "answer": "6 * 7"}


def kept(cell: str) -> dict[str, Any]:
    return {"tags": [cell], "outline": ["small.entry"]}


def write(folder: Path, cells: dict[str, str], name: str = "01-small") -> Path:
    """A notebook as somebody may have left it in JupyterLab: with the traces of another run in it."""
    contents: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "introduction", "metadata": {}, "source": "# Small"}
    ]
    contents += [
        {
            "cell_type": "code",
            "id": cell,
            "metadata": {**kept(cell), "execution": {"iopub.execute_input": "now"}, "scrolled": True},
            "source": source.strip(),
            "execution_count": 90 + number,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "stale"}],
        }
        for number, (cell, source) in enumerate(cells.items())
    ]
    metadata = {
        "kernelspec": {"display_name": "Mine", "language": "python", "name": "mine"},
        "language_info": {"name": "python", "version": "3.99"},
        "papermill": {"duration": 1.5},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    }
    file = folder / f"{name}.ipynb"
    notebook = {"cells": contents, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(notebook), encoding="utf-8")
    return file


def test_two_runs_store_the_same_bytes_and_nothing_of_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, CELLS)
    for name, value in {"AWS_PROFILE": "somebody", "RUNBOOK_SANDBOX": "http://127.0.0.1:1", "KEPT": "1"}.items():
        monkeypatch.setenv(name, value)

    assert main([], tmp_path) == 0
    assert "01-small.ipynb: renewed: cell `widget`" in capsys.readouterr().out
    text = file.read_text(encoding="utf-8")
    assert main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out == "01-small.ipynb: current\n"
    assert file.read_text(encoding="utf-8") == text
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    stored = json.loads(text)
    assert stored["metadata"].keys() == {"kernelspec", "language_info"}
    assert stored["metadata"]["kernelspec"] == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    assert stored["metadata"]["language_info"]["name"] == "python"
    assert "version" not in stored["metadata"]["language_info"]

    cells = {cell["id"]: cell for cell in stored["cells"]}
    assert list(cells) == ["introduction", *CELLS]
    assert [cells[name]["execution_count"] for name in CELLS] == [1, 2, None, 3]
    assert [cells[name]["metadata"] for name in CELLS] == [
        {"tags": [name], "outline": ["small.entry"]} for name in CELLS
    ]
    (shown,) = cells["widget"]["outputs"]
    assert shown["data"] == {"text/plain": ["Label(value='chosen')"]}
    (printed,) = cells["surroundings"]["outputs"]
    assert printed["text"] == ["[] private\n", f"True {tmp_path.name}\n"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os; os._exit(1)", "the kernel has died."),
        ("import time; time.sleep(60)", "takes more than 3 seconds."),
        (
            "display({'application/vnd.jupyter.widget-view+json': {'model_id': '1'}}, raw=True)",
            "shows a widget and nothing to read in its place.",
        ),
    ],
)
def test_a_cell_that_fails_is_named_and_nothing_is_stored(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notebooks, "TIMEOUT", 3)
    file = write(tmp_path, {"fine": "1", "broken": source, "never": "2"})
    before = file.read_bytes()
    assert main(["01-small"], tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"01-small.ipynb, cell `broken`: {said}")
    assert file.read_bytes() == before


def test_a_check_goes_through_all_notebooks_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write(tmp_path, {"broken": "nowhere"}, "01-first"), write(tmp_path, {"answer": "6 * 7"}, "02-second")]
    before = [file.read_bytes() for file in files]
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == (
        "01-first.ipynb, cell `broken`: NameError: name 'nowhere' is not defined\n"
        "02-second.ipynb: not current: cell `answer`. Renew it: make notebooks\n"
    )
    assert [file.read_bytes() for file in files] == before


def test_without_notebooks_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert main(["--check"], tmp_path) == 0


def test_an_unknown_notebook_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, CELLS)
    assert main(["01-smal"], tmp_path) == 2
    assert capsys.readouterr().err == "There is no notebook `01-smal`. Did you mean `01-small`?\n"


def test_notebooks_are_named_with_or_without_folder_and_ending(tmp_path: Path) -> None:
    first, second = write(tmp_path, CELLS, "01-first"), write(tmp_path, CELLS, "02-second")
    assert notebook_files([], tmp_path) == [first, second]
    assert notebook_files(["02-second", "notebooks/01-first.ipynb"], tmp_path) == [second, first]
    with pytest.raises(ParameterError):
        notebook_files(["03-third"], tmp_path)


def test_a_difference_outside_the_cells_is_called_metadata(tmp_path: Path) -> None:
    text = write(tmp_path, CELLS).read_text(encoding="utf-8")
    assert differences(text, text) == []
    assert differences(text, text.replace("3.99", "3.98")) == ["metadata"]
    assert differences(text, text.replace("6 * 7", "6 * 8")) == ["cell `answer`"]
