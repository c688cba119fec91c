"""The gain in hypervolume of a further point."""

import numpy as np
import pytest

from greenopt.pareto import Point
from greenopt.stopping.gain import Frame, Front

FRAME = Frame(1.0, 100.0)


def volume(points: list[Point]) -> float:
    """The mean of both shares, by counting on a grid."""
    total = 0.0
    for scale in (np.linspace(0, 100, 20_001)[:-1] + 0.0025, np.geomspace(1, 100, 20_001)[:-1]):
        heights = np.zeros(len(scale))
        for point in points:
            heights = np.where(scale >= point.energy_wh, np.maximum(heights, point.accuracy), heights)
        total += heights.mean() / 2
    return total


@pytest.mark.parametrize("energy_wh", [1.0, 4.0, 10.0, 55.0, 99.0])
@pytest.mark.parametrize("accuracy", [0.05, 0.3, 0.6, 0.95])
def test_it_is_the_difference_of_two_hypervolumes(energy_wh: float, accuracy: float) -> None:
    points = [Point(4, 0.2, 0), Point(10, 0.5, 1), Point(20, 0.4, 2), Point(60, 0.9, 3)]
    gain = Front(points, FRAME).gain(energy_wh, np.array([accuracy]))
    assert gain == pytest.approx(volume([*points, Point(energy_wh, accuracy)]) - volume(points), abs=2e-4)


def test_it_is_the_mean_over_accuracies_and_needs_no_front() -> None:
    gain = Front([], FRAME).gain(10.0, np.array([0.0, 0.5, 1.0]))
    assert gain == pytest.approx(0.5 * (0.9 + 0.5) / 2)
    assert Front([Point(1, 1.0, 0)], FRAME).gain(1.0, np.array([1.0])) == 0


def test_an_energy_outside_the_frame_counts_as_at_its_edge() -> None:
    front = Front([], FRAME)
    assert front.gain(1000.0, np.array([1.0])) == 0
    assert front.gain(0.001, np.array([1.0])) == front.gain(1.0, np.array([1.0]))
