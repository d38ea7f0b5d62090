"""Processes that fork their kernels from one forkserver, and what becomes of them when it is gone."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from runbook.kernels import forkserver
from runbook.parameters import project_root
from tests.kernels.kernels import forking_only
from tests.kernels.test_trouble import server_pid

pytestmark = forking_only

ASKS = """
from runbook.kernels import forkserver, switch
from tests.kernels.kernels import kernel
switch.use()
with kernel() as running:
    forked = running.is_forked
    parent, told = running.ask("import os; print(os.getppid(), 'RUNBOOK_FORKSERVER' in os.environ)").split()
print(forked, parent, told)
"""


def asked_by_a_process(variables: Mapping[str, str], descriptors: tuple[int, ...]) -> list[str]:
    told = subprocess.run(
        [sys.executable, "-c", ASKS],
        cwd=project_root(),
        env={**os.environ, **variables},
        pass_fds=descriptors,
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.split()


def test_an_invited_process_forks_from_our_forkserver_which_goes_on() -> None:
    variables, descriptors = forkserver.invitation()
    before = server_pid()
    assert asked_by_a_process(variables, descriptors) == ["True", str(before), "False"]
    assert asked_by_a_process(variables, descriptors) == ["True", str(before), "False"]
    assert server_pid() == before
    assert forkserver.INVITATION not in os.environ


@pytest.mark.parametrize(("change", "forked"), [({"circumstances": "others"}, True), ({"address": "/nowhere"}, False)])
def test_a_process_that_cannot_use_it_does_without(change: Mapping[str, str], forked: bool) -> None:
    variables, descriptors = forkserver.invitation()
    said = json.loads(variables[forkserver.INVITATION]) | change
    told = asked_by_a_process({forkserver.INVITATION: json.dumps(said)}, descriptors)
    assert told[0] == str(forked)
    assert told[1] != str(server_pid())
