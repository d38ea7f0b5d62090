"""JupyterLab on copies of the notebooks: in order, with their titles, each showing its form when it is opened."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from jupyterlab.labapp import LabApp

from runbook import commands
from runbook.frontends import workspace
from runbook.frontends.titles import titles
from runbook.kernels import switch
from runbook.parameters import project_root

FIRST = "00-start-here"
EXTENSION = "bucketav-runbook"

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        # Not every browser takes a socket for a part of 'self'.
        "connect-src 'self' data: blob: ws://127.0.0.1:* ws://localhost:*",
        "frame-src 'self' blob:",  # files that are opened in a tab
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
"""For all pages: outputs show texts from AWS, and whatever stands in one, nothing is fetched from or sent to elsewhere.
JupyterLab's own scripts and styles stay as they are."""

SETTINGS = (
    "--ServerApp.ip=127.0.0.1",
    f"--ServerApp.tornado_settings={ {'headers': {'Content-Security-Policy': CONTENT_SECURITY_POLICY}} }",
    f"--LabApp.default_url=/lab/tree/{FIRST}.ipynb",
    # Nothing is asked of the internet, and nobody whether it may be.
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    # Beside what is hidden anyway: pictures are for notebooks, not for people to open.
    "--ContentsManager.hide_globs=['pictures', '__pycache__', '.ipynb_checkpoints']",
)


def serve(arguments: Sequence[str] = ()) -> None:
    """Serve until stopped, with more of JupyterLab's own arguments (`--port=8888`, `--no-browser`)."""
    switch.use()
    switch.warm_up()
    commands.put_on_path()
    with tempfile.TemporaryDirectory(prefix="runbook-lab-") as name:
        extensions, configuration = Path(name) / "labextensions", Path(name) / "config"
        _write_extension(extensions)
        _write_configuration(configuration)
        others = os.environ.get("JUPYTER_CONFIG_PATH", "")
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(configuration), others]))
        own = [
            *SETTINGS,
            f"--ServerApp.root_dir={workspace.prepare()}",
            f"--ServerApp.terminado_settings={ {'shell_command': terminal()} }",
            f"--LabApp.extra_labextensions_path={extensions}",
        ]
        LabApp.launch_instance(argv=[*_but_for(arguments, own), *arguments])


def terminal() -> list[str]:
    """Return the command of a terminal: the user's shell in the project's folder, where printed commands run.

    Not a login shell, as Jupyter would start one without a terminal of its own: that may forget the path.
    """
    return ["sh", "-c", 'cd "$0" && exec "$1"', str(project_root()), os.environ.get("SHELL") or "sh"]


def _but_for(arguments: Sequence[str], settings: Sequence[str]) -> list[str]:
    """The settings that no argument is for: JupyterLab takes one value for each."""
    given = {argument.partition("=")[0] for argument in arguments}
    return [setting for setting in settings if setting.partition("=")[0] not in given]


def _write_extension(folder: Path) -> None:
    """Put the extension into a folder of extensions, with the titles that the notebooks have now."""
    with as_file(files("runbook.frontends") / "labextension") as extension:
        shutil.copytree(extension, folder / EXTENSION)
    notebooks = [
        {"path": f"{name}.ipynb", "label": f"{name[:2]} {title.partition(':')[0]}", "title": title}
        for name, title in titles().items()
    ]
    (folder / EXTENSION / "static" / "notebooks.json").write_text(json.dumps(notebooks), encoding="utf-8")


def _write_configuration(folder: Path) -> None:
    """JupyterLab would ask whether it may fetch news."""
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "labconfig").mkdir(parents=True)
    (folder / "labconfig" / "page_config.json").write_text(json.dumps(disabled), encoding="utf-8")
