"""The integral of power: every sample counts, and its doubt covers what it cannot see."""

import math

import pytest

from greenopt.energy.trace import Limits, PowerIntegral, doubt_j

LIMITS = Limits(power_limit_w=700.0, lag_s=0.125, max_gap_s=0.5)


def integrate(*samples: tuple[float, float], limits: Limits = LIMITS) -> PowerIntegral:
    integral = PowerIntegral(limits, samples[0][0])
    for t_s, power_w in samples:
        integral.add(t_s, power_w)
    return integral


def test_a_constant_load_is_not_zero_though_its_value_never_changes() -> None:
    assert integrate(*((0.1 * k, 300.0) for k in range(11))).trace.energy_j == pytest.approx(300)


def test_a_straight_line_is_integrated_exactly_at_uneven_instants() -> None:
    trace = integrate((0, 100), (0.05, 105), (0.4, 140), (0.5, 150)).trace
    assert trace.energy_j == pytest.approx(62.5)


def test_what_was_before_the_first_sample_is_filled_with_it() -> None:
    integral = PowerIntegral(LIMITS, 0.0)
    integral.add(0.2, 500.0)
    assert integral.trace.energy_j == pytest.approx(100)


def test_a_boundary_before_the_first_sample_keeps_what_lies_before_it_unknown() -> None:
    integral = PowerIntegral(LIMITS, 0.0)
    integral.hold(0.1)
    integral.add(0.2, 500.0)
    assert integral.trace.energy_j == pytest.approx(50)
    assert integral.trace.gap_j == pytest.approx(70)


@pytest.mark.parametrize("nonsense_w", [-1.0, math.nan, math.inf])
def test_a_value_that_no_device_can_have_is_passed_over(nonsense_w: float) -> None:
    assert integrate((0, 300), (0.1, nonsense_w), (0.2, 300)).trace.energy_j == pytest.approx(60)


def test_power_beyond_any_limit_is_cut() -> None:
    assert integrate((0, 4_000_000), (0.1, 4_000_000)).trace.energy_j == pytest.approx(1.1 * 700 * 0.1)


def test_samples_too_far_apart_leave_a_gap_as_large_as_the_limit_allows() -> None:
    before, after = integrate((0, 100)).trace, integrate((0, 100), (5, 100)).trace
    assert (after.gaps, after.covered_s) == (1, 0)
    assert doubt_j(before, after, LIMITS) >= 700 * 5


def test_readings_carried_on_do_not_hide_a_gap() -> None:
    integral = integrate((0, 100))
    for k in range(1, 50):
        integral.hold(0.1 * k)
    assert integral.trace.covered_s == pytest.approx(0.5, abs=0.11)
    assert integral.trace.gaps > 0


def test_in_a_window_shorter_than_the_sensor_anything_up_to_the_limit_is_possible() -> None:
    integral = integrate((0, 100))
    start = integral.trace
    integral.add(0.01, 100)
    assert doubt_j(start, integral.trace, LIMITS) >= (700 - 100) * 0.01


def test_steady_power_is_doubted_by_the_sensor_alone() -> None:
    samples = [(0.1 * k, 300.0) for k in range(101)]
    assert doubt_j(integrate(samples[0]).trace, integrate(*samples).trace, LIMITS) == pytest.approx(0.02 * 3000)


def test_without_any_power_there_is_no_bound() -> None:
    trace = PowerIntegral(LIMITS, 0.0).trace
    assert doubt_j(trace, trace, LIMITS) == math.inf
