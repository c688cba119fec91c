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
        raise OSError(errno.EINVAL, "is not a regular file")
    return os.fdopen(descriptor, "rb")


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a scratch path beside a file, which takes the file's name when the block ends without an error.

    Args:
        target: the file; an existing one stays until it is replaced. The scratch path has its suffix.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = target.with_name(f"{target.stem}.part-{os.getpid()}{target.suffix}")
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


def write_whole(target: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(target) as scratch:
        scratch.write_bytes(content)


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
