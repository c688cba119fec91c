"""Watches for how long a study's Pareto front has stood still."""

from collections.abc import Sequence

from greenopt.spec import Direction, StudySpec


class FrontWatch:
    """The front of a study's objectives, and how many trials have ended since it changed."""

    def __init__(self, spec: StudySpec) -> None:
        """Start without trials."""
        self._signs = [1.0 if direction is Direction.MAXIMIZE else -1.0 for direction in spec.objectives.values()]
        self._front: list[tuple[float, ...]] = []
        self.ended_since = 0

    def add(self, values: Sequence[float] | None) -> None:
        """Add a trial that ended; None where it has no values of the objectives."""
        self.ended_since += 1
        if values is None:
            return
        point = tuple(sign * value for sign, value in zip(self._signs, values, strict=True))
        if any(_covers(other, point) for other in self._front):
            return
        self._front = [other for other in self._front if not _covers(point, other)]
        self._front.append(point)
        self.ended_since = 0


def _covers(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether the first is at least as good in everything."""
    return all(x >= y for x, y in zip(a, b, strict=True))
