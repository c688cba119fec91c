"""Formatting of numbers and settings in the report."""

import math
from collections.abc import Iterable, Mapping

from greenopt.analysis.results import Ranked
from greenopt.formatting import MISSING, fixed_digits, format_setting
from greenopt.spec import Value

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
    if math.isinf(value):
        return "infinite"
    return f"{value:.{digits}g}" if abs(value) >= 1e6 else fixed_digits(value, digits)


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with its sign."""
    return f"{'+' if value > 0 else ''}{number(value, digits)}"


def whole(value: float | None) -> str:
    """Format degrees of freedom and other counts, which have no digits to be kept."""
    return MISSING if value is None else f"{value:g}"


def plural(count: int, word: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def format_trial_numbers(trials: Iterable[int]) -> str:
    """Format trials' numbers; of many, the first ones and how many more."""
    numbers = list(trials)
    shown = ", ".join(str(trial) for trial in numbers[:NAMED_TRIALS])
    return shown if len(numbers) <= NAMED_TRIALS else f"{shown} and {len(numbers) - NAMED_TRIALS:,} more"


def stopped(text: str) -> str:
    """Add a full stop unless the text ends with one."""
    return text if text.endswith(".") else f"{text}."


def format_trial(one: Ranked) -> str:
    """Return a trial's number, and its version where there are several.

    The run that a trial was imported from stands in the appendix alone, so that a trial has one number throughout.
    """
    return f"{one.trial}" if one.version is None else f"{one.trial} {one.version}"


def brief_setting(values: Mapping[str, Value]) -> str:
    """Format a setting in one line, sampled numbers with four significant digits."""
    return format_setting(
        {name: float(f"{one:.4g}") if isinstance(one, float) else one for name, one in values.items()}
    )


def full_setting(values: Mapping[str, Value]) -> str:
    """Format a whole setting, every value with its parameter's name."""
    return ", ".join(f"{name} {format_value(value)}" for name, value in values.items())


def format_value(value: object) -> str:
    """Format a parameter's value; one sampled from a range with five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) and len(str(value)) > 7 else str(value)
