"""Ticks below a list: names to choose from, with a search, from the environment or looked up in an account."""

import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets

from runbook import markdown
from runbook.display import candidates
from runbook.display.candidates import Candidate
from runbook.display.style import INDENT, problem
from runbook.environment import Environment
from runbook.untrusted import escaped, visible

MOST = 40
"""So many candidates are shown at a time; a search finds the others."""
FEW = 12
"""So many need no search."""


def lines_of(text: str) -> list[str]:
    """What stands in a list, an item a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


class Picker:
    """What is ticked stands in `lines`, a text with an item a line; what stands there is ticked.

    Where AWS has to be asked for what there is, that is done when somebody wants it, in a thread of its own.
    """

    def __init__(self, offer: str, known: Sequence[Candidate], environment: Environment, lines: Any) -> None:
        self._offer = offer
        self._environment = environment
        self._lines = lines
        self._found: Sequence[Candidate] = ()
        self._shown: Sequence[Candidate] = ()
        self._ticking = False
        self._asked = 0
        self._ticks: list[Any] = []
        self._search = ipywidgets.Text(
            description="Search", layout={"display": "none"}, style={"description_width": "auto"}
        )
        self._list = ipywidgets.Box(layout={"flex_flow": "row wrap", "max_height": "14em", "overflow": "auto"})
        self._told = ipywidgets.HTML()
        self._account = ipywidgets.Dropdown(
            description="Account",
            options=[(each.label, each.value) for each in candidates.accounts(environment)],
            style={"description_width": "auto"},
            layout={"width": "17em"},
        )
        self._look = ipywidgets.Button(description=f"Look up {offer}s", layout={"width": "auto"})
        self.box = ipywidgets.VBox(layout=INDENT)
        if candidates.is_looked_up(offer):
            asked = [self._account] if candidates.asks_for_account(offer) else []
            row = ipywidgets.HBox([*asked, self._look, self._told], layout={"flex_flow": "row wrap"})
            self.box.children = [row, self._search, self._list]
        else:
            self.box.children = [self._search, self._list, self._told]
            self._find(known)
        self._look.on_click(self._on_look)
        self._search.observe(self._on_search, "value")
        self._lines.observe(self._on_lines, "value")

    def _on_look(self, _: Any) -> None:
        self._asked += 1
        self._look.disabled = True
        self._told.value = "Looking …"
        threading.Thread(target=self._look_up, args=(self._account.value, self._asked), daemon=True).start()

    def _look_up(self, account: str, asked: int) -> None:
        found: Sequence[Candidate] | None = None
        try:
            found = candidates.look_up(self._offer, self._environment, account)
            told = f"{markdown.count(len(found), self._offer)} found." if found else "There is none."
        except Exception as error:  # noqa: BLE001 (shown where it was asked for)
            told = problem(str(error))
        # A second click can be quicker than the button is disabled: what was asked for last is what counts.
        if asked == self._asked:
            if found is not None:
                self._find(found)
            self._told.value = told
            self._look.disabled = False

    def _on_search(self, _: Any) -> None:
        self._show()

    def _on_lines(self, _: Any) -> None:
        if not self._ticking:
            self._tick()

    def _find(self, found: Sequence[Candidate]) -> None:
        self._found = found
        self._search.layout.display = None if len(found) > FEW else "none"
        self._show()

    def _show(self) -> None:
        """Show the candidates that are searched for, the first of many."""
        wanted = self._search.value.strip().lower()
        fitting = [each for each in self._found if wanted in each.label.lower()]
        self._shown = fitting[:MOST]
        while len(self._ticks) < len(self._shown):
            tick = ipywidgets.Checkbox(indent=False, layout={"width": "auto", "margin": "0 1.5em 0 0"})
            tick.observe(self._on_tick, "value")
            self._ticks.append(tick)
        self._tick()
        more = len(fitting) - len(self._shown)
        rest = [ipywidgets.HTML(escaped(f"… and {more} more: search for them."))] if more else []
        self._list.children = [*self._ticks[: len(self._shown)], *rest]

    def _tick(self) -> None:
        """Tick what stands in the list."""
        self._ticking = True
        try:
            lines = lines_of(self._lines.value)
            for tick, candidate in zip(self._ticks, self._shown, strict=False):
                tick.description = visible(candidate.label)
                tick.value = any(candidate.means(line) for line in lines)
        finally:
            self._ticking = False

    def _on_tick(self, change: Any) -> None:
        if self._ticking:
            return
        candidate = self._shown[self._ticks.index(change["owner"])]
        lines = [line for line in lines_of(self._lines.value) if not candidate.means(line)]
        self._ticking = True
        try:
            self._lines.value = "\n".join([*lines, candidate.value] if change["new"] else lines)
        finally:
            self._ticking = False
