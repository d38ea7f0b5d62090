"""A password field for an MFA code: the front end's own while a cell runs, one in the form at any other time."""

import getpass
import threading
from functools import cache
from typing import Any

import ipywidgets
from IPython import get_ipython
from IPython.core.error import StdinNotImplementedError

from runbook import mfa
from runbook.display.frontend import in_voila
from runbook.untrusted import escaped

ANSWER_SECONDS = 300.0
"""Seconds to wait for a code in the form."""


class MfaField:
    """Asks in the form. Hidden until somebody is asked; threads that ask at the same time do so one after the other."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._answered = threading.Event()
        self._prompt = ipywidgets.HTML()
        self.code = ipywidgets.Password(placeholder="six digits", layout={"width": "10em"})
        self.enter = ipywidgets.Button(description="Enter", button_style="primary", layout={"width": "8em"})
        self.cancel = ipywidgets.Button(description="Cancel", layout={"width": "8em"})
        self.enter.on_click(lambda _: self._answered.set())
        self.cancel.on_click(self._on_cancel)
        self.code.observe(self._on_code, "value")
        row = ipywidgets.HBox([self.code, self.enter, self.cancel], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([self._prompt, row], layout={"display": "none"})
        self.box.add_class("rb-mfa")

    def ask(self, prompt: str) -> str:
        """Show the field and return what is entered; empty where nothing is, or for too long."""
        with self._one:
            self._answered.clear()
            self.code.value = ""
            self._prompt.value = f'<div role="status"><b>{escaped(prompt.rstrip(": "))}</b></div>'
            self.box.layout.display = None
            try:
                return str(self.code.value) if self._answered.wait(ANSWER_SECONDS) else ""
            finally:
                self.box.layout.display = "none"
                self.code.value = ""

    def _on_code(self, change: Any) -> None:
        """A complete code needs no click."""
        if len(change["new"].strip()) == 6:
            self._answered.set()

    def _on_cancel(self, _: Any) -> None:
        self.code.value = ""
        self._answered.set()


@cache
def field() -> MfaField:
    """Return the field of this kernel, which each form shows. Made late: warm kernels are forked after the import."""
    return MfaField()


def ask(prompt: str) -> str:
    """Ask in a notebook. Raises NotAsked where nobody sees it: headless, or while a page of Voilà's is made."""
    if not _cell_runs():
        return field().ask(prompt)
    try:
        return getpass.getpass(prompt)
    except StdinNotImplementedError:
        if in_voila():
            raise mfa.NotAsked("Press a button of the page: a field for the code appears there.") from None
        raise mfa.NotAsked from None


def _cell_runs() -> bool:
    """While a cell runs, ipykernel has its own method in place of `getpass`, and no widget can answer."""
    kernel = getattr(get_ipython(), "kernel", None)
    return getattr(getpass.getpass, "__self__", None) is kernel
