"""Turn warm kernels on for everything that this process starts, and say why where they are off."""

import os
import sys
import threading

VARIABLE = "RUNBOOK_WARM_KERNELS"
"""`off` turns warm kernels off, whoever asks for them."""

PROVISIONER = "bucketav-runbook-warm"
"""Name of the entry point in the group `jupyter_client.kernel_provisioners`."""

SETTING = "JUPYTER_DEFAULT_PROVISIONER_NAME"
"""Jupyter's own variable for the provisioner of all kernels whose specification names none."""


def obstacle() -> str:
    """Return why kernels cannot be forked here; empty where they can."""
    if os.environ.get(VARIABLE, "").lower() in ("off", "0", "no", "false"):
        return f"{VARIABLE} is off"
    if sys.platform != "linux":
        # macOS frameworks do not survive a fork, Windows has none.
        return f"forking a process is not safe on {sys.platform}"
    return ""


def description() -> str:
    """Return how kernels start here, as a sentence."""
    chosen = os.environ.get(SETTING, PROVISIONER)
    why = obstacle() if chosen == PROVISIONER else f"{SETTING} is {chosen}"
    return f"Kernels start one by one: {why}." if why else "Kernels are forked from a process with everything imported."


def use() -> str:
    """Let this process, and those it starts, have warm kernels; return why not, or nothing.

    A provisioner that somebody else has chosen through Jupyter's variable stays.
    """
    chosen = os.environ.setdefault(SETTING, PROVISIONER)
    return obstacle() if chosen == PROVISIONER else f"{SETTING} is {chosen}"


def warm_up() -> None:
    """Start the process to fork from, in the background, so that the first kernel does not wait for it."""
    if obstacle():
        return
    from runbook.kernels import forkserver

    threading.Thread(target=forkserver.start, name="warm-up", daemon=True).start()
