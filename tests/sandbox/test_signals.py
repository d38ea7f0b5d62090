"""Signals in quick succession end `runbook sandbox`: two of them once met in a handler's lock, and it hung."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BURSTS = 200

SERVED = """
import json, os, random, signal, sys, time
from runbook.sandbox import server

# moto takes a second to start and is not what waits for signals. Each burst meets a process of its own all the same.
server.start = lambda port: server.Sandbox("http://127.0.0.1:1")
server.stop = lambda: None
pairs = [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)]
statuses = []
for burst in range(int(sys.argv[1])):
    hint, said = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(20)  # ends one that hangs
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said, 2)
        server.serve()
        os._exit(0)
    os.close(said)
    told = b""
    while not told.endswith(b"when it ends.\\n"):
        told += os.read(hint, 10_000) or sys.exit("it ended by itself")
    time.sleep(0.01 * (burst % 2))  # right away, or once it waits
    for number in pairs[burst % 3]:
        os.kill(child, number)
        until = time.perf_counter() + random.random() * 0.0003
        while time.perf_counter() < until:
            pass
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(hint)
print(json.dumps(statuses))
"""


def test_bursts_of_two_signals_end_the_sandbox_each_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVED, str(BURSTS)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert Counter(json.loads(done.stdout)) == {0: BURSTS}
