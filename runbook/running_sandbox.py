"""The sandbox that is running for this project: found by the variable RUNBOOK_SANDBOX, or by the file of a front end.

JupyterLab, the pages and `runbook sandbox` announce theirs in a small file in a private folder of the project, so that
commands in other shells, and all front ends, work in the same one. The file is believed when it and its folder are this
user's alone, and the sandbox that it names answers as that very one.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runbook.errors import RunbookError
from runbook.files import make_folder, read_json, write_text
from runbook.parameters import ParameterError, project_root, shown
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox, SandboxError


def find() -> Sandbox | None:
    """Return the sandbox to share, None where there is none. Raises SandboxError when the variable leads to none."""
    if os.environ.get(server.VARIABLE):
        return server.running()
    return _announced()


def find_or_start() -> Sandbox:
    """Return the sandbox to work in: the one to share, unless this process has its own already or has to start it.

    Raises SandboxError as `find` does, or when none can be started.
    """
    if os.environ.get(server.VARIABLE):
        return server.running() or server.start()
    return server.own() or _announced() or server.start()


@contextmanager
def announced(sandbox: Sandbox) -> Iterator[None]:
    """Let commands and front ends of this project find a sandbox of this process until the end of the block.

    Raises ParameterError when the folder for the file is not this user's alone.
    """
    file = _file()
    if not file.parent.exists():
        with suppress(FileExistsError):  # another command has made it meanwhile
            make_folder(file.parent)
    if not _is_private(file.parent):
        raise ParameterError([f"{shown(file.parent)}: can be written by others than you. Remove it, and start again."])
    write_text(file, json.dumps({"endpoint_url": sandbox.endpoint_url, "instance": sandbox.instance}))
    try:
        yield
    finally:
        if _instance() == sandbox.instance:
            file.unlink(missing_ok=True)


def _announced() -> Sandbox | None:
    """Return the sandbox in the file; one that has ended without removing its file is none."""
    found = _content()
    try:
        sandbox = server.at(found["endpoint_url"]) if found else None
    except SandboxError:
        return None
    return sandbox if sandbox and sandbox.instance == found["instance"] else None


def _instance() -> str:
    return _content().get("instance", "")


def _content() -> dict[str, str]:
    """Return the content of the file; nothing unless it, and its folder, are this user's alone."""
    try:
        file = _file()
        if not (_is_private(file.parent) and _is_private(file)):
            return {}
        content = read_json(file)
    except (OSError, RunbookError):
        return {}
    url, instance = content.get("endpoint_url"), content.get("instance")
    ours = isinstance(url, str) and re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url)
    return {"endpoint_url": str(url), "instance": instance} if ours and isinstance(instance, str) else {}


def _is_private(path: Path) -> bool:
    """Return whether a file or folder, and no link to one, belongs to this user and opens to nobody else."""
    found = path.lstat()
    alone = not stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    return alone and found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode)


def _file() -> Path:
    return project_root() / ".runbook" / "sandbox.json"
