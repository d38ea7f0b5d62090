"""papermill's own engine, saving the executed notebook when a cell with code begins instead of four times a cell.

Nothing is lost by that: what a cell has left is written when the next one begins, while a long one runs (papermill's
`autosave_cell_every`), and at the end. Whoever is killed leaves the cell that was on marked as running.
"""

from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

NAME = "bucketav-runbook"


class _Manager(NotebookExecutionManager):  # type: ignore[misc]  # papermill has no types
    """Tracks and saves a notebook as papermill does, but only when it makes a difference."""

    _between_cells = False

    def save(self, **kwargs: Any) -> None:
        """Write the notebook, unless the next cell's beginning will."""
        if not self._between_cells:
            super().save(**kwargs)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note that a cell begins; save only where it has code to run."""
        self._between_cells = cell.cell_type != "code"
        super().cell_start(cell, cell_index, **kwargs)
        self._between_cells = False

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note that a cell is through."""
        self._between_cells = True
        super().cell_complete(cell, cell_index, **kwargs)
        self._between_cells = False


class Engine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """Executes a notebook through nbclient."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: Any = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> Any:
        """Execute `nb`; return it, with outputs and papermill's metadata."""
        manager = _Manager(
            nb,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **kwargs)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb


papermill_engines.register(NAME, Engine)
