"""Plans and verifications show themselves in notebooks as HTML, beside the Markdown and the text that they have."""

from collections.abc import Callable
from typing import Any

from IPython import get_ipython

from runbook.access import AccessMatrix
from runbook.display.matrix import matrix
from runbook.display.style import styled
from runbook.display.views import view
from runbook.plan import Plan
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
