"""The first moments of a forked kernel: from a copy of the forkserver to what `python -m ipykernel_launcher` is."""

import atexit
import os
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import forkserver, resource_tracker
from typing import Any

READY, STALE, UNSAFE = b"r", b"s", b"u"
"""Answers to whoever asked: a kernel is starting; the loaded code is out of date; the forkserver has threads."""


@dataclass(frozen=True)
class Kernel:
    """A kernel to become, as the forkserver's child gets it in a pickle.

    `command` is the whole command line, `env` the whole environment, `umask` that of the owner. `independent` says that
    the kernel outlives its owner.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    umask: int
    independent: bool

    def _bootstrap(self, parent_sentinel: int) -> int:
        """Become the kernel: multiprocessing calls this in the child, with the owner's pipe. Return the exit status."""
        stdin, stdout, stderr, answer = _inherited()
        from runbook.kernels import preload

        if said := UNSAFE if preload.THREADS > 1 else STALE if preload.STALE or preload.changed() else b"":
            os.write(answer, said)
            return 0
        self._become(stdin, stdout, stderr)
        if self.independent:
            os.close(parent_sentinel)
        else:
            threading.Thread(target=_end_with, args=(parent_sentinel,), name="owner", daemon=True).start()
        return _ended(self._run(answer))

    def _become(self, stdin: int, stdout: int, stderr: int) -> None:
        """Take over what a started process would have from its owner and its command line."""
        from runbook.kernels import preload

        os.setsid()
        os.umask(self.umask)
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update({**preload.SET_BY_IMPORTS, **self.env})
        time.tzset()
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _open_standard_streams()
        random.seed()
        sys.orig_argv[:] = self.command
        sys.argv[:] = [str(find_spec(self.command[2]).origin), *self.command[3:]]  # type: ignore[union-attr]
        sys.path[:] = [path for path in sys.path if path]  # the launcher takes the working directory out

    def _run(self, answer: int) -> int:
        """Do what the launcher does; return the exit status.

        READY is told once the sockets are there: a client that connects earlier tries again only after 100 ms.
        """
        from ipykernel.kernelapp import IPKernelApp  # loaded already; owners need none of it

        init_heartbeat = IPKernelApp.init_heartbeat

        def init_heartbeat_and_tell(app: IPKernelApp) -> None:
            IPKernelApp.init_heartbeat = init_heartbeat  # type: ignore[method-assign]
            init_heartbeat(app)  # type: ignore[no-untyped-call]
            os.write(answer, READY)
            os.close(answer)

        IPKernelApp.init_heartbeat = init_heartbeat_and_tell  # type: ignore[method-assign]
        try:
            # ipykernel watches its parent by the number in `parent_handle`, but not number 1. Here the pipe is watched:
            # the parent is the forkserver, which may go.
            IPKernelApp.launch_instance(parent_handle=0 if self.independent else 1)
        except SystemExit as end:
            return _status(end.code)
        except BaseException:  # noqa: BLE001 (shown as the interpreter would)
            sys.excepthook(*sys.exc_info())
            return 1
        return 0


def _inherited() -> list[int]:
    """The descriptors that came along, and no trace of the forkserver: a kernel may have one of its own."""
    server: Any = forkserver._forkserver
    descriptors = list(server._inherited_fds)
    os.close(server._forkserver_alive_fd)
    server._forkserver_address = server._forkserver_alive_fd = server._inherited_fds = None
    tracker: Any = resource_tracker._resource_tracker
    os.close(tracker._fd)
    tracker._fd = None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors


def _open_standard_streams() -> None:
    """Make Python's streams anew: a terminal is treated otherwise than a file."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        before, number = getattr(sys, f"__{name}__"), ("stdin", "stdout", "stderr").index(name)
        stream: Any = open(  # noqa: SIM115 (a descriptor, for as long as the process lives)
            number,
            mode,
            encoding=before.encoding,
            errors="backslashreplace" if name == "stderr" else before.errors,
            closefd=False,
        )
        if mode == "w":
            stream.reconfigure(line_buffering=name == "stderr" or os.isatty(number))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _end_with(owner: int) -> None:
    """End at once when the owner is gone: its end of the pipe is closed then."""
    with suppress(OSError):
        os.set_inheritable(owner, False)
        os.read(owner, 1)
    os._exit(1)


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _ended(status: int) -> int:
    """Do what the interpreter does at its end, but for the end itself: wait for threads, run exit handlers, flush."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    return status
