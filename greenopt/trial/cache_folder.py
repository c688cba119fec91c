"""The folder in which trials keep images, graphs and compiled programs for later trials.

Invariants: a file or folder appears under its final name whole or not at all; nothing but time and set-up energy
depends on what is kept; where nothing can be kept, trials run all the same.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

FOLDER_VARIABLE = "GREENOPT_CACHE"
"""Environment variable that names another folder; an empty one keeps nothing."""


def cache_folder() -> Path | None:
    """Return the folder of what is kept, made if need be; None where nothing is to be kept or nothing can be."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named == "":
        return None
    folder = Path(named).expanduser() if named else user_cache_path("greenopt")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


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
