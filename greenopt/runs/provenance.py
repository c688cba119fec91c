"""The code that a study runs with: greenopt's version, and the git commit of the code or working folder."""

import subprocess
from pathlib import Path

from greenopt.version import __version__

_TIMEOUT_S = 10


def code_in_force() -> dict[str, str]:
    """Return `greenopt` (version) and `git` (commit, with `, modified` if files differ), if there is one.

    The commit is that of greenopt's own checkout where it runs from one, else that of the working folder.
    """
    found = {"greenopt": __version__}
    commit = git_commit(Path(__file__).parents[1]) or git_commit(Path.cwd())
    return {**found, "git": commit} if commit else found


def git_commit(folder: Path) -> str | None:
    """Return the commit of a folder's checkout, with `, modified` if tracked files differ; None without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return commit + (", modified" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
