"""A batch in a process of its own, watched from outside: its processes, their memory, what they hold open."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = "RUNBOOK_SOAK"
"""A variable that every process of a batch has inherited, so that none can hide."""

SILENT_SECONDS = 300.0
"""A batch in which nothing ends for so long hangs."""


@dataclass(frozen=True)
class Sample:
    """What there was at one moment: how many jobs had ended, how many processes there were besides, and of the batch
    and its workers together the memory in bytes and the open file descriptors.
    """

    ended: int
    processes: int
    memory: int
    descriptors: int


@dataclass
class Watched:
    """One command of the only batch in `runs`; `samples` is what was seen while it ran."""

    command: Sequence[str]
    variables: Mapping[str, str]
    runs: Path
    output: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    samples: list[Sample] = field(default_factory=list)

    def run(self, *, kill_after: int | None = None) -> int:
        """Run it and look at it every second; kill -9 it once so many jobs have ended. Its exit status."""
        with self.output.open("a") as output:
            variables = {**self.variables, MARK: self.mark}
            folder = self.output.parent
            process = subprocess.Popen(self.command, env=variables, stdout=output, stderr=output, cwd=folder)
        try:
            return self._watch(process, kill_after)
        finally:
            if process.poll() is None:
                process.kill()  # its workers end by themselves
                process.wait()

    def _watch(self, process: "subprocess.Popen[bytes]", kill_after: int | None) -> int:
        already = number = len(ended(self.runs))
        changed = time.monotonic()
        while (status := process.poll()) is None:
            time.sleep(1)
            if (now := len(ended(self.runs))) != number:
                number, changed = now, time.monotonic()
            self.samples.append(self._sample(number - already))
            if kill_after is not None and number >= kill_after:
                process.kill()
                return process.wait()
            if time.monotonic() - changed > SILENT_SECONDS:
                raise AssertionError(f"Nothing ended for {SILENT_SECONDS:.0f} s: {self.output.read_text()[-2000:]}")
        return status

    def left(self) -> list[int]:
        """Processes that are still there."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        try:
            found = (entry / "environ").read_bytes()
        except OSError:
            return False
        return f"{MARK}={self.mark}".encode() in found.split(b"\0")

    def _sample(self, number: int) -> Sample:
        ours = [Path("/proc", str(pid)) for pid in self.left()]
        lasting = [entry for entry in ours if b"ipykernel_launcher" not in _read(entry / "cmdline")]
        memory = sum(_resident(entry) for entry in lasting)
        return Sample(number, len(ours), memory, sum(map(_open_files, lasting)))


def events(runs: Path) -> list[Mapping[str, Any]]:
    """What the batch in a folder of runs has noted so far."""
    lines = [line for file in runs.glob("*/batch.jsonl") for line in file.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def ended(runs: Path) -> list[str]:
    """The jobs that have ended, as often as they did."""
    return [event["job"] for event in events(runs) if event["event"] == "ended"]


def gone(watched: Watched, seconds: float) -> float:
    """Wait until no process is left, and say how long that took. Raises AssertionError when one stays."""
    began = time.monotonic()
    while left := watched.left():
        assert time.monotonic() - began < seconds, f"still there: {left}"
        time.sleep(0.1)
    return time.monotonic() - began


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended meanwhile
        return b""


def _resident(entry: Path) -> int:
    found = _read(entry / "statm").split()
    return int(found[1]) * os.sysconf("SC_PAGE_SIZE") if found else 0


def _open_files(entry: Path) -> int:
    try:
        return len(list((entry / "fd").iterdir()))
    except OSError:
        return 0
