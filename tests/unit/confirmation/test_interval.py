"""Intervals of repetitions, against figures worked out by hand and against chance."""

import math

import numpy as np
import pytest

from greenopt.confirmation import Interval


def test_three_values() -> None:
    interval = Interval.from_values((10.0, 11.0, 12.0))
    assert interval.mean == 11.0
    assert interval.half_width == pytest.approx(4.302653 / math.sqrt(3))
    assert interval.single_half_width == pytest.approx(4.302653 * math.sqrt(4 / 3))
    assert (interval.low, interval.high) == (pytest.approx(11 - 2.484138), pytest.approx(11 + 2.484138))


def test_one_value_has_no_interval() -> None:
    interval = Interval.from_values((0.7,))
    assert interval.mean == 0.7
    assert interval.half_width is interval.single_half_width is interval.low is interval.high is None


def test_the_intervals_hold_what_they_say_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(5)
    means = singles = 0
    for *values, one_more in rng.normal(3.0, 0.5, (2000, 4)):
        interval = Interval.from_values(tuple(values))
        assert interval.half_width is not None
        assert interval.single_half_width is not None
        means += abs(interval.mean - 3.0) <= interval.half_width
        singles += abs(one_more - interval.mean) <= interval.single_half_width
    assert 0.935 < means / 2000 < 0.965
    assert 0.935 < singles / 2000 < 0.965
