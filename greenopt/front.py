"""The front of a study's objectives, whichever they are, and the plane that it is drawn on.

Studies of accuracy against an energy keep the convention of `greenopt.pareto`. For others the hypervolume is the share
of a box that the front dominates. Each side of the box is one objective: a share 0..1 as it is; a figure with a range
from its worse end to its better one; an amount to be kept small on a logarithmic scale, from 1.1 times the largest to
the least of any completed trial; an amount to be made large from 0 to the largest; any other figure from 10 % of its
spread beyond the worst to the best.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenopt.pareto import REFERENCE_FACTOR, HypervolumeTrace, Point
from greenopt.spec import FRACTIONS, MEASURED, OF_A_MODEL, Bounds, Direction, Metric, StudySpec

ENERGIES = (Metric.ENERGY_WH, Metric.TOTAL_WH, Metric.WH_PER_EPOCH)
MOST_OBJECTIVES = 3
"""Objectives up to which a hypervolume is computed; beyond, it takes too long."""

_STEPS = 40
"""Changes of a front of which the hypervolume is computed; of more, every second, third, ..."""

_SPREAD = 0.1
_AMOUNTS = (*MEASURED, *OF_A_MODEL)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Plane:
    """What a study is drawn by.

    Attributes:
        up: the figure of the vertical axis, an objective where there is one for it.
        across: the figure of the horizontal axis.
        is_accuracy_for_energy: whether the study optimises accuracy, an energy, or both, and nothing else.
        objectives: names and directions of the study's objectives.
    """

    up: str
    across: str
    is_accuracy_for_energy: bool
    objectives: Mapping[str, Direction]

    @property
    def others(self) -> tuple[str, ...]:
        """The objectives that tables of accuracy, energy and efficiency lack."""
        if self.is_accuracy_for_energy:
            return ()
        shown = (Metric.ACCURACY, Metric.ENERGY_WH, Metric.WH_PER_EPOCH, Metric.EFFICIENCY)
        return tuple(str(name) for name in self.objectives if name not in shown)

    @property
    def title(self) -> str:
        """What the front is of: `accuracy against energy`, or the objectives by name."""
        if self.is_accuracy_for_energy:
            return "accuracy against energy"
        *first, last = [str(name) for name in self.objectives]
        return f"{', '.join(first)} and {last}" if first else last

    @property
    def is_stepped(self) -> bool:
        """Whether the front is a stepped line: of two objectives, the one across is to be kept small."""
        is_small = self.objectives.get(self.across) is Direction.MINIMIZE
        return self.is_accuracy_for_energy or (len(self.objectives) == 2 and is_small)


def plane_of(spec: StudySpec) -> Plane:
    """Return what a study is drawn by."""
    ways = spec.objectives
    energies = [name for name in ENERGIES if name in ways]
    if _is_accuracy_for_energy(spec):
        return Plane(Metric.ACCURACY, energies[0] if energies else Metric.ENERGY_WH, True, ways)
    large = [name for name, way in ways.items() if way is Direction.MAXIMIZE]
    up = next(iter([*large, *ways]))
    small = [name for name, way in ways.items() if way is Direction.MINIMIZE and name != up]
    others = [*small, *(name for name in ways if name != up), Metric.ENERGY_WH]
    return Plane(up, others[0], False, ways)


def _is_accuracy_for_energy(spec: StudySpec) -> bool:
    ways = dict(spec.objectives)
    accurate = ways.pop(Metric.ACCURACY, Direction.MAXIMIZE) is Direction.MAXIMIZE
    return (
        accurate
        and len(ways) <= 1
        and all(name in ENERGIES and way is Direction.MINIMIZE for name, way in ways.items())
    )


class StudyFront:
    """The trials that no other is better than, and the hypervolume, kept as completed trials arrive."""

    def __init__(self, spec: StudySpec) -> None:
        """Start without trials."""
        self.plane = plane_of(spec)
        self.trace = HypervolumeTrace()
        self._names = tuple(spec.objectives)
        self._signs = [1.0 if way is Direction.MAXIMIZE else -1.0 for way in spec.objectives.values()]
        self._ranges = spec.ranges
        self._front: list[tuple[int, tuple[float, ...]]] = []
        self._ends: list[tuple[float, float]] = []
        self._history: list[tuple[int, tuple[tuple[float, ...], ...]]] = []
        self._values: list[tuple[int, float]] | None = None
        self.count = 0

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials on the front: least energy first, or best in the first objective first."""
        if self.plane.is_accuracy_for_energy:
            return tuple(point.trial for point in self.trace.front.points)
        ordered = sorted(self._front, key=lambda each: (-self._signs[0] * each[1][0], each[0]))
        return tuple(trial for trial, _ in ordered)

    def add(self, row: Row) -> bool:
        """Add a completed trial; return whether it is on the front now. One that lacks a figure is left out."""
        needed = (self.plane.across, self.plane.up) if self.plane.is_accuracy_for_energy else self._names
        if any(row.get(name) is None for name in needed):
            return False
        self.count += 1
        if self.plane.is_accuracy_for_energy:
            return self.trace.add(Point(row[self.plane.across], row[self.plane.up], row["trial"]))
        return self._add(int(row["trial"]), tuple(float(row[name]) for name in self._names))

    def _add(self, trial: int, point: tuple[float, ...]) -> bool:
        self._values = None
        ends = self._ends or [(value, value) for value in point]
        self._ends = [(min(low, v), max(high, v)) for (low, high), v in zip(ends, point, strict=True)]
        if any(self._covers(other, point) for _, other in self._front):
            return False
        self._front = [each for each in self._front if not self._covers(point, each[1])]
        self._front.append((trial, point))
        self._history.append((self.count, tuple(other for _, other in self._front)))
        return True

    def _covers(self, a: Sequence[float], b: Sequence[float]) -> bool:
        return all(sign * x >= sign * y for sign, x, y in zip(self._signs, a, b, strict=True))

    def values(self) -> list[tuple[int, float]]:
        """Return pairs of (completed trials so far, hypervolume 0..1), one for each change; none beyond 3 objectives.

        The sides of the box are those of now throughout, so that values do not fall.
        """
        if self.plane.is_accuracy_for_energy:
            return self.trace.values()
        if len(self._names) > MOST_OBJECTIVES:
            return []
        if self._values is None:
            step = -(-len(self._history) // _STEPS) or 1
            chosen = [*self._history[:-1:step], *self._history[-1:]]
            self._values = [(count, self._volume(points)) for count, points in chosen]
        return self._values

    @property
    def value(self) -> float | None:
        """The hypervolume 0..1 now; None without a trial, and beyond three objectives."""
        values = self.values()
        return values[-1][1] if values else None

    @property
    def box(self) -> dict[str, tuple[float, float]]:
        """The worse and the better end of each side of the box; empty without a trial, or of accuracy for energy."""
        if self.plane.is_accuracy_for_energy or not self._ends:
            return {}
        sides = zip(self._names, self._signs, self._ends, strict=True)
        return {str(name): self._side(name, sign > 0, *ends) for name, sign, ends in sides}

    def _side(self, name: str, is_large: bool, low: float, high: float) -> tuple[float, float]:
        if name in FRACTIONS or name in self._ranges:
            bounds = self._ranges.get(name, Bounds(0.0, 1.0))
            return (bounds.low, bounds.high) if is_large else (bounds.high, bounds.low)
        if name in _AMOUNTS and low > 0:
            return (0.0, high) if is_large else (REFERENCE_FACTOR * high, low)
        spread = (high - low) or abs(high) or 1.0
        return (low - _SPREAD * spread, high) if is_large else (high + _SPREAD * spread, low)

    def _volume(self, points: Sequence[Sequence[float]]) -> float:
        sides = list(self.box.items())
        return dominated_share([[_share(v, *side) for v, side in zip(p, sides, strict=True)] for p in points])

    def words(self) -> str:
        """Return the sides of the box, each from its worse to its better end; empty of accuracy for energy."""
        return ", ".join(f"{name} {worse:.4g} to {better:.4g}" for name, (worse, better) in self.box.items())


def _share(value: float, name: str, ends: tuple[float, float]) -> float:
    """Return how far a value is from the worse to the better end, 0..1; of an amount kept small, in its logarithm."""
    worse, better = ends
    if name in _AMOUNTS and name not in FRACTIONS and worse > better > 0:
        share = math.log(worse / value) / math.log(worse / better)
    else:
        share = (value - worse) / (better - worse) if better != worse else 1.0
    return min(1.0, max(0.0, share))


def dominated_share(points: Sequence[Sequence[float]]) -> float:
    """Return the volume of the unit box that points dominate, more being better in each of their coordinates 0..1."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    ordered = sorted(points, key=lambda point: -point[-1])
    if len(points[0]) == 2:
        volume = best = 0.0
        for x, y in ordered:
            volume += max(0.0, x - best) * y
            best = max(best, x)
        return volume
    volume = 0.0
    for at, point in enumerate(ordered):
        lower = ordered[at + 1][-1] if at + 1 < len(ordered) else 0.0
        if point[-1] > lower:
            volume += (point[-1] - lower) * dominated_share([other[:-1] for other in ordered[: at + 1]])
    return volume
