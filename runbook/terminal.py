"""How far a command has come, on standard error: one line written over in a terminal, or one now and then."""

import sys

import click

from runbook.progress import Pace

SECONDS_ON_A_TERMINAL, SECONDS_IN_A_LOG = 0.2, 10.0
"""How long a line stays at least."""


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
            click.echo(f"\r\033[K{line}", err=True, nl=bool(of) and done == of and bool(line))
        elif line:
            click.echo(line, err=True)
