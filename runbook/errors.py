"""What every error of the package has in common: it is written for the person who can do something about it."""

from runbook.secrets import redact


class RunbookError(Exception):
    """Says what was found, where, and what to do. Changes nothing and loses nothing when raised. Holds no secret."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(redact(each) if isinstance(each, str) else each for each in arguments))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a stack of our own frames: the message is the whole story."""
        return [f"{type(self).__name__}: {self}"]


class Declined(RunbookError):
    """Somebody was asked before changes were made and did not agree, or could not be asked (`asked` is False)."""

    def __init__(self, message: str, *, asked: bool) -> None:
        self.asked = asked
        super().__init__(message)
