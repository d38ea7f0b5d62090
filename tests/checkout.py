"""A copy of the project as somebody has cloned it, and shells in it: nothing of this machine's own is found there."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runbook.parameters import project_root


@dataclass(frozen=True)
class Checkout:
    """A folder with the package, notebooks and parameters, and with `.venv` as `make` leaves it.

    `variables` are what shells in it have besides a path, on which the command is not.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, variables: Mapping[str, str] | None = None) -> "Checkout":
        """Copy the project to a folder that is not there yet."""
        for name in ("runbook", "notebooks", "params"):
            shutil.copytree(project_root() / name, folder / name)
        shutil.copy(project_root() / "README.md", folder)
        (folder / "runs").mkdir()
        (folder / ".venv").symlink_to(project_root() / ".venv")
        return cls(folder, variables or {})

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell in it. Its own package comes before the installed one."""
        nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.folder),
            **nothing,
            **self.variables,
        }

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a new shell, in which nobody types."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def sandbox(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """`runbook sandbox` in another shell: its process, and the lines that it prints to be pasted."""
        command = [".venv/bin/runbook", "sandbox"]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield process, "".join(process.stdout.readline() for _ in range(5))
            finally:
                process.kill()
