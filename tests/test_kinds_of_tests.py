"""`make test` and `make test-slow` have all tests between them, and none in both; `make quick` is part of the first."""

import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
from _pytest.mark.expression import Expression

from runbook.parameters import project_root

ROOT = project_root()

PRINTS_MARKS = """
import sys, pytest

class Marks:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print("", item.nodeid, *{mark.name for mark in item.iter_markers()}, sep="\\t")

sys.exit(pytest.main(sys.argv[1:], plugins=[Marks()]))
"""


def collected() -> Mapping[str, frozenset[str]]:
    """Return the names of the marks of all tests, by id."""
    arguments = ["--collect-only", "-q", "-n", "0", "-p", "no:randomly", "--nbval"]
    command = [sys.executable, "-c", PRINTS_MARKS, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line.split("\t")[1:] for line in done.stdout.splitlines() if line.startswith("\t"))
    return {test: frozenset(marks) for test, *marks in lines}


def of_target(target: str, tests: Mapping[str, frozenset[str]]) -> set[str]:
    """Return the ids of the tests that a target of the Makefile runs: what it gives to `-m`, and where."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(
        rf"^{target}:.*\n\t@\$\(commands\)/pytest \$\(parallel\) -m ('[^']+'|\w+) (tests|--nbval) \$\(ARGS\)$",
        makefile,
        re.M,
    )
    assert found, target
    expression = Expression.compile(found[1].strip("'"))
    inside = "tests/" if found[2] == "tests" else ""
    return {
        test
        for test, marks in tests.items()
        if test.startswith(inside) and expression.evaluate(lambda name, /, **_: name in marks)  # noqa: B023 (used at once)
    }


def test_every_test_is_in_one_of_both() -> None:
    tests = collected()
    test, slow, quick = (of_target(target, tests) for target in ("test", "test-slow", "quick"))
    assert test | slow == set(tests)
    assert not test & slow
    assert quick < test
    assert len(quick) > 1500
    assert any(".ipynb::" in each for each in test - quick)


@pytest.mark.parametrize("target", ["check", "test", "test-slow"])
def test_ci_runs_all_of_them(target: str) -> None:
    assert f"timed make {target}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
