"""Each entry of a section whose notebook exists has a cell, and cells name only entries that are theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.review.coverage import Cell, Unknown, cells_of, coverage, join, main
from runbook.review.outline import load

OUTLINE = load()
NOTEBOOK = "05-bucket-policy"
ENTRIES = tuple(entry.id for entry in OUTLINE.entries_of(NOTEBOOK))


def write(folder: Path, cells: dict[str, Any], name: str = NOTEBOOK) -> Path:
    """A notebook with these cells; each value is what its metadata says of the outline, None for nothing."""
    contents = [
        {
            "cell_type": "markdown",
            "id": cell,
            "metadata": {} if entries is None else {"outline": entries},
            "source": "",
        }
        for cell, entries in cells.items()
    ]
    file = folder / f"{name}.ipynb"
    file.write_text(
        json.dumps({"cells": contents, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8"
    )
    return file


# --- the notebooks of the project ------------------------------------------------------------------------------------


def test_the_notebooks_carry_out_every_entry_of_their_sections() -> None:
    assert coverage().problems == ()


# --- any notebooks ---------------------------------------------------------------------------------------------------


def test_without_notebooks_everything_is_for_later(tmp_path: Path) -> None:
    found = coverage(tmp_path)
    assert found.complete
    assert len(found.later) == len(OUTLINE.entries)
    assert "0 of 0 entries are carried out." in found.to_markdown()


def test_a_notebook_that_names_all_of_its_entries_is_complete(tmp_path: Path) -> None:
    write(tmp_path, {"introduction": None, "plan": list(ENTRIES[:4]), "keys": list(ENTRIES[3:])})
    found = coverage(tmp_path)
    assert found.complete
    assert found.problems == ()
    assert tuple(found.covered) == ENTRIES
    assert found.covered[ENTRIES[0]] == ("plan",)
    assert found.covered[ENTRIES[3]] == ("plan", "keys")
    assert len(found.covered) + len(found.later) == len(OUTLINE.entries)


@pytest.mark.parametrize("left_out", ENTRIES)
def test_an_entry_without_a_cell_is_missing(left_out: str, tmp_path: Path) -> None:
    write(tmp_path, {"all-but-one": [entry for entry in ENTRIES if entry != left_out]})
    found = coverage(tmp_path)
    assert not found.complete
    assert found.missing == (left_out,)
    (problem,) = found.problems
    assert problem.startswith(f"{NOTEBOOK}: no cell carries out `{left_out}`.")
    assert f'{{"outline": ["{left_out}"]}}' in problem


def test_a_notebook_that_says_nothing_of_the_outline_misses_all_of_its_entries(tmp_path: Path) -> None:
    write(tmp_path, {"introduction": None})
    assert coverage(tmp_path).missing == ENTRIES


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bucket-policy.statement", "The outline has no such entry. Did you mean `bucket-policy.statements`?"),
        ("add-ons.target-bucket", "It belongs to notebook 04-add-ons."),
    ],
)
def test_a_cell_cannot_carry_out_what_is_not_there_or_not_its_own(name: str, why: str, tmp_path: Path) -> None:
    write(tmp_path, {"plan": [*ENTRIES, name]})
    found = coverage(tmp_path)
    assert not found.complete
    assert found.missing == ()
    assert found.unknown == (Unknown(NOTEBOOK, "plan", name, why),)
    assert found.problems == (f"{NOTEBOOK}, cell `plan`: names `{name}`. {why}",)


def test_a_cell_of_a_notebook_that_the_outline_does_not_know_can_carry_out_nothing() -> None:
    found = join(OUTLINE, ["99-else"], [Cell("99-else", "plan", ("bucket-policy.kms", "else.kms"))])
    foreign, gone = found.unknown
    assert foreign.why == f"It belongs to notebook {NOTEBOOK}."
    assert gone.why.startswith("The outline has no such entry.")


def test_one_entry_may_stand_without_a_list(tmp_path: Path) -> None:
    file = write(tmp_path, {"keys": "bucket-policy.kms", "introduction": None, "nothing": []})
    assert cells_of(file) == [Cell(NOTEBOOK, "keys", ("bucket-policy.kms",))]


def test_the_table_joins_outline_and_cells(tmp_path: Path) -> None:
    write(tmp_path, {"plan": list(ENTRIES[1:-1]), "more": [ENTRIES[1]]})
    text = repr(coverage(tmp_path))
    rows = {line.split(" | ")[1].strip("`"): line.split(" | ") for line in text.splitlines() if "](https://" in line}
    assert list(rows) == [entry.id for entry in OUTLINE.entries]
    assert rows[ENTRIES[0]][-2:] == [NOTEBOOK, "**none** |"]
    assert rows[ENTRIES[1]][-1] == "`plan`, `more` |"
    assert rows["iam-role.version"][-2:] == ["02-iam-role", "not yet |"]
    assert text.startswith(f"{len(ENTRIES) - 2} of {len(ENTRIES)} entries are carried out.")
    assert text.count("\n- ") == 2


@pytest.mark.parametrize(("entries", "status"), [(ENTRIES, 0), (ENTRIES[1:], 1), ((*ENTRIES, "x.y"), 1)])
def test_the_exit_status_says_whether_it_is_complete(
    entries: tuple[str, ...],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "notebooks").mkdir()
    write(tmp_path / "notebooks", {"plan": list(entries)})
    monkeypatch.setattr("runbook.review.coverage.project_root", lambda: tmp_path)
    assert main() == status
    assert "| Page | Entry |" in capsys.readouterr().out
