"""Read files whole, bounded and only where they are regular; write them whole, for their owner only."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runbook.errors import RunbookError

LARGEST = 64 * 1024 * 1024
"""Maximum size in bytes of a file that is read."""

DEEPEST = 200
"""Maximum number of objects and lists inside each other in a JSON file."""

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of the files and folders that a run leaves."""


class FileError(RunbookError):
    """A file cannot be read or written. `why` says it without the file's name."""

    def __init__(self, path: Path, why: str) -> None:
        self.why = why
        super().__init__(f"{path}: {why}")


def open_regular(path: Path, flags: int, *, follow: bool) -> int:
    """Open a regular file and return its descriptor; a file that `flags` create is private.

    Raises FileNotFoundError and FileExistsError, and FileError for anything but a regular file, and with `follow=False`
    for a symbolic link.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    doing = "read" if flags & os.O_ACCMODE == os.O_RDONLY else "written"
    if not follow and path.is_symlink():
        raise FileError(path, "is a symbolic link, and is not followed.")
    try:
        descriptor = os.open(path, flags, PRIVATE_FILE)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise FileError(path, f"cannot be {doing} ({error.strerror}).") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileError(path, "is not a regular file.")
    return descriptor


def read_bytes(path: Path, most: int = LARGEST, *, follow: bool = True) -> bytes:
    """Return the content of a regular file.

    Raises FileNotFoundError where there is none, and FileError for anything but a regular file of at most `most` bytes,
    and with `follow=False` for a symbolic link.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY, follow=follow), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            # In one read where nobody writes meanwhile; `most` as its size would take that much memory each time.
            content = file.read(size + 1) if size <= most else b""
            while size < len(content) <= most and (more := file.read(most)):
                content += more
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror}).") from None
    if max(size, len(content)) > most:
        raise FileError(path, f"is larger than {most:,} bytes.")
    return content


def read_text(path: Path, most: int = LARGEST, *, follow: bool = True) -> str:
    """Return the UTF-8 text of a regular file, to the letter, line ends included.

    Raises FileNotFoundError where there is none, and FileError for anything but a regular file of at most `most` bytes
    of UTF-8, and with `follow=False` for a symbolic link.
    """
    try:
        return read_bytes(path, most, follow=follow).decode("utf-8")
    except UnicodeDecodeError:
        raise FileError(path, "is not UTF-8 text.") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run folder; a symbolic link is not followed.

    Raises FileNotFoundError where there is none, and FileError for everything that is not such a file.
    """
    return parse_object(read_text(path, follow=False), path)


def parse_object(text: str, path: Path) -> dict[str, Any]:
    """Return the JSON object that is the text of the file `path`. Raises FileError."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise FileError(path, "is not JSON. Was it edited?") from None
    if not isinstance(content, dict):
        raise FileError(path, f"holds a JSON {type(content).__name__}, not an object. Was it edited?")
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
    if level:
        raise FileError(path, f"holds more than {DEEPEST} objects and lists inside each other. Was it edited?")
    return content


def write_text(path: Path, text: str) -> None:
    """Put `text` in place of a file: it appears whole or not at all, is on disk then, and only its owner reads it.

    A symbolic link of that name is replaced, not followed. Raises FileError when the disk does not take it.
    """
    part = path.with_name(f"{path.name}.part")
    with _told_and_removed(path, part):
        part.unlink(missing_ok=True)
        _write_new(part, text)
        part.replace(path)
        sync_folder(path.parent)


def write_new_text(path: Path, text: str) -> None:
    """Write a file as `write_text` does, but raise FileExistsError where there is one."""
    os.close(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, follow=False))
    try:
        write_text(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _told_and_removed(path: Path, part: Path) -> Iterator[None]:
    """Leave no half-written file behind, and tell in a sentence why `path` cannot be written."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # a folder in its place, a disk that is read-only by now
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(path, f"cannot be written ({error.strerror}).") from None
        raise


def _write_new(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, PRIVATE_FILE)  # whatever the umask
        file.write(text.encode("utf-8", errors="backslashreplace"))
        file.flush()
        os.fsync(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and missing ones above it, for their owner only. Raises FileExistsError and FileError."""
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(PRIVATE_FOLDER, exist_ok=True)  # another command may make the same one
                folder.chmod(PRIVATE_FOLDER)  # whatever the umask
        path.mkdir(PRIVATE_FOLDER)
        path.chmod(PRIVATE_FOLDER)
    except FileExistsError:
        if not os.path.lexists(path):
            raise FileError(path, "cannot be made: something above it is not a folder.") from None
        raise
    except OSError as error:
        raise FileError(path, f"cannot be made ({error.strerror}).") from None


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
