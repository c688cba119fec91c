"""Begins a study anew whose file was changed before any trial completed: no result could mean another thing.

Invariant: nothing is lost; the failed trials stay, as a study of another name.
"""

from greenopt.errors import UsageError
from greenopt.identity.rename import rename_study
from greenopt.identity.sameness import difference
from greenopt.identity.snapshot import read_folder
from greenopt.identity.start import has_results
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec

_TELLING = ("fail_reason",)
"""The figures by which `has_results` tells: every start comes here, and all of 10,000 trials take a second to read."""


def changed_key(spec: StudySpec, folder: RunFolder, storage: str | None) -> str | None:
    """Return the first key by which a study file differs from the study that was begun, if it may begin anew.

    Args:
        spec: the study as its file has it.
        folder: its results, which need not exist.
        storage: URL of its storage; that of the folder unless given.

    Returns:
        None where nothing differs, where a trial has completed, where somebody runs it, or where it cannot be read:
        whoever starts it is told of that.
    """
    if not folder.study_file.is_file() or storage is not None or folder.holder() is not None:
        return None
    try:
        begun = read_folder(folder, only=_TELLING)
    except UsageError:
        return None
    found = difference(begun.spec, spec)
    return None if found is None or has_results(begun.rows) else found.key


def set_aside(folder: RunFolder) -> RunFolder:
    """Give a study of which nothing completed another name, so that its own is free; return its folder.

    Raises:
        UsageError: it is being run.
    """
    number = 1
    while (folder.path.parent / f"{folder.name}.failed-{number}").exists():
        number += 1
    return rename_study(folder, f"{folder.name}.failed-{number}")
