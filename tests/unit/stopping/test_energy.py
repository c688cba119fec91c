"""Forecasts of energies."""

import math

import numpy as np
import pytest

from greenopt.spec import Choice, Range, SearchSpace
from greenopt.stopping import Curve
from greenopt.stopping.energy import EnergyModel, PaceModel

SPACE = SearchSpace(
    own=True,
    distributions={
        "batch_size": Choice(values=(8, 32, 128)),
        "optimizer": Choice(values=("SGD", "Adam")),
        "lr": Range(low=1e-4, high=1e-1, log=True),
        "fixed": Choice(values=(1,)),
    },
)


def curve(steps_wh: list[float], **setting: float | str) -> Curve:
    return Curve(0, setting, 10, (0.5,) * len(steps_wh), tuple(np.cumsum(steps_wh).tolist()))


def test_a_whole_curve_is_its_energy() -> None:
    forecast = PaceModel().forecast(curve([3.0, *[1.0] * 9]))
    assert (forecast.median_wh, forecast.deviation) == (pytest.approx(12.0), 0.0)
    assert forecast.nodes_wh() == pytest.approx((12.0,))


def test_the_first_epoch_is_no_pace() -> None:
    forecast = PaceModel().forecast(curve([3.0, 1.0, 1.2, 1.0]))
    assert forecast.median_wh == pytest.approx(3 + 1 + 1.2 + 1 + 6 * 1.0)


def test_after_one_epoch_the_range_is_wide_and_earlier_trials_tell_how_much_the_first_differs() -> None:
    pace, first = PaceModel(), curve([3.0])
    before = pace.forecast(first)
    assert before.quantile_wh(0.05) < 0.6 * before.median_wh
    for _ in range(30):
        pace.add(curve([6.0, *[2.0] * 9]))
    after = pace.forecast(first)
    assert after.median_wh == pytest.approx(3 + 9 * 1.0, rel=0.1)
    assert after.deviation < before.deviation


def test_the_model_finds_effects_of_lists_and_ranges() -> None:
    random, model, pace = np.random.default_rng(3), EnergyModel(SPACE), PaceModel()

    def true_wh(batch_size: int, optimizer: str, lr: float) -> float:
        return float(200 / batch_size * (1.5 if optimizer == "Adam" else 1.0) * lr**0.1)

    assert model.forecast({"batch_size": 8, "optimizer": "SGD", "lr": 1e-2}, 10) is None
    errors = []
    for number in range(60):
        batch_size, optimizer = int(random.choice((8, 32, 128))), str(random.choice(("SGD", "Adam")))
        lr = float(10 ** random.uniform(-4, -1))
        setting: dict[str, float | str] = {"batch_size": batch_size, "optimizer": optimizer, "lr": lr}
        wh = true_wh(batch_size, optimizer, lr) * math.exp(random.normal(0, 0.05))
        forecast = model.forecast({**setting, "fixed": 1}, 10)
        if forecast is not None and number >= 30:
            errors.append((math.log(wh) - forecast.mean) / forecast.deviation)
            assert forecast.median_wh == pytest.approx(wh, rel=0.6)
        ended = curve([wh / 10] * 10, **setting)
        model.add(ended, pace.forecast(ended))
    assert max(map(abs, errors)) < 4


def test_a_value_that_was_never_seen_is_uncertain() -> None:
    model, pace = EnergyModel(SPACE), PaceModel()
    for batch_size, wh in ((8, 30.0), (32, 8.0)) * 8:
        ended = curve([wh / 10] * 10, batch_size=batch_size, optimizer="SGD", lr=1e-2)
        model.add(ended, pace.forecast(ended))
    seen = model.forecast({"batch_size": 8, "optimizer": "SGD", "lr": 1e-2}, 10)
    unseen = model.forecast({"batch_size": 128, "optimizer": "SGD", "lr": 1e-2}, 10)
    assert seen is not None
    assert unseen is not None
    assert seen.median_wh == pytest.approx(30, rel=0.1)
    assert unseen.deviation > 3 * seen.deviation
