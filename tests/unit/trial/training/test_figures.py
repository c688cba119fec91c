"""Figures of a trained model: its answers, its size, and what a prediction takes, of the float and the int8 model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from greenopt.energy.trial_meter import Readings
from greenopt.events import Outcome
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import Internal
from greenopt.trial.training import figures, predictions
from greenopt.trial.training.figures import answer_figures
from greenopt.trial.training.predictions import Block, Measured, PredictionEnergy, energy_figures, latency_figures
from tests.unit.trial.workbench import run, trial_spec

WANTED = ("accuracy", "f1_macro", "top5_accuracy", "recall_macro", "latency_ms", "inference_mj", "size_bytes")


def test_answers_are_counted_class_by_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    # Six classes of which three occur: two of class 0 are right, one of class 1, none of class 2.
    first = np.array([0, 0, 1, 1, 5, 1])
    probabilities = np.full((6, 7), 0.01)
    probabilities[np.arange(6), first] = 0.9
    probabilities[5, [3, 4, 5, 6]] = 0.5
    halves = [(probabilities[:2], labels[:2]), (probabilities[2:], labels[2:])]
    found = answer_figures(halves, 7)
    assert found["recall_macro"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["f1_macro"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (3 + 2) + 0) / 3)
    # Of the last image, class 2 comes behind five others.
    assert found["top5_accuracy"] == pytest.approx(5 / 6)


def measured(
    cpu: EnergyReading | None = None, calls_ms: tuple[float, ...] = (1, 1, 1, 1, 1), **device: Any
) -> Measured:
    """Five blocks of twenty calls each; every reading is the same."""
    reading = EnergyReading(**{"energy_wh": 2.0, "source": EnergySource.NVML_COUNTER, "seconds": 3.0, **device})
    energy = Readings(reading, cpu=cpu)
    return Measured([Block([ms / 1000] * 20, energy) for ms in calls_ms], energy, 36.0)


def energy_of(found: PredictionEnergy | str) -> tuple[float, EnergySource]:
    assert isinstance(found, PredictionEnergy)
    # Of 100 calls of two images each, in Wh.
    return found.values["inference_mj"] * 200 / 3.6e6, found.source


def test_the_energy_of_predictions_is_less_idle_where_that_is_known() -> None:
    assert energy_of(energy_figures(measured(net_wh=0.5), 2, 10)) == (0.5, EnergySource.NVML_COUNTER)
    assert energy_of(energy_figures(measured(source=EnergySource.ESTIMATE), 2, 10)) == (2.0, EnergySource.ESTIMATE)
    assert "no more than the idle device" in energy_figures(measured(net_wh=0.0), 2, 10)
    assert energy_figures(measured(energy_wh=None, source=None, reason="no meter"), 2, 10) == "no meter"


def test_an_int8_model_beside_a_gpu_has_the_energy_of_the_cpu() -> None:
    estimate = energy_figures(measured(), 2, 10, on_host=True)
    assert energy_of(estimate) == (pytest.approx(36.0 * 10 / 3600), EnergySource.ESTIMATE)
    host = EnergyReading(energy_wh=0.25, source=EnergySource.RAPL, seconds=3.0, uncertainty_wh=0.01)
    found = energy_figures(measured(cpu=host, uncertainty_wh=9.0), 2, 10, on_host=True)
    assert energy_of(found) == (pytest.approx(0.25), EnergySource.RAPL)
    assert isinstance(found, PredictionEnergy)
    # The blocks agree, so that what is left is the meter's.
    assert found.values["inference_uncertainty_mj"] == pytest.approx(0.01 * 3.6e6 / 200)


def test_an_interval_holds_what_blocks_differ_by_and_what_the_meter_may_be_off() -> None:
    several = measured(calls_ms=(1.0, 1.2, 0.8, 1.1, 0.9), net_wh=0.5, uncertainty_wh=0.02)
    blocks = [
        Block(block.calls_s, Readings(block.energy.device.model_copy(update={"net_wh": 0.1 + 0.001 * index})))
        for index, block in enumerate(several.blocks)
    ]
    latency = latency_figures(several)
    expected = scipy.stats.t.interval(0.95, 4, 1.0, scipy.stats.sem([1.0, 1.2, 0.8, 1.1, 0.9]))
    assert latency["latency_ms"] == pytest.approx(1.0)
    assert latency["latency_uncertainty_ms"] == pytest.approx(expected[1] - 1.0, rel=1e-3)
    found = energy_figures(several._replace(blocks=blocks), 2, 10)
    assert isinstance(found, PredictionEnergy)
    per_image = np.array([0.1 + 0.001 * index for index in range(5)]) * 3.6e6 / 40
    spread = scipy.stats.t.ppf(0.975, 4) * scipy.stats.sem(per_image)
    meter = 0.02 * 3.6e6 / 200
    assert found.values["inference_uncertainty_mj"] == pytest.approx(np.hypot(spread, meter), rel=1e-3)
    without = energy_figures(measured(source=EnergySource.ESTIMATE), 2, 10)
    assert isinstance(without, PredictionEnergy)
    assert set(without.values) == {"inference_mj"}, "nothing bounds an estimate"


def test_one_call_in_twenty_is_slower_than_the_95th_percentile() -> None:
    one = Block([i / 1000 for i in range(1, 101)], measured().energy)
    assert latency_figures(measured()._replace(blocks=[one, one]))["latency_p95_ms"] == pytest.approx(95)


def test_blocks_are_measured_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BLOCK_S", 0.01)
    calls = 0

    class Meters:
        """One Wh for each call."""

        def metered(self, work: Callable[[], None]) -> Readings:
            before = calls
            work()
            return Readings(
                EnergyReading(energy_wh=calls - before, source=EnergySource.NVML_COUNTER, seconds=1, uncertainty_wh=0)
            )

    def predict() -> None:
        nonlocal calls
        calls += 1

    found = predictions.measure(predict, Meters())  # type: ignore[arg-type]
    assert len(found.blocks) == predictions.BLOCKS
    assert found.calls == calls - predictions.WARM_UP
    energy = energy_figures(found, 1, 10)
    assert isinstance(energy, PredictionEnergy)
    assert energy.values["inference_mj"] == pytest.approx(3.6e6)
    assert energy.values["inference_uncertainty_mj"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("internal", [Internal.NONE, Internal.POST_QUANTIZATION])
def test_a_trial_has_the_figures_that_its_study_optimises(internal: Internal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BLOCK_S", 0.01)
    spec = trial_spec(internal=internal).model_copy(update={"objectives": WANTED})
    ended = run(spec).ended
    assert ended.outcome is Outcome.COMPLETED, ended.message
    found = ended.figures
    assert set(WANTED) - {"accuracy"} <= set(found)
    assert all(0 <= found[name] <= 1 for name in ("f1_macro", "recall_macro", "top5_accuracy"))
    assert ended.accuracy is not None
    assert found["top5_accuracy"] >= ended.accuracy
    assert found["latency_p95_ms"] > 0
    assert found["latency_ms"] > 0
    assert found["latency_uncertainty_ms"] > 0
    # The fake meter draws 1 Wh from mark to mark.
    assert found["inference_mj"] > 0
    assert ended.inference_source is not None
    assert found["peak_memory_bytes"] > 1e7
    if internal is Internal.NONE:
        assert found["size_bytes"] >= 4 * found["parameters"]


def test_a_trial_whose_study_does_not_ask_spends_nothing_on_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "measure", None)
    found = run(trial_spec()).ended.figures
    assert set(found) == {"parameters", "size_bytes", "peak_memory_bytes"}
