"""Gives a study another name, in its storage, in its folder and in the studies that name it.

Invariant: broken off at any moment, the study is still found from its folder: by its identity before its name.
"""

import re
from collections.abc import Collection

from greenopt.errors import UsageError
from greenopt.identity.place import StoredStudy, locate
from greenopt.runs.folder import RunFolder, run_folders
from greenopt.search import Storage, change_spec, lease_holder, open_storage, rename_stored
from greenopt.spec import NAME_PATTERN

MAX_NAME = 100


def rename_study(folder: RunFolder, new: str) -> RunFolder:
    """Rename a study.

    Args:
        folder: its results.
        new: its new name, which no study beside it may have.

    Returns:
        The folder under its new name.

    Raises:
        UsageError: there is no such study, it runs, or the new name is taken or not a name.
    """
    if not re.fullmatch(NAME_PATTERN, new) or len(new) > MAX_NAME:
        raise UsageError(f"{new!r}: a name may hold letters, digits, '.', '_' and '-' only, at most {MAX_NAME}")
    target = RunFolder(folder.path.with_name(new))
    if _is_renamed(folder, target):
        _point_others_to(target, (folder.name,))
        return target
    stored = locate(folder)
    folder.check_sound()
    if target.path.exists():
        raise UsageError(f"{target.path}: exists already; choose another name")
    # Before the lock, which writes into the folder: of one that cannot be opened nothing has been changed.
    storage = open_storage(stored.url)
    with folder.claim():
        _check_idle(folder, stored, storage)
        if stored.name != new:
            rename_stored(stored.url, stored.name, new)
        folder.rename_study(name=new)
        folder.path.rename(target.path)
    _point_others_to(target, (folder.name, stored.name))
    return target


def _is_renamed(folder: RunFolder, target: RunFolder) -> bool:
    """Return whether the study was renamed before, and that was broken off while others still name it."""
    is_gone = not folder.path.exists() and target.study_file.is_file()
    return is_gone and any(folder.name in other.named_studies().values() for other in run_folders(target.path.parent))


def _point_others_to(target: RunFolder, old: Collection[str]) -> None:
    """Have the studies that confirm a study, or go on from it, name it by its new name."""
    for other in run_folders(target.path.parent):
        for link, study in other.named_studies().items():
            if study in old:
                _point_to(other, link, target.name)


def _check_idle(folder: RunFolder, stored: StoredStudy, storage: Storage) -> None:
    holder = lease_holder(stored.name, storage)
    if holder is not None:
        raise UsageError(f"study {folder.name} is being run by {holder}; stop it first")


def _point_to(other: RunFolder, link: str, new: str) -> None:
    """Have a study name another one by its new name."""
    try:
        stored = locate(other)
    except UsageError:
        stored = None
    if stored is not None:
        change_spec(stored.url, stored.name, ("study", link, "study"), new)
    other.rename_study(**{link: new})
