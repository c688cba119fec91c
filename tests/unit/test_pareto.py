"""The front and its hypervolume against their definitions, by brute force."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from greenopt.pareto import REFERENCE_FACTOR, HypervolumeTrace, ParetoFront, Point, hypervolume, pareto_front

grid = st.integers(0, 8).map(lambda step: step / 8)
clouds = st.lists(st.tuples(st.integers(1, 12).map(float), grid), max_size=30).map(
    lambda pairs: [Point(energy, accuracy, trial) for trial, (energy, accuracy) in enumerate(pairs)]
)


def dominates(one: Point, other: Point) -> bool:
    no_worse = one.energy_wh <= other.energy_wh and one.accuracy >= other.accuracy
    return no_worse and one[:2] != other[:2]


def strips(points: list[Point], least: float, reference: float) -> float:
    """The mean accuracy over budgets on a logarithmic scale, counted strip by strip between any two energies."""
    edges = sorted({least, reference, *(point.energy_wh for point in points)})
    total = 0.0
    for start, end in itertools.pairwise(edges):
        best = max((point.accuracy for point in points if point.energy_wh <= start), default=0.0)
        total += math.log(end / start) * best
    return total / math.log(reference / least)


@given(clouds)
def test_the_front_holds_exactly_what_nothing_dominates(points: list[Point]) -> None:
    best = {point[:2] for point in points if not any(dominates(other, point) for other in points)}
    front = pareto_front(points)
    assert [point[:2] for point in front] == sorted(best)
    for point in front:
        assert point.trial == min(other.trial for other in points if other[:2] == point[:2])


@given(clouds)
def test_the_hypervolume_is_the_counted_area(points: list[Point]) -> None:
    if not points:
        assert hypervolume(points) == 0.0
        return
    reference = REFERENCE_FACTOR * max(point.energy_wh for point in points)
    least = min(point.energy_wh for point in points)
    assert abs(hypervolume(points) - strips(points, least, reference)) < 1e-9


@given(clouds)
def test_the_trace_equals_each_prefix_at_the_last_ends_and_never_falls(points: list[Point]) -> None:
    trace = HypervolumeTrace()
    for point in points:
        trace.add(point)
    values = trace.values()
    for count, value in values:
        ends = trace.front.least_wh, trace.front.reference_wh
        assert abs(value - hypervolume(points[:count], *ends)) < 1e-9
    assert [value for _, value in values] == sorted(value for _, value in values)


def test_two_steps_worked_by_hand() -> None:
    """Energies 1 and 2, accuracies 0.4 and 0.8, the worst trial at 4 Wh: reference 4.4 Wh."""
    front = ParetoFront([Point(4.0, 0.1), Point(2.0, 0.8), Point(1.0, 0.4)])
    assert front.reference_wh == 4.4
    by_hand = (math.log(2) * 0.4 + math.log(2.2) * 0.8) / math.log(4.4)
    assert abs(front.hypervolume - by_hand) < 1e-12


def test_the_unit_of_energy_does_not_matter() -> None:
    points = [Point(1.0, 0.4), Point(3.0, 0.7), Point(2.0, 0.2)]
    in_joules = [Point(3600 * point.energy_wh, point.accuracy) for point in points]
    assert abs(hypervolume(points) - hypervolume(in_joules)) < 1e-12


def test_points_without_energy_leave_no_area() -> None:
    assert hypervolume([Point(0.0, 0.9)]) == 0.0


def test_half_the_energy_counts_beside_a_trial_of_a_hundred_times_as_much() -> None:
    """On a scale of Wh the second study would gain 1 %: one large trial hid what the others saved."""
    large = Point(1000.0, 0.9)
    before, after = [large, Point(10.0, 0.8)], [large, Point(5.0, 0.8)]
    assert hypervolume(after, 5.0) - hypervolume(before, 5.0) > 0.1
