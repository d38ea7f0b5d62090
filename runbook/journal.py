"""A journal: what a run does to AWS, on disk before and after it does it, and known to be whole when it is read.

One JSON object a line, in ASCII, so that a line ends at its line feed and nowhere else whatever a policy contains. Each
line carries its number and a checksum over itself and the line before: a line that was edited, lost, doubled or
exchanged is known as such. A line that a crash cut off is none: the call that it would have announced was not made.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import EINTR, EINVAL, ENOSPC, ENOSYS, EOPNOTSUPP, EWOULDBLOCK
from pathlib import Path
from typing import Any

from runbook.errors import RunbookError
from runbook.files import PRIVATE_FILE, FileError, open_regular, read_bytes, sync_folder
from runbook.parameters import shown

LARGEST = 512 * 1024 * 1024
"""Maximum size in bytes of a journal. None is begun that could grow larger."""

REMEDY = (
    "Nothing was changed, resumed or undone. Put the file back from a copy. Without one, `plan.json` lists the "
    "resources: compare in AWS what each has now with its `before` and `after`, and put it right by hand."
)
"""Remedy for a journal that cannot be trusted."""

_CHECKSUM = re.compile(rb', "checksum": "([0-9a-f]{16})"\}$')
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_F_PREALLOCATE, _F_ALLOCATEALL, _F_PEOFPOSMODE = 42, 4, 3  # of macOS's sys/fcntl.h


class JournalDamaged(RunbookError):
    """A journal cannot be read to its end, so that nobody knows from it what was changed."""


class JournalNotWritten(RunbookError):
    """The disk does not take a line of the journal, or the room for it. A call that it announces was not made."""


@dataclass(frozen=True)
class Position:
    """The end of a journal: its size in bytes, the number of its last line, and that line's checksum."""

    size: int = 0
    number: int = 0
    checksum: str = ""


class Journal:
    """`journal.jsonl`: one JSON object a line, on disk before the call that it announces is made."""

    def __init__(self, folder: Path, name: str = "journal.jsonl", remedy: str = REMEDY) -> None:
        self.path = folder / name
        self._remedy = remedy
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._end = Position()
        self._reserved_to = 0
        self._broken = ""

    @contextmanager
    def exclusively(self) -> Iterator[int]:
        """Keep every other command from this run. Raises RunbookError when one is at it already.

        That ends when the file descriptor is closed here, and in every process that has been handed it. A last line
        that a crash cut off is taken away: what it would have announced was never done.
        """
        with self._opened() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != EWOULDBLOCK:
                    raise JournalNotWritten(f"{shown(self.path)}: cannot be locked ({error.strerror}).") from None
                raise RunbookError(f"{shown(self.path.parent)}: another command is working on this run.") from None
            self._end = self._parse(self._content())[1]
            if os.fstat(descriptor).st_size > self._end.size:
                self._take_away_what_is_after_the_end(descriptor)
            self._descriptor = descriptor
            try:
                yield descriptor
            finally:
                self._descriptor = None
                if self._reserved_to:
                    self._reserved_to = 0
                    self._take_away_what_is_after_the_end(descriptor)

    def reserve(self, size: int) -> None:
        """Have the disk keep room for so many more bytes, until `exclusively` is over.

        Raises JournalNotWritten when there is not so much, or the journal could not be read any more afterwards.
        """
        assert self._descriptor is not None, "a journal is held by whoever reserves room in it"
        if self._end.size + size > LARGEST:
            raise self._not_written(f"could need {size:,} more bytes, and would be larger than {LARGEST:,}")
        try:
            _reserve(self._descriptor, self._end.size, size)
        except OSError as error:
            raise self._not_written(f"could need {size:,} more bytes, which cannot be reserved", error) from None
        self._reserved_to = self._end.size + size

    def write(self, event: str, **details: Any) -> None:
        """Append an event and wait until the disk has it. Several threads may do so at a time.

        Raises JournalNotWritten when the disk does not take all of it; the journal is as before then.
        """
        with self._lock, self._held() as descriptor:
            entry = {
                "number": self._end.number + 1,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                **details,
            }
            body = json.dumps(entry).encode("ascii")
            checksum = _chained(self._end.checksum, body)
            line = body[:-1] + f', "checksum": "{checksum}"}}\n'.encode("ascii")
            if self._broken:
                raise self._not_written(self._broken)
            try:
                _write_whole(descriptor, line)
                os.fsync(descriptor)
            except BaseException as error:
                self._take_away_what_is_after_the_end(descriptor)
                if isinstance(error, OSError):
                    raise self._not_written("cannot be written", error) from None
                raise
            self._end = Position(self._end.size + len(line), self._end.number + 1, checksum)

    def exists(self) -> bool:
        """Return True if there is something of the journal's name, readable or not."""
        return os.path.lexists(self.path)

    def read(self) -> list[dict[str, Any]]:
        """All events so far, without a last line that was cut off. Raises JournalDamaged when one is not as written."""
        return self._parse(self._bytes())[0]

    def end(self) -> Position:
        """The end of the journal as it is on disk. Raises JournalDamaged."""
        return self._parse(self._bytes())[1]

    def refuse_cut(self, number: int, checksum: str) -> None:
        """Raise JournalDamaged unless the journal has a line of that number and checksum, as was noted elsewhere."""
        checksums = ["", *(entry["checksum"] for entry in self.read())]
        if number >= len(checksums):
            raise JournalDamaged(
                f"{shown(self.path)}: ends after line {len(checksums) - 1}, but line {number} was written: it was cut, "
                f"or deleted. {self._remedy}"
            )
        if checksums[number] != checksum:
            raise self._damaged(number, "is not the one that was written")

    def last_events(self) -> dict[int, dict[str, Any]]:
        """For each change that was begun, by its number, the last thing that happened to it.

        `started` and `undo-started` mean that nobody knows whether the call was carried out.
        """
        steps = ("started", "done", "undo-started", "undone")
        last = {}
        for entry in self.read():
            if entry["event"] in steps:
                if type(entry.get("index")) is not int or entry["index"] < 0:
                    raise self._damaged(entry["number"], "does not say which change it is about")
                last[entry["index"]] = entry
        return last

    # --- the file ---

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            descriptor = open_regular(self.path, flags, follow=False)
        except FileError as error:
            raise JournalNotWritten(f"{shown(self.path)}: {error.why} {self._remedy}") from None
        except FileNotFoundError:
            raise JournalNotWritten(f"{shown(self.path)}: cannot be made; the folder is not there.") from None
        try:
            if not os.fstat(descriptor).st_size:
                self._made(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _made(self, descriptor: int) -> None:
        """Give a new journal its mode, whatever the umask, and wait until the disk has its name."""
        try:
            os.fchmod(descriptor, PRIVATE_FILE)
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._not_written("cannot be made", error) from None

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The descriptor of whoever holds the journal, or one for a single line."""
        if self._descriptor is not None:
            yield self._descriptor
            return
        with self._opened() as descriptor:
            self._end = self._parse(self._content())[1]
            yield descriptor

    def _bytes(self) -> bytes:
        try:
            return self._content()
        except FileNotFoundError:
            return b""

    def _content(self) -> bytes:
        try:
            return read_bytes(self.path, LARGEST, follow=False)
        except FileError as error:
            raise JournalDamaged(f"{shown(self.path)}: {error.why} {self._remedy}") from None

    def _take_away_what_is_after_the_end(self, descriptor: int) -> None:
        """Cut a line that was not written whole, so that the next one can be read, and give back room kept for others.

        Where the disk does not even do that, nothing more is written: the line is one that a crash cut off.
        """
        try:
            os.ftruncate(descriptor, self._end.size)
        except OSError as error:
            self._broken = f"cannot be written any more ({error.strerror})"
            return
        if self._reserved_to > self._end.size:
            try:
                _reserve(descriptor, self._end.size, self._reserved_to - self._end.size)
            except OSError:  # what comes is written without, or says that it cannot be
                self._reserved_to = 0

    def _not_written(self, what: str, error: OSError | None = None) -> JournalNotWritten:
        why = f" ({error.strerror})" if error else ""
        return JournalNotWritten(
            f"{shown(self.path)}: {what}{why}. AWS is not changed without an entry here. See to the disk, then run the "
            "same command again."
        )

    def _damaged(self, number: int, why: str) -> JournalDamaged:
        return JournalDamaged(f"{shown(self.path)}, line {number}: is damaged; {why}. {self._remedy}")

    # --- its lines ---

    def _parse(self, content: bytes) -> tuple[list[dict[str, Any]], Position]:
        *lines, rest = content.split(b"\n")
        events, checksum = [], ""
        for number, line in enumerate(lines, start=1):
            entry, checksum = self._entry(number, line, checksum)
            events.append(entry)
        if not _may_begin(rest, len(lines) + 1):
            raise self._damaged(len(lines) + 1, "is not one of a journal")
        return events, Position(len(content) - len(rest), len(lines), checksum)

    def _entry(self, number: int, line: bytes, before: str) -> tuple[dict[str, Any], str]:
        found = _CHECKSUM.search(line)
        if not found:
            raise self._damaged(number, _why_no_checksum(line))
        body, checksum = line[: found.start()] + b"}", found[1].decode("ascii")
        if _chained(before, body) != checksum:
            raise self._damaged(number, "its checksum does not fit it and the line before it")
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise self._damaged(number, "it is not JSON") from None
        well_formed = isinstance(entry, dict) and entry.get("number") == number
        if not well_formed or not all(isinstance(entry.get(name), str) for name in ("event", "time")):
            raise self._damaged(number, "it is not one of a journal")
        return entry, checksum


def _chained(before: str, body: bytes) -> str:
    """The checksum of a line, whose JSON is `body` without it, after a line that has the checksum `before`."""
    return hashlib.sha256(before.encode("ascii") + body).hexdigest()[:16]


def _may_begin(rest: bytes, number: int) -> bool:
    """Return whether a last line without an end may be what a crash has left of the line of that number."""
    head = f'{{"number": {number}, "time": "'.encode("ascii")
    return head.startswith(rest) or (rest.startswith(head) and b"\0" not in rest and rest.isascii())


def _why_no_checksum(line: bytes) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return "it is cut, or was edited"
    if isinstance(entry, dict) and "event" in entry and "number" not in entry:
        return "it has neither number nor checksum, as an older release wrote it; use that release for this run"
    return "it has no checksum"


def _write_whole(descriptor: int, line: bytes) -> None:
    """Write all of a line, however many calls that takes. Raises OSError."""
    left = memoryview(line)
    while left:
        left = left[os.write(descriptor, left) :]


def _reserve(descriptor: int, start: int, size: int) -> None:
    """Have the disk set aside `size` bytes from `start`, the file's end, without making the file longer.

    Raises OSError where there is not so much room. Where the file system keeps none, the free space has to do.
    """
    try:
        if sys.platform == "linux":
            _allocate_on_linux(descriptor, start, size)
        elif sys.platform == "darwin":
            request = struct.pack("Iiqqq", _F_ALLOCATEALL, _F_PEOFPOSMODE, 0, size, 0)
            fcntl.fcntl(descriptor, _F_PREALLOCATE, request)
        else:
            raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))
    except OSError as error:
        if error.errno not in (EINVAL, ENOSYS, EOPNOTSUPP):
            raise
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize < size:
            raise OSError(ENOSPC, os.strerror(ENOSPC)) from None


def _allocate_on_linux(descriptor: int, start: int, size: int) -> None:
    """fallocate(2), which Python does not have: os.posix_fallocate makes the file longer."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        allocate = library.fallocate
    except AttributeError:
        raise OSError(ENOSYS, os.strerror(ENOSYS)) from None
    allocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    while allocate(descriptor, _KEEP_SIZE, start, size):
        number = ctypes.get_errno()
        if number != EINTR:
            raise OSError(number, os.strerror(number))
