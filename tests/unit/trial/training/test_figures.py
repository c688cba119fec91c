"""Figures of a trained model: its answers, its size, and what a prediction takes, of the float and the int8 model."""

from typing import Any

import numpy as np
import pytest

from greenopt.energy.trial_meter import Readings
from greenopt.events import Outcome
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import Internal
from greenopt.trial.training import figures
from greenopt.trial.training.figures import Measured, answer_figures, prediction_energy
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


def measured(**device: Any) -> Measured:
    reading = EnergyReading(**{"energy_wh": 2.0, "source": EnergySource.NVML_COUNTER, "seconds": 3.0, **device})
    return Measured(100, 3.0, 36.0, Readings(reading))


def test_the_energy_of_predictions_is_less_idle_where_that_is_known() -> None:
    assert prediction_energy(measured(net_wh=0.5), 10) == (0.5, EnergySource.NVML_COUNTER)
    assert prediction_energy(measured(source=EnergySource.ESTIMATE), 10) == (2.0, EnergySource.ESTIMATE)
    assert "no more than the idle device" in prediction_energy(measured(net_wh=0.0), 10)
    assert prediction_energy(measured(energy_wh=None, source=None, reason="no meter"), 10) == "no meter"


def test_an_int8_model_beside_a_gpu_has_the_energy_of_the_cpu() -> None:
    of_gpu = measured()
    assert prediction_energy(of_gpu, 10, on_host=True) == (36.0 * 10 / 3600, EnergySource.ESTIMATE)
    host = EnergyReading(energy_wh=0.25, source=EnergySource.RAPL, seconds=3.0)
    with_host = of_gpu._replace(energy=Readings(of_gpu.energy.device, cpu=host))
    assert prediction_energy(with_host, 10, on_host=True) == (0.25, EnergySource.RAPL)


@pytest.mark.parametrize("internal", [Internal.NONE, Internal.POST_QUANTIZATION])
def test_a_trial_has_the_figures_that_its_study_optimises(internal: Internal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MEASURED_S", 0.05)
    spec = trial_spec(internal=internal).model_copy(update={"objectives": WANTED})
    ended = run(spec).ended
    assert ended.outcome is Outcome.COMPLETED, ended.message
    found = ended.figures
    assert set(WANTED) - {"accuracy"} <= set(found)
    assert all(0 <= found[name] <= 1 for name in ("f1_macro", "recall_macro", "top5_accuracy"))
    assert ended.accuracy is not None
    assert found["top5_accuracy"] >= ended.accuracy
    assert found["latency_ms"] > 0
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
