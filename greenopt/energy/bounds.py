"""Closed intervals of numbers, as far as the meter needs them."""

from typing import NamedTuple


class Bounds(NamedTuple):
    """All numbers between two ends, both included."""

    low: float
    high: float

    def widened(self, by: float) -> "Bounds":
        """Both ends moved outwards."""
        return Bounds(self.low - by, self.high + by)

    def minus(self, other: "Bounds") -> "Bounds":
        """Every difference between a number of this and a number of the other."""
        return Bounds(self.low - other.high, self.high - other.low)

    def shared_with(self, other: "Bounds") -> "Bounds | None":
        """Return the numbers in both intervals; None if there are none."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Bounds(low, high) if low <= high else None

    def has(self, value: float) -> bool:
        """Return whether a number lies inside."""
        return self.low <= value <= self.high

    def moved(self, by: float) -> "Bounds":
        """Both ends moved the same way."""
        return Bounds(self.low + by, self.high + by)

    def hull_with(self, other: "Bounds") -> "Bounds":
        """Return the shortest interval that holds both."""
        return Bounds(min(self.low, other.low), max(self.high, other.high))

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """The number halfway between the ends."""
        return (self.low + self.high) / 2

    def farthest(self, value: float) -> float:
        """Distance from a value to the farther end."""
        return max(self.high - value, value - self.low)
