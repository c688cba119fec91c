"""An earlier study's trials, from which a study starts: what they tell, and the settings of their front.

A study keeps a copy of what it was started from in its own storage. Invariant: what is proposed does not change where
the earlier study goes on, or is deleted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna

from greenopt.errors import UsageError
from greenopt.pareto import Point, pareto_front
from greenopt.search.evidence import Evidence, energy_metric, stopped_trial, weighs_accuracy_for_energy, whole_trial
from greenopt.spec import Metric, StudySpec, Value
from greenopt.stopping.accuracy import AccuracyForecast
from greenopt.stopping.energy import EnergyForecast
from greenopt.storage.snapshot import StudySnapshot
from greenopt.storage.trial_state import TrialState

PRIOR_ATTRIBUTE = "greenopt:prior"

MAX_KEPT = 150
"""Trials of the earlier study that are kept: those of its front, and the latest."""

DISCOUNT = 0.5
"""Standard deviation, of log(a / (1 - a)) and of log(Wh), by which the same setting may differ in another study."""


@dataclass(frozen=True)
class Prior:
    """What is taken from an earlier study.

    Attributes:
        name: the study's.
        trials: flat: `setting`, `accuracy` 0..1, `energy` in Wh (of the objective), `epochs` that it trained of
            `planned`, and whether it is on its study's `front`.
    """

    name: str
    trials: tuple[Mapping[str, Any], ...]

    @property
    def kept(self) -> dict[str, Any]:
        """The value of `PRIOR_ATTRIBUTE`."""
        return {"study": self.name, "trials": [dict(each) for each in self.trials]}


def read_prior(spec: StudySpec, earlier: StudySnapshot) -> Prior:
    """Take what an earlier study tells about this one.

    Args:
        spec: this study.
        earlier: the other one, its rows with settings and metrics.

    Raises:
        UsageError: it has other parameters or objectives, or no trial whose setting is in this study's space.
    """
    name = earlier.spec.name
    what = f"sampler.prior: {name}"
    if not weighs_accuracy_for_energy(spec):
        raise UsageError(f"{what}: this study's objectives are {_named(spec)}; a prior needs accuracy and one energy")
    if set(earlier.spec.objectives.items()) != set(spec.objectives.items()):
        raise UsageError(f"{what}: its objectives are {_named(earlier.spec)}, and this study's are {_named(spec)}")
    if earlier.spec.space.own != spec.space.own or set(earlier.spec.space.distributions) != set(
        spec.space.distributions
    ):
        other = ", ".join(sorted(set(earlier.spec.space.distributions) ^ set(spec.space.distributions))[:5])
        raise UsageError(f"{what}: has other parameters than this study ({other or 'of another objective'})")
    found = [each for row in earlier.rows if (each := _flat(row, spec, earlier.spec)) is not None]
    if not found:
        raise UsageError(f"{what}: none of its trials tells of a setting of this study's space")
    points = [
        Point(each["energy"], each["accuracy"], index)
        for index, each in enumerate(found)
        if each["epochs"] >= each["planned"] and each["energy"] > 0
    ]
    front = {point.trial for point in pareto_front(points)}
    marked = [{**each, "front": index in front} for index, each in enumerate(found)]
    kept = [each for index, each in enumerate(marked) if each["front"] or index >= len(marked) - MAX_KEPT]
    return Prior(name, tuple(kept))


def _named(spec: StudySpec) -> str:
    return ", ".join(f"{metric} ({direction})" for metric, direction in spec.objectives.items())


def _flat(row: Mapping[str, Any], spec: StudySpec, earlier: StudySpec) -> dict[str, Any] | None:
    """Return what a trial tells; None where it tells nothing, or its setting is not one of this study's space."""
    setting = spec.space.trimmed(row)
    if not spec.space.holds(setting):
        return None
    metric = energy_metric(spec) or Metric.ENERGY_WH
    accuracy, energy, planned = row.get(Metric.ACCURACY), row.get(metric), earlier.training.epochs
    if row["state"] == TrialState.COMPLETE:
        epochs = planned
    elif row["state"] == TrialState.PRUNED:
        epochs = min(int(row.get("epochs_done") or 0), planned)
    else:
        return None
    if accuracy is None or energy is None or energy <= 0 or not epochs:
        return None
    return {"setting": setting, "accuracy": accuracy, "energy": energy, "epochs": epochs, "planned": planned}


def kept_prior(study: optuna.Study, spec: StudySpec) -> list[Evidence]:
    """Return what the trials tell that a study was started from, discounted: there, the same may differ."""
    kept = study.user_attrs.get(PRIOR_ATTRIBUTE)
    if not kept:
        return []
    return [_discounted(each, spec) for each in kept["trials"]]


def kept_front(study: optuna.Study) -> list[dict[str, Value]]:
    """Return the settings of the front that a study was started from, the cheapest first."""
    kept = study.user_attrs.get(PRIOR_ATTRIBUTE) or {"trials": []}
    found = sorted((each for each in kept["trials"] if each["front"]), key=lambda each: float(each["energy"]))
    return [dict(each["setting"]) for each in found]


def _discounted(each: Mapping[str, Any], spec: StudySpec) -> Evidence:
    epochs, planned = int(each["epochs"]), int(each["planned"])
    if epochs >= planned:
        found = whole_trial(each["setting"], each["accuracy"], each["energy"])
    else:
        found = stopped_trial(each["setting"], each["accuracy"], each["energy"], epochs, planned)
    assert found.accuracy is not None
    assert found.energy is not None
    accuracy = AccuracyForecast(found.accuracy.mean, _more(found.accuracy.deviation))
    # In proportion to this study's epochs.
    longer = 0.0 if energy_metric(spec) is Metric.WH_PER_EPOCH else math.log(spec.training.epochs / planned)
    energy = EnergyForecast(found.energy.mean + longer, _more(found.energy.deviation))
    # Its points are not this study's: the front is to be reached again.
    return replace(found, accuracy=accuracy, energy=energy, whole=None, cost_share=1.0)


def _more(deviation: float) -> float:
    return float((deviation**2 + DISCOUNT**2) ** 0.5)
