"""Runs the notebooks again with their defaults and stores their outputs, the same bytes every time.

    python -m runbook.review.notebooks [--check] [NAME ...]

What differs from run to run is left out: states and views of widgets (the text that stands beside a view stays), times,
and the version of Python. Everything else that differs is a defect of the notebook, and `--check` finds it.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from runbook.errors import RunbookError
from runbook.execute import sockets_of_its_own
from runbook.kernels import switch
from runbook.parameters import ParameterError, did_you_mean, project_root
from runbook.review.surroundings import without_accounts
from runbook.terminal import echo

TIMEOUT = 300
"""Seconds that one cell may take."""

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
READABLE = ("text/html", "text/markdown", "text/plain")

LEFT_OUT_OF_CELLS = ("ExecuteTime", "collapsed", "execution", "papermill", "scrolled")


class NotebookError(RunbookError):
    """A cell raised, took too long, or shows something that cannot be stored: notebook, cell, and what happened."""


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Renew the named notebooks of `folder` (all of the project's by default), or with `--check` only compare.

    Answers with the exit status: 0 for done; 1 when a notebook failed or, with `--check`, is not current; 2 for a
    notebook that there is not.
    """
    parser = argparse.ArgumentParser(
        prog="python -m runbook.review.notebooks", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a notebook, such as 05-bucket-policy; default: all")
    parser.add_argument("--check", action="store_true", help="write nothing; list the cells that differ")
    given = parser.parse_args(arguments)
    try:
        files = notebook_files(given.names, folder or project_root() / "notebooks")
    except ParameterError as error:
        echo(str(error), err=True)
        return 2
    return max([_renew(file, check=given.check) for file in files], default=0)


def notebook_files(names: Sequence[str], folder: Path) -> list[Path]:
    """The files of notebooks by their names, with or without `.ipynb`; of all without names. Raises ParameterError."""
    files = {file.stem: file for file in sorted(folder.glob("*.ipynb"))}
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names] or list(files)
    if unknown := [name for name in wanted if name not in files]:
        raise ParameterError([f"There is no notebook `{name}`.{did_you_mean(name, list(files))}" for name in unknown])
    return [files[name] for name in wanted]


def renewed(file: Path) -> str:
    """The text of a notebook file after a fresh run of all of its cells. Raises NotebookError."""
    notebook = _read(file.read_text(encoding="utf-8"))
    _clear(notebook)
    _execute(notebook, file)
    _make_repeatable(notebook, file)
    # As nbformat and JupyterLab write it to a file.
    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def differences(stored: str, fresh: str) -> list[str]:
    """What is not the same in two texts of a notebook: cells by their ids, or else the metadata; or nothing."""
    before = {cell.id: cell for cell in _read(stored).cells}
    cells = [f"cell `{cell.id}`" for cell in _read(fresh).cells if before.get(cell.id) != cell]
    return cells if cells or stored == fresh else ["metadata"]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _renew(file: Path, *, check: bool) -> int:
    """Renew or compare one file, say how it went, and answer with its exit status."""
    try:
        stored, fresh = file.read_text(encoding="utf-8"), renewed(file)
    except NotebookError as error:
        echo(str(error), err=True)
        return 1
    differing = differences(stored, fresh)
    if not differing:
        echo(f"{file.name}: current")
        return 0
    if check:
        echo(f"{file.name}: not current: {', '.join(differing)}. Renew it: make notebooks", err=True)
        return 1
    file.write_text(fresh, encoding="utf-8")
    echo(f"{file.name}: renewed: {', '.join(differing)}")
    return 0


def _read(text: str) -> NotebookNode:
    notebook: NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def _clear(notebook: NotebookNode) -> None:
    for cell in _code_cells(notebook):
        cell.outputs, cell.execution_count = [], None


def _execute(notebook: NotebookNode, file: Path) -> None:
    started: list[str] = []
    switch.use()
    try:
        with sockets_of_its_own() as config, ThreadPoolExecutor(1) as thread:
            client = NotebookClient(
                notebook,
                kernel_name=KERNEL["name"],
                config=config,
                timeout=TIMEOUT,
                resources={"metadata": {"path": str(file.parent)}},
                # How printed text is cut into pieces depends on timing.
                coalesce_streams=True,
                record_timing=False,
                store_widget_state=False,
                extra_arguments=["--log-level=CRITICAL"],  # no word of its end
                on_cell_execute=lambda *, cell, **_: started.append(cell.id),
            )
            # In a loop of its own, which ends with it, and a thread, because whoever calls may be in a loop already.
            thread.submit(lambda: asyncio.run(client.async_execute(env=without_accounts(os.environ)))).result()
    except CellExecutionError as error:
        raise NotebookError(f"{file.name}, cell `{started[-1]}`: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookError(f"{file.name}, cell `{started[-1]}`: takes more than {TIMEOUT} seconds.") from None
    except DeadKernelError:
        raise NotebookError(f"{file.name}, cell `{started[-1]}`: the kernel has died.") from None


def _make_repeatable(notebook: NotebookNode, file: Path) -> None:
    """Leave out what one run leaves behind."""
    language = {name: value for name, value in notebook.metadata.language_info.items() if name != "version"}
    notebook.metadata = {"kernelspec": KERNEL, "language_info": language}
    for cell in notebook.cells:
        for name in LEFT_OUT_OF_CELLS:
            cell.metadata.pop(name, None)
    for cell in _code_cells(notebook):
        for output in cell.outputs:
            _leave_out_view(output.get("data", {}), f"{file.name}, cell `{cell.id}`")


def _leave_out_view(data: dict[str, Any], where: str) -> None:
    """Take a widget's view out of an output: its model is gone with the run, and has another name in the next one."""
    if WIDGET_VIEW in data:
        if not any(kind in data for kind in READABLE):
            raise NotebookError(f"{where}: shows a widget and nothing to read in its place. Give it a text as well.")
        del data[WIDGET_VIEW]


def _code_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


if __name__ == "__main__":
    sys.exit(main())
