"""Formatting of numbers and settings in the report."""

import math
from collections.abc import Iterable, Mapping

from greenopt.analysis.results import Ranked
from greenopt.formatting import MISSING, format_setting, significant
from greenopt.spec import PARAMETERS, Value

NAMED_TRIALS = 12


def format_p(p: float | None) -> str:
    """Format a probability: three significant digits, `< 0.0001` below that."""
    if p is None or math.isnan(p):
        return MISSING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number with `digits` significant digits; a dash if it is None."""
    if value is None or math.isnan(value):
        return MISSING
    return (
        "infinite" if math.isinf(value) else f"{value:.{digits}g}" if abs(value) >= 1e6 else significant(value, digits)
    )


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with its sign."""
    return f"{'+' if value > 0 else ''}{number(value, digits)}"


def plural(count: int, word: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def format_trial_numbers(trials: Iterable[int]) -> str:
    """Format trials' numbers; of many, the first ones and how many more."""
    numbers = list(trials)
    shown = ", ".join(str(trial) for trial in numbers[:NAMED_TRIALS])
    return shown if len(numbers) <= NAMED_TRIALS else f"{shown} and {len(numbers) - NAMED_TRIALS:,} more"


def sentence(text: str) -> str:
    """Format a finding as a sentence: a capital first, a full stop last."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0]
    if "_" in first or ":" in first:
        return text + ("" if text[-1] in ".:!?" else ".")
    return text[0].upper() + text[1:] + ("" if text[-1] in ".:!?" else ".")


def stopped(text: str) -> str:
    """Add a full stop unless the text ends with one."""
    return text if text.endswith(".") else f"{text}."


def format_trial(one: Ranked) -> str:
    """Return a trial's number, its version where there are several, and the run that it was imported from."""
    number = f"{one.trial}" if one.version is None else f"{one.trial} {one.version}"
    return number + (f" (run {one.run})" if one.run else "")


def brief_setting(values: Mapping[str, Value]) -> str:
    """Format a setting in one line, sampled numbers with four significant digits."""
    return format_setting(
        {name: float(f"{one:.4g}") if isinstance(one, float) else one for name, one in values.items()}
    )


def full_setting(values: Mapping[str, Value]) -> str:
    """Format a whole setting with every value; the ten parameters' names are left out where unambiguous."""
    if set(values) == set(PARAMETERS):
        shown = (f"{name} {value}" if name in _NEED_NAMES else str(value) for name, value in values.items())
        return ", ".join(shown)
    return ", ".join(f"{name} {value}" for name, value in values.items())


_NEED_NAMES = ("preprocessing", "augmentation", "batch_size", "lr", "optimizer_momentum", "internal")
