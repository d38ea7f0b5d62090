"""Plans and verifications show themselves in notebooks as HTML, beside the Markdown and the text that they have.

Errors show themselves without secrets.
"""

from collections.abc import Callable, Sequence
from typing import Any

from IPython import get_ipython

from runbook import mfa
from runbook.access import AccessMatrix
from runbook.display import mfa_field
from runbook.display.matrix import matrix
from runbook.display.style import styled
from runbook.display.views import view
from runbook.plan import Plan
from runbook.secrets import guard, redact
from runbook.steps.step import Verification


def register() -> None:
    """Tell IPython, where it runs: data knows nothing of how it is displayed."""
    shell: Any = get_ipython()
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["text/html"]
    looks: dict[type, Callable[[Any], str]] = {Plan: view, Verification: view, AccessMatrix: matrix}
    for kind, look in looks.items():
        formatter.for_type(kind, lambda value, look=look: styled(look(value)))
    guard()
    _redact_errors(shell)
    if getattr(shell, "kernel", None):
        mfa.use(mfa_field.ask)


def _redact_errors(shell: Any) -> None:
    """Take secrets out of every error that a cell or a widget's handler shows: its text, and where it was raised.

    `_showtraceback` is the one method through which IPython shows each kind of error, and meant to be replaced.
    """
    show = shell._showtraceback
    if getattr(show, "redacts", False):
        return

    def redacted(kind: type, error: object, lines: Sequence[str]) -> None:
        show(kind, redact(str(error)), redact("\n".join(lines)).split("\n"))

    redacted.redacts = True  # type: ignore[attr-defined]
    shell._showtraceback = redacted
