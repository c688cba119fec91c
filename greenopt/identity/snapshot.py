"""Reads a study from its folder, wherever the folder was moved, copied or renamed to."""

from collections.abc import Sequence

from greenopt.identity.place import locate
from greenopt.runs.folder import RunFolder
from greenopt.storage.snapshot import StudySnapshot, read_snapshot


def read_folder(folder: RunFolder, storage: str | None = None, *, only: Sequence[str] | None = None) -> StudySnapshot:
    """Read a study, named as its folder is.

    Args:
        folder: its results; need not exist where `storage` is given.
        storage: URL of a storage to be read in place of the one that the folder refers to.
        only: the figures that are read, where not all are wanted; then no setting is read.

    Raises:
        UsageError: there is no such study, or the storage holds another one than the folder's.
    """
    found = locate(folder, storage)
    return read_snapshot(found.name, found.url, only).renamed(folder.name)
