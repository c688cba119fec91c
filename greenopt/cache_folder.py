"""The folder in which trials keep images, graphs and compiled programs for later trials.

Invariants: a file or folder appears under its final name whole or not at all; nothing but time and set-up energy
depends on what is kept; where nothing can be kept, trials run all the same. Graphs and compiled programs are code:
nothing is read from a folder that belongs to another user or that others could write to.
"""

import os
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from greenopt.plain_text import printable

FOLDER_VARIABLE = "GREENOPT_CACHE"
"""Environment variable that names another folder; an empty one keeps nothing."""

_IDLE_POWER = "idle.json"
"""Idle powers of GPUs: measured, checked when they are read, and no code."""

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def cache_folder(say: Callable[[str], None] | None = None) -> Path | None:
    """Return the folder of what is kept, made if need be; None where nothing is to be kept or nothing can be.

    Args:
        say: told why a folder that is there is not used; once a process on standard error unless given.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named == "":
        return None
    folder = Path(named).expanduser() if named else user_cache_path("greenopt")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        doubt = _doubt(folder, is_default=not named)
    except OSError:
        return None
    if doubt is not None:
        (say or say_once)(f"the cache folder {folder} {doubt}; nothing is kept between trials")
        return None
    return folder if os.access(folder, os.W_OK) else None


@cache
def say_once(line: str) -> None:
    """Print a line on standard error, once a process."""
    print(f"greenopt: {printable(line)}", file=sys.stderr, flush=True)


def _doubt(folder: Path, *, is_default: bool) -> str | None:
    """Return why a folder cannot be trusted with code; None where its user alone could write to it.

    The default folder is greenopt's, and is closed to others. A named one may be anything, and is left as it is.

    Raises:
        OSError: the folder cannot be looked at.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid():
        return f"belongs to another user (uid {found.st_uid}), and what is kept there would be run"
    is_open = bool(found.st_mode & _OTHERS_WRITE)
    if is_open and not is_default:
        mode = stat.S_IMODE(found.st_mode)
        return f"can be written to by others (mode {mode:04o}), and what is kept there would be run: chmod go-w it"
    if is_default and found.st_mode & _OTHERS:
        folder.chmod(0o700)
        if is_open and not _emptied(folder):
            return "could be written to by others, and holds what cannot be removed"
    return None


def _emptied(folder: Path) -> bool:
    """Remove all that others may have laid into a folder and that would be run; return whether it is gone."""
    doubtful = [entry for entry in folder.iterdir() if entry.name != _IDLE_POWER]
    for entry in doubtful:
        with suppress(OSError):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return not any(os.path.lexists(entry) for entry in doubtful)


def prune(folder: Path, limit_bytes: int) -> None:
    """Delete the least recently used files and folders in a folder until the rest takes at most `limit_bytes`."""
    entries = []
    for entry in folder.iterdir():
        with suppress(OSError):
            files = [entry] if entry.is_file() else [file for file in entry.rglob("*") if file.is_file()]
            states = [file.stat() for file in files]
            if states:
                used_s = max(max(state.st_atime, state.st_mtime) for state in states)
                entries.append((used_s, sum(state.st_size for state in states), entry))
    kept_bytes = 0
    for _, size, entry in sorted(entries, reverse=True):
        kept_bytes += size
        if kept_bytes > limit_bytes:
            with suppress(OSError):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
