"""Run a command, and wait for all that it has started, so that its CPU time counts: `python -m tests.bench.counted …`.

Kernels that are forked have the forkserver for a parent, which ends by itself when nobody needs it any more. Orphans
come to this process instead of to init.
"""

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Return the exit status of the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    status = subprocess.run(sys.argv[1:], check=False).returncode
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return status


if __name__ == "__main__":
    sys.exit(main())
