"""The order of tests, and a table at their end. Tests may be shuffled, but not the cells of a notebook."""

from typing import Any

import pytest
from nbval.plugin import IPyNbCell
from xdist.scheduler import LoadScopeScheduling

from runbook.batch.processes import usable_processors
from runbook.kernels import switch

switch.use()  # for nbval, plain papermill and all that tests start


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


LONG = ("faults", "test_notebooks.py", "bench", "batch", "test_permissions.py", "test_add_ons.py", "test_many.py")
"""Folders and files of tests that take long, one by one: at the end one processor would wait for another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests first, shuffled or not as they come, but long ones before all others. Then one notebook after the other,
    the first seen first.
    """
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
