"""Work behind a button: in a thread, so that the kernel stays free; with progress, and with a way to stop it."""

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from runbook.progress import Pace
from runbook.untrusted import escaped

SECONDS = 0.3
"""How long a line of progress stays at least."""


class Cancelled(KeyboardInterrupt):
    """Somebody pressed Cancel, which is what Ctrl-C is in a terminal.

    It is raised where work tells how far it has come: nothing more is begun, and what is under way is waited for.
    """


class Worker:
    """Does one piece of work at a time; `cancel` is the button that stops it, `line` says how far it has come.

    `ended` is told, in the thread, how each ended: None, or what was raised.
    """

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pace = Pace(SECONDS)
        self.busy = False
        self.cancel = ipywidgets.Button(description="Cancel", disabled=True, layout={"width": "8em"})
        self.cancel.on_click(self._on_cancel)
        self.line = ipywidgets.HTML()

    def start(self, work: Callable[[], None], what: str) -> None:
        """Begin; `what` is said until there is more to say."""
        self._stop.clear()
        self._pace = Pace(SECONDS)
        self.busy, self.cancel.disabled = True, False
        self.say(f"{what} …")
        self._thread = threading.Thread(target=self._work, args=(work,), daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Show a line, and have it read to those who listen."""
        self.line.value = f'<div role="status">{escaped(text)}</div>' if text else ""

    def wait(self) -> None:
        """Until the work is through."""
        if self._thread:
            self._thread.join()

    def progress(self, done: int, of: int, what: str) -> None:
        """Show how far the work has come, for whoever does it. Raises Cancelled when it is to stop."""
        if self._stop.is_set():
            raise Cancelled
        if line := self._pace.line(done, of, what):
            self.say(line)

    def _work(self, work: Callable[[], None]) -> None:
        failure: BaseException | None = None
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (handed to whoever started it, who shows it)
            failure = error
        self.busy, self.cancel.disabled = False, True
        self.say("")
        self._ended(failure)

    def _on_cancel(self, _: Any) -> None:
        self._stop.set()
        self.cancel.disabled = True
        self.say("Stopping: what is under way is waited for …")
