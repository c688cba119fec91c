"""Forecasts of final accuracies."""

import math

import numpy as np
import pytest

from greenopt.spec import StoppingSpec
from greenopt.stopping import Curve
from greenopt.stopping.accuracy import forecast_accuracy

SPEC = StoppingSpec()


def curve(*accuracies: float, planned: int = 50) -> Curve:
    return Curve(0, {}, planned, accuracies, tuple(float(number + 1) for number in range(len(accuracies))))


def test_a_whole_curve_is_its_last_accuracy() -> None:
    forecast = forecast_accuracy(curve(0.1, 0.3, 0.5, planned=3), SPEC)
    assert forecast.deviation == 0
    assert forecast.quantile(0.05) == pytest.approx(0.5, abs=1e-9)
    assert forecast.nodes() == pytest.approx(np.full(24, 0.5))
    assert (forecast.chance_above(0.49), forecast.chance_above(0.51)) == (1.0, 0.0)


def test_the_range_narrows_with_every_epoch_and_lies_above_what_grows() -> None:
    steady = [0.5 - 0.4 / (epoch + 1) for epoch in range(40)]
    widths = []
    for epochs in (1, 2, 5, 10, 20, 40):
        forecast = forecast_accuracy(curve(*steady[:epochs]), SPEC)
        low, high = forecast.quantile(0.05), forecast.quantile(0.95)
        assert low < forecast.quantile(0.5) < high
        assert high > steady[epochs - 1]
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_a_curve_that_stood_still_is_expected_to_go_on_so_and_one_that_grew_to_grow() -> None:
    still = forecast_accuracy(curve(*[0.2] * 10), SPEC).quantile(0.5)
    grown = forecast_accuracy(curve(*np.linspace(0.05, 0.2, 10)), SPEC).quantile(0.5)
    assert 0.2 < still < grown


@pytest.mark.parametrize("epochs", [1, 4, 16])
def test_the_forecast_is_that_of_curves_drawn_from_the_model(epochs: int) -> None:
    """90 % intervals hold 90 % of curves that grow as the module says."""
    random, held, count = np.random.default_rng(epochs), 0, 1500
    steps = np.log(np.arange(2, 51) / np.arange(1, 50))
    for _ in range(count):
        rate = random.normal(SPEC.growth, SPEC.growth_spread)
        walk = np.cumsum(rate * steps + random.normal(0, SPEC.wander * np.sqrt(steps)))
        raised = np.exp(-1.5 + np.concatenate([[0.0], walk]))
        accuracies = np.clip((1.005 * raised - 0.005) / (1 + raised), 0, 1)
        forecast = forecast_accuracy(curve(*accuracies[:epochs]), SPEC)
        held += forecast.quantile(0.05) <= accuracies[-1] <= forecast.quantile(0.95)
    assert held / count == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / count))


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_accuracies_of_0_and_1_are_on_the_scale(accuracy: float) -> None:
    nodes = forecast_accuracy(curve(accuracy), SPEC).nodes()
    assert np.all((nodes >= 0) & (nodes <= 1))
