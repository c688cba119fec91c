"""Files that appear whole or not at all, and files that grow while they are read.

Invariant: under its final name a file is always complete; what a failed write leaves is removed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greenopt.errors import UsageError


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
            with self._path.open("rb") as file:
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
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file; none where the file is missing or unreadable."""
    return tail_text(path).splitlines()[-count:]
