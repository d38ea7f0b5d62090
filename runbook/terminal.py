"""All that commands print, and how far one has come: a line written over in a terminal, or one now and then."""

import sys

import click

from runbook.progress import Pace
from runbook.untrusted import printable, visible

SECONDS_ON_A_TERMINAL, SECONDS_IN_A_LOG = 0.2, 10.0
"""How long a line stays at least."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines: nothing in them moves the cursor, colors, turns text around or is hidden from the eye."""
    click.echo(printable(text), err=err)


class TerminalProgress:
    """Progress as lines on standard error."""

    def __init__(self) -> None:
        self._over = sys.stderr.isatty()
        self._pace = Pace(SECONDS_ON_A_TERMINAL if self._over else SECONDS_IN_A_LOG)

    def __call__(self, done: int, of: int, what: str) -> None:
        """Write the line of now."""
        line = self._pace.line(done, of, what)
        if line is None:
            return
        if self._over:
            click.echo(f"\r\033[K{visible(line)}", err=True, nl=bool(of) and done == of and bool(line))
        elif line:
            echo(line, err=True)
