"""A copy of the project that a test may change, and a review of that copy by its own code."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runbook.parameters import project_root
from runbook.review.command import review
from runbook.review.surroundings import without_accounts

HELD = ("notebooks", "params", "runbook", "tests/data", "README.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Checkout:
    """A folder with everything in it that a review reads."""

    root: Path

    def replace(self, file: str, old: str, new: str) -> None:
        """Put a text in the place of another, which has to stand there."""
        text = (self.root / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        self.write(file, text.replace(old, new, 1))

    def change(self, notebook: str, how: Callable[[dict[str, Any]], None]) -> None:
        """Change the JSON of a notebook."""
        content = json.loads((self.root / notebook).read_text(encoding="utf-8"))
        how(content)
        self.write(notebook, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    def write(self, file: str, text: str) -> None:
        # What is there may be the same file as in other copies.
        (self.root / file).unlink(missing_ok=True)
        (self.root / file).write_text(text, encoding="utf-8")

    def reviewed(self, part: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """A part of the review of this copy, as Markdown; by the code of the project itself, which is quicker."""
        # Where the project is, is known by where this file of the package is.
        monkeypatch.setattr("runbook.parameters.__file__", str(self.root / "runbook" / "parameters.py"))
        found = review(parts=[part])
        return found.to_markdown()

    def review(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`runbook review` of this copy."""
        return self.run("-c", "from runbook.cli import main; main()", "review", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Python with the package of this copy."""
        return subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.root,
            env={**without_accounts(os.environ), "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )


def copied(root: Path, files: tuple[str, ...] = HELD) -> Checkout:
    """A copy in a folder: linked, so that it takes no time; `Checkout.write` parts what it changes."""
    for name in files:
        source = project_root() / name
        if source.is_dir():
            shutil.copytree(source, root / name, copy_function=os.link)
        else:
            root.mkdir(parents=True, exist_ok=True)
            os.link(source, root / name)
    return Checkout(root)


def cell(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A cell of a notebook by its id."""
    (found,) = (each for each in content["cells"] if each["id"] == name)
    assert isinstance(found, dict)
    return found
