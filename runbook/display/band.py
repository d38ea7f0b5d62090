"""The band beside the buttons and in every executed notebook: the environment, and whether its accounts are real."""

import threading

import ipywidgets

from runbook import markdown
from runbook.aws_errors import told_in_words
from runbook.display.rich_text import inline
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.secrets import redact
from runbook.untrusted import code

SANDBOX = "*sandbox*: a simulated organization on this machine, nothing is real"
REAL = "*real accounts*"


def band(environment: Environment, *, ask: bool) -> str:
    """Return the band as Markdown; with `ask`, also the identity that AWS names, or the reason why it names none."""
    return _line(environment, _identity(environment) if ask else "")


class Band:
    """The band above a form. The identity is asked for in a thread: the form does not wait for it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.box = ipywidgets.HTML()
        self.box.add_class("rb-band")
        self._show("…")

    def follow(self) -> None:
        """Ask for the identity; in the sandbox this starts it, which takes seconds that nobody notices."""
        threading.Thread(target=lambda: self._show(_identity(self._environment)), name="band", daemon=True).start()

    def _show(self, identity: str) -> None:
        color = "#1a7f37" if self._environment.file.sandbox else "#cf222e"
        style = f"border: 1px solid {color}; border-left-width: 6px; padding: .3em .8em; overflow-wrap: anywhere"
        line = inline(_line(self._environment, identity))
        self.box.value = f'<div role="note" aria-label="Environment" style="{style}">{line}</div>'


def _line(environment: Environment, identity: str) -> str:
    where = SANDBOX if environment.file.sandbox else REAL
    parts = [f"Environment {code(environment.name)}, {where}", f"bucketAV account {code(environment.account_a)}"]
    return " · ".join([*parts, *([f"identity {identity}"] if identity else [])])


def _identity(environment: Environment) -> str:
    """Return the ARN of the caller in bucketAV's account, or the reason why it is unknown."""
    try:
        with told_in_words():
            arn = environment.identity(environment.account_a).arn
    except RunbookError as error:
        return f"unknown: {markdown.plain(redact(str(error)))}"
    except Exception as error:  # noqa: BLE001 (a band is no reason to stop; the check raises it)
        return f"unknown: {markdown.plain(redact(f'{type(error).__name__}: {error}'))}"
    # The name of a session differs from run to run, and in the sandbox nobody is behind it.
    return code(arn.rpartition("/")[0] if environment.file.sandbox and ":assumed-role/" in arn else arn)
