"""Makes a function that was defined in a notebook, or in the script that runs, importable by a trial's process.

A trial runs in a process of its own, which imports the function from a module. Of a function that no module holds the
source is written to one, with the source of what it uses: readable, compared when the study goes on like any other
code, and without a pickle.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from symtable import SymbolTable, symtable
from types import ModuleType
from typing import Any, NamedTuple

from greenopt.errors import UsageError, shortened
from greenopt.files import write_whole

MODULE = "notebook_objective"
"""Name of the module that is written."""

_HEAD = '"""Written by greenopt.run_study from the function that it was given; not to be edited."""\n'
_LONGEST = 10_000
"""Letters of the longest value that is written into a module."""


class KeptFunction(NamedTuple):
    """How a trial's process finds a function: `module:name`, and the folder of that module."""

    reference: str
    folder: Path


@contextmanager
def kept_function(function: Callable[..., Any], folder: Path) -> Iterator[KeptFunction]:
    """Make a function importable; on an error what was written is taken back.

    Args:
        function: defined with `def` at the top of a module, a script or a notebook.
        folder: where a module is written if it needs one.

    Raises:
        UsageError: it cannot be written as a module, and why.
    """
    name = getattr(function, "__name__", "")
    if not inspect.isfunction(inspect.unwrap(function)) or name == "<lambda>" or function.__qualname__ != name:
        raise UsageError("objective: has to be a function defined with `def`, not inside another one")
    if (beside := _module_folder(function)) is not None:
        yield KeptFunction(f"{function.__module__}:{name}", beside)
        return
    file = folder / f"{MODULE}.py"
    before = file.read_bytes() if file.is_file() else None
    is_new = not folder.exists()
    text = source_of(function)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode())
    try:
        yield KeptFunction(f"{MODULE}:{name}", folder)
    except UsageError:
        if before is not None:
            write_whole(file, before)
        else:
            file.unlink(missing_ok=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
        raise


def source_of(function: Callable[..., Any]) -> str:
    """Return a module's text that defines a function and all that it uses of its own module.

    Raises:
        UsageError: it uses a value that is not plain, such as a model or an array.
    """
    module = _Module(inspect.unwrap(function).__globals__)
    module.add(function.__name__)
    return module.text


def _module_folder(function: Callable[..., Any]) -> Path | None:
    """Return the folder from which a function's module is imported; None where no file holds it under its name."""
    if function.__module__ == "__main__":
        return None
    module = importlib.import_module(function.__module__)
    if getattr(module, function.__name__, None) is not function or module.__file__ is None:
        return None
    file = Path(module.__file__).resolve()
    depth = function.__module__.count(".") + (1 if file.name == "__init__.py" else 0)
    return Path(file.parents[depth])


class _Module:
    """A module's text as it grows: imports, then values, functions and classes, each after what it uses."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._known: set[str] = set()
        self._imports: list[str] = []
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join([_HEAD, *self._imports, "", *self._parts])

    def add(self, name: str, user: str = "") -> None:
        """Add what a name stands for, and first what that uses; a name of Python's own, or of nothing, is left out."""
        if name in self._known or name not in self._names:
            return
        self._known.add(name)
        value = self._names[name]
        if isinstance(value, ModuleType):
            self._imports.append(f"import {_renamed(value.__name__, name)}")
        elif (origin := _origin(value)) is not None:
            self._imports.append(f"from {origin[0]} import {_renamed(origin[1], name)}")
        elif inspect.isfunction(_unwrapped(value)) or inspect.isclass(value):
            self._add_source(name, value)
        elif (literal := _literal(value)) is not None:
            self._parts.append(f"{name} = {literal}\n")
        else:
            kind = type(value).__name__
            raise UsageError(
                f"objective: {user} uses {shortened(name, 40)}, of type {kind}, which cannot be written into a module; "
                "make it inside the function, or put both into a module of your own"
            )

    def _add_source(self, name: str, value: Any) -> None:
        try:
            source = textwrap.dedent(inspect.getsource(value))
        except (OSError, TypeError):
            raise UsageError(
                f"objective: the source of {name} is not known; put it into a module of your own"
            ) from None
        if inspect.isfunction(_unwrapped(value)) and _unwrapped(value).__closure__:
            raise UsageError(f"objective: {name} uses variables of the function around it; hand them over as arguments")
        for used in _used_names(symtable(source, name, "exec")):
            self.add(used, name)
        self._parts.append(f"\n{source}\n")


def _unwrapped(value: Any) -> Any:
    """Return the function inside decorators, or the value itself."""
    return inspect.unwrap(value) if callable(value) else value


def _renamed(imported: str, name: str) -> str:
    return imported if imported == name else f"{imported} as {name}"


def _origin(value: Any) -> tuple[str, str] | None:
    """Return the module and the name by which a function, class or other object can be imported; None if by none."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return (module, name) if found is value else None


def _literal(value: Any) -> str | None:
    """Return a value's text where Python reads the same value from it."""
    text = repr(value)
    try:
        return text if len(text) <= _LONGEST and ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _used_names(source: SymbolTable) -> Iterator[str]:
    """Return the names that source code looks up in its module, in the functions and classes inside it too."""
    is_module = source.get_type() == "module"
    for symbol in source.get_symbols():
        if symbol.is_referenced() and (is_module or symbol.is_global()):
            yield symbol.get_name()
    for inner in source.get_children():
        yield from _used_names(inner)
