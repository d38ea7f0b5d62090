"""A disk that is full, read-only or broken: no change is made that the journal could not announce, and none is lost."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from runbook import journal as journals
from runbook import run as runs
from runbook.files import FileError, write_text
from runbook.journal import Journal, JournalNotWritten
from runbook.parameters import project_root
from runbook.plan import Change
from runbook.result import read_result, record
from runbook.run import ApplyFailed, UndoFailed, undo
from tests.memory import NO_ENVIRONMENT, Memory, a_plan, applied, in_memory, seed

PLAN = a_plan((None, '{"a":1}'), ('{"b":1}', '{"b":2}'), ('{"c":1}', None))

BROKEN = {
    "full": errno.ENOSPC,
    "over quota": errno.EDQUOT,
    "broken": errno.EIO,
    "read-only": errno.EROFS,
}


@pytest.fixture
def memory() -> Iterator[Memory]:
    with in_memory() as kind:
        seed(kind, PLAN)
        yield kind


class Failing:
    """`os` for one module, where the calls of a name fail from the `number`-th on, writes after half of it."""

    def __init__(self, name: str, number: int, code: int) -> None:
        self.name, self.left, self.code = name, number, code

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        return self._failing(function) if name == self.name else function

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.left -= 1
            if self.left > 0:
                return function(*arguments)
            if self.left == 0 and self.name == "write":
                return function(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(self.code, os.strerror(self.code))

        return call


@pytest.mark.parametrize("name", ["write", "fsync"])
@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_whichever_line_cannot_be_written_no_change_goes_without_one(
    name: str, code: int, memory: Memory, tmp_path: Path
) -> None:
    """The lines of a run are its start, two for each change, and its end."""
    for number in range(1, 9):
        folder = tmp_path / f"{number}"
        seed(memory, PLAN)
        runs.save_plan(PLAN, folder)
        with Journal(folder).exclusively():
            pass
        with (
            patch("runbook.journal.os", Failing(name, number, code)),
            pytest.raises((JournalNotWritten, ApplyFailed)) as failed,
        ):
            runs.apply(PLAN, NO_ENVIRONMENT, folder)
        assert f"cannot be written ({os.strerror(code)})" in str(failed.value)
        last = {index: entry["event"] for index, entry in Journal(folder).last_events().items()}
        made = [index for index, each in enumerate(PLAN.changes) if memory.values[each.resource.arn] != each.before]
        assert made == list(range(len(made))) == [index for index in made if last[index] in ("started", "done")]
        assert len(made) == (number - 1) // 2 if number < 8 else 3
        if 2 < number < 8 and number % 2:
            change = PLAN.changes[made[-1]]
            assert str(change.resource) in str(failed.value)
            assert "The change was made all the same. The journal announces it, but does not say" in str(failed.value)
        assert undo(folder, NO_ENVIRONMENT).unaccounted == ()
        assert memory.values == {change.resource.arn: change.before for change in PLAN.changes}


def test_a_short_write_is_completed(tmp_path: Path) -> None:
    class DropByDrop:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, descriptor: int, content: memoryview) -> int:
            return os.write(descriptor, content[:7])

    with patch("runbook.journal.os", DropByDrop()):
        Journal(tmp_path).write("done", index=1, left="x" * 100)
    assert Journal(tmp_path).read()[0]["left"] == "x" * 100


@pytest.mark.parametrize("command", ["apply", "undo"])
@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_nothing_is_changed_when_the_room_to_finish_cannot_be_kept(
    command: str, code: int, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "undo":
        applied(memory, PLAN, tmp_path)
    before, written = dict(memory.values), len(memory.written)

    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(journals, "_reserve", refused)
    with pytest.raises(JournalNotWritten, match=r"cannot be reserved .*AWS is not changed without an entry"):
        undo(tmp_path, NO_ENVIRONMENT) if command == "undo" else runs.apply(PLAN, NO_ENVIRONMENT, tmp_path)
    assert (memory.values, len(memory.written)) == (before, written)


def test_what_is_reserved_covers_every_line_and_is_given_back(memory: Memory, tmp_path: Path) -> None:
    """Of values that grow six times when they are escaped, with as long an error for each change."""
    plan = a_plan(("\u2028" * 4000, "\x7f\u2029" * 4000), (None, "é" * 9000))
    seed(memory, plan)
    reserved: list[int] = []
    with patch("runbook.journal._reserve", lambda _descriptor, _start, size: reserved.append(size)):
        runs.apply(plan, NO_ENVIRONMENT, tmp_path)
        size = (tmp_path / "journal.jsonl").stat().st_size
        assert size <= reserved[0]
        undo(tmp_path, NO_ENVIRONMENT)
    assert (tmp_path / "journal.jsonl").stat().st_size - size <= reserved[1]


@pytest.mark.skipif(sys.platform != "linux", reason="fallocate(2) is Linux's")
def test_room_is_kept_without_making_the_file_longer_and_given_back(tmp_path: Path) -> None:
    journal, size = Journal(tmp_path), 4 * 1024 * 1024
    with journal.exclusively():
        try:
            journals._allocate_on_linux(os.open(journal.path, os.O_RDWR), 0, 4096)
        except OSError as error:
            pytest.skip(f"the file system here keeps no room ({error.strerror})")
        journal.write("run-started")
        journal.reserve(size)
        kept = journal.path.stat()
        assert kept.st_blocks * 512 >= size > kept.st_size
        assert len(Journal(tmp_path).read()) == 1
        journal.write("run-finished")
    assert journal.path.stat().st_blocks * 512 < size


def test_where_no_room_can_be_kept_the_free_space_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(journals, "_allocate_on_linux", cannot)
    monkeypatch.setattr(journals, "LARGEST", 1 << 62)
    monkeypatch.setattr(sys, "platform", "linux")
    journal = Journal(tmp_path)
    with journal.exclusively():
        journal.reserve(1024)
        with pytest.raises(JournalNotWritten, match="cannot be reserved"):
            journal.reserve(1 << 60)


def test_a_journal_that_could_not_be_read_again_is_not_begun(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.exclusively(), pytest.raises(JournalNotWritten, match="would be larger than 536,870,912"):
        journal.reserve(journals.LARGEST + 1)


# --- the other files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_written_is_as_before_and_told_in_a_sentence(code: int, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_text(file, "before")
    with (
        patch("runbook.files.os", Failing("fsync", 1, code)),
        pytest.raises(FileError, match=r"result\.json: cannot be written \(") as failed,
    ):
        write_text(file, "after")
    assert os.strerror(code) in str(failed.value)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"result.json": "before"}


def test_a_result_that_cannot_be_written_after_an_undo_is_told_with_what_was_done(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(memory, PLAN, tmp_path)

    def full(path: Path, _: str) -> None:
        raise FileError(path, "cannot be written (No space left on device).")

    with monkeypatch.context() as patched:
        patched.setattr("runbook.result.write_text", full)
        with pytest.raises(UndoFailed, match=r"No space left on device\).\nWhat had to be taken back was"):
            undo(tmp_path, NO_ENVIRONMENT)
    assert memory.values == {change.resource.arn: change.before for change in PLAN.changes}
    assert read_result(tmp_path)["status"] == "applied"
    undo(tmp_path, NO_ENVIRONMENT)
    assert read_result(tmp_path)["status"] == "undone"


# --- a disk that is really full --------------------------------------------------------------------------------------

DISK_BYTES = 1024 * 1024


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """In a mount namespace of its own, so that nobody else sees the disk."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs '{tmp_path}'"
    if not shutil.which("unshare") or subprocess.run([*unshare, "sh", "-c", mount], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    script = f"{mount} && exec '{sys.executable}' -m tests.test_journal_disk '{tmp_path}'"
    command = [*unshare, "sh", "-c", script]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "refused 4, finished 1"


def _on_a_small_disk(disk: Path) -> None:
    """Meet a disk with less room each time, and one that fills up once the first change is made."""
    refused, ballast = 0, disk / "ballast"

    def fill(leave: int) -> None:
        ballast.write_bytes(b"x" * (shutil.disk_usage(disk).free - leave))

    with in_memory() as memory:
        for pages in (8, 4, 2, 1):
            seed(memory, PLAN)
            fill(pages * 4096)
            with pytest.raises((JournalNotWritten, FileError), match="No space left on device"):
                runs.apply(PLAN, NO_ENVIRONMENT, disk / f"run-{pages}")
            refused += 1
            assert memory.written == []
            ballast.unlink()

        write = Memory.write

        def fill_and_write(self: Memory, environment: Any, change: Change, report: Any) -> Any:
            if not ballast.exists():
                try:
                    fill(0)
                    (disk / "more").write_bytes(b"x" * 4096)
                except OSError:
                    assert shutil.disk_usage(disk).free == 0
            return write(self, environment, change, report)

        folder = disk / "run"
        with patch.object(Memory, "write", fill_and_write):
            assert len(runs.apply(PLAN, NO_ENVIRONMENT, folder).changed) == 3, "the room was reserved"
        ballast.unlink()  # what was reserved is free again
        fill(0)
        with pytest.raises(JournalNotWritten, match=r"cannot be reserved \(No space left on device\)"):
            undo(folder, NO_ENVIRONMENT)
        with pytest.raises(FileError, match=r"result\.json: cannot be written \(No space left on device\)"):
            record(folder, {"status": "applied"})
        assert len(memory.written) == 3
        ballast.unlink()
        assert undo(folder, NO_ENVIRONMENT).restored == PLAN.changes
    print(f"refused {refused}, finished 1")


if __name__ == "__main__":
    _on_a_small_disk(Path(sys.argv[1]))
