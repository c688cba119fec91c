"""Multi-objective asynchronous successive halving.

Source: Schmucker et al. (2021), Multi-objective Asynchronous Successive Halving.

At the epochs r, r x eta, r x eta^2, ... a trial goes on if it is among the best 1/eta of the trials that have come so
far. The order is by fronts: the front of all, then the front of the rest, and so on; within a front by an epsilon-net,
each next trial the one farthest from those chosen before, so that the best are spread along the front.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from greenopt.events import StopReason
from greenopt.spec import StoppingSpec, Value
from greenopt.stopping.curve import Curve
from greenopt.stopping.energy import PaceModel
from greenopt.stopping.rule import Refusal, Stop

Floats = npt.NDArray[np.float64]


class MultiObjectiveAsha:
    """The rule `moasha`; see the module."""

    def __init__(self, spec: StoppingSpec) -> None:
        """Start without trials."""
        self._spec = spec
        self._pace = PaceModel()
        self._rungs: dict[int, dict[int, tuple[float, float]]] = {}

    def refuse(self, trial: int, setting: Mapping[str, Value], epochs: int) -> Refusal | None:
        """Return None: every trial is started."""

    def add(self, curve: Curve) -> None:
        """Learn from a trial that has ended what its rungs had not told."""
        self._pace.add(curve)
        for rung in self._epochs_of_rungs(curve.planned_epochs):
            if curve.epochs >= rung:
                self._rungs.setdefault(rung, {}).setdefault(curve.trial, self._point(curve.up_to(rung)))

    def judge(self, curve: Curve, running: Sequence[Curve] = ()) -> Stop | None:
        """Decide at a rung; see `StoppingRule`."""
        if curve.epochs not in self._epochs_of_rungs(curve.planned_epochs):
            return None
        rung = self._rungs.setdefault(curve.epochs, {})
        rung[curve.trial] = self._point(curve)
        kept = math.ceil(len(rung) / self._spec.reduction_factor)
        order = rank(np.array([(-accuracy, energy_wh) for accuracy, energy_wh in rung.values()]))
        trials = [list(rung)[index] for index in order]
        place = trials.index(curve.trial)
        if place < kept:
            return None
        message = f"place {place + 1} of {len(rung)} at epoch {curve.epochs}: the best {kept} go on"
        return Stop(StopReason.HALVED, message, self._pace.forecast(curve).median_wh)

    def _epochs_of_rungs(self, planned: int) -> list[int]:
        rungs, epoch = [], self._spec.min_epochs
        while epoch < planned:
            rungs.append(epoch)
            epoch = max(epoch + 1, math.ceil(epoch * self._spec.reduction_factor))
        return rungs

    def _point(self, curve: Curve) -> tuple[float, float]:
        return curve.accuracy, self._pace.forecast(curve).median_wh


def rank(values: Floats) -> list[int]:
    """Return the indexes of points from best to worst.

    Args:
        values: shape (points, objectives), less is better in each.
    """
    left, order = list(range(len(values))), []
    while left:
        front = [i for i in left if not any(_dominates(values[j], values[i]) for j in left)]
        order += _spread(front, values)
        left = [i for i in left if i not in front]
    return order


def _dominates(a: Floats, b: Floats) -> bool:
    return bool(np.all(a <= b) and np.any(a < b))


def _spread(front: list[int], values: Floats) -> list[int]:
    """Order a front by an epsilon-net: the best in the first objective, then always the farthest from those chosen."""
    points = values[front]
    span = points.max(axis=0) - points.min(axis=0)
    points = points / np.where(span > 0, span, 1.0)
    chosen = [int(np.argmin(points[:, 0]))]
    distances = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < len(front):
        distances[chosen] = -1.0
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return [front[index] for index in chosen]
