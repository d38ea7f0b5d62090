"""Read files whole, bounded and only where they are regular; write them whole, for their owner only."""

import os
import stat
from pathlib import Path

from runbook.errors import RunbookError

LARGEST = 64 * 1024 * 1024
"""Maximum size in bytes of a file that is read."""

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of the files and folders that a run leaves."""


class FileError(RunbookError):
    """A file cannot be read or written. `why` says it without the file's name."""

    def __init__(self, path: Path, why: str) -> None:
        self.why = why
        super().__init__(f"{path}: {why}")


def read_text(path: Path, most: int = LARGEST, *, follow: bool = True) -> str:
    """Return the UTF-8 text of a regular file, to the letter, line ends included.

    Raises FileNotFoundError where there is none, and FileError for anything but a regular file of at most `most` bytes
    of UTF-8, and with `follow=False` for a symbolic link.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # before Python opens it: it does not open folders
        os.close(descriptor)
        raise FileError(path, "is not a regular file.")
    with os.fdopen(descriptor, "rb") as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror}).") from None
    if len(content) > most:
        raise FileError(path, f"is larger than {most:,} bytes.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise FileError(path, "is not UTF-8 text.") from None


def write_text(path: Path, text: str) -> None:
    """Put `text` in place of a file: it appears whole or not at all, is on disk then, and only its owner reads it.

    A symbolic link of that name is replaced, not followed. Raises FileError when the disk does not take it.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FileError(path, f"cannot be written ({error.strerror}).") from None
