"""Quantities in words."""

import pytest

from greenopt.formatting import format_energy, format_fraction, format_seconds, format_setting, significant


def test_estimates_are_marked_and_missing_is_a_dash() -> None:
    assert format_energy(6.104, "nvml_counter") == "6.1 Wh"
    assert format_energy(6.104, "estimate") == "~6.1 Wh est."
    assert format_energy(None, None) == "–"
    assert format_fraction(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.44, "8.4 s"), (205.0, "3:25"), (8047.0, "2:14:07"), (59.99, "60.0 s"), (None, "–")]
)
def test_durations(seconds: float | None, words: str) -> None:
    assert format_seconds(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.0, "0"),
        (6.1637, "6.16"),
        (0.00001234, "0.0000123"),
        (123456.0, "123000"),
        (999.9, "1000"),
        (12.0, "12"),
        (1e300, "1e+300"),
    ],
)
def test_three_significant_digits_without_an_exponent(number: float, words: str) -> None:
    assert significant(number) == words


def test_values_drawn_from_a_range_are_shortened_and_listed_ones_are_not() -> None:
    drawn = {"lr": 0.03924636776731723, "alpha": 1.2345678e-06, "width": 440}
    assert format_setting(drawn) == "lr 0.039246 · alpha 1.2346e-06 · width 440"
    assert (
        format_setting({"lr": 0.00625, "momentum": 0.0, "decay": 0.0078125})
        == "lr 0.00625 · momentum 0.0 · decay 0.0078125"
    )
