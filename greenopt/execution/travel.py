"""What of the user's travels to other machines: modules as they are, data in archives, each known by its digest."""

import os
import shutil
import tarfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from greenopt.identity.digests import DataDigests
from greenopt.identity.sources import local_sources


@dataclass(frozen=True)
class Parcel:
    """A file or folder of the user's.

    Attributes:
        path: where it is on the coordinator's machine, absolute.
        digest: SHA-256 of its contents; of a folder, of names and contents.
    """

    path: str
    digest: str


def digest_of(path: Path) -> str | None:
    """Return the digest of a file or folder; None where there is nothing."""
    return DataDigests().of(path)


def module_files(modules: Iterable[str], folder: str | None) -> dict[str, bytes]:
    """Return the user's modules that trials import, by the paths that Python finds them at.

    Args:
        modules: dotted names; local modules that they import are found by themselves.
        folder: where modules are looked for first; see `local_sources`.

    Raises:
        OSError: a file cannot be read.
    """
    found: dict[str, bytes] = {}
    for module in modules:
        for source in local_sources(module, folder):
            *parents, last = source.module.split(".")
            parts = [*parents, last] if source.is_package else parents
            found["/".join([*parts, source.file.name])] = source.file.read_bytes()
    return found


def archive_pieces(parcel: Parcel, piece_bytes: int) -> Iterator[bytes]:
    """Yield an archive of a parcel in pieces of this size, but for the last; no more than one is in memory.

    Raises:
        OSError: it cannot be read.
    """
    failures: list[OSError] = []
    reading, writing = os.pipe()

    def write() -> None:
        try:
            with os.fdopen(writing, "wb") as end, tarfile.open(fileobj=end, mode="w|") as archive:
                _add(archive, Path(parcel.path).expanduser())
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=write, name="archive", daemon=True)
    thread.start()
    with os.fdopen(reading, "rb") as pieces:
        while piece := pieces.read(piece_bytes):
            yield piece
    thread.join()
    if failures:
        raise failures[0]


def _add(archive: tarfile.TarFile, root: Path) -> None:
    if not root.is_dir():
        archive.add(root.resolve(), arcname=root.name)
        return
    for file in sorted(file for file in root.rglob("*") if file.is_file()):
        archive.add(file.resolve(), arcname=str(root.name / file.relative_to(root)))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of `archive_pieces` into a folder: its regular files, and nothing outside of that folder.

    Raises:
        OSError, tarfile.TarError: it cannot be read or written, or names a file that would lie elsewhere.
    """
    with tarfile.open(archive) as opened:
        for member in opened:
            path = PurePosixPath(member.name)
            content = opened.extractfile(member) if member.isreg() else None
            if content is None or path.is_absolute() or ".." in path.parts:
                raise OSError(f"{archive}: {member.name}: is no file of the data")
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
