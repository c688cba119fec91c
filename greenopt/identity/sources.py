"""Finds the source files that a study runs: its function's or model's module, and the local modules that it imports.

Nothing is imported: files are found as Python's path finder would, and their imports are read from their syntax trees.
Local are the files under the study's folder, the current folder or PYTHONPATH; of an installed package, its own files.
Modules that are imported under a computed name cannot be seen.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import NamedTuple

_STANDARD = tuple(Path(path).resolve() for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name)))
_PACKAGES = {"site-packages", "dist-packages"}
_OWN_PACKAGE = "greenopt"


class Source(NamedTuple):
    """A module's file; `is_package` where it is a package's `__init__.py`."""

    module: str
    file: Path
    is_package: bool


def module_roots(folder: str | None) -> tuple[Path, ...]:
    """Return where a trial's process looks for modules, in its order: the study's folder, then this, then Python's.

    Args:
        folder: the study's folder, absolute; None where modules are not looked for there.
    """
    given = [folder] if folder is not None else []
    return tuple(dict.fromkeys(Path(path or ".").absolute() for path in (*given, "", *sys.path)))


def is_there(module: str, folder: str | None) -> bool:
    """Return whether a module, or the package that holds it, can be found; without importing it."""
    roots = module_roots(folder)
    if located(module, roots) is not None:
        return True
    top, _, rest = module.partition(".")
    is_own = _home(top, roots) is not None
    return not (is_own and rest) and PathFinder.find_spec(top, [str(root) for root in roots]) is not None


def local_sources(module: str, folder: str | None) -> list[Source]:
    """Return a module's file and those of the local modules that it imports, directly or not, by name.

    Args:
        module: its dotted name.
        folder: the study's folder; see `module_roots`.
    """
    roots, found, waiting = module_roots(folder), dict[str, Source](), [module]
    top = module.partition(".")[0]
    while waiting:
        name = waiting.pop()
        for part in _with_packages(name):
            source = None if part in found else located(part, roots)
            if source is not None and _is_studied(source, top):
                found[part] = source
                waiting += _imports(source)
    return [found[name] for name in sorted(found)]


def _is_studied(source: Source, top: str) -> bool:
    """Return whether a file belongs to what the user wrote, or to the package of the study's module."""
    package = source.module.partition(".")[0]
    if package == _OWN_PACKAGE:
        return False
    return package == top or not _is_installed(source.file.resolve())


def _is_installed(file: Path) -> bool:
    return bool(_PACKAGES & set(file.parts)) or any(file.is_relative_to(place) for place in _STANDARD)


def _with_packages(name: str) -> Iterator[str]:
    """Yield `a`, `a.b` and `a.b.c` of `a.b.c`: importing the last one runs all of them."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _home(top: str, roots: Sequence[Path]) -> Path | None:
    """Return the first of the folders in which a top-level module or package lies."""
    for root in roots:
        if _file_in(root, top) is not None:
            return root
    # A folder without __init__.py is a package only where no later folder holds a real one.
    return next((root for root in roots if (root / top).is_dir() and any((root / top).glob("*.py"))), None)


def located(module: str, roots: Sequence[Path]) -> Source | None:
    """Return a module's file below these folders, the first that has it; None where none of them does."""
    *parents, last = module.split(".")
    root = _home(module.partition(".")[0], roots)
    if root is None:
        return None
    file = _file_in(root.joinpath(*parents), last)
    return None if file is None else Source(module, file, file.stem == "__init__" and file.parent.name == last)


def _file_in(folder: Path, name: str) -> Path | None:
    package = folder / name / "__init__.py"
    names = (f"{name}.py", *(f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES))
    files = (package, *(folder / each for each in names))
    return next((file for file in files if file.is_file()), None)


def _imports(source: Source) -> list[str]:
    """Return the dotted names that a file may import; those that are attributes of modules lead to no file."""
    try:
        tree = ast.parse(source.file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, source)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
        elif isinstance(node, ast.Call):
            found += _by_function(node)
    return [name for name in found if all(name.split("."))]


def _absolute(node: ast.ImportFrom, source: Source) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    package = parts[: len(parts) - node.level + source.is_package]
    return ".".join([*package, *([node.module] if node.module else [])])


def _by_function(node: ast.Call) -> list[str]:
    """Return the name in `importlib.import_module("a.b")`."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in ("import_module", "__import__") or not node.args:
        return []
    first = node.args[0]
    return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
