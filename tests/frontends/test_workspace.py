"""The copies that people work on: as new as their originals, and never written over once edited."""

import json
from pathlib import Path

import pytest

from runbook.frontends import workspace
from runbook.parameters import project_root

NAME = "05-bucket-policy"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one notebook and a picture."""
    notebooks = tmp_path / "notebooks"
    (notebooks / "pictures").mkdir(parents=True)
    (notebooks / "pictures" / "one.svg").write_text("<svg/>")
    (notebooks / f"{NAME}.ipynb").write_text((project_root() / "notebooks" / f"{NAME}.ipynb").read_text())
    monkeypatch.setattr(workspace, "project_root", lambda: tmp_path)
    monkeypatch.setattr(workspace, "notebook_names", lambda: [NAME])
    monkeypatch.setattr(workspace, "notebook_path", lambda name: notebooks / f"{name}.ipynb")
    return tmp_path


def change(path: Path, source: str, outputs: bool = False) -> None:
    """Edit the last cell of a notebook, or let a front end store a widget in the first output."""
    notebook = json.loads(path.read_text())
    if outputs:
        cell = next(cell for cell in notebook["cells"] if cell.get("outputs"))
        cell["outputs"][0]["data"][workspace.WIDGET] = {"model_id": "x"}
    else:
        notebook["cells"][-1]["source"] = [source]
    path.write_text(json.dumps(notebook))


def test_an_untouched_copy_follows_its_original(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, copy = project / "notebooks" / f"{NAME}.ipynb", workspace.prepare() / f"{NAME}.ipynb"
    assert copy.read_text() == original.read_text()
    assert (copy.parent / "pictures" / "one.svg").exists()
    change(copy, "", outputs=True)  # a run is no edit
    change(original, "New words.")
    workspace.prepare()
    assert copy.read_text() == original.read_text()
    assert capsys.readouterr().err == ""


def test_an_edited_copy_is_kept_and_said_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, copy = project / "notebooks" / f"{NAME}.ipynb", workspace.prepare() / f"{NAME}.ipynb"
    change(copy, "My notes.")
    workspace.prepare()
    assert capsys.readouterr().err == "", "nothing is newer"
    change(original, "New words.")
    workspace.prepare()
    assert "My notes." in copy.read_text()
    assert "was edited, and is kept" in capsys.readouterr().err
    copy.unlink()
    workspace.prepare()
    assert copy.read_text() == original.read_text()


def test_a_view_of_a_widget_that_is_gone_is_taken_out(project: Path) -> None:
    copy = workspace.prepare() / f"{NAME}.ipynb"
    change(copy, "", outputs=True)
    assert workspace.WIDGET in copy.read_text()
    workspace.prepare()
    assert workspace.WIDGET not in copy.read_text()
    assert "text/markdown" in copy.read_text()


@pytest.mark.parametrize("damage", ["{", "[]", '{"cells": 1}'])
def test_a_damaged_copy_is_left_to_whoever_opens_it(damage: str, project: Path) -> None:
    copy = workspace.prepare() / f"{NAME}.ipynb"
    copy.write_text(damage)
    (project / "workspace" / workspace.RECORD).write_text("no JSON")
    workspace.prepare()
    assert copy.read_text() == damage
