"""Commands of ours: how messages and notebooks print them, and how they run in the shell that they are printed in.

Data holds them as `runbook …`, the same everywhere. A terminal prints them as they have to be typed there.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook.untrusted import code

NAME = "runbook"

VERBS = (
    "list",
    "run",
    "batch",
    "plan",
    "apply",
    "undo",
    "permissions",
    "environment",
    "review",
    "sandbox",
    "lab",
    "app",
)
"""The commands that there are."""

_PRINTED = re.compile(rf"(?<![^\s`]){NAME}(?= (?:{'|'.join(VERBS)})\b)")


def command(*words: str) -> str:
    """Return `runbook` with these words as a line for a shell."""
    return shlex.join([NAME, *words])


def span(*words: str) -> str:
    """Return the same as a code span, for a sentence."""
    return code(command(*words))


def for_notebook(
    verb: str,
    notebook: str,
    environment: str,
    *,
    scenario: str = "",
    values: Mapping[str, Any] | None = None,
    options: tuple[str, ...] = (),
) -> str:
    """Return the line that runs or plans a notebook with these parameters: `runbook run 02-iam-role --environment …`.

    The environment is always named: advice for one must never work in another.
    """
    named = ["--environment", environment, *(["--scenario", scenario] if scenario else [])]
    given = [word for name, value in (values or {}).items() for word in ("-p", name, argument(value))]
    return command(verb, notebook, *named, *given, *options)


def argument(value: Any) -> str:
    """Return a value as `-p` takes it: a text as it stands, everything else as YAML."""
    return value if isinstance(value, str) else json.dumps(value)


def runnable(text: str) -> str:
    """Return a text for a terminal, with every command of ours as it runs in the shell of this process."""
    return _PRINTED.sub(lambda _: _program(), text) if _PRINTED.search(text) else text


def put_on_path() -> None:
    """Let shells that are started from here find the command by its name."""
    script = _script()
    if script and _program() != NAME:
        os.environ["PATH"] = os.pathsep.join([str(script.parent), os.environ.get("PATH", os.defpath)])


def _program() -> str:
    """Return how to call the command here: by its name where the shell finds it so, else by its path."""
    script = _script()
    found = shutil.which(NAME)
    if script is None or (found and script.samefile(found)):
        return NAME
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def _script() -> Path | None:
    """Return the file of the command: the one that was typed, or the one beside this Python."""
    typed = Path(sys.argv[0])
    candidates = [
        *([typed] if typed.name == NAME and typed.parent != Path() else []),
        Path(sys.executable).parent / NAME,
    ]
    return next((path.absolute() for path in candidates if path.is_file()), None)
