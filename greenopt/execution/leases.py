"""Leases of GPUs, so that two studies on one host never share a GPU.

A lease is a lock on a file that all users of the host can see; it ends with the process that holds it.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from greenopt.errors import UsageError

DEFAULT_FOLDER = Path(tempfile.gettempdir()) / "greenopt-leases"


class GpuLeases:
    """Leases of all GPUs of one study, or of none. A context manager."""

    def __init__(self, uuids: Iterable[str], folder: Path = DEFAULT_FOLDER) -> None:
        """Store the GPUs; no lease is taken yet."""
        self._uuids = tuple(uuids)
        self._folder = folder
        self._held: list[filelock.BaseFileLock] = []

    def __enter__(self) -> Self:
        """Take every lease.

        Raises:
            UsageError: another study holds one of the GPUs; none is taken then.
        """
        if self._uuids:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Not sticky: Linux refuses to open another user's lock file in a sticky folder.
            _open_to_all(self._folder, 0o777)
        for uuid in self._uuids:
            lock = filelock.FileLock(self._folder / f"{uuid}.lock", mode=0o666)
            try:
                lock.acquire(blocking=False)
            except (filelock.Timeout, PermissionError):
                holder = self._holder(uuid)
                self.release()
                raise UsageError(
                    f"GPU {uuid} is in use by another study ({holder}); choose others with --gpus, or wait for it"
                ) from None
            self._held.append(lock)
            holder_file = self._folder / f"{uuid}.holder"
            holder_file.write_text(f"pid {os.getpid()}", encoding="utf-8")
            _open_to_all(holder_file, 0o666)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release every lease."""
        self.release()

    def release(self) -> None:
        """Release the leases that are held."""
        for lock in self._held:
            lock.release()
        self._held.clear()

    def _holder(self, uuid: str) -> str:
        try:
            return (self._folder / f"{uuid}.holder").read_text(encoding="utf-8")
        except OSError:
            return "holder unknown"


def _open_to_all(path: Path, mode: int) -> None:
    """Make a path writable for other users' leases, regardless of the umask; only its owner can."""
    try:
        path.chmod(mode)
    except PermissionError:
        return
