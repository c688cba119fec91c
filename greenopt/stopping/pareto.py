"""Stops trials whose expected gain for the Pareto front is not worth the energy that they still need.

The rule: a trial goes on while the gain in hypervolume that is expected of it, per Wh that it still needs, is at least
`patience` times what a new trial is expected to bring per Wh. Both sides are in the same unit, so no scale of accuracy
or energy enters, and the rule tightens by itself as the front gets better. A new trial is taken to be like those seen
so far, stopped ones with what is forecast of them, and like one of which nothing is known.

Never stopped: the trial that is forecast to need the least energy of all, and the most accurate one so far, of equals
that which needs the least. Once a trial was stopped, and until one has been trained to its end, the best of those that
run is trained on: where all curves begin at 0, the rule would else stop every trial, and never see that they rise.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenopt.events import StopReason
from greenopt.pareto import Point
from greenopt.spec import SearchSpace, StoppingSpec, Value
from greenopt.stopping.accuracy import EVEN_ACCURACIES, NOTHING, AccuracyForecast, forecast_accuracy
from greenopt.stopping.curve import Curve
from greenopt.stopping.energy import EnergyForecast, EnergyModel, PaceModel
from greenopt.stopping.gain import Frame, Front
from greenopt.stopping.recovery import Recoveries
from greenopt.stopping.rule import Refusal, Stop

SURE = 0.95
"""The probability that makes a forecast of energy sure enough: as its lower bound is taken what lies below."""

POOL = 64
"""Trials, the latest, that a new one is taken to be like; more would cost time and tell no more."""


@dataclass(frozen=True)
class _Seen:
    accuracy: AccuracyForecast
    energy_wh: float
    last_accuracy: float


class ParetoStopping:
    """The rule `pareto`; see the module."""

    def __init__(self, spec: StoppingSpec, space: SearchSpace, seed: int) -> None:
        """Start without trials."""
        self._spec, self._seed = spec, seed
        self._energies = EnergyModel(space)
        self._pace = PaceModel()
        self._recoveries = Recoveries(spec)
        self._seen: list[_Seen] = []
        self._finished: list[Point] = []
        self._used_wh = 0.0
        self._new_trial: tuple[Frame, float] | None = None

    def add(self, curve: Curve) -> None:
        """Learn from a trial that has ended; one without an epoch tells nothing."""
        self._used_wh += curve.used_wh
        if not curve.epochs:
            return
        self._pace.add(curve)
        energy = self._pace.forecast(curve)
        self._energies.add(curve, energy)
        accuracy = NOTHING if curve.is_lost else self._forecast(curve)
        self._seen.append(_Seen(accuracy, energy.median_wh, 0.0 if curve.is_lost else curve.accuracy))
        if curve.is_whole and not curve.is_lost:
            self._finished.append(Point(curve.used_wh, curve.accuracy, curve.trial))
            self._recoveries.add(curve)
        self._new_trial = None

    def judge(self, curve: Curve, running: Sequence[Curve] = ()) -> Stop | None:
        """Decide at the end of an epoch; see `StoppingRule`."""
        energy = self._pace.forecast(curve)
        if curve.epochs < self._spec.min_epochs or self._leads(curve, energy, running):
            return None
        accuracy = self._forecast(curve)
        frame = self._frame(energy.median_wh)
        front, energies_wh = Front(self._finished, frame), energy.nodes_wh()
        gains = [front.gain(energy_wh, accuracy.nodes()) for energy_wh in energies_wh]
        gain = sum(gains) / (sum(energies_wh) - len(energies_wh) * curve.used_wh + 1e-12)
        if gain >= self._spec.patience * self._gain_of_a_new_trial(frame):
            return None
        return self._stop(curve, energy, accuracy)

    def refuse(self, trial: int, setting: Mapping[str, Value], epochs: int) -> Refusal | None:
        """Decide whether to start; see `StoppingRule`. The energy is taken to be as low as it may surely be."""
        energy = self._energies.forecast(setting, epochs)
        if not self._spec.refuse or not self._finished or energy is None or self._draw(trial) < self._spec.audit:
            return None
        low_wh = energy.quantile_wh(1 - SURE)
        best = max((point for point in self._finished if point.energy_wh <= low_wh), key=_accuracy, default=None)
        frame = self._frame(low_wh)
        front = Front(self._finished, frame)
        pool = self._seen[-POOL:]
        gains = [front.gain(low_wh, seen.accuracy.nodes()) for seen in pool]
        gain = (sum(gains) + front.gain(low_wh, EVEN_ACCURACIES)) / (len(pool) + 1)
        if best is None or gain / low_wh >= self._spec.patience * self._gain_of_a_new_trial(frame):
            return None
        message = (
            f"not started: it would take {energy.median_wh:.3g} Wh (at least {low_wh:.3g}), and trial {best.trial} has "
            f"accuracy {best.accuracy:.3f} for {best.energy_wh:.3g} Wh"
        )
        return Refusal(setting, message, energy.median_wh, best.trial)

    def _forecast(self, curve: Curve) -> AccuracyForecast:
        return forecast_accuracy(curve, self._spec, self._recoveries.probability)

    def _leads(self, curve: Curve, energy: EnergyForecast, running: Sequence[Curve]) -> bool:
        """Return whether no other trial is better in one of the objectives; alone, the first does not lead."""
        beside = [
            (other.accuracy, -self._pace.forecast(other).median_wh)
            for other in running
            if other.epochs and other.trial != curve.trial
        ]
        before = [(seen.last_accuracy, -seen.energy_wh) for seen in self._seen]
        if not before and not beside:
            return False
        if self._finished and energy.quantile_wh(1 - SURE) < min(point.energy_wh for point in self._finished):
            return True
        rivals = [*before, *beside] if self._finished else beside
        return (curve.accuracy, -energy.median_wh) > max(rivals, default=(-1.0, 0.0))

    def _stop(self, curve: Curve, energy: EnergyForecast, accuracy: AccuracyForecast) -> Stop:
        low, high = accuracy.quantile(0.05), accuracy.quantile(0.95)
        forecast = f"its forecast is accuracy {low:.3f} to {high:.3f} for {energy.median_wh:.3g} Wh"
        rivals = [point for point in self._finished if point.energy_wh <= energy.quantile_wh(SURE)]
        best = max(rivals, key=_accuracy, default=None)
        audited = self._draw(curve.trial) < self._audit_share(energy.median_wh)
        if best is None:
            message = f"not worth its energy at epoch {curve.epochs}: {forecast}; a new trial is likely to bring more"
            return Stop(
                StopReason.NOT_WORTH_ENERGY, message, energy.median_wh, accuracy.quantile(0.5), is_audited=audited
            )
        message = (
            f"dominated by trial {best.trial} at epoch {curve.epochs}: {forecast}; "
            f"that one has {best.accuracy:.3f} for {best.energy_wh:.3g} Wh"
        )
        return Stop(StopReason.DOMINATED, message, energy.median_wh, accuracy.quantile(0.5), best.trial, audited)

    def _audit_share(self, energy_wh: float) -> float:
        """Return the probability with which a stopped trial is trained to its end.

        Its mean over trials is `audit`; it falls with the square of their energies, so that auditing costs little.
        """
        weights = [seen.energy_wh**-2 for seen in self._seen] or [energy_wh**-2]
        return min(1.0, self._spec.audit * energy_wh**-2 * len(weights) / sum(weights))

    def _draw(self, trial: int) -> float:
        """Return a number 0..1 that is the trial's own, the same however often it is asked for."""
        return random.Random(f"{self._seed} {trial}").random()

    def _frame(self, energy_wh: float) -> Frame:
        return Frame.around([energy_wh, *(seen.energy_wh for seen in self._seen)])

    def _gain_of_a_new_trial(self, frame: Frame) -> float:
        """Return the gain in hypervolume per Wh that is expected of a new trial; kept until another trial ends."""
        if self._new_trial is None or self._new_trial[0] != frame:
            front, pool = Front(self._finished, frame), self._seen[-POOL:]
            usual_wh = _geometric_mean([seen.energy_wh for seen in self._seen] or [frame.least_wh, frame.largest_wh])
            gains = [front.gain(seen.energy_wh, seen.accuracy.nodes()) for seen in pool]
            gain = (sum(gains) + front.gain(usual_wh, EVEN_ACCURACIES)) / (len(pool) + 1)
            cost_wh = (self._used_wh + usual_wh) / (len(self._seen) + 1)
            self._new_trial = frame, gain / cost_wh
        return self._new_trial[1]


def _accuracy(point: Point) -> float:
    return point.accuracy


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))
