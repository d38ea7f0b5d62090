"""The process that kernels are forked from: multiprocessing's forkserver, with everything imported, one for a process.

It ends when its owner and all that share it have ended. When it was killed, the next kernel starts another. A process
that is started with `invitation` forks its kernels from ours.
"""

import io
import json
import os
import pickle
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.forkserver import ForkServer, read_signed
from pathlib import Path
from typing import IO, Any

from runbook.kernels import child
from runbook.kernels.process import ForkedProcess, wait_readable

PRELOAD = "runbook.kernels.preload"

ANSWER_SECONDS = 60.0
"""Seconds that a new forkserver may take to import everything and answer, on a busy machine as well."""

FIXED_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "BOTO_", "GLIBC_")
"""Beginnings of environment variables that the interpreter, or what is preloaded, reads once."""

INVITATION = "RUNBOOK_FORKSERVER"
"""Variable for a process that may use its parent's forkserver, which takes it out of its environment."""

_lock = threading.Lock()
_server: "_Server | None" = None
_invitation: str | None = os.environ.pop(INVITATION, None)


class _Server:
    """One forkserver with the circumstances it was started in."""

    def __init__(self, forkserver: Any) -> None:
        self.owner = os.getpid()
        self.circumstances = circumstances(os.environ)
        self._forkserver = forkserver
        self._forkserver.ensure_running()

    def invitation(self) -> dict[str, Any]:
        """Return what another process needs to use this forkserver: `alive` is a descriptor that has to stay open."""
        key = getattr(self._forkserver, "_forkserver_authkey", None)  # from Python 3.14 on
        return {
            "address": self._forkserver._forkserver_address,
            "alive": self._forkserver._forkserver_alive_fd,
            "key": key.hex() if key else None,
            "circumstances": repr(self.circumstances),
        }

    def fork(self, kernel: child.Kernel, streams: Sequence[int]) -> tuple[bytes, int, int, int]:
        """Ask for a kernel: its answer, its process id, and our ends of the pipes for its status and its owner."""
        answered, answer = os.pipe()
        try:
            status, data = self._forkserver.connect_to_new_process([*streams, answer])
        except BaseException:
            os.close(answered)
            raise
        finally:
            os.close(answer)
        try:
            text = io.BytesIO()
            pickle.dump({}, text)  # nothing of our own main module
            pickle.dump(kernel, text)
            os.set_inheritable(data, False)
            with open(os.dup(data), "wb") as pipe:  # noqa: PTH123 (a descriptor)
                pipe.write(text.getbuffer())
            if not wait_readable(status, ANSWER_SECONDS):
                raise TimeoutError("the forkserver does not answer")
            pid = int(read_signed(status))
            said = os.read(answered, 1) if wait_readable(answered, ANSWER_SECONDS) else b""
        except BaseException:
            os.close(status)
            os.close(data)
            raise
        finally:
            os.close(answered)
        return said, pid, status, data

    def stop(self) -> None:
        """Let it end: kernels that it has forked go on."""
        with suppress(OSError, ChildProcessError):
            self._forkserver._stop()


class _Parents(ForkServer):
    """The forkserver of the process that has started this one: used, and neither started nor ended."""

    def __init__(self, invitation: Mapping[str, Any]) -> None:
        super().__init__()
        self._forkserver_address = invitation["address"]
        self._forkserver_alive_fd = invitation["alive"]
        if invitation["key"]:
            self._forkserver_authkey = bytes.fromhex(invitation["key"])

    def ensure_running(self) -> None:
        """Start nothing: when it is gone, connecting fails, and a forkserver of our own takes its place."""
        resource_tracker.ensure_running()

    def _stop(self) -> None:
        if self._forkserver_alive_fd is not None:
            os.close(self._forkserver_alive_fd)
            self._forkserver_alive_fd = None


def invitation() -> tuple[dict[str, str], tuple[int, ...]]:
    """Return the variables and descriptors for a new process that is to use our forkserver, which is started."""
    with _lock:
        said = _running().invitation()
    return {INVITATION: json.dumps(said)}, (said["alive"],)


def _invited() -> _Server | None:
    """Return the forkserver that we were invited to, unless this process is not as the one that started it."""
    global _invitation
    text, _invitation = _invitation, None
    if text is None:
        return None
    said = json.loads(text)
    os.set_inheritable(said["alive"], False)
    server = _Server(_Parents(said))
    if repr(server.circumstances) == said["circumstances"]:
        return server
    server.stop()
    return None


def _own() -> _Server:
    forkserver = ForkServer()
    forkserver.set_forkserver_preload([PRELOAD])
    return _Server(forkserver)


def start() -> None:
    """Start the forkserver if there is none."""
    with _lock:
        _running()


def stop() -> None:
    """End the forkserver of this process, if there is one; kernels go on."""
    global _server  # noqa: PLW0603 (one for a process)
    with _lock:
        if _server and _server.owner == os.getpid():
            _server.stop()
        _server = None


def fork(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None,
    independent: bool,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
) -> tuple[ForkedProcess | None, str]:
    """Fork a kernel: the process, or None and why it has to be started instead."""
    if why := _not_warm(command):
        return None, why
    kernel = child.Kernel(tuple(command), dict(env), cwd or str(Path.cwd()), _umask(), independent)
    ours: IO[bytes] | None = None
    theirs = stdin
    if theirs is None:
        theirs, writing = os.pipe()
        ours = os.fdopen(writing, "wb")
    process = None
    try:
        process, why = _fork(kernel, [theirs, 1 if stdout is None else stdout, 2 if stderr is None else stderr], ours)
    except (OSError, EOFError, TimeoutError) as error:
        with _lock:
            _restart()
        why = f"the forkserver failed ({error})"
    finally:
        if stdin is None:
            os.close(theirs)
        if ours and not process:
            ours.close()
    return process, why


def _fork(kernel: child.Kernel, streams: Sequence[int], stdin: "IO[bytes] | None") -> tuple[ForkedProcess | None, str]:
    """Ask for the kernel, of a new forkserver where the code that the present one has loaded is out of date."""
    said = b""
    for _ in range(2):
        with _lock:
            server = _running()
            if circumstances(kernel.env) != server.circumstances:
                return None, "the environment differs in what an interpreter reads at its start"
            said, pid, status, owner = server.fork(kernel, streams)
            if said == child.STALE:
                _restart()
        if said == child.READY:
            return ForkedProcess(pid, status, owner, stdin), ""
        os.close(status)
        os.close(owner)
        if said != child.STALE:
            break
    reasons = {child.UNSAFE: "what is preloaded has started threads", child.STALE: "the code keeps changing"}
    return None, reasons.get(said, "the forked kernel ended at once")


def circumstances(env: Mapping[str, str]) -> Any:
    """Return what a started process would take from its parent at once, and a forked one from the forkserver."""
    fixed = sorted((name, value) for name, value in env.items() if name.startswith(FIXED_AT_START))
    limits = [resource.getrlimit(number) for number in _LIMITS]
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    return fixed, limits, nice, sorted(os.sched_getaffinity(0)), os.getuid(), os.getgid(), sorted(os.getgroups())


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _running() -> _Server:
    """The forkserver of this process: a fork of our owner has to have its own."""
    global _server  # noqa: PLW0603 (one for a process)
    if _server is None or _server.owner != os.getpid():
        _server = _invited() or _own()
    return _server


def _restart() -> None:
    global _server  # noqa: PLW0603 (one for a process)
    if _server:
        _server.stop()
    _server = None


def _not_warm(command: Sequence[str]) -> str:
    """Return why a command line is none to fork a kernel for."""
    if list(command[1:3]) != ["-m", "ipykernel_launcher"]:
        return "it is no kernel of ipykernel's own"
    if Path(command[0]).absolute() != Path(sys.executable).absolute():
        return "it is a kernel of another Python"
    # The forkserver has the options of this interpreter, a started kernel only those that a variable sets as well.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if own := [option for option in options if not os.environ.get(_VARIABLES.get(option, ""))]:
        return f"this Python was started with {' '.join(own)}"
    return ""


_VARIABLES = {"-B": "PYTHONDONTWRITEBYTECODE", "-s": "PYTHONNOUSERSITE", "-O": "PYTHONOPTIMIZE"}
"""Options of the interpreter that are often set by a variable, which a started kernel has as well."""


def _umask() -> int:
    """The file mode mask, read without changing it for a moment, which other threads would notice."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
