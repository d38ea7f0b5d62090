"""The kinds of tests, their order, and a table at their end. Tests may be shuffled, but not a notebook's cells."""

import os
from typing import Any

import pytest
from nbval.plugin import IPyNbCell
from xdist.scheduler import LoadScopeScheduling

from runbook.batch.processes import usable_processors
from runbook.kernels import switch
from runbook.sandbox import server

switch.use()  # for nbval, plain papermill and all that tests start
os.environ[server.VARIABLE] = server.PRIVATE  # whatever sandbox somebody has opened meanwhile


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Each test by itself, but on one processor all cells of a notebook, which depend on each other, and all tests in
    a browser or of the review's site, for what they share. The largest of these come first.

    xdist's own `loadgroup` has no effect with pytest 9.2: pytest-xdist issue 1386.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, _ = nodeid.partition("::")
        if path.startswith("tests/browser/") or path == "tests/review/test_site.py":
            return "tests/browser"
        return path if path.endswith(".ipynb") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a fifth of the time, tests wait for browsers, kernels and pauses."""
    return usable_processors() + 1


SLOW = (
    "tests/bench/",
    "tests/browser/",
    "tests/faults/",
    "tests/kernels/test_alike.py::test_a_started_kernel_leaves_what_is_stored",
    "tests/kernels/test_alike.py::test_papermill_leaves_the_same_bytes_with_a_forked_and_a_started_kernel",
    "tests/review/test_site.py",
    "tests/steps/stack_sets/test_many.py",
    "tests/steps/test_add_ons_table.py",
    "tests/steps/test_resumed_plans.py",
    "tests/test_kinds_of_tests.py",
    "tests/test_permissions.py::test_a_saved_plan_narrows_to_what_it_changes",
    "tests/test_permissions.py::test_with_any_one_less_the_error_names_it",
    "tests/test_readme.py",
    "tests/test_role_template.py",
)
"""Beginnings of the ids of tests for `make test-slow`, besides those that are marked where they stand."""

ONE_WALK = "tests/browser/test_jupyterlab.py::test_chosen_corrected_planned_applied_verified_undone"
"""The one walk through a browser that `make test` has."""

NO_UNIT = (
    "tests/batch/",
    "tests/display/test_own_environment.py",
    "tests/display/test_start.py::test_answers_start_from_the_parameters_and_bad_ones_are_refused",
    "tests/kernels/",
    "tests/review/test_notebooks.py",
    "tests/sandbox/",
    "tests/test_environments.py",
    "tests/test_own_servers.py",
    "tests/test_private_files.py",
    "tests/test_responses.py",
    "tests/test_running_sandbox.py",
)
"""Beginnings of the ids of tests that start processes or servers without the fixture for the sandbox, or take long."""

LONG = (
    *("faults", "test_notebooks.py", "bench", "batch", "test_permissions.py", "test_role_template.py"),
    *("test_add_ons.py", "test_many.py"),
)
"""Folders and files of tests that take long, one by one: at the end one processor would wait for another."""


def _mark(item: pytest.Item) -> None:
    """Give a test the marks of its kind: `slow`, or `unit` where it needs no server, kernel or browser."""
    if item.nodeid.startswith(SLOW) and not item.nodeid.startswith(ONE_WALK):
        item.add_marker(pytest.mark.slow)
    needs = getattr(item, "fixturenames", ["a kernel"])  # a notebook's cell has none
    apart = item.nodeid.startswith((*NO_UNIT, ONE_WALK)) or item.get_closest_marker("slow")
    if not apart and not {"_doors", "a kernel"} & {*needs}:
        item.add_marker(pytest.mark.unit)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test. Tests first, shuffled or not as they come, but long ones before all others. Then one notebook
    after the other, the first seen first.
    """
    for item in items:
        _mark(item)
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    notebooks = list(dict.fromkeys(cell.path for cell in cells))
    cells.sort(key=lambda cell: (notebooks.index(cell.path), cell.cell_num))
    tests = [item for item in items if not isinstance(item, IPyNbCell)]
    tests.sort(key=lambda test: next((place for place, name in enumerate(LONG) if name in test.path.parts), len(LONG)))
    items[:] = tests + cells


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of add-ons: situation by encryption and mode, as the tests of it have seen them."""
    cells = {
        tuple(value[:3]): value[3]
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == "add-ons"
    }
    if cells:
        terminalreporter.section(f"add-ons: {len(cells)} cells of situation, encryption and mode")
        for (situation, encryption, mode), found in sorted(cells.items()):
            terminalreporter.line(f"{situation:18} {encryption:21} {mode:9} {found}")
