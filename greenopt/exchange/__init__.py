"""Trials that ran elsewhere, made a study like any other; and a study's trials as a table.

What imports is loaded when it is first used: an export needs neither pandas nor Optuna, which take longer to load than
it takes to write a table.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from greenopt.exchange.columns import CELLS_ATTRIBUTE, PLAIN_TEXTS, STUDY_ATTRIBUTE

if TYPE_CHECKING:
    from greenopt.exchange.imported import Import, ImportedTrial
    from greenopt.exchange.reading import read_import
    from greenopt.exchange.writing import write_import

__all__ = [
    "CELLS_ATTRIBUTE",
    "PLAIN_TEXTS",
    "STUDY_ATTRIBUTE",
    "Import",
    "ImportedTrial",
    "read_import",
    "write_import",
]

_MODULES = {"Import": "imported", "ImportedTrial": "imported", "read_import": "reading", "write_import": "writing"}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
