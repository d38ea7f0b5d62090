"""Small notebooks that need nothing of the package, and fleets of them, whatever their jobs do."""

from collections.abc import Mapping
from pathlib import Path

import nbformat

from runbook.batch.fleet import Fleet, FleetJob

DONE = 'pathlib.Path(run_folder, "result.json").write_text(\'{"mode": "apply", "status": "done"}\')'
"""What a notebook does at last that has done everything asked for."""

BEGIN = """
import os, pathlib, signal, time
with open(log, "a") as file:
    file.write(f"{name} {os.getpid()}\\n")
"""
"""What each does first: it leaves its name and the id of its kernel."""

PARAMETERS = 'run_folder = ""\napply = False\nscenario = ""\nlog = ""\nname = ""\nbatch = 0'


def notebook(path: Path, middle: str) -> Path:
    """A notebook of four cells: `parameters`, `begin`, `middle` with this source, and `end`."""
    sources = {"parameters": PARAMETERS, "begin": BEGIN, "middle": middle, "end": DONE}
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in sources.items()]  # type: ignore[no-untyped-call]
    cells[0].metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]
    nbformat.write(made, path)  # type: ignore[no-untyped-call]
    return path


def fleet_of(
    folder: Path,
    middles: Mapping[str, str],
    *,
    needs: Mapping[str, tuple[str, ...]] | None = None,
    batch: int = 0,
    cell_seconds: int = 60,
) -> Fleet:
    """A fleet with a job for each of these middle cells; `batch` is a process id that they may want to know."""
    folder.mkdir(exist_ok=True)
    jobs = tuple(
        FleetJob(
            name,
            str(notebook(folder / f"{name}.ipynb", middle)),
            "",
            {"log": str(folder / "log"), "name": name, "batch": batch},
            {"name": name},
            (needs or {}).get(name, ()),
        )
        for name, middle in middles.items()
    )
    return Fleet("small", "small.yaml", {}, False, jobs, cell_seconds=cell_seconds)


def begun(folder: Path) -> list[tuple[str, int]]:
    """Which jobs were begun, in that order, and in which process."""
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return [(name, int(pid)) for name, pid in map(str.split, lines)]
