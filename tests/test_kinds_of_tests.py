"""`make test` and `make test-slow` have all tests between them, and none in both; `make quick` is part of the first."""

import re
import subprocess
import sys

import pytest

from runbook.parameters import project_root

ROOT = project_root()


def collected(*arguments: str) -> set[str]:
    """Return the ids of the tests that pytest would run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:randomly", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line for line in done.stdout.splitlines() if "::" in line}


def marks(target: str) -> list[str]:
    """Return the expression after `-m` in a target of the Makefile, with the places, as arguments."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(
        rf"^{target}:.*\n\t@\$\(commands\)/pytest \$\(parallel\) -m ('[^']+'|\w+) (.+) \$\(ARGS\)$", makefile, re.M
    )
    assert found, target
    return ["-m", found[1].strip("'"), *found[2].split()]


def test_every_test_is_in_one_of_both() -> None:
    test, slow, quick = (collected(*marks(target)) for target in ("test", "test-slow", "quick"))
    assert test | slow == collected("--nbval")
    assert not test & slow
    assert quick < test
    assert len(quick) > 1500


@pytest.mark.parametrize("target", ["check", "test", "test-slow"])
def test_ci_runs_all_of_them(target: str) -> None:
    assert f"timed make {target}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
