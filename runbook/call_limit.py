"""Keeps the calls to an account below a rate that several processes of this machine share.

Each account has a file with the moment from which on the next call may be made. Whoever wants to make a call puts that
moment off by the time that a call takes of a second, and waits for the one that was there.
"""

import fcntl
import os
import time
from pathlib import Path

VARIABLE = "RUNBOOK_CALLS_PER_SECOND"
"""Holds the number of calls a second to each account, and the folder with the files; unset, there is no limit."""


def wait_for_turn(account: str) -> None:
    """Return when a call to the account may be made."""
    if not (setting := os.environ.get(VARIABLE)):
        return
    rate, _, folder = setting.partition(" ")
    time.sleep(max(0.0, _turn(Path(folder) / account, 1 / float(rate)) - time.monotonic()))


def _turn(file: Path, between: float) -> float:
    """The moment that is ours, on the clock that all processes of a machine have in common."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        turn = max(time.monotonic(), float(os.pread(descriptor, 64, 0) or 0))
        os.pwrite(descriptor, f"{turn + between:40.6f}".encode(), 0)
        return turn
    finally:
        os.close(descriptor)
