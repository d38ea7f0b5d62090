"""A step in JupyterLab: its form, and below it the buttons that go through it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets

from runbook.display.buttons import Buttons
from runbook.display.form import Form
from runbook.environment import Environment
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.progress import Progress, silent
from runbook.steps.step import Step


class Panel:
    """Form and buttons of one step. `folder` takes the evidence of what the buttons do; None for a new one under runs/
    when applying.
    """

    def __init__(
        self,
        step_class: type[Step],
        values: Mapping[str, Any],
        environment: Environment,
        scenario: str,
        folder: Path | None,
    ) -> None:
        self._environment = environment
        self._folder = folder
        self.form = Form(step_class, values, environment, scenario)
        self.buttons = Buttons(self._begin, self._is_current, environment)
        self.form.watch(self.buttons.refresh)
        self._box = ipywidgets.VBox([self.form.box, self.buttons.box])
        self._box.add_class("rb-panel")

    def view(self) -> Mapping[str, Any]:
        """Both for a notebook's front end."""
        self.form.look_up_identity()
        bundle: Mapping[str, Any] = self._box._repr_mimebundle_()
        return bundle

    def _begin(self, progress: Progress) -> Procedure:
        """A way through of its own: what the buttons do leaves that of the cells alone."""
        return Procedure(
            self.form.step,
            self._environment,
            scenario=self.form.scenario,
            folder=str(self._folder or ""),
            progress=progress,
        )

    def _is_current(self, plan: Plan) -> bool:
        return self.form.usable and self._begin(silent).is_current(plan)
