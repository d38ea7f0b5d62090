"""All that commands print, and how far one has come: a line written over in a terminal, or one now and then."""

import sys

import click

from runbook.commands import runnable
from runbook.errors import Declined
from runbook.progress import Pace
from runbook.untrusted import printable, visible

SECONDS_ON_A_TERMINAL, SECONDS_IN_A_LOG = 0.2, 10.0
"""How long a line stays at least."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines: nothing in them moves the cursor, colors, turns text around or is hidden from the eye.

    Commands of ours are printed as they run in the shell that this command was typed in.
    """
    click.echo(runnable(printable(text)), err=err)


def is_attended() -> bool:
    """Return whether somebody can be asked: a `y` in a pipe is nobody's answer."""
    return sys.stdin.isatty()


def confirm(question: str, otherwise: str) -> None:
    """Ask before real accounts are changed. Raises Declined with `otherwise`, which says what was not done."""
    if not is_attended():
        raise Declined(f"{otherwise}, because nobody can be asked here. To do it: add --yes.", asked=False)
    try:
        agreed = click.confirm(printable(question))
    except click.Abort:  # Ctrl-C or Ctrl-D instead of an answer
        agreed = False
    if not agreed:
        raise Declined(f"{otherwise}.", asked=True)


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
