"""Runs one notebook headless with papermill and leaves its evidence in a run folder."""

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from runbook import markdown
from runbook.errors import RunbookError
from runbook.files import PRIVATE_FILE, FileError, make_folder, open_regular, parse_object, read_text, write_text
from runbook.kernels import switch
from runbook.parameters import ParameterError, did_you_mean, project_root, shown
from runbook.result import read_result
from runbook.secrets import redact

NOTEBOOK = "notebook.ipynb"
REPORT = "notebook.html"

Ended = Literal["through", "failed", "timed-out", "crashed", "interrupted"]
"""How the notebook came to its end: with its last cell; or because a cell raised, took too long, took the kernel with
it, or was stopped by somebody."""

LONGEST_FOLDER = 60
"""So long may the folder of temporary files be for a kernel's sockets to lie there: the path of one has 104 bytes."""

KERNEL_ARGUMENTS = ("--log-level=CRITICAL",)
"""More arguments of a kernel: it says no word of its end."""

CONTENT_SECURITY_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:\">"
)
"""For pages that show texts from AWS: whatever stands in one, nothing runs, and nothing is fetched or sent."""

_STYLE = """
.jp-RenderedMarkdown pre { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
.jp-InputPrompt, .jp-OutputPrompt { color: #555555 !important; opacity: 1 !important }
body { --jp-mirror-editor-atom-color: #3a3ad6; --jp-mirror-editor-bracket-color: #66663f;
  --jp-mirror-editor-comment-color: #2f6868; --jp-mirror-editor-error-color: #c00000;
  --jp-mirror-editor-operator-color: #8a1fd6; --jp-mirror-editor-quote-color: #067506 }
"""
"""nbconvert shows code blocks in Markdown outputs in the font of the text, and prompts and code too pale to read."""


@dataclass(frozen=True)
class Execution:
    """What became of one notebook.

    `result` is its `result.json`, `error` what was said where it ended badly, and `cell` the id of that cell; both are
    empty when all cells were run.
    """

    notebook: str
    scenario: str
    folder: Path
    seconds: float
    result: Mapping[str, Any]
    error: str
    ended: Ended = "through"
    cell: str = ""

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


def refuse_unknown_engine(engine: str | None) -> None:
    """Raise ParameterError for an engine that papermill does not know; None is its own."""
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillException

    try:
        papermill_engines.get_engine(engine)
    except PapermillException:
        raise ParameterError(
            [f"--engine: papermill knows no engine `{engine}`; is the package that brings it installed?"]
        ) from None


def execute(
    notebook: Path,
    parameters: Mapping[str, Any],
    folder: Path,
    *,
    progress: bool = True,
    engine: str | None = None,
    cell_seconds: int | None = None,
) -> Execution:
    """Execute `notebook` with `parameters` into `folder`: notebook, HTML, and what the notebook itself writes there.

    A cell that raises ends the notebook, and so do one that takes longer than `cell_seconds`, a kernel that dies and
    Ctrl-C; all are told in the answer rather than raised. `engine` is papermill's, by its name.
    """
    # papermill and its kernel machinery take most of a second to import; `runbook list` needs neither.
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from runbook.engine import NAME

    scenario = str(parameters.get("scenario", ""))
    started, error, ended = time.monotonic(), "", _THROUGH
    label = " ".join(part for part in (notebook.stem, scenario) if part)
    switch.use()
    try:
        with sockets_of_its_own() as config, _private(folder / NOTEBOOK):
            papermill.execute_notebook(
                notebook,
                folder / NOTEBOOK,
                engine_name=engine or NAME,
                parameters={**parameters, "run_folder": shown(folder)},
                cwd=str(notebook.parent),
                kernel_name="python3",
                progress_bar={"desc": label, "leave": False} if progress else False,
                extra_arguments=list(KERNEL_ARGUMENTS),
                execution_timeout=cell_seconds,
                **({} if engine else {"config": config}),
            )
    except PapermillExecutionError as failure:
        error, ended = f"{failure.ename}: {failure.evalue}", "failed"
    except CellTimeoutError:
        error, ended = f"The cell took longer than the {cell_seconds} s that it may take.", "timed-out"
    except DeadKernelError:
        error, ended = "The notebook's kernel died.", "crashed"
    except KeyboardInterrupt as stopped:
        error, ended = str(stopped) or "Stopped by Ctrl-C.", "interrupted"
    except Exception as failure:  # noqa: BLE001 (whatever an engine may raise; a notebook is no reason to end a batch)
        error, ended = f"{type(failure).__name__}: {failure}", "crashed"
    error = redact(error)
    cell, result = "", {}
    try:
        with _undisturbed():
            cell = leave_evidence(folder, error)
        result = read_result(folder)
    except RunbookError as damaged:
        error, ended = "\n".join(filter(None, [error, str(damaged)])), "crashed" if ended == _THROUGH else ended
    return Execution(notebook.stem, scenario, folder, time.monotonic() - started, result, error, ended, cell)


@contextmanager
def _private(file: Path) -> Iterator[None]:
    """Have papermill write into a file that is its owner's only, and leave none behind that it wrote nothing to.

    papermill opens the file by its name, so that its mode stays, and a symbolic link would be followed: there is none.
    """
    if not file.parent.is_dir():
        make_folder(file.parent)
    os.close(open_regular(file, os.O_WRONLY | os.O_CREAT, follow=False))
    file.chmod(PRIVATE_FILE)
    try:
        yield
    finally:
        if file.exists() and not file.stat().st_size:
            file.unlink()


@contextmanager
def sockets_of_its_own() -> Iterator[Any]:
    """Settings for a kernel's manager: it is talked to through sockets in a folder of their own, gone afterwards.

    Otherwise Jupyter looks for free ports before it starts a kernel, which takes them a second later. Another kernel
    may have one by then: ours ends at once, and whoever sends something to that port waits forever.
    """
    from traitlets.config import Config

    place = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=place if len(place) <= LONGEST_FOLDER else "/tmp") as folder:
        file = str(Path(folder, "kernel.json"))
        yield Config({"KernelManager": {"transport": "ipc", "connection_file": file}})


def leave_evidence(folder: Path, error: str) -> str:
    """Make the executed notebook in a run folder say what happened, and write its page; the id of the fatal cell.

    papermill 2.7 calls the cell that a crash or a time-out ended in completed, and the cells after it as well; and a
    process that is killed leaves a cell running. Here the cell that was begun last is the one that failed, and the
    others were never run. `error` is what to say of it, empty when the notebook went through.
    """
    import nbformat

    file = folder / NOTEBOOK
    notebook = _read(file)
    if notebook is None:
        return ""
    cleaned = _redact_errors(notebook)
    begun = _begun(notebook)
    failed = [cell for cell in begun if cell.metadata.papermill.status == "failed"]
    fatal = (failed or begun)[-1:] if error else []
    if fatal and not failed:
        for cell in notebook.cells:
            if told := cell.metadata.get("papermill"):
                told["status"] = "completed" if told.get("start_time") else "pending"
        fatal[0].metadata.papermill.update({"status": "failed", "exception": True})
        notebook.metadata.papermill["exception"] = True
        notebook.cells.insert(notebook.cells.index(fatal[0]), _marker(error))
        cleaned = True
    if cleaned:
        write_text(file, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]
    _write_html(notebook, folder)
    return str(fatal[0].get("id", "")) if fatal else ""


def _redact_errors(notebook: Any) -> bool:
    """Take secrets out of what went wrong, for kernels that have ended before they could; whether there were any."""
    found = False
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if output.output_type == "error":
            texts = [output.evalue, "\n".join(output.traceback)]
            evalue, trace = map(redact, texts)
            if [evalue, trace] != texts:
                output.evalue, output.traceback, found = evalue, trace.split("\n"), True
        elif output.output_type == "stream" and output.name == "stderr" and redact(output.text) != output.text:
            output.text, found = redact(output.text), True
    return found


def _read(file: Path) -> Any:
    """An executed notebook; None when it is not there, or was being written when somebody was killed."""
    import nbformat

    try:
        text = read_text(file, follow=False)
        content = parse_object(text, file)
        if content.get("nbformat") != 4 or type(content.get("nbformat_minor")) is not int:
            return None
        nbformat.validate(content)
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, FileError, ValueError, nbformat.ValidationError):
        return None
    parts = [notebook.metadata, *(cell.metadata for cell in notebook.cells)]
    return notebook if all(isinstance(part.get("papermill", {}), dict) for part in parts) else None


def _begun(notebook: Any) -> list[Any]:
    """The cells that were begun, as papermill notes it."""
    cells = notebook.cells if notebook else []
    return [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]


_THROUGH: Ended = "through"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No Ctrl-C in the moment in which evidence is put in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _marker(error: str) -> Any:
    """A cell as papermill inserts one before a cell that raised, and takes out when the notebook is run again."""
    import nbformat
    from papermill.execute import ERROR_MARKER_TAG

    text = f"**The notebook stopped in the next cell, and no cell after it was run.** {markdown.plain(error)}"
    return nbformat.v4.new_markdown_cell(text, metadata={"tags": [ERROR_MARKER_TAG]})  # type: ignore[no-untyped-call]


def _write_html(notebook: Any, folder: Path) -> None:
    """The executed notebook as one page that needs no network and runs nothing: static views stand in for widgets."""
    notebook.metadata.pop("widgets", None)
    resources = {"metadata": {"path": str(project_root() / "notebooks"), "name": folder.name}}
    body, _ = _exporter().from_notebook_node(notebook, resources=resources)
    # nbconvert's page would load formulas, diagrams and widgets from the internet; there are none here.
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = body.replace("<head>", f"<head>{CONTENT_SECURITY_POLICY}", 1)
    body = body.replace("</head>", f"<style>{_STYLE}</style></head>", 1)
    write_text(folder / REPORT, body)


@cache
def _exporter() -> Any:
    """nbconvert's exporter, which takes a while to make, for all notebooks of a process."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    priority = ["text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": priority}})
    return HTMLExporter(config=config, embed_images=True)  # type: ignore[no-untyped-call]
