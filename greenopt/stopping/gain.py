"""The gain in hypervolume that a further point would bring to a front.

The hypervolume here is the mean of two shares of a rectangle, one with energy as it is and one with its logarithm, so
that neither cheap nor dear trials count for nothing. Its reference is accuracy 0 and the largest energy seen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greenopt.pareto import Point, pareto_front

Floats = npt.NDArray[np.float64]

MARGIN = 1.1
"""The frame reaches this factor beyond the smallest and the largest energy, so that points at its edge count."""


@dataclass(frozen=True)
class Frame:
    """The energies between which hypervolumes are compared, in Wh."""

    least_wh: float
    largest_wh: float

    @classmethod
    def around(cls, energies_wh: Iterable[float]) -> "Frame":
        """Return the frame of these energies, at least one."""
        energies = list(energies_wh)
        return cls(min(energies) / MARGIN, max(energies) * MARGIN)

    def places(self, energy_wh: float) -> tuple[float, float]:
        """Return where an energy lies between 0 and the largest, and in logarithms between least and largest; 0..1."""
        inside = min(max(energy_wh, self.least_wh), self.largest_wh)
        return inside / self.largest_wh, math.log(inside / self.least_wh) / math.log(self.largest_wh / self.least_wh)


class Front:
    """The front of finished trials in a frame."""

    def __init__(self, points: Sequence[Point], frame: Frame) -> None:
        """Lay out the steps of the front."""
        self._frame = frame
        front = pareto_front(points)
        places = np.array([(0.0, 0.0), *(frame.places(point.energy_wh) for point in front), (1.0, 1.0)])
        self._starts, self._ends = places[:-1], places[1:]
        self._heights = np.array([0.0, *(point.accuracy for point in front)])

    def gain(self, energy_wh: float, accuracies: Floats) -> float:
        """Return the mean gain in hypervolume, as a share 0..1, of a point with one of these accuracies.

        Args:
            energy_wh: its energy, in Wh.
            accuracies: equally likely ones, each 0..1.
        """
        widths = np.maximum(0.0, self._ends - np.maximum(self._starts, self._frame.places(energy_wh))).mean(axis=1)
        above = np.maximum(0.0, accuracies[:, None] - self._heights).mean(axis=0)
        return float(widths @ above)

    def height_at(self, energy_wh: float) -> float:
        """Return the accuracy 0..1 that the front has for this energy in Wh; 0 where it has none."""
        inside = self._starts[:, 0] <= self._frame.places(energy_wh)[0]
        return float(self._heights[inside].max(initial=0.0))
