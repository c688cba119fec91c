"""Takes a study that is not running, for a change to what its storage holds."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from greenopt.errors import UsageError
from greenopt.identity.place import StoredStudy, locate
from greenopt.runs.folder import RunFolder
from greenopt.search import Storage, failures_named, lease_holder, open_storage
from greenopt.storage.url import without_password


@contextmanager
def taken(
    folder: RunFolder, storage: str | None = None, check: Callable[[StoredStudy, Storage], object] | None = None
) -> Iterator[tuple[StoredStudy, Storage]]:
    """Hold a study's folder and its storage; nobody runs it meanwhile.

    Args:
        folder: its results; need not exist where `storage` is given.
        storage: URL of its storage; that of the folder unless given.
        check: raises UsageError where the change cannot be made; called before the folder's lock leaves its files.

    Raises:
        UsageError: there is no such study, it is being run, or the check says so; nothing was written.
    """
    stored = locate(folder, storage)
    with ExitStack() as stack:
        stack.enter_context(failures_named(without_password(stored.url)))
        opened = open_storage(stored.url)
        check_nobody_runs(folder.holder() if folder.path.is_dir() else None, folder, stored, opened)
        if check is not None:
            check(stored, opened)
        if folder.path.is_dir():
            stack.enter_context(folder.claim())
        yield stored, opened


def check_nobody_runs(holder: str | None, folder: RunFolder, stored: StoredStudy, storage: Storage) -> None:
    """Raise UsageError where a coordinator runs the study: this holder of its folder, or one on any host."""
    holder = holder or lease_holder(stored.name, storage)
    if holder is not None:
        raise UsageError(f"study {folder.name} is being run by {holder}; stop it first: greenopt stop {folder.name}")
