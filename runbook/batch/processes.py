"""An executor whose processes live on from job to job, and in which a process that dies takes only its own job along.

`concurrent.futures.ProcessPoolExecutor` does the same until one of its processes is killed: then it is broken as a
whole, every other job with it. What is submitted here goes to another Python process as a pickle and comes back as one.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from runbook.errors import RunbookError
from runbook.files import PRIVATE_FILE, FileError, open_regular
from runbook.kernels import forkserver, switch

KERNEL_SECONDS = 1.5
"""How long a kernel may go on after its process was killed: ipykernel looks for its parent every second."""

LEAVING_SECONDS = 30.0
"""How long a process that has nothing more to do may take to end."""

P = ParamSpec("P")
T = TypeVar("T")


class WorkerDied(RunbookError):
    """The process that a job ran in is gone; other jobs are not concerned."""


class Processes(Executor):
    """Up to `workers` processes, each of which does one job at a time; they are started when there is work for them.

    They are kept from the terminal's Ctrl-C, and end when this process does, however it ends. `log` gets what they
    write to standard error; the file descriptors in `kept_open` stay open as long as one of them is there.
    """

    def __init__(self, workers: int, log: Path, kept_open: Sequence[int] = ()) -> None:
        self._log = log
        self._kept_open = tuple(kept_open)
        self._queue: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._working: set[_Process] = set()
        self._over = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn` called in one of the processes."""
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._queue.put((future, pickle.dumps((fn, args, kwargs))))
        return future

    def interrupt(self) -> None:
        """Do to every job that is on what Ctrl-C would do to it."""
        with self._lock:
            for process in self._working:
                process.interrupt()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what was submitted is done, or cancelled if it was not begun."""
        with self._lock:
            if not self._over:
                self._over = True
                if cancel_futures:
                    self._cancel()
                for _ in self._threads:
                    self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _cancel(self) -> None:
        while not self._queue.empty():
            if item := self._queue.get():
                item[0].cancel()
                item[0].set_running_or_notify_cancel()

    def _serve(self) -> None:
        """What each thread does for its process: hand over a job, wait for the answer."""
        process: _Process | None = None
        while item := self._queue.get():
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                process = process or _Process(self._log, self._kept_open)
                with self._lock:
                    self._working.add(process)
                answered, value = process.call(call)
            except (EOFError, FileError, OSError, pickle.UnpicklingError) as error:
                told = process.died() if process else str(error)
                self._is_free(process)
                process = None
                future.set_exception(WorkerDied(told))
                continue
            self._is_free(process)
            if answered:
                future.set_result(value)
            else:
                future.set_exception(value)
        if process:
            process.leave()

    def _is_free(self, process: "_Process | None") -> None:
        with self._lock:
            self._working -= {process}


class _Process:
    """One `python -m runbook.batch.worker`, in a session of its own."""

    def __init__(self, log: Path, kept_open: Sequence[int]) -> None:
        variables, descriptors = ({}, ()) if switch.use() else forkserver.invitation()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(open_regular(log, flags, follow=False), "ab") as errors:
            os.fchmod(errors.fileno(), PRIVATE_FILE)
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "runbook.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, **variables},
                pass_fds=(*kept_open, *descriptors),
            )

    def call(self, call: bytes) -> tuple[bool, Any]:
        """Whether the call has returned, and what; or what it has raised. Raises EOFError when the process is gone."""
        assert self._popen.stdin
        assert self._popen.stdout
        self._popen.stdin.write(call)
        self._popen.stdin.flush()
        answer: tuple[bool, Any] = pickle.load(self._popen.stdout)
        return answer

    def interrupt(self) -> None:
        self._popen.send_signal(signal.SIGINT)

    def died(self) -> str:
        """How it ended, once its kernel must have noticed and be gone as well."""
        self.leave()
        time.sleep(KERNEL_SECONDS)
        status = self._popen.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"The process that executed the notebook died ({how})."

    def leave(self) -> None:
        """Close the pipes, at which the process ends; kill it if it does not."""
        for pipe in (self._popen.stdin, self._popen.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:  # what was still to be written cannot be any more
                pass
        try:
            self._popen.wait(LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
