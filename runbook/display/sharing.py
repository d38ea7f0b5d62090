"""What was chosen in a form, to be used again: as a parameter file, and as a command."""

from collections.abc import Callable
from typing import Any

import ipywidgets

from runbook.display.style import INPUT, LABEL, problem
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import shown
from runbook.steps.scenarios import papermill_command, save_scenario
from runbook.steps.step import Asked
from runbook.untrusted import escaped

_COPY = "navigator.clipboard.writeText(this.previousElementSibling.textContent)"


class Sharing:
    """Saves a step's parameters under a name, and shows the command that runs them; `saved` is told the name."""

    def __init__(self, saved: Callable[[str], None], environment: Environment) -> None:
        self._saved = saved
        self._environment = environment
        self._step: Asked | None = None
        self._name = ipywidgets.Text(description="Save as", placeholder="a-name-for-it", style=LABEL, layout=INPUT)
        self._about = ipywidgets.Text(
            description="What it is for", placeholder="one sentence", style=LABEL, layout=INPUT
        )
        self._save = ipywidgets.Button(description="Save parameter file", layout={"width": "auto"})
        self._told = ipywidgets.HTML()
        self._command = ipywidgets.HTML()
        self._save.on_click(self._on_save)
        inside = ipywidgets.VBox([self._name, self._about, ipywidgets.HBox([self._save, self._told]), self._command])
        self.box = ipywidgets.Accordion([inside], titles=["Save these values, or run them without this page"])

    def show(self, step: Asked | None, scenario: str) -> None:
        """Show what there is to do with these values; None when they cannot be used."""
        self._step = step
        self._save.disabled = step is None
        self._told.value = ""
        if step is None:
            self._command.value = "The values above cannot be used."
            return
        command = escaped(papermill_command(step, self._environment, scenario))
        self._command.value = (
            "<p>The same as a command, which is a preview; to make the changes, add <code>-p apply True</code>:</p>"
            f'<div class="rb-command"><code>{command}</code><button class="jupyter-button" onclick="{_COPY}">'
            "Copy</button></div>"
        )

    def _on_save(self, _: Any) -> None:
        if self._step is None:
            return
        try:
            name = self._name.value.strip()
            path = save_scenario(self._step, name, self._about.value, self._environment)
            self._saved(name)
            self._told.value = f"Saved: <code>{escaped(shown(path))}</code>"
        except (RunbookError, OSError) as error:
            self._told.value = problem(str(error))
