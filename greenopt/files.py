"""Files that appear whole or not at all, and files that grow while they are read.

Invariants: under its final name a file is always complete; what a failed write leaves is removed;
only regular files are read.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from greenopt.errors import UsageError

MAX_DOCUMENT_BYTES = 10_000_000
"""Size of the largest study file, settings of a run or JSON document that is read."""

PRIVATE = 0o600
"""Permissions of a file that may hold a secret, whatever the umask: its owner reads and writes it."""


def read_document(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the content of a file that a person or another program wrote.

    Never waits for a pipe and never reads a device, which might not end.

    Raises:
        OSError: it is missing, not a regular file, larger than `max_bytes`, or cannot be read; `strerror` says which.
    """
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"is larger than {max_bytes // 1_000_000} MB")
    return content


def read_json(path: Path) -> Any:
    """Return the value of a JSON document.

    Raises:
        OSError: as `read_document` does.
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(read_document(path))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


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
    if target.exists() and not target.is_file():
        # The last step puts a file in its place: of a device such as /dev/null that would be the end.
        raise UsageError(f"{target}: cannot be written: is not a file")
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
    """Open a file for reading; a pipe or a device, which might never end, is refused at once.

    Raises:
        OSError: it is missing, not a regular file, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a path, its links followed, leaves the folder that it lies in.

    In a folder that somebody handed over a link may lead to any file of the machine.
    """
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return True


@contextmanager
def full_disk_tolerated() -> Iterator[None]:
    """Let lines be lost that cannot be written, because the disk of a log is full; a closed pipe still raises."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        return


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
