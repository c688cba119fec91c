"""What the trials of a study tell of accuracy and energy: whole ones, stopped ones, failed ones, running ones.

A stopped trial tells its accuracy and its energy as far as they can be forecast from where it stopped; a failed one, an
accuracy of 0; a running one, that its setting is taken.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from greenopt.events import StopReason
from greenopt.pareto import Point
from greenopt.search.energy_view import ENERGIES
from greenopt.search.exhaustive import setting_of
from greenopt.spec import Metric, StoppingSpec, StudySpec, Value
from greenopt.stopping.accuracy import AccuracyForecast, forecast_accuracy
from greenopt.stopping.curve import Curve
from greenopt.stopping.energy import EnergyForecast

STOPPED_SPREAD = 0.1
"""Standard deviation of the log energy that is forecast of a stopped trial."""

RETRIED = ("interrupted", "killed", "duplicate", "gpu_failed", "node_lost", "not_recorded")
"""Reasons to fail that tell nothing of the setting."""


@dataclass(frozen=True)
class Evidence:
    """What one trial tells.

    Attributes:
        setting: its parameters, all of them.
        accuracy: known or forecast; None where it tells nothing of it.
        energy: known or forecast.
        whole: the point that it puts on the plane of finished trials.
        cost_share: of its forecast energy, what was used; 1 for a whole trial.
    """

    setting: Mapping[str, Value]
    accuracy: AccuracyForecast | None = None
    energy: EnergyForecast | None = None
    whole: Point | None = None
    cost_share: float = 1.0


def known_accuracy(accuracy: float) -> AccuracyForecast:
    """Return the forecast of an accuracy that is known; one outside 0..1 is taken for the nearer end."""
    return forecast_accuracy(Curve(0, {}, 1, (min(1.0, max(0.0, accuracy)),), (0.0,)), StoppingSpec())


def whole_trial(setting: Mapping[str, Value], accuracy: float, energy_wh: float, trial: int = -1) -> Evidence:
    """Return what a trial tells that was trained to its end; an energy that is not above 0 was not measured."""
    if energy_wh <= 0:
        return Evidence(setting, known_accuracy(accuracy))
    energy = EnergyForecast(math.log(energy_wh), 0.0)
    return Evidence(setting, known_accuracy(accuracy), energy, Point(energy_wh, accuracy, trial))


def stopped_trial(
    setting: Mapping[str, Value],
    accuracy: float,
    used_wh: float | None,
    epochs: int,
    planned: int,
    spec: StoppingSpec | None = None,
) -> Evidence:
    """Return what a trial tells that was stopped after some of its planned epochs, used energy in Wh."""
    spec, now = spec or StoppingSpec(), known_accuracy(accuracy)
    left = math.log(max(1.0, planned / epochs))
    spread = math.sqrt(spec.wander**2 * left + (spec.growth_spread * left) ** 2)
    forecast = AccuracyForecast(now.mean + spec.growth * left, spread)
    if used_wh is None or used_wh <= 0:
        return Evidence(setting, forecast)
    energy = EnergyForecast(math.log(used_wh * max(1.0, planned / epochs)), STOPPED_SPREAD)
    return Evidence(setting, forecast, energy, cost_share=min(1.0, epochs / planned))


def read_evidence(trials: Iterable[FrozenTrial], spec: StudySpec) -> tuple[list[Evidence], list[dict[str, Value]]]:
    """Return what trials tell that have ended, and the settings of those that have not.

    Args:
        trials: of the study.
        spec: the study.
    """
    ended, pending = [], []
    for trial in trials:
        setting = spec.space.trimmed(setting_of(trial))
        if not spec.space.holds(setting):
            continue
        if not trial.state.is_finished():
            pending.append(setting)
        elif (found := _evidence(trial, setting, spec)) is not None:
            ended.append(found)
    return ended, pending


def _evidence(trial: FrozenTrial, setting: Mapping[str, Value], spec: StudySpec) -> Evidence | None:
    if trial.state is TrialState.COMPLETE:
        return whole_trial(setting, *objectives_of(trial.values, spec), trial.number)
    figures = trial.user_attrs
    if trial.state is TrialState.FAIL:
        return None if figures.get("fail_reason") in RETRIED else Evidence(setting, known_accuracy(0.0))
    reason, epochs, accuracy = (figures.get(name) for name in ("stop_reason", "epochs_done", "accuracy"))
    if reason == StopReason.NOT_STARTED:
        # What was forecast of it came from the other trials.
        return None
    if reason == StopReason.DIVERGED or not epochs or accuracy is None:
        return Evidence(setting, known_accuracy(0.0))
    if reason == StopReason.AT_CHANCE:
        return Evidence(setting, known_accuracy(float(accuracy)))
    used_wh = _used_wh(figures, spec)
    return stopped_trial(setting, float(accuracy), used_wh, int(epochs), spec.epochs_of(setting), spec.stopping)


def _used_wh(figures: Mapping[str, Any], spec: StudySpec) -> float | None:
    metric = energy_metric(spec)
    if metric is Metric.WH_PER_EPOCH:
        # The forecast multiplies by the epochs that are left.
        pace, epochs = figures.get(metric), figures.get("epochs_done")
        return None if pace is None or not epochs else float(pace) * int(epochs) / spec.training.epochs
    used = figures.get("energy_wh")
    return None if used is None else float(used)


def energy_metric(spec: StudySpec) -> Metric | None:
    """Return the energy that a study minimises; None where there is none."""
    found = [metric for metric in ENERGIES if (way := spec.objectives.get(metric)) and way.name == "MINIMIZE"]
    return found[0] if len(found) == 1 else None


def weighs_accuracy_for_energy(spec: StudySpec) -> bool:
    """Return whether a study's objectives are accuracy and one energy, and no other."""
    return Metric.ACCURACY in spec.objectives and energy_metric(spec) is not None and len(spec.objectives) == 2


def objectives_of(values: Sequence[float], spec: StudySpec) -> tuple[float, float]:
    """Return accuracy and energy of a completed trial's values."""
    by_metric = dict(zip(spec.objectives, values, strict=True))
    metric = energy_metric(spec)
    assert metric is not None
    return by_metric[Metric.ACCURACY], by_metric[metric]
