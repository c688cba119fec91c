"""Values of a range with a step, in the decimal digits that the study file has them in.

Binary fractions would give 0.30000000000000004 for 0.1 + 2 x 0.1, and another last value where a step divides a range.
"""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

_DIGITS = 800
"""Digits that hold the quotient of any two numbers of 64 bits, 1.8e308 by 5e-324."""


def last_value(low: int | float, high: int | float, step: int | float) -> int | float:
    """Return the largest value of `low + k * step` that is at most `high`; a whole number where all three are."""
    return value_at_step(low, step, steps_between(low, high, step))


def steps_between(low: int | float, high: int | float, step: int | float) -> int:
    """Return how many whole steps fit between two bounds."""
    with localcontext() as context:
        context.prec = _DIGITS
        return int((_decimal(high) - _decimal(low)) // _decimal(step))


def on_step(value: float, low: int | float, step: int | float) -> float:
    """Return the value of `low + k * step` nearest to a value that was drawn, as its digits say it."""
    with localcontext() as context:
        context.prec = _DIGITS
        steps = ((_decimal(value) - _decimal(low)) / _decimal(step)).to_integral_value(ROUND_HALF_EVEN)
    return float(value_at_step(low, step, int(steps)))


def value_at_step(low: int | float, step: int | float, steps: int) -> int | float:
    """Return `low + steps * step`, as its digits say it; a whole number where both are."""
    if isinstance(low, int) and isinstance(step, int):
        return low + steps * step
    with localcontext() as context:
        context.prec = _DIGITS
        return float(_decimal(low) + steps * _decimal(step))


def _decimal(number: int | float) -> Decimal:
    return Decimal(str(number))
