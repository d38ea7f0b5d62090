"""Whether somebody is there who sees widgets."""

import os

from IPython import get_ipython


def shows_widgets() -> bool:
    """Whether the cell that is running was sent by JupyterLab or its like, or by Voilà; not by papermill or nbval.

    A front end with a person in front of it lets cells ask them (`input()`); whoever runs notebooks headless cannot.
    Voilà cannot either, and names itself in the kernel's environment.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    if in_voila():
        return True
    return bool(kernel.get_parent().get("content", {}).get("allow_stdin", False))


def in_voila() -> bool:
    """Whether this kernel belongs to a page of Voilà's."""
    return "VOILA_REQUEST_URL" in os.environ
