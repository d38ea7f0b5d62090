"""A forked kernel cannot be told from a started one."""

import ast
import os
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from runbook.execute import notebook_names, notebook_path
from runbook.kernels import switch
from runbook.kernels.provisioner import WarmProvisioner
from runbook.review import notebooks
from runbook.review.notebooks import differences, renewed
from tests.kernels.kernels import forking_only, kernel

pytestmark = forking_only

WHO_AM_I = """
import asyncio, locale, multiprocessing, multiprocessing.forkserver, os, random, resource, signal, sys, threading, time
def mask():
    now = os.umask(0); os.umask(now); return now
print({
    "cwd": os.getcwd(),
    "env": {n: v for n, v in os.environ.items() if n not in ("JPY_PARENT_PID", "RUNBOOK_WARM_KERNELS")},
    "parent": os.environ.get("JPY_PARENT_PID"),
    "argv": [a for a in sys.argv if "exec_lines" not in a and not a.endswith(".json")],
    "orig": [a for a in sys.orig_argv if "exec_lines" not in a and not a.endswith(".json")],
    "path": sys.path,
    "flags": str(sys.flags), "warnings": sys.warnoptions, "options": sys._xoptions,
    "main": sys.modules["__main__"].__name__,
    "signals": {str(s): str(signal.getsignal(s)).split(" at ")[0] for s in sorted(signal.valid_signals())},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "wakeup": signal.set_wakeup_fd(-1) >= 0,
    "umask": mask(), "nice": os.nice(0), "affinity": sorted(os.sched_getaffinity(0)),
    "limits": [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")],
    "leads": (os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()),
    "process": (multiprocessing.current_process().name, multiprocessing.parent_process()),
    "server": multiprocessing.forkserver._forkserver._forkserver_address,
    "thread": threading.current_thread().name,
    "streams": [(type(s).__module__, type(s).__name__) for s in (sys.stdin, sys.stdout, sys.stderr)],
    "real": [(s.encoding, s.errors, s.isatty(), s.fileno()) for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__)],
    "zone": time.tzname, "locale": locale.setlocale(locale.LC_ALL), "encoding": locale.getpreferredencoding(),
    "loop": type(asyncio.get_event_loop()).__name__,
    "inheritable": [f for f in range(3, 256) if os.path.exists(f"/proc/self/fd/{f}") and os.get_inheritable(f)],
    "children": open(f"/proc/self/task/{os.getpid()}/children").read().split(),
})
"""


def test_all_that_a_kernel_can_see_of_itself_is_the_same(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    for warm in (False, True):
        with kernel(warm=warm, env={"TZ": "Asia/Kathmandu", "MINE": "1"}, cwd=str(tmp_path)) as running:
            assert running.is_forked == warm
            seen.append(ast.literal_eval(running.ask(WHO_AM_I)))
    started, forked = seen
    assert forked["zone"] == ("+0545", "+0545")
    assert started.keys() == forked.keys()
    assert {name: value for name, value in started.items() if value != forked[name]} == {}, forked


@pytest.mark.parametrize("warm", [False, True])
def test_what_is_written_to_the_descriptors_arrives(warm: bool) -> None:
    code = "import os, subprocess; os.write(1, b'one\\n'); subprocess.run(['echo', 'two']); print('three')"
    with kernel(warm=warm) as running:
        running.client.execute(code)
        told = ""
        while told.count("\n") < 3:
            message = running.client.get_iopub_msg(timeout=10)
            told += message["content"].get("text", "")
        assert sorted(told.split()) == ["one", "three", "two"]


def test_two_kernels_share_no_random_state() -> None:
    told = set()
    for _ in range(3):
        with kernel() as running:
            told.add(running.ask("import random, uuid, tempfile; print(random.random(), uuid.uuid4())"))
    assert len(told) == 3


def test_a_kernel_can_be_interrupted_and_restarted() -> None:
    with kernel() as running:
        before = running.pid
        running.client.execute("import time; time.sleep(60)")
        time.sleep(0.5)
        running.manager.interrupt_kernel()
        assert running.client.get_shell_msg(timeout=10)["content"]["ename"] == "KeyboardInterrupt"
        assert "2" in running.ask("print(1 + 1)")
        running.ask("here = 1")
        running.manager.restart_kernel(now=False)
        running.client.wait_for_ready(timeout=60)
        assert running.is_forked
        assert running.pid != before
        assert "NameError" in running.ask("here")


def test_a_kernel_ends_as_a_process_does(tmp_path: Path) -> None:
    with kernel() as running:
        process = running.manager.provisioner.process
        left = tmp_path / "left"
        running.ask(f"import atexit, pathlib; atexit.register(pathlib.Path({str(left)!r}).touch)")
        assert process.poll() is None
        running.manager.shutdown_kernel(now=False)
        assert left.exists()
        assert process.returncode == 0


@pytest.mark.parametrize("name", notebook_names())
def test_a_started_kernel_leaves_what_is_stored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """nbval compares the same with forked ones."""
    monkeypatch.setenv(switch.VARIABLE, "off")
    assert os.environ["RUNBOOK_SANDBOX"] == "private"
    file = notebook_path(name)
    assert not differences(file.read_text(encoding="utf-8"), renewed(file))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of processes that kernels have become, one after the other."""
    kinds: list[str] = []
    launch = WarmProvisioner.launch_kernel

    async def noted(self: WarmProvisioner, cmd: list[str], **options: Any) -> Any:
        connection = await launch(self, cmd, **options)
        kinds.append(type(self.process).__name__)
        return connection

    monkeypatch.setattr(WarmProvisioner, "launch_kernel", noted)
    return kinds


@pytest.mark.parametrize("name", notebook_names())
def test_papermill_leaves_the_same_bytes_with_a_forked_and_a_started_kernel(
    name: str, launched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what differs with each run: ids of widgets, and times."""
    assert os.environ["RUNBOOK_SANDBOX"] == "private"
    left = []
    for setting in ("", "off"):
        monkeypatch.setenv(switch.VARIABLE, setting)
        executed = papermill.execute_notebook(
            notebook_path(name),
            tmp_path / "out.ipynb",
            cwd=tmp_path,
            kernel_name="python3",
            progress_bar=False,
            coalesce_streams=True,  # how printed text is cut into pieces depends on timing
        )
        notebooks._make_repeatable(executed, notebook_path(name))
        left.append(nbformat.writes(executed).encode())  # type: ignore[no-untyped-call]
    assert launched == ["ForkedProcess", "Popen"]
    assert any(cell.get("outputs") for cell in executed.cells)
    assert left[0] == left[1]
