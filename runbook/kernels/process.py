"""A forked kernel as its owner sees it: what is used of subprocess.Popen, for a process that is no child."""

import os
import select
import signal
import subprocess
from contextlib import suppress
from multiprocessing import forkserver
from typing import IO, ClassVar

STATUS_SECONDS = 2.0
"""Seconds that the forkserver may take to tell how a kernel ended, once it has ended."""

UNKNOWN_STATUS = 255
"""The return code of a kernel of which nobody can tell how it ended, because the forkserver was gone by then."""


class ForkedProcess:
    """A process forked by the forkserver.

    `status` is the pipe that its exit status comes from, `owner` our end of the pipe at whose end it ends as well.
    """

    stdout = stderr = None
    living: ClassVar[set["ForkedProcess"]] = set()
    """All that have not ended as far as was looked: like a child, a kernel outlives the object that stands for it."""

    def __init__(self, pid: int, status: int, owner: int, stdin: "IO[bytes] | None") -> None:
        self.pid = pid
        self.stdin = stdin
        self.returncode: int | None = None
        self._status = status
        self._owner = owner
        try:
            self._alive = os.pidfd_open(pid)
        except ProcessLookupError:  # ended and reaped already
            self._alive = -1
        for other in list(self.living):
            other.poll()
        self.living.add(self)

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while the process is there."""
        if self.returncode is None and (self._alive < 0 or select.select([self._alive], [], [], 0)[0]):
            self.returncode = self._read_status()
            self._close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and self._alive >= 0 and not select.select([self._alive], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to this process, never to another that has its number by now."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._alive, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_status(self) -> int:
        """The kernel has ended: the forkserver tells in a moment how, unless it is gone."""
        with suppress(OSError, EOFError):
            if select.select([self._status], [], [], STATUS_SECONDS)[0]:
                return int(forkserver.read_signed(self._status))
        return UNKNOWN_STATUS

    def _close(self) -> None:
        """Leave nothing open of a process that has ended."""
        if self.stdin:
            with suppress(OSError):
                self.stdin.close()
        for descriptor in (self._status, self._owner, self._alive):
            if descriptor >= 0:
                os.close(descriptor)
        self._status = self._owner = self._alive = -1
        self.living.discard(self)


def wait_readable(descriptor: int, seconds: float) -> bool:
    """Return whether something can be read within that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])
