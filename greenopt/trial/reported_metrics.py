"""Checks of the figures that a function of the user's gives: each is what it is recorded as, or refused with the cure.

Knows numbers of libraries (NumPy's, PyTorch's, TensorFlow's) by what they can do and imports none of them.
"""

import math
from collections.abc import Mapping
from typing import Any

from greenopt.trial.failures import WrongSettingError


def fraction(name: str, given: object, where: str) -> float:
    """Return an accuracy as a float.

    Args:
        name: of the figure.
        given: what the function gave; NaN is a training that diverged.
        where: it was given, for the message.

    Raises:
        WrongSettingError: it is no number of 0..1.
    """
    value = number(name, given, where)
    if math.isnan(value) or 0 <= value <= 1:
        return value
    if 1 < value <= 100:
        cure = f"give a fraction 0..1, {value / 100:.6g}"
    elif -1 <= value < 0:
        cure = "it is below 0; give a fraction 0..1, not a loss or a score with its sign changed"
    else:
        cure = "give a fraction 0..1"
    raise WrongSettingError(f"{where}: {name} {value:.6g}: {cure}")


def finite_or_nan(name: str, given: object, where: str) -> float:
    """Return a loss as a float; one that is not finite is NaN, which is recorded as missing.

    Raises:
        WrongSettingError: it is no number.
    """
    value = number(name, given, where)
    return value if math.isfinite(value) else math.nan


def learning_rate(given: object, where: str) -> float | None:
    """Return a learning rate as a float; None where it is not finite.

    Raises:
        WrongSettingError: it is no number, or negative.
    """
    value = number("lr", given, where)
    if value < 0:
        raise WrongSettingError(f"{where}: lr {value:g}: a learning rate is at least 0")
    return value if math.isfinite(value) else None


def number(name: str, given: object, where: str) -> float:
    """One real number, of whatever library, as a float.

    Raises:
        WrongSettingError: it is text, a truth value, several numbers, or no number at all.
    """
    wanted = f"{where}: {name} {_shown(given)}: give one number"
    kind = str(getattr(given, "dtype", type(given).__name__))
    if isinstance(given, str | bytes | bytearray | Mapping | complex) or "bool" in kind or "complex" in kind:
        raise WrongSettingError(wanted)
    try:
        value: Any = given.item() if hasattr(given, "item") else given
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise WrongSettingError(wanted) from None


def _shown(given: object) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
