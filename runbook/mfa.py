"""Ask the person who is there for an MFA code: in the terminal, or where a front end asks."""

import getpass
import re
import sys
from collections.abc import Callable

from runbook.errors import RunbookError
from runbook.untrusted import visible

Ask = Callable[[str], str]
"""Shows a prompt and returns what somebody enters, without showing it. Raises NoCode when nobody does."""


class NoCode(RunbookError):
    """No MFA code was entered; the message says why, and what to do where there is something."""


class NotAsked(NoCode):
    """Nobody was asked: no person is at a terminal or a form, or not now."""

    def __init__(self, why: str = "Nobody can be asked for it here.") -> None:
        super().__init__(why)


def ask(prompt: str) -> str:
    """Return an MFA code, asked for in the way that `use` has set, else in the terminal. Raises NoCode."""
    code = _way.ask(prompt).strip()
    if not re.fullmatch("[0-9]{6}", code):
        raise NoCode("An MFA code has six digits." if code else "No code was entered.")
    return code


def use(way: Ask) -> None:
    """Ask in another way from now on in this process: a kernel has no terminal."""
    _way.ask = way


def _ask_in_terminal(prompt: str) -> str:
    if not (sys.stdin and sys.stdin.isatty()):
        raise NotAsked
    try:
        return getpass.getpass(visible(prompt))
    except EOFError:
        return ""


class _Way:
    """The way this process asks."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask


_way = _Way(_ask_in_terminal)
