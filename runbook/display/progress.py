"""How far a cell has come, in a line below it; short work leaves nothing behind."""

from IPython.display import DisplayHandle

from runbook import markdown
from runbook.progress import Pace
from runbook.untrusted import printable

SECONDS = 0.5
"""How long a line stays at least."""


class NotebookProgress:
    """Progress as an output of the cell that is at work, which is updated in place."""

    def __init__(self) -> None:
        self._pace = Pace(SECONDS)
        self._handle: DisplayHandle | None = None

    def __call__(self, done: int, of: int, what: str) -> None:
        """Show the line of now."""
        line = self._pace.line(done, of, what)
        if line is None or (self._handle is None and not line):
            return
        text = {"text/markdown": markdown.gate(line), "text/plain": printable(line)}
        if self._handle is None:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(text, raw=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(text, raw=True)  # type: ignore[no-untyped-call]
        if of and done == of:
            self._handle = None  # the next work gets a line of its own
