"""Deletes a study: from its storage, then its folder.

Invariants: no link is followed; broken off between the two, the folder is still there and the same command does the
rest; what other studies need stays.
"""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from greenopt.errors import UsageError
from greenopt.files import leads_out
from greenopt.identity.place import StoredStudy, find_study
from greenopt.identity.reference import is_same_storage, sqlite_file
from greenopt.identity.taking import check_nobody_runs
from greenopt.runs.folder import LOCK_FILE, RunFolder, run_folders
from greenopt.search import delete_stored, failures_named, names_in, open_storage
from greenopt.storage.url import complete, without_password


@dataclass(frozen=True)
class Deletion:
    """What deleting a study removes.

    Attributes:
        folder: its results.
        stored: the study in a storage outside its folder, which is removed from there; None where nothing of it is.
        shares_with: the study of another folder that uses the same storage entry, which therefore stays.
        confirmed_by: studies that confirm it, and stay.
        trials: how many trials' folders there are.
    """

    folder: RunFolder
    stored: StoredStudy | None
    shares_with: str | None
    confirmed_by: tuple[str, ...]
    trials: int


def plan_deletion(folder: RunFolder) -> Deletion:
    """Find what deleting a study removes; nothing is written.

    Raises:
        UsageError: there is no such study, it is being run, a link is in its place, or other studies' trials are there.
    """
    if folder.path.is_symlink():
        raise UsageError(f"{folder.path}: is a link, and links are not followed; remove it by hand (rm)")
    url = complete(folder.storage())
    folder.check_links()
    file = sqlite_file(url)
    is_there = file is None or file.is_file()
    if (holder := folder.holder()) is not None:
        raise UsageError(f"study {folder.name} is being run by {holder}; stop it first: greenopt stop {folder.name}")
    stored = find_study(url, folder.stored_name, folder.study_id) if is_there else None
    if stored is not None and folder.study_id is not None and stored.study_id != folder.study_id:
        stored = None
    others = [each for each in run_folders(folder.path.parent) if each.path != folder.path]
    confirmed_by = tuple(
        each.name
        for each in others
        if (confirms := each.confirms()) is not None and confirms.study in (folder.name, folder.stored_name)
    )
    trials = sum(1 for path in folder.trials.glob("*") if path.name.isdigit())
    if stored is None:
        return Deletion(folder, None, None, confirmed_by, trials)
    with failures_named(without_password(url)):
        opened = open_storage(url)
        check_nobody_runs(folder.holder(), folder, stored, opened)
        names = [name for name in names_in(opened) if name != stored.name]
    if file is not None and _lies_in(file, folder.path):
        if names:
            raise UsageError(
                f"{file}: holds study {names[0]} too, which would be deleted with the folder; move the file away first"
            )
        return Deletion(folder, None, None, confirmed_by, trials)
    sharing = next((each.name for each in others if _shares(each, folder, url)), None)
    return Deletion(folder, None if sharing else stored, sharing, confirmed_by, trials)


def delete_study(plan: Deletion) -> None:
    """Delete what was planned.

    Raises:
        UsageError: the study was started meanwhile, or something of it cannot be removed.
    """
    folder = plan.folder
    if folder.path.is_symlink():
        raise UsageError(f"{folder.path}: is a link, and links are not followed; remove it by hand (rm)")
    with ExitStack() as stack:
        stack.enter_context(folder.claim())
        if plan.stored is not None:
            stack.enter_context(failures_named(without_password(plan.stored.url)))
            opened = open_storage(plan.stored.url)
            check_nobody_runs(None, folder, plan.stored, opened)
            delete_stored(plan.stored.name, opened)
        _remove(folder)


def _remove(folder: RunFolder) -> None:
    """Remove a study's folder; what says that it is a study goes last, so that the same command can be repeated."""
    last = (folder.study_file, folder.path / LOCK_FILE)
    try:
        for path in sorted(folder.path.iterdir()):
            if path not in last:
                _remove_one(path)
        for path in last:
            path.unlink(missing_ok=True)
        folder.path.rmdir()
    except OSError as error:
        what = error.filename or folder.path
        raise UsageError(f"{what}: cannot be removed: {error.strerror or error}; repeat the command then") from None


def _remove_one(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # It goes by open folders where the system can, and takes a link inside away, never what that names.
        shutil.rmtree(path)
    else:
        path.unlink()


def _lies_in(file: Path, folder: Path) -> bool:
    return file.parent.resolve().is_relative_to(folder.resolve()) and not leads_out(file, folder)


def _shares(other: RunFolder, folder: RunFolder, url: str) -> bool:
    """Return whether another folder is of the very same study in the same storage: a copy."""
    if folder.study_id is None or other.study_id != folder.study_id:
        return False
    try:
        return is_same_storage(other.storage(), url)
    except UsageError:
        return False
