"""Extrapolates learning curves, with their uncertainty.

The model: on the scale log(a / (1 - a)), accuracy grows in the logarithm of the epoch, as a power law does; each trial
at its own rate, and with a random walk about it. After e of n epochs, with L = log(n / e),

    final = now + rate * L,  rate ~ Normal(growth, growth_spread^2) updated by the growth so far,
    variance = wander^2 * L + variance(rate) * L^2.

A trial of one epoch hence has the growth of its kind; one that stands still for long is expected to go on so, and one
that starts late keeps a chance that shrinks slowly. Where it has just fallen further than the walk explains, the fall
passes with a probability that the study's finished trials tell (`greenopt.stopping.recovery`).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from greenopt.spec import StoppingSpec
from greenopt.stopping.curve import Curve

Floats = npt.NDArray[np.float64]

EDGE = 0.005
"""Keeps accuracies of 0 and 1 on the scale; about the chance of a hundred classes."""

RECENT = 1 / 3
"""The share of a trial's epochs, the latest, in which a fall from the best of them may be a passing one."""

LEAST_FALL = 0.05
"""The fall of the accuracy, 0..1, that is one: near chance, smaller ones are far apart on the logit scale."""

_NODES = 24
_NORMAL_NODES = np.array([NormalDist().inv_cdf((i + 0.5) / _NODES) for i in range(_NODES)])
EVEN_ACCURACIES: Floats = (np.arange(_NODES) + 0.5) / _NODES
"""Equally likely accuracies of a trial of which nothing is known."""


@dataclass(frozen=True)
class AccuracyForecast:
    """The distribution of a trial's final accuracy: normal on the logit scale.

    Attributes:
        mean: on the logit scale.
        deviation: standard deviation there.
    """

    mean: float
    deviation: float

    def nodes(self) -> Floats:
        """Return equally likely accuracies 0..1, ascending, shape (24,)."""
        return _from_logit(self.mean + self.deviation * _NORMAL_NODES)

    def quantile(self, share: float) -> float:
        """Return the accuracy 0..1 that the final one stays below with this probability."""
        return float(_from_logit(np.array(self.mean + self.deviation * NormalDist().inv_cdf(share))))

    def chance_above(self, accuracy: float) -> float:
        """Return the probability that the final accuracy is above this one."""
        if self.deviation <= 0:
            return float(self.mean > logit(accuracy))
        return 1 - NormalDist(self.mean, self.deviation).cdf(logit(accuracy))


NOTHING = AccuracyForecast(math.log(EDGE / (1 + EDGE)), 0.0)
"""The forecast of a trial that was lost: accuracy 0."""


def forecast_accuracy(curve: Curve, spec: StoppingSpec, recovery: float = 0.0) -> AccuracyForecast:
    """Forecast a trial's final accuracy; that of a whole curve is its last one.

    Args:
        curve: at least one epoch of it.
        spec: how curves grow.
        recovery: the probability 0..1 that a fall, as of `fall_of`, passes.
    """
    now = logit(curve.accuracy)
    left = math.log(max(1.0, curve.planned_epochs / curve.epochs))
    if left == 0:
        return AccuracyForecast(now, 0.0)
    seen, grown = math.log(curve.epochs), now - logit(curve.accuracies[0])
    variance = 1 / (1 / spec.growth_spread**2 + seen / spec.wander**2)
    rate = variance * (spec.growth / spec.growth_spread**2 + grown / spec.wander**2)
    fall = fall_of(curve, spec)
    uncertain = recovery * (1 - recovery) * fall**2
    mean = now + recovery * fall + rate * left
    return AccuracyForecast(mean, math.sqrt(spec.wander**2 * left + variance * left**2 + uncertain))


def fall_of(curve: Curve, spec: StoppingSpec) -> float:
    """Return how far a trial is below the best of its latest epochs, beyond what `wander` explains.

    On the scale log(a / (1 - a)). The learning rate of a cyclic schedule makes such falls when it restarts.
    """
    best = max(curve.accuracies[-math.ceil(curve.epochs * RECENT) :])
    if best - curve.accuracy < LEAST_FALL:
        return 0.0
    return max(0.0, logit(best) - logit(curve.accuracy) - spec.wander * math.sqrt(-math.log(1 - RECENT)))


def logit(accuracy: float) -> float:
    """Return an accuracy 0..1 on the scale log(a / (1 - a)), of which 0 and 1 are kept off by `EDGE`."""
    return math.log((accuracy + EDGE) / (1 - accuracy + EDGE))


def _from_logit(values: Floats) -> Floats:
    raised = np.exp(values)
    clipped: Floats = np.clip(((1 + EDGE) * raised - EDGE) / (1 + raised), 0.0, 1.0)
    return clipped
