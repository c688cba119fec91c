"""How the report writes numbers and settings."""

import math
from collections.abc import Iterable, Mapping

from greenopt.analysis.results import Ranked
from greenopt.formatting import MISSING, setting_words, significant
from greenopt.spec import PARAMETERS, Value

NAMED_TRIALS = 12


def p_words(p: float | None) -> str:
    """A probability: three significant digits, `< 0.0001` below that."""
    if p is None or math.isnan(p):
        return MISSING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, a dash where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    return (
        "infinite" if math.isinf(value) else f"{value:.{digits}g}" if abs(value) >= 1e6 else significant(value, digits)
    )


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    return f"{'+' if value > 0 else ''}{number(value, digits)}"


def plural(count: int, word: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def trials_words(trials: Iterable[int]) -> str:
    """Numbers of trials; of many, the first ones and how many more."""
    numbers = list(trials)
    shown = ", ".join(str(trial) for trial in numbers[:NAMED_TRIALS])
    return shown if len(numbers) <= NAMED_TRIALS else f"{shown} and {len(numbers) - NAMED_TRIALS:,} more"


def sentence(words: str) -> str:
    """A finding as a sentence: a capital first, a full stop last."""
    words = words.strip()
    if not words:
        return ""
    first = words.split()[0]
    if "_" in first or ":" in first:
        return words + ("" if words[-1] in ".:!?" else ".")
    return words[0].upper() + words[1:] + ("" if words[-1] in ".:!?" else ".")


def stopped(words: str) -> str:
    """Words with a full stop, but for one that an abbreviation has brought already."""
    return words if words.endswith(".") else f"{words}."


def run_words(one: Ranked) -> str:
    """A trial by its number, its version where there are several, and the name of the run that it was imported from."""
    number = f"{one.trial}" if one.version is None else f"{one.trial} {one.version}"
    return number + (f" (run {one.run})" if one.run else "")


def brief_setting(values: Mapping[str, Value]) -> str:
    """A setting in one line, drawn numbers with four significant digits."""
    return setting_words({name: float(f"{one:.4g}") if isinstance(one, float) else one for name, one in values.items()})


def full_setting(values: Mapping[str, Value]) -> str:
    """A whole setting, every value written out, the ten without their names where they speak for themselves."""
    if set(values) == set(PARAMETERS):
        shown = (f"{name} {value}" if name in _NEED_NAMES else str(value) for name, value in values.items())
        return ", ".join(shown)
    return ", ".join(f"{name} {value}" for name, value in values.items())


_NEED_NAMES = ("preprocessing", "augmentation", "batch_size", "lr", "optimizer_momentum", "internal")
