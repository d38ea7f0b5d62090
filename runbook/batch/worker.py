"""One process of a batch: does one call after the other that comes as a pickle, and ends with whoever sends them.

When the sender is gone, however it ended, the job that is on is interrupted as by Ctrl-C: its kernel is ended, and its
evidence says what happened. A kernel whose worker is killed ends by itself, because ipykernel looks after its parent.
"""

import os
import pickle
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO

from runbook.kernels import forkserver  # noqa: F401 (takes the batch's invitation out of the environment)
from runbook.secrets import guard, redact

INTERRUPTED_SECONDS = 20.0
"""How long an interrupted job may take to put its evidence in order when nobody waits for it any more."""


class _Worker:
    def __init__(self, calls: BinaryIO, answers: BinaryIO) -> None:
        self._calls, self._answers = calls, answers
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._busy = False
        self._reason = ""

    def work(self) -> None:
        """Do what comes until nothing can come any more."""
        signal.signal(signal.SIGINT, self._interrupted)
        threading.Thread(target=self._receive, daemon=True).start()
        while call := self._waiting.get():
            answer = _as_pickle(self._answer(*call))
            try:
                self._answers.write(answer)
                self._answers.flush()
            except BrokenPipeError:
                return

    def _receive(self) -> None:
        while True:
            try:
                self._waiting.put(pickle.load(self._calls))
            except EOFError:
                break
        self._waiting.put(None)
        if self._busy:
            self._reason = "Stopped, because the batch was killed."
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(INTERRUPTED_SECONDS)
            os._exit(1)

    def _answer(self, function: Any, arguments: Any, keywords: Any) -> tuple[bool, Any]:
        answer: tuple[bool, Any] | None = None
        try:
            self._busy = True
            answer = True, function(*arguments, **keywords)
        except BaseException as error:  # noqa: BLE001 (raised where the answer is waited for)
            answer = answer or (False, error)
        finally:
            self._busy = False
        return answer

    def _interrupted(self, *_: object) -> None:
        if self._busy:
            raise KeyboardInterrupt(self._reason)


def _as_pickle(answer: tuple[bool, Any]) -> bytes:
    """The answer as it goes back; an exception that cannot be read there is told in words."""
    try:
        pickled = pickle.dumps(answer)
        pickle.loads(pickled)
    except Exception as error:  # noqa: BLE001 (whatever an exception of somebody else's does when it is made again)
        return pickle.dumps((False, RuntimeError(redact(f"{answer[1]!r} cannot be handed over: {error}"))))
    return pickled


def main() -> None:
    """Talk over standard input and output; what else is printed here goes to standard error."""
    guard()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    calls = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _Worker(calls, answers).work()


if __name__ == "__main__":
    main()
