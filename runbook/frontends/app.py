"""The notebooks as pages without code: Voilà with an index in order, and nothing fetched from elsewhere."""

import os
import threading
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from voila.app import Voila

from runbook.environment import environment_names
from runbook.frontends import workspace
from runbook.frontends.titles import titles
from runbook.kernels import switch

TEMPLATE = "runbook"
BEGIN = "*In JupyterLab, "
"""Beginning of the paragraph that says which cells to run."""

DATA = files("runbook.frontends") / "jupyter"
"""What Jupyter finds there: our template, which builds on Voilà's own."""


def serve(arguments: Sequence[str] = ()) -> None:
    """Serve until stopped, with more of Voilà's own arguments (`--port=8866`, `--no-browser`)."""
    switch.use()
    switch.warm_up()
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(DATA), os.environ.get("JUPYTER_PATH", "")]))
    App.launch_instance(argv=[str(workspace.prepare()), *arguments])


CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Voilà's own pages have both
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        # Not every browser takes a socket for a part of 'self'.
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:*",
        "frame-src 'none'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
"""For all pages: they show texts from AWS, and whatever stands in one, nothing is fetched from or sent to elsewhere."""


class App(Voila):  # type: ignore[misc]
    """Voilà for these notebooks. Whoever opens a page can act with the credentials it runs with: a token lets in only
    who was given the address.
    """

    def initialize(self, argv: Sequence[str] | None = None) -> None:
        """Settings of ours first, so that arguments win over them."""
        self.ip = "127.0.0.1"
        self.auto_token = True
        # Voilà would answer to every host name, also to one that a page elsewhere makes lead here.
        self.tornado_settings.update(
            allow_remote_access=False, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        )
        configuration = self.config.VoilaConfiguration
        configuration.template = TEMPLATE
        configuration.classic_tree = True  # the index is our template's own
        configuration.allow_template_override = configuration.allow_theme_override = "NO"
        # JupyterLab's other extensions are made for another frontend, and fail in this one.
        configuration.extension_allowlist = [
            "@jupyter-widgets/jupyterlab-manager",
            "@voila-dashboards/widgets-manager8",
        ]
        configuration.page_config_hook = _with_titles
        configuration.prelaunch_hook = _named
        super().initialize(argv)

    def launch_browser(self) -> None:
        """Open the index by a file that only we can read: an address on a command line is there for all to see."""
        page = Path(self.connection_dir) / "open.html"
        address = f"{self.connection_url}?token={self.identity_provider.token}"
        page.write_text(f'<meta http-equiv="refresh" content="0;url={address}">', encoding="utf-8")
        threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()


def _with_titles(page_config: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Tell the index what the notebooks are called, and which environments there are besides the sandbox."""
    page_config["notebooks"] = [{"name": name, "title": title} for name, title in titles().items()]
    page_config["environments"] = [name for name in environment_names() if name != "sandbox"]
    return page_config


def _named(_request: Any, notebook: Any, cwd: str) -> Any:  # noqa: ARG001 (Voilà names its arguments)
    """Give a page its notebook's heading for a title, and leave out how to run cells, which it does not show."""
    first = notebook.cells[0].source if notebook.cells else ""
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != "parameters-help"]
    if notebook.cells:
        paragraphs = first.split("\n\n")
        notebook.cells[0].source = "\n\n".join(each for each in paragraphs if not each.startswith(BEGIN))
    notebook.metadata["title"] = f"{first.partition(chr(10))[0].lstrip('# ')} – bucketAV runbook"
    return notebook
