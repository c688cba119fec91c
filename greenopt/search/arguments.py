"""Checks the arguments that a study file gives to a sampler, before anything is written.

Optuna's constructors take values of wrong types, which then fail at the first trial that learns from others. Invariant:
what passes here is of the type that the sampler's signature names.
"""

import inspect
import math
from collections.abc import Iterable

from greenopt.errors import UsageError

MAX_COUNT = 100_000
"""The largest count that an argument may be; samplers reserve memory for as many candidates at once."""

STARTUP = "n_startup_trials"
_MAY_BE_ZERO = (STARTUP,)
_NOT_NAMED = (
    *("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "restart_strategy", "inc_popsize"),
    *("warn_independent_sampling", "warn_asynchronous_seeding"),
)
"""Arguments that Optuna is giving up, or that only concern its log: taken, but not offered."""
_TYPES: dict[str, tuple[type, str]] = {
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "a text"),
    "dict[str, Any]": (dict, "a table"),
}
_SHOWN_LENGTH = 60


def plain_parameters(sampler: type, own: Iterable[str]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a sampler that a study file can give: those of plain types.

    Args:
        sampler: its class.
        own: parameters that greenopt gives itself.
    """
    parameters = inspect.signature(sampler.__init__).parameters  # type: ignore[misc]
    left_out = {"self", *own}
    return {name: p for name, p in parameters.items() if name not in left_out and _kinds(p)}


def check_argument(sampler: str, name: str, value: object, parameter: inspect.Parameter) -> None:
    """Raise UsageError where a value is not of the type, or not in the bounds, of the parameter.

    Args:
        sampler: its name, for the message.
        name: the parameter's.
        value: as the study file has it.
        parameter: of the sampler's signature.
    """
    kinds = _kinds(parameter)
    if not any(_is_of(value, kind) for kind in kinds):
        wanted = " or ".join(_TYPES[kind][1] for kind in kinds)
        raise UsageError(f"sampler.{name}: {shown(value)}: {sampler} takes {wanted}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"sampler.{name}: {shown(value)}: is not a finite number")
    if isinstance(value, int) and not isinstance(value, bool) and "float" not in kinds and value != parameter.default:
        least = 0 if name in _MAY_BE_ZERO else 1
        if not least <= value <= MAX_COUNT:
            raise UsageError(f"sampler.{name}: {shown(value)}: must be {least} to {MAX_COUNT:,}")


def offered(names: Iterable[str]) -> str:
    """Return the arguments of a sampler, for a message."""
    return ", ".join(name for name in names if name not in _NOT_NAMED) or "no arguments but the study's seed"


def shown(value: object) -> str:
    """Return a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def _kinds(parameter: inspect.Parameter) -> list[str]:
    """Return the plain types of a parameter; none where only code could give it a value."""
    annotation = parameter.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    kinds = [kind.strip() for kind in text.split("|")]
    return [kind for kind in kinds if kind in _TYPES]


def _is_of(value: object, kind: str) -> bool:
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind][0]) and (kind == "bool" or not isinstance(value, bool))
