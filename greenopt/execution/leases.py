"""Leases of GPUs, so that two studies on one host never share a GPU, whoever runs them.

A lease is a locked file in a folder that all users of the host share; the lock ends with the process that holds it.
Nobody trusts anybody there. Invariants: each lease is a new file of its holder's own, under a name that none had
before, so that nothing that lies there is ever opened for writing; of others' files greenopt reads regular ones alone,
which belong to the user whom their name tells, and only asks whether they are locked.
"""

import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs

from greenopt.errors import UsageError

SHARED_FOLDERS = (Path("/run/lock"), Path("/tmp"), Path("/dev/shm"))
"""Folders that all users of a host share; TMPDIR and XDG_RUNTIME_DIR are each user's own and would separate them."""

_PREFIX = "greenopt-lease"
_NAME = re.compile(rf"{_PREFIX}\.(?P<gpu>[\w:-]+)\.(?P<uid>\d{{1,10}})\.[0-9a-f]{{16}}", re.ASCII)
_TRIES = 4
_PAUSE_S = 0.1
_HOLDER_BYTES = 100


def shared_folder(candidates: Sequence[Path] = SHARED_FOLDERS) -> Path:
    """Return the first folder that all users may write to and in which nobody can remove another's files.

    Where a host has none, a folder of this user's own, in which one user's studies exclude one another.
    """
    for folder in candidates:
        with suppress(OSError):
            found = folder.stat()
            if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o1777 == 0o1777 and found.st_uid in _administrators():
                return folder
    return platformdirs.user_cache_path("greenopt") / "leases"


def _administrators() -> set[int]:
    """Return root, and what root is called where its user is not mapped, in a container."""
    try:
        return {0, int(Path("/proc/sys/kernel/overflowuid").read_text())}
    except (OSError, ValueError):
        return {0}


@dataclass(frozen=True)
class _Lease:
    """A lease that this process holds: its file, open and locked."""

    path: Path
    descriptor: int

    def release(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        os.close(self.descriptor)


class GpuLeases:
    """Leases of all GPUs of one study, or of none. A context manager."""

    def __init__(
        self,
        uuids: Iterable[str],
        folder: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Store the GPUs; no lease is taken yet.

        Args:
            uuids: the GPUs.
            folder: where leases are; the host's unless given.
            sleep: waits between tries where two studies ask at once.
        """
        self._uuids = tuple(uuids)
        self._folder = folder
        self._sleep = sleep
        self._held: list[_Lease] = []

    def __enter__(self) -> Self:
        """Take every lease.

        Raises:
            UsageError: another study holds one of the GPUs, or no lease can be made; none is taken then.
        """
        for uuid in self._uuids:
            try:
                self._take(uuid)
            except UsageError:
                self.release()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release every lease."""
        self.release()

    def release(self) -> None:
        """Release the leases that are held."""
        for lease in self._held:
            lease.release()
        self._held.clear()

    def _take(self, uuid: str) -> None:
        """Lock a file of one's own, then look for others' locks: of two that ask at once, at least one sees the other.

        Both may, so that it is tried again after pauses of different lengths.
        """
        folder = self._folder if self._folder is not None else shared_folder()
        gpu = re.sub(r"[^\w:-]", "_", uuid, flags=re.ASCII)
        holder = None
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(_PAUSE_S * (1 + secrets.randbelow(100) / 50))
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lease = _made(folder, gpu, self._sleep)
            except OSError as error:
                why = error.strerror or error
                raise UsageError(f"{folder}: no lease of GPU {uuid} can be made there: {why}") from None
            holder = _other_holder(folder, gpu, lease.path.name)
            if holder is None:
                self._held.append(lease)
                return
            lease.release()
        raise UsageError(f"GPU {uuid} is in use by another study ({holder}); choose others with --gpus, or wait for it")


def _made(folder: Path, gpu: str, sleep: Callable[[float], None]) -> _Lease:
    """Make a new file and lock it; others may read it, whatever the umask, and so see the lock.

    Raises:
        OSError: that is not possible.
    """
    for _ in range(_TRIES):
        path = folder / f"{_PREFIX}.{gpu}.{os.geteuid()}.{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        lease = _Lease(path, descriptor)
        with suppress(OSError):
            os.fchmod(descriptor, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            # Before it was locked, another study of this user's could take it for one that a crash left.
            path.stat()
            return lease
        lease.release()
        sleep(_PAUSE_S)
    raise OSError("others lock each new file there")


def _other_holder(folder: Path, gpu: str, own: str) -> str | None:
    """Return who else holds a lease of a GPU; None where nobody does. Own leases that a crash left are removed."""
    for name, uid in _named(folder, gpu):
        if name == own:
            continue
        with suppress(OSError), _opened(folder / name, uid) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _described(descriptor, uid)
            if uid == os.geteuid():
                (folder / name).unlink()
    return None


def _named(folder: Path, gpu: str) -> Iterator[tuple[str, int]]:
    """Give name and user of each lease of a GPU, by their names alone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is not None and match["gpu"] == gpu:
                yield entry.name, int(match["uid"])


@contextmanager
def _opened(path: Path, uid: int) -> Iterator[int]:
    """Open a user's lease for reading: no link, no pipe, nothing that belongs to another.

    Raises:
        OSError: it is not a lease of that user's, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
            raise OSError(f"{path}: not a lease")
        yield descriptor
    finally:
        os.close(descriptor)


def _described(descriptor: int, uid: int) -> str:
    text = os.pread(descriptor, _HOLDER_BYTES, 0).decode("ascii", "replace").strip()
    return f"pid {text} of user {_user(uid)}" if re.fullmatch(r"\d{1,10}", text, re.ASCII) else f"user {_user(uid)}"


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
