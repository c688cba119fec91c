"""The file of an SQLite storage, watched for being moved, deleted or replaced while it is open.

SQLite goes on writing to a deleted file without an error, and everything that is written there is lost.
"""

import os
from collections.abc import Callable
from pathlib import Path

from greenopt.identity.reference import sqlite_file


def file_watch(url: str) -> Callable[[], str | None]:
    """Return a function that says what became of a storage's file; None while it is the one of now.

    Args:
        url: the storage's; one without a file never changes.
    """
    file = sqlite_file(url)
    if file is None or not os.path.exists(file):
        return lambda: None
    first = _identity(file)

    def change() -> str | None:
        now = _identity(file)
        if now is None:
            return "its file is gone"
        return None if now == first else "its file was replaced by another"

    return change


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
