"""The workflow that reviews pull requests gives their code no rights, and passes a linter of workflows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from runbook.cli import command
from runbook.parameters import project_root

FILE = project_root() / ".github" / "workflows" / "review.yml"
# YAML takes the key `on` for a truth value.
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("zizmor")
    options = ["--offline", "--no-progress", "--strict-collection", "--persona=pedantic", "--no-config"]
    found = subprocess.run([linter, *options, FILE], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "No findings to report" in found.stdout + found.stderr


def test_code_of_a_pull_request_runs_only_where_nothing_may_be_written() -> None:
    assert WORKFLOW[True] == {"pull_request": None}
    assert WORKFLOW["permissions"] == {}
    review, comment = WORKFLOW["jobs"]["review"], WORKFLOW["jobs"]["comment"]
    assert review["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])
    assert "${{" not in "".join(step.get("run", "") for job in (review, comment) for step in job["steps"])


def test_the_command_that_it_runs_has_these_options_and_these_files() -> None:
    runs = " ".join(step.get("run", "") for job in WORKFLOW["jobs"].values() for step in job["steps"])
    assert 'make review ARGS="--base $BASE --output build/review"' in runs
    assert "build/review/review.md" in runs
    options = CliRunner().invoke(command, ["review", "--help"]).output
    assert all(option in options for option in ("--base", "--output", "--page", "--part"))
