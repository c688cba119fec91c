"""How a study's folder says where its storage is, so that the folder can be moved, copied and renamed.

Invariant: an SQLite file in the study's folder, or beside it under the same folder of runs, is named relative to the
study's folder; every copy then reads its own.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from greenopt.storage.url import without_password

DEFAULT_FILE = "study.db"
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(?:\?.*)?")


def sqlite_file(url: str) -> Path | None:
    """Return the absolute path of an SQLite URL's file; None for a server's URL or a database in memory."""
    found = _SQLITE.fullmatch(url)
    path = unquote(found["path"]) if found else ":memory:"
    return None if path == ":memory:" else Path(os.path.abspath(path))


def is_same_storage(a: str, b: str) -> bool:
    """Return whether two URLs lead to the same database, as far as can be seen without asking it."""
    file_a, file_b = sqlite_file(a), sqlite_file(b)
    if file_a is None or file_b is None:
        # One of them may have been kept without its password.
        return without_password(a) == without_password(b)
    return file_a.resolve() == file_b.resolve()


def reference_to(url: str, folder: Path) -> str:
    """Return what `study.json` keeps of a storage: a path relative to the study's folder where it lies with it.

    Args:
        url: the storage's, without a password.
        folder: the study's.
    """
    file = sqlite_file(url)
    if file is None:
        return url
    place, home = file.parent.resolve() / file.name, folder.resolve()
    if place.is_relative_to(home.parent):
        return os.path.relpath(place, home)
    return f"sqlite:///{quote(str(place))}"


def url_of(reference: str, folder: Path) -> str:
    """Return the URL of the storage that a study's folder refers to.

    Args:
        reference: as `reference_to` gave it, or a URL as older versions kept it: then the folder's own `study.db` comes
            before a `study.db` elsewhere, from which the folder was copied or moved away.
        folder: the study's.
    """
    if "://" not in reference:
        return f"sqlite:///{quote(os.path.normpath(folder / reference))}"
    file = sqlite_file(reference)
    if file is not None and file.name == DEFAULT_FILE and (folder / DEFAULT_FILE).is_file():
        return f"sqlite:///{quote(str(folder / DEFAULT_FILE))}"
    return reference
