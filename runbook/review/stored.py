"""The notebooks as they are stored: each cell with its tags, its source, and the texts of its outputs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.parameters import ParameterError, project_root, shown


@dataclass(frozen=True)
class StoredCell:
    """One cell. `kind` is `code` or `markdown`; an output is its texts by their media types."""

    notebook: str
    id: str
    kind: str
    tags: tuple[str, ...]
    source: str
    outputs: tuple[Mapping[str, str], ...]

    @property
    def where(self) -> str:
        """How findings name it."""
        return f"{file_of(self.notebook)}, cell `{self.id}`"

    def texts(self) -> Iterator[str]:
        """Every text of its outputs."""
        return (text for output in self.outputs for text in output.values())


def file_of(notebook: str) -> str:
    """How findings name a notebook: `notebooks/05-bucket-policy.ipynb`."""
    return f"notebooks/{notebook}.ipynb"


def stored_notebooks() -> dict[str, tuple[StoredCell, ...]]:
    """The cells of every notebook of the project, by its name. Raises ParameterError for a file that is none."""
    return {file.stem: read_cells(file) for file in sorted((project_root() / "notebooks").glob("*.ipynb"))}


def read_cells(file: Path) -> tuple[StoredCell, ...]:
    """The cells of a notebook file. Raises ParameterError when it is none."""
    try:
        return parse_cells(file.stem, file.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(
            [f"{shown(file)}: is not a notebook ({error!r}). Open and save it in JupyterLab, or restore it from git."]
        ) from None


def parse_cells(notebook: str, text: str) -> tuple[StoredCell, ...]:
    """The cells in the text of a notebook's file. Raises ValueError and the like for what is none."""
    content: Mapping[str, Any] = json.loads(text)
    return tuple(_cell(notebook, cell) for cell in content["cells"])


def text_of(value: Any) -> str:
    """A text of a notebook file, which may be stored as a list of its lines; of anything else its JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _cell(notebook: str, cell: Mapping[str, Any]) -> StoredCell:
    outputs = tuple(_texts(output) for output in cell.get("outputs", []))
    tags = tuple(cell["metadata"].get("tags", []))
    return StoredCell(notebook, cell["id"], cell["cell_type"], tags, text_of(cell["source"]), outputs)


def _texts(output: Mapping[str, Any]) -> dict[str, str]:
    """What an output shows: of a stream its text, of an error what was raised."""
    if output["output_type"] == "stream":
        return {"text/plain": text_of(output["text"])}
    if output["output_type"] == "error":
        return {"text/plain": "\n".join([f"{output['ename']}: {output['evalue']}", *output["traceback"]])}
    return {kind: text_of(value) for kind, value in output.get("data", {}).items()}
