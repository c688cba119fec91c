"""The Pareto front of accuracy against energy, and the hypervolume that it dominates, kept as points arrive.

Invariant: the front is sorted by energy, and accuracy rises strictly along it. A new point costs a binary search and,
beside it, only the points that it pushes off, so that ten thousand trials are no more work than ten.

Convention of the hypervolume: it is the accuracy that an energy budget buys, averaged over budgets on a logarithmic
scale, from the least energy of any completed trial to `REFERENCE_FACTOR` times the largest, dominated trials included.
It is a share 0..1 without a unit, the same whatever unit the energy is in. On a scale of Wh the one trial of the
largest energy would make all others alike; on a logarithmic one halving the energy counts the same everywhere. As both
ends follow the trials, values taken at different times compare only at common ends: `HypervolumeTrace` keeps what that
takes.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

REFERENCE_FACTOR = 1.1
"""The reference energy lies this far beyond the worst, so that the extreme points of a front count too."""


class Point(NamedTuple):
    """A completed trial: its energy in Wh, its accuracy as a fraction 0..1, its number."""

    energy_wh: float
    accuracy: float
    trial: int = -1


class Area(NamedTuple):
    """The area below a front over log energy, for any ends that enclose the front.

    Attributes:
        inner: the area between the front's first and last energy, in log Wh x accuracy.
        edge_wh: energy of its most accurate point.
        height: accuracy of that point.
    """

    inner: float = 0.0
    edge_wh: float = 0.0
    height: float = 0.0

    def hypervolume(self, least_wh: float, reference_wh: float) -> float:
        """Return the mean accuracy 0..1 that budgets from `least_wh` to `reference_wh` buy, on a logarithmic scale."""
        if reference_wh <= 0 or self.edge_wh <= 0:
            return 0.0
        width = math.log(reference_wh / least_wh)
        if width <= 0:
            return 0.0
        return (self.inner + max(0.0, math.log(reference_wh / self.edge_wh)) * self.height) / width


class ParetoFront:
    """The points that no other dominates: none has at least the accuracy for at most the energy.

    Of equal points the first one stands.
    """

    def __init__(self, points: Iterable[Point] = ()) -> None:
        """Start with these points."""
        self._points: list[Point] = []
        self._largest_wh = 0.0
        self._least_wh = 0.0
        for point in points:
            self.add(point)

    @property
    def points(self) -> Sequence[Point]:
        """The front, least energy first."""
        return tuple(self._points)

    @property
    def reference_wh(self) -> float:
        """The reference energy in Wh, from the largest one of all points added; 0 before the first."""
        return REFERENCE_FACTOR * self._largest_wh

    @property
    def least_wh(self) -> float:
        """The least energy in Wh of all points added that is above 0; 0 before the first."""
        return self._least_wh

    @property
    def hypervolume(self) -> float:
        """The share 0..1 that the front dominates, by this module's convention."""
        return self.area().hypervolume(self.least_wh, self.reference_wh)

    def add(self, point: Point) -> bool:
        """Add a point; return whether it is on the front now."""
        self._largest_wh = max(self._largest_wh, point.energy_wh)
        if point.energy_wh > 0:
            self._least_wh = min(self._least_wh or point.energy_wh, point.energy_wh)
        at = bisect_right(self._points, point.energy_wh, key=_energy)
        if at > 0 and self._points[at - 1].accuracy >= point.accuracy:
            return False
        start = bisect_left(self._points, point.energy_wh, key=_energy)
        end = start
        while end < len(self._points) and self._points[end].accuracy <= point.accuracy:
            end += 1
        self._points[start:end] = [point]
        return True

    def area(self) -> Area:
        """Return the area below the front, without ends yet; points without energy have no place on the scale."""
        points = [point for point in self._points if point.energy_wh > 0]
        if not points:
            return Area()
        steps = pairwise(points)
        inner = sum(math.log(after.energy_wh / before.energy_wh) * before.accuracy for before, after in steps)
        return Area(inner, points[-1].energy_wh, points[-1].accuracy)


@dataclass(frozen=True)
class _Step:
    count: int
    area: Area


class HypervolumeTrace:
    """The growth of the hypervolume, point by point, relative to the reference energy at query time."""

    def __init__(self) -> None:
        """Start with an empty front."""
        self.front = ParetoFront()
        self._count = 0
        self._steps: list[_Step] = []

    def add(self, point: Point) -> bool:
        """Add the next completed trial; return whether it is on the front now."""
        self._count += 1
        is_on_front = self.front.add(point)
        if is_on_front:
            self._steps.append(_Step(self._count, self.front.area()))
        return is_on_front

    def values(self) -> list[tuple[int, float]]:
        """Pairs of (completed trials so far, hypervolume 0..1), one for each change; never falling."""
        least_wh, reference_wh = self.front.least_wh, self.front.reference_wh
        return [(step.count, step.area.hypervolume(least_wh, reference_wh)) for step in self._steps]


def pareto_front(points: Iterable[Point]) -> Sequence[Point]:
    """Return the Pareto front of points, least energy first."""
    return ParetoFront(points).points


def hypervolume(points: Iterable[Point], least_wh: float | None = None, reference_wh: float | None = None) -> float:
    """Return the mean accuracy 0..1 that budgets between two energies buy, on a logarithmic scale.

    Args:
        points: completed trials.
        least_wh: at most the least energy of them; by this module's convention unless given.
        reference_wh: at least the largest energy on the front; by this module's convention unless given.
    """
    front = ParetoFront(points)
    return front.area().hypervolume(
        front.least_wh if least_wh is None else least_wh, front.reference_wh if reference_wh is None else reference_wh
    )


def _energy(point: Point) -> float:
    return point.energy_wh
