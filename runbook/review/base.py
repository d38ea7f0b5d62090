"""An earlier state of the project beside the present one: both taken in at the same time, each by its own code."""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.parameters import ParameterError, did_you_mean, project_root, resolve_path
from runbook.review.notebooks import without_accounts

SNAPSHOT = Path(__file__).with_name("snapshot.py")


@dataclass(frozen=True)
class State:
    """One state of the project: its files, and what `runbook.review.snapshot` found of it, or why it found nothing."""

    root: Path
    snapshot: Mapping[str, Any]
    error: str = ""


def described(revision: str) -> str:
    """The revision with its commit: "`main` (1a2b3c4)". Raises ParameterError when this repository has none such."""
    commit = _commit(revision)
    return f"`{commit}`" if commit.startswith(revision) else f"`{revision}` ({commit})"


@contextmanager
def extracted(revision: str) -> Iterator[Path]:
    """The files of a revision in a folder of their own, which is gone afterwards, whatever happens.

    The repository itself is only read. Raises ParameterError when it has no such revision.
    """
    commit = _commit(revision)
    with tempfile.TemporaryDirectory(prefix="runbook-review-") as temporary:
        root = Path(temporary).resolve() / "base"
        # Git's own worktrees would leave traces in the repository when the review is killed.
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=_top(), capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(root, filter="data")
        yield root / project_root().relative_to(_top())


def taken_in(base: Path) -> tuple[State, State]:
    """The state in a folder, and the present one, each by its own code, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        before, now = pool.map(_state, (base, project_root()))
    return before, now


# --- helpers ---------------------------------------------------------------------------------------------------------


def _state(root: Path) -> State:
    """Run the present snapshot with the package of a folder, in a process without anybody's accounts."""
    with tempfile.TemporaryDirectory(prefix="runbook-review-") as temporary:
        file = Path(temporary) / "snapshot.json"
        done = subprocess.run(
            [sys.executable, "-P", str(SNAPSHOT), str(file)],
            cwd=root,
            env={**without_accounts(os.environ), "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return State(root, {}, (done.stderr.strip().splitlines() or ["It ended without a word."])[-1])
        return State(root, json.loads(file.read_text(encoding="utf-8")))


def _commit(revision: str) -> str:
    """The short id of a revision's commit."""
    found = _git("rev-parse", "--verify", "--quiet", "--short", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        names = _git("for-each-ref", "--format=%(refname:short)").stdout.split()
        raise ParameterError([f"--base: this repository has no revision `{revision}`.{did_you_mean(revision, names)}"])
    return found.stdout.strip()


def _top() -> Path:
    """The folder of the repository that the project is in. Raises ParameterError when it is in none."""
    found = _git("rev-parse", "--show-toplevel")
    if found.returncode:
        raise ParameterError([f"--base: {resolve_path('.')} is not in a git repository. Start from a clone."])
    return Path(found.stdout.strip()).resolve()


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=project_root(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ParameterError(["--base: git is needed to read an earlier revision, and is not installed."]) from None
