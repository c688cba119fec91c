"""Digests of what a study is made of: Python files by what they do, data files by their contents.

Invariant: comments, docstrings and layout of a Python file are not in its digest; its digest is the same under every
version of Python that reads it alike.
"""

import ast
import hashlib
import json
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from greenopt.files import write_whole

DIGESTS_FILE = "fingerprints.json"
"""File in greenopt's cache folder in which digests of data are kept."""

_UNSTABLE = ("type_comment", "type_ignores", "type_params", "kind", "ctx")
"""Fields of syntax trees that say nothing of what code does, or that only some versions of Python have."""

_SETTLED_S = 2.0
"""A file that was changed less long ago may change again within the same tick of its time stamp."""


def code_digest(file: Path) -> str:
    """Return the digest of a source file; of one that cannot be parsed, of its bytes."""
    try:
        content = file.read_bytes()
    except OSError:
        return "unreadable"
    try:
        parsed = repr(_plain(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256(parsed.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(node: Any) -> Any:
    """Return a syntax tree as nested tuples of names and constants, without positions and docstrings."""
    if isinstance(node, list):
        return tuple(_plain(each) for each in node)
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _UNSTABLE)
    kept = tuple(
        (name, _plain(_without_docstring(node, name, value))) for name, value in fields if value not in (None, [])
    )
    return (type(node).__name__, *kept)


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if name != "body" or not isinstance(node, holders) or not value:
        return value
    first = value[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return value[1:] if is_text else value


def package_digest(folder: Path = Path(__file__).parents[1]) -> str:
    """Return one short digest of greenopt's own source files, as they are installed here."""
    files = sorted(file for file in folder.rglob("*.py"))
    return combined((str(file.relative_to(folder)), _sha256(file)) for file in files)


class DataDigests:
    """Digests of data, each file read once as long as its size and its time of change stay. Used by one thread."""

    def __init__(self, kept: Path | None = None) -> None:
        """Know nothing yet.

        Args:
            kept: file in which digests are kept between runs; None for none.
        """
        self._kept = kept
        self._known: dict[str, str] = _read(kept)

    def of(self, path: Path) -> str | None:
        """Return the SHA-256 of a file's contents, or of a folder's names and contents; None where there is nothing."""
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            named = [(str(file.relative_to(path)), self._file(file)) for file in files]
            return hashlib.sha256(json.dumps(named).encode()).hexdigest()
        return self._file(path) if path.is_file() else None

    def of_files(self, root: Path, names: Sequence[str]) -> str:
        """Return the SHA-256 of the names and contents of files below a folder; of one that is gone, of its name.

        All are read again when one of them has changed: one entry is kept for all, however many they are.
        """
        states = [(name, _state(root / name)) for name in names]
        key = f"{root.resolve()} {hashlib.sha256(json.dumps(states).encode()).hexdigest()}"
        if key not in self._known:
            named = [(name, _sha256(root / name) if state is not None else None) for name, state in states]
            digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
            if any(state is not None and time.time() - state[1] / 1e9 < _SETTLED_S for _, state in states):
                return digest
            self._known[key] = digest
            self._keep()
        return self._known[key]

    def _file(self, file: Path) -> str:
        state = file.stat()
        key = f"{file.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ino}"
        if key not in self._known:
            digest = _sha256(file)
            if time.time() - state.st_mtime < _SETTLED_S:
                return digest
            self._known[key] = digest
            self._keep()
        return self._known[key]

    def _keep(self) -> None:
        if self._kept is None:
            return
        with suppress(OSError):
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._kept, json.dumps(self._known).encode())


def combined(digests: Iterator[tuple[str, str]]) -> str:
    """Return one short digest of several, by name."""
    return hashlib.sha256(json.dumps(sorted(digests)).encode()).hexdigest()[:12]


def _state(file: Path) -> tuple[int, int, int] | None:
    """Return a file's size in bytes, its time of change in ns and its inode; None where it is no file."""
    try:
        state = file.stat()
    except OSError:
        return None
    return (state.st_size, state.st_mtime_ns, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read(kept: Path | None) -> dict[str, str]:
    try:
        document = json.loads(kept.read_text(encoding="utf-8")) if kept is not None else {}
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in document.items()} if isinstance(document, dict) else {}
