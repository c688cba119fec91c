"""Closed intervals of numbers, as far as the meter needs them."""

import math
from typing import NamedTuple, Self


class Bounds(NamedTuple):
    """All numbers between two ends, both included."""

    low: float
    high: float

    @classmethod
    def anything(cls) -> Self:
        """No bound at all."""
        return cls(-math.inf, math.inf)

    def widened(self, by: float) -> "Bounds":
        """Both ends moved outwards."""
        return Bounds(self.low - by, self.high + by)

    def minus(self, other: "Bounds") -> "Bounds":
        """Every difference between a number of this and a number of the other."""
        return Bounds(self.low - other.high, self.high - other.low)

    def shared_with(self, other: "Bounds") -> "Bounds | None":
        """The numbers in both; None where there are none."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Bounds(low, high) if low <= high else None

    def nearest(self, value: float) -> float:
        """The number inside that is closest to a value."""
        return min(max(value, self.low), self.high)

    def farthest(self, value: float) -> float:
        """Distance from a value to the farther end."""
        return max(self.high - value, value - self.low)
