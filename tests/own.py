"""Accounts of one's own, as far as the package can tell: a second sandbox in another process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook.parameters import project_root


@dataclass(frozen=True)
class Own:
    """An environment file without `sandbox: true`, and the variables that hold its credentials."""

    file: Path
    variables: dict[str, str]


@contextmanager
def own_environment(folder: Path) -> Iterator[Own]:
    """Run a second sandbox, and write the environment file that leads there."""
    command = [sys.executable, "-c", "from runbook.cli import main; main()", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "")
            exported: dict[str, str] = {}
            for line in lines:
                name, _, value = line.removeprefix("export ").strip().partition("=")
                exported[name] = value
                if {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RUNBOOK_SANDBOX"} <= {*exported}:
                    break
            file = folder / "own.yaml"
            text = (project_root() / "params" / "environments" / "sandbox.yaml").read_text()
            file.write_text(text.replace("sandbox: true", f"endpoint_url: {exported['RUNBOOK_SANDBOX']}"))
            keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            yield Own(file, {name: exported[name] for name in keys})
        finally:
            process.terminate()
