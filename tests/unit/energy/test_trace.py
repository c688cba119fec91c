"""The integral of power: every sample counts, and its doubt covers what it cannot see."""

import math

import pytest

from greenopt.energy.trace import SENSOR_SHARE, Limits, LoadRange, PowerIntegral, uncertainty_j

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
    assert integral.trace.gap_s == pytest.approx(0.1)


@pytest.mark.parametrize("nonsense_w", [-1.0, math.nan, math.inf])
def test_a_value_that_no_device_can_have_is_passed_over(nonsense_w: float) -> None:
    assert integrate((0, 300), (0.1, nonsense_w), (0.2, 300)).trace.energy_j == pytest.approx(60)


def test_power_beyond_any_limit_is_not_believed_and_counted() -> None:
    trace = integrate((0, 300), (0.1, 4_000_000), (0.2, 300)).trace
    assert (trace.energy_j, trace.rejected) == (pytest.approx(60), 1)


def test_a_board_that_draws_somewhat_more_than_its_limit_is_believed_and_counted() -> None:
    trace = integrate((0, 900), (0.1, 900), (0.2, 900)).trace
    assert (trace.energy_j, trace.rejected, trace.excesses) == (pytest.approx(180), 0, 3)


def test_a_single_reading_far_off_its_neighbours_is_doubted_as_a_whole() -> None:
    samples = [(0.1 * k, 60.0) for k in range(21)]
    spiked = [(t_s, 600.0 if k == 10 else power_w) for k, (t_s, power_w) in enumerate(samples)]
    plain_j, spiked_j = (
        uncertainty_j(integrate(series[0]).trace, integrate(*series).trace, LIMITS) for series in (samples, spiked)
    )
    assert spiked_j - plain_j > 540 * 0.1


def test_a_lively_sensor_that_stands_still_is_doubted_and_a_steady_one_is_not() -> None:
    lively = [(0.1 * k, 300.0 + 50 * (k % 2)) for k in range(50)]
    frozen = [(5.0 + 0.1 * k, 300.0) for k in range(20)]
    steady = [(0.1 * k, 300.0) for k in range(70)]
    assert integrate(*lively).trace.frozen_j == 0
    assert integrate(*lively, *frozen).trace.frozen_j == pytest.approx(50 * 1.9, rel=0.1)
    assert integrate(*steady).trace.frozen_j == 0


def test_samples_too_far_apart_leave_a_gap_as_large_as_the_limit_allows() -> None:
    before, after = integrate((0, 100)).trace, integrate((0, 100), (5, 100)).trace
    assert (after.gaps, after.covered_s) == (1, 0)
    assert uncertainty_j(before, after, LIMITS) >= 700 * 5


def test_readings_carried_on_do_not_hide_a_gap() -> None:
    integral = integrate((0, 100))
    for k in range(1, 50):
        integral.hold(0.1 * k)
    assert integral.trace.covered_s == pytest.approx(0.5, abs=0.11)
    assert integral.trace.gaps > 0


def test_in_a_window_shorter_than_the_sensor_anything_that_the_load_has_shown_is_possible() -> None:
    integral = integrate((0, 600), (0.2, 100))
    for k in range(3, 20):
        integral.add(0.1 * k, 100)
    start = integral.trace
    integral.add(start.t_s + 0.01, 100)
    assert uncertainty_j(start, integral.trace, LIMITS) >= 0.9 * (600 - 100) * 0.01


def test_what_a_load_has_shown_is_forgotten_within_minutes() -> None:
    shown = LoadRange().with_power(0.0, 600.0).with_power(1.0, 100.0)
    assert (shown.low_w, shown.high_w) == (100.0, pytest.approx(592, abs=1))
    later = shown.with_power(301.0, 100.0)
    assert later.high_w == pytest.approx(100, abs=5)


def test_steady_power_is_doubted_by_the_sensor_alone() -> None:
    samples = [(0.1 * k, 300.0) for k in range(101)]
    doubt = uncertainty_j(integrate(samples[0]).trace, integrate(*samples).trace, LIMITS)
    assert doubt == pytest.approx(SENSOR_SHARE * 3000)
    assert doubt >= 3000 / 0.95 - 3000


def test_without_any_power_there_is_no_bound() -> None:
    trace = PowerIntegral(LIMITS, 0.0).trace
    assert uncertainty_j(trace, trace, LIMITS) == math.inf
