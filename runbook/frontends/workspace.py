"""Copies of the notebooks for people to work on: the originals are the documentation, and stay as they are."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook.execute import notebook_names, notebook_path
from runbook.files import FileError, read_json, read_text, write_text
from runbook.parameters import project_root, shown
from runbook.terminal import echo

FOLDER = "workspace"
RECORD = ".copies.json"
"""Origin of each copy, by the notebook's name: the digest of the original, and of the cells in it."""

WIDGET = "application/vnd.jupyter.widget-view+json"


def prepare() -> Path:
    """Return the folder of copies, ignored by git, with every copy as new as its original.

    A copy whose cells somebody has edited is kept, and said so where the original is newer. The stored views of
    widgets are taken out: their kernels are gone, and a front end would show an error for each.
    """
    folder = project_root() / FOLDER
    folder.mkdir(exist_ok=True)
    record = _read_record(folder)
    for name in notebook_names():
        record[name] = _refresh(notebook_path(name), folder / f"{name}.ipynb", record.get(name, {}))
    shutil.copytree(project_root() / "notebooks" / "pictures", folder / "pictures", dirs_exist_ok=True)
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    return folder


def _refresh(original: Path, copy: Path, made: Mapping[str, str]) -> dict[str, str]:
    """Bring one copy up to date, and return what it was made from."""
    text = read_text(original)
    new = {"original": _digest(text), "cells": _digest_of_cells(json.loads(text))}
    if not copy.exists():
        write_text(copy, text)
        return new
    if made.get("original") == new["original"]:
        _drop_widgets(copy)
        return dict(made)
    if _cells_of(copy) in (made.get("cells"), new["cells"]):
        write_text(copy, text)
        return new
    _drop_widgets(copy)
    echo(
        f"{shown(copy)}: was edited, and is kept. {shown(original)} has changed since: to have it, delete the copy.",
        err=True,
    )
    return dict(made)


def _drop_widgets(copy: Path) -> None:
    try:
        notebook = json.loads(read_text(copy))
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    except (FileError, ValueError, KeyError, TypeError):
        return  # damaged, which the front end says when it is opened
    stale = [output["data"] for output in outputs if WIDGET in output.get("data", {})]
    for data in stale:
        del data[WIDGET]
        data.setdefault("text/plain", "Run this cell again to see it.")
    if stale:
        write_text(copy, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _cells_of(copy: Path) -> str:
    try:
        return _digest_of_cells(json.loads(read_text(copy)))
    except (FileError, ValueError, KeyError, TypeError):
        return "damaged"


def _digest_of_cells(notebook: Mapping[str, Any]) -> str:
    """Return a digest of what people edit; outputs are written by every run."""
    return _digest(json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]))


def _read_record(folder: Path) -> dict[str, dict[str, str]]:
    """Return the record; without one that can be read, every copy counts as edited."""
    try:
        return read_json(folder / RECORD)
    except (FileNotFoundError, FileError):
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
