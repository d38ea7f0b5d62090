"""The `runbook` command as tests type it."""

import io
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """The exit status of a command, and what it printed."""

    status: object
    out: str
    err: str

    @property
    def said(self) -> str:
        """All of it."""
        return self.out + self.err


Command = Callable[..., Ended]


class Keyboard(io.StringIO):
    """Somebody at a terminal, who types this."""

    def isatty(self) -> bool:
        return True
