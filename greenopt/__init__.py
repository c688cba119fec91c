"""greenopt: hyperparameter studies of accuracy against measured energy.

The public names are imported when they are first used, so that the command line starts fast.
"""

from typing import TYPE_CHECKING, Any

from greenopt.version import __version__

if TYPE_CHECKING:
    from greenopt.api import Findings, Study, load_study, run_study
    from greenopt.energy import metered
    from greenopt.trial.objective import Trial

__all__ = ["Findings", "Study", "Trial", "__version__", "load_study", "metered", "run_study"]

_PLACES = {
    **dict.fromkeys(("Findings", "Study", "load_study", "run_study"), "greenopt.api"),
    "metered": "greenopt.energy",
    "Trial": "greenopt.trial.objective",
}


def __getattr__(name: str) -> Any:
    """Import a public name."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
