"""Keeps the cells of a notebook in order: pytest-randomly may shuffle tests and notebooks, but not the cells of one."""

import pytest
from nbval.plugin import IPyNbCell


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests first, shuffled or not as they come; then one notebook after the other, the first seen first."""
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    notebooks = list(dict.fromkeys(cell.path for cell in cells))
    cells.sort(key=lambda cell: (notebooks.index(cell.path), cell.cell_num))
    items[:] = [item for item in items if not isinstance(item, IPyNbCell)] + cells
