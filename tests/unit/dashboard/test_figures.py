"""Figures hold the trials they claim to hold, small enough for one piece, and mark estimates."""

import json
import warnings
from typing import Any

import numpy as np
import pytest

from greenopt.dashboard.figures import (
    MAX_POINTS,
    accuracy_energy_figure,
    front_figure,
    hypervolume_figure,
    power_figure,
)
from greenopt.dashboard.store import PIECE
from greenopt.dashboard.trial_curves import TrialCurves
from greenopt.events import PowerSampled
from greenopt.front import plane_of
from greenopt.pareto import HypervolumeTrace, Point
from greenopt.reading import EnergyReading, EnergySource
from tests.builders import epoch, study


def rows(count: int, source: str = "nvml_counter") -> list[dict[str, Any]]:
    drawn = np.random.default_rng(0)
    return [
        {
            "trial": 2 * number,
            "accuracy": float(accuracy),
            "energy_wh": float(energy_wh),
            "energy_source": source,
            "efficiency": float(accuracy / energy_wh),
            "batch_size": 8,
            "lr": 0.1,
        }
        for number, (accuracy, energy_wh) in enumerate(zip(drawn.random(count), drawn.random(count) + 1, strict=True))
    ]


def build_front(trials: list[dict[str, Any]]) -> list[int]:
    trace = HypervolumeTrace()
    for row in trials:
        trace.add(Point(row["energy_wh"], row["accuracy"], row["trial"]))
    return [point.trial for point in trace.front.points]


def drawn_trials(figure: Any) -> list[int]:
    return sorted(int(trial) for trace in figure.data[:4] if len(trace.x) for trial, _ in trace.customdata)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_every_trial_is_in_the_front_figure_once(count: int) -> None:
    trials = rows(count)
    front = build_front(trials)
    figure = front_figure(study(), trials, front)
    assert drawn_trials(figure) == [row["trial"] for row in trials]
    on_front = next(trace for trace in figure.data if trace.name == "Pareto front")
    assert [int(trial) for trial, _ in on_front.customdata] == front
    assert len(figure.data[4].x) == len(front)
    assert bool(figure.layout.annotations) is (count == 0)


def test_efficiency_is_what_hovering_shows() -> None:
    (row,) = rows(1)
    figure = front_figure(study(), [row], [0])
    (trace,) = [trace for trace in figure.data[:4] if len(trace.x)]
    assert trace.customdata[0].tolist() == pytest.approx([0, row["accuracy"] / row["energy_wh"]])
    assert "efficiency %{customdata[1]:.3r} 1/Wh" in trace.hovertemplate
    assert trace.text == ("batch_size 8 · lr 0.1",)


def test_numbers_beyond_float32_are_drawn_where_they_are() -> None:
    trials = rows(3)
    trials[1]["energy_wh"] = 1e300
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = front_figure(study(), trials, build_front(trials))
    assert 1e300 in [float(x) for trace in figure.data for x in trace.x]


def test_estimates_are_marked_apart_from_what_was_measured() -> None:
    trials = [*rows(30), *({**row, "trial": 1 + row["trial"]} for row in rows(30, "estimate"))]
    figure = front_figure(study(), trials, build_front(trials))
    for trace in figure.data[:4]:
        is_estimate = "estimated" in trace.name
        assert all(int(trial) % 2 == is_estimate for trial, _ in (trace.customdata if len(trace.x) else []))
        assert ("~%{x:.3r} Wh est." in trace.hovertemplate) is is_estimate
        assert (trace.marker.symbol == "circle-open") is is_estimate
    assert figure.layout.xaxis.title.text == "energy (Wh), some estimated"
    assert front_figure(study(), rows(2, "estimate"), []).layout.xaxis.title.text == "energy (Wh), estimated"


def test_ten_thousand_trials_fit_into_one_piece_and_keep_their_front() -> None:
    trials = rows(10_000)
    front = build_front(trials)
    figure = front_figure(study(), trials, front)
    assert MAX_POINTS / 2 < len(drawn_trials(figure)) <= MAX_POINTS + len(front)
    assert set(front) <= set(drawn_trials(figure))
    assert len(figure.to_json()) < PIECE


def test_energies_far_apart_get_a_logarithmic_axis() -> None:
    near, far = ({**row, "trial": n, "energy_wh": wh} for n, row, wh in zip((0, 1), rows(2), (0.01, 0.9), strict=True))
    axis = front_figure(study(), [near, far], [0]).layout.xaxis
    assert (axis.type, axis.title.text) == ("log", "energy (Wh), logarithmic")
    assert front_figure(study(), [near, {**far, "energy_wh": 0.2}], [0]).layout.xaxis.type is None
    assert front_figure(study(), [far, {**near, "energy_wh": 0.0}], [0]).layout.xaxis.type is None


def test_the_hypervolume_rises_to_the_last_trial() -> None:
    trials = rows(500)
    trace = HypervolumeTrace()
    for row in trials:
        trace.add(Point(row["energy_wh"], row["accuracy"], row["trial"]))
    (line,) = hypervolume_figure(len(trials), trace.values()).data
    assert line.y.tolist() == sorted(line.y.tolist())
    assert (line.x[-1], line.y[-1]) == (500, pytest.approx(trace.front.hypervolume))
    assert hypervolume_figure(0, []).layout.annotations


def curves(
    epochs: int, energy: EnergyReading | None = None, source: EnergySource = EnergySource.NVML_COUNTER
) -> TrialCurves:
    made = TrialCurves()
    for number in range(1, epochs + 1):
        made.take(epoch(number, 0.01 * number, energy))
    for second in range(100 * epochs):
        made.take(PowerSampled(t_s=float(second), power_w=100.0 + second % 7, source=source))
    return made


def test_curves_cost_what_their_epochs_cost() -> None:
    figure = accuracy_energy_figure({4: "b8 <lr> {0.1}"}, {4: curves(3), 5: curves(2)})
    (line,) = figure.data
    assert line.name == "trial 4"
    assert line.x.tolist() == [1.0, 2.0, 3.0]
    assert line.y.tolist() == pytest.approx([0.01, 0.02, 0.03])
    assert line.hovertemplate.endswith("%{x:.3r} Wh<br>b8 &#60;lr&#62; &#123;0.1&#125;")


def test_an_epoch_without_energy_ends_its_curve() -> None:
    figure = accuracy_energy_figure({4: "x"}, {4: curves(3, EnergyReading.missing("gone"))})
    assert len(figure.data[0].x) == 0


def test_curves_of_long_trials_fit_into_one_piece() -> None:
    curves_by_trial = {number: curves(60) for number in range(16)}
    settings = dict.fromkeys(curves_by_trial, "b128 SGD 0.9 lr 0.00625 cosine")
    assert len(accuracy_energy_figure(settings, curves_by_trial).to_json()) < PIECE
    power = power_figure({number: curves_by_trial[number] for number in range(5)})
    assert [trace.name for trace in power.data] == [f"trial {number}" for number in range(5)]
    assert len(power.to_json()) < PIECE


def test_estimated_power_is_marked() -> None:
    assert power_figure({0: curves(1)}).layout.yaxis.title.text == "power (W)"
    estimated = power_figure({0: curves(1, source=EnergySource.ESTIMATE)})
    assert estimated.layout.yaxis.title.text == "power (W), estimated"
    assert power_figure({0: TrialCurves()}).layout.annotations


@pytest.mark.parametrize(
    ("objectives", "metric"),
    [
        ({"accuracy": "maximize", "energy_wh": "minimize"}, "energy_wh"),
        ({"total_wh": "minimize", "accuracy": "maximize"}, "total_wh"),
        ({"accuracy": "maximize", "wh_per_epoch": "minimize"}, "wh_per_epoch"),
        ({"accuracy": "maximize"}, "energy_wh"),
    ],
)
def test_accuracy_is_drawn_against_the_energy_that_is_minimised(objectives: dict[str, str], metric: str) -> None:
    assert plane_of(study(objectives=objectives)).across == metric
    json.loads(front_figure(study(objectives=objectives), [{**row, metric: 2.0} for row in rows(3)], [0]).to_json())
