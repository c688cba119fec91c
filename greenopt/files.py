"""Files that appear whole or not at all, and files that grow while they are read.

Invariant: under its final name a file is always complete; what a failed write leaves is removed.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from greenopt.errors import UsageError

PRIVATE = 0o600
"""Permissions of a file that may hold a secret, whatever the umask: its owner reads and writes it."""


@contextmanager
def whole_file(target: Path, mode: int = 0o666) -> Iterator[Path]:
    """Give a scratch path beside a file, which takes the file's name when the block ends without an error.

    Args:
        target: the file; an existing one stays until it is replaced. The scratch path has its suffix.
        mode: permissions from the creation on, less the umask.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = target.with_name(f"{target.stem}.part-{os.getpid()}{target.suffix}")
    with suppress(FileNotFoundError):
        # What lies there is nobody's; written through, a link would lead elsewhere.
        scratch.unlink()
    # Made here and anew, so that in a folder of many users nobody else's file or link is written to.
    os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
    try:
        yield scratch
        scratch.replace(target)
    finally:
        with suppress(OSError):
            scratch.unlink()


@contextmanager
def requested_file(target: Path) -> Iterator[Path]:
    """Give a scratch path like `whole_file`, for a file that the user asked for.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        with whole_file(target) as scratch:
            yield scratch
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None


def write_whole(target: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all.

    Args:
        target: the file; an existing one is replaced.
        content: what it will hold.
        mode: its permissions from its creation on, less the umask; `PRIVATE` where it may hold a secret.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(target, mode) as scratch:
        scratch.write_bytes(content)


def append_privately(path: Path) -> BinaryIO:
    """Open a file to append to, made so that only its owner can read it; a link in its place is not followed.

    Raises:
        OSError: the file cannot be written, or is a link.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE), "ab")


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; a pipe or a device in its place, which might never end, is refused.

    Raises:
        OSError: there is no such file, it cannot be read, or it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a path, its links followed, leaves the folder that it lies in.

    In a folder that somebody handed over a link may lead to any file of the machine.
    """
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return True


class LogTail:
    """Whole lines of a growing file. A last line without its newline is still being written and waits."""

    def __init__(self, path: Path, offset_bytes: int = 0) -> None:
        """Read nothing yet.

        Args:
            path: the file, which need not be there yet.
            offset_bytes: where reading begins.
        """
        self._path = path
        self._offset = offset_bytes

    def new_lines(self) -> list[bytes]:
        """Return the lines since the last call, without newlines; none where the file is missing or unreadable."""
        try:
            with open_regular(self._path) as file:
                if self._path.stat().st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return []
        end = content.rfind(b"\n") + 1
        self._offset += end
        return content[:end].splitlines()


def tail_text(path: Path, max_bytes: int = 65536) -> str:
    """Return the end of a text file; empty where the file is missing or unreadable."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file; none where the file is missing or unreadable."""
    return tail_text(path).splitlines()[-count:]
