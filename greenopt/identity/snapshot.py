"""Reads a study from its folder, wherever the folder was moved, copied or renamed to."""

from greenopt.identity.place import locate
from greenopt.runs.folder import RunFolder
from greenopt.search import StudySnapshot, open_storage, read_study


def read_folder(folder: RunFolder, storage: str | None = None) -> StudySnapshot:
    """Read a study, named as its folder is.

    Args:
        folder: its results; need not exist where `storage` is given.
        storage: URL of a storage to be read in place of the one that the folder refers to.

    Raises:
        UsageError: there is no such study, or the storage holds another one than the folder's.
    """
    found = locate(folder, storage)
    return read_study(found.name, open_storage(found.url)).renamed(folder.name)
