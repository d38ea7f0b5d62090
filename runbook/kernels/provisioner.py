"""The Jupyter kernel provisioner of warm kernels. What cannot be forked is started, as Jupyter does by itself."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets.log import get_logger

from runbook.kernels import forkserver, switch


class WarmProvisioner(LocalProvisioner):
    """Launches kernels by forking them from a process that has everything imported."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork the kernel, or start it where it cannot be forked; what happens then is the same."""
        options = LocalProvisioner._scrub_kwargs(kwargs)
        env = dict(options.get("env") or os.environ)
        if not options.get("independent"):
            env["JPY_PARENT_PID"] = str(os.getpid())
        options["env"] = env
        why = switch.obstacle() or _unusual(options)
        process = None
        if not why:
            process, why = await asyncio.to_thread(_fork, cmd, options)
        if process is None:
            get_logger().debug("Kernel started, not forked: %s", why)
            return await super().launch_kernel([*cmd, *_ends_with(os.getpid(), options)], **kwargs)
        self.process = process
        self.pid = self.pgid = process.pid  # it has made a session of its own
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info


def _fork(cmd: list[str], options: Mapping[str, Any]) -> tuple[Any, str]:
    return forkserver.fork(
        cmd,
        env=options["env"],
        cwd=options.get("cwd"),
        independent=options.get("independent", False),
        stdin=_descriptor(options.get("stdin")),
        stdout=_descriptor(options.get("stdout")),
        stderr=_descriptor(options.get("stderr")),
    )


def _ends_with(owner: int, options: Mapping[str, Any]) -> list[str]:
    """Return an argument for a started kernel: end at once without the process that started it.

    ipykernel looks after its parent as well, but trusts whom it finds first: the process may be gone by then.
    """
    if options.get("independent") or os.name != "posix":
        return []
    return [f"--IPKernelApp.exec_lines=if __import__('os').getppid() != {owner}: __import__('os')._exit(1)"]


_KNOWN = {"cwd", "env", "independent", "stdin", "stdout", "stderr"}


def _unusual(options: Mapping[str, Any]) -> str:
    """Return what is asked for that only subprocess.Popen can do."""
    if others := sorted(set(options) - _KNOWN):
        return f"{', '.join(others)}: only a started process takes that"
    streams = [options.get(name) for name in ("stdin", "stdout", "stderr")]
    if any(
        stream in (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL) for stream in streams if stream is not None
    ):
        return "its streams are to be made by subprocess"
    return ""


def _descriptor(stream: Any) -> int | None:
    return stream if stream is None or isinstance(stream, int) else int(stream.fileno())
