"""Keeps the cells of a notebook together and in order, however tests are shuffled and shared out."""

import pytest
from nbval.plugin import IPyNbCell


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests first, shuffled or not as they come; then one notebook after the other, the first seen first."""
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    notebooks = list(dict.fromkeys(cell.path for cell in cells))
    cells.sort(key=lambda cell: (notebooks.index(cell.path), cell.cell_num))
    for cell in cells:
        cell.add_marker(pytest.mark.xdist_group(cell.path.name))  # by one process, which has the notebook's kernel
    items[:] = [item for item in items if not isinstance(item, IPyNbCell)] + cells
