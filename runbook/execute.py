"""Runs one notebook headless with papermill and leaves its evidence in a run folder."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.parameters import ParameterError, did_you_mean, project_root, shown

NOTEBOOK = "notebook.ipynb"
REPORT = "notebook.html"

CONTENT_SECURITY_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:\">"
)
"""For pages that show texts from AWS: whatever stands in one, nothing runs, and nothing is fetched or sent."""

_STYLE = ".jp-RenderedMarkdown pre { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace }"
"""nbconvert shows code blocks in Markdown outputs in the font of the text."""


@dataclass(frozen=True)
class Execution:
    """What became of one notebook.

    `result` is its `result.json`, `error` the cell's error when one was raised; `interrupted` when a person stopped it.
    """

    notebook: str
    scenario: str
    folder: Path
    seconds: float
    result: Mapping[str, Any]
    error: str
    interrupted: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether everything asked for was done: no failed check, no failed verification, no crash."""
        previewed = self.result.get("mode") == "preview" and self.result.get("status") in ("checked", "done")
        return not self.error and (previewed or self.result.get("status") == "done")


def notebook_names() -> list[str]:
    """The notebooks, in the order of the runbook."""
    return sorted(path.stem for path in (project_root() / "notebooks").glob("*.ipynb"))


def notebook_path(name: str) -> Path:
    """The file of a notebook by its name, `05-bucket-policy`, with or without `.ipynb`. Raises ParameterError."""
    name = Path(name).name.removesuffix(".ipynb")
    if name not in notebook_names():
        raise ParameterError([f"There is no notebook `{name}`.{did_you_mean(name, notebook_names())}"])
    return project_root() / "notebooks" / f"{name}.ipynb"


def execute(notebook: Path, parameters: Mapping[str, Any], folder: Path, *, progress: bool = True) -> Execution:
    """Execute `notebook` with `parameters` into `folder`: notebook, HTML, and what the notebook itself writes there.

    A cell that raises ends the notebook, and so does Ctrl-C; both are told in the answer rather than raised.
    """
    # papermill and its kernel machinery take most of a second to import; `runbook list` needs neither.
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    scenario = str(parameters.get("scenario", ""))
    started, error, interrupted = time.monotonic(), "", False
    label = " ".join(part for part in (notebook.stem, scenario) if part)
    try:
        papermill.execute_notebook(
            notebook,
            folder / NOTEBOOK,
            parameters={**parameters, "run_folder": shown(folder)},
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar={"desc": label, "leave": False} if progress else False,
            extra_arguments=["--log-level=CRITICAL"],  # no word of sockets or of its end
        )
    except PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    except DeadKernelError as failure:
        error = f"The notebook's kernel died: {failure}"
    except KeyboardInterrupt:
        error, interrupted = "Stopped by Ctrl-C.", True
    if (folder / NOTEBOOK).exists():
        _write_html(folder)
    return Execution(notebook.stem, scenario, folder, time.monotonic() - started, _result(folder), error, interrupted)


def _result(folder: Path) -> Mapping[str, Any]:
    file = folder / "result.json"
    if not file.exists():
        return {}
    result: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def _write_html(folder: Path) -> None:
    """The executed notebook as one page that needs no network and runs nothing: static views stand in for widgets."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    priority = ["text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": priority}})
    exporter = HTMLExporter(config=config, embed_images=True)  # type: ignore[no-untyped-call]
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata.pop("widgets", None)
    resources = {"metadata": {"path": str(project_root() / "notebooks"), "name": folder.name}}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    # nbconvert's page would load formulas, diagrams and widgets from the internet; there are none here.
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = body.replace("<head>", f"<head>{CONTENT_SECURITY_POLICY}", 1)
    body = body.replace("</head>", f"<style>{_STYLE}</style></head>", 1)
    (folder / REPORT).write_text(body, encoding="utf-8")
