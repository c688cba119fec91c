"""A Gaussian process of one response over settings of lists and ranges.

The response is a sum of effects of the values, of a deviation that settings share the more values they have in common
(so that parameters may interact), and of noise. Each variance is estimated by the largest posterior density under a
weak prior; with few trials the prior stands. Each trial may have an uncertainty of its own beside the noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greenopt.spec import Choice, Distribution, SearchSpace, Value

Floats = npt.NDArray[np.float64]

MIN_TRIALS = 8
"""Trials below which the variances are those of the prior."""

COMMON = 0.5
"""How much a value that differs leaves of what two settings' deviations have in common."""

LENGTH = 0.4
"""How far apart two numbers of a range are, as a share of it, that hardly tell of one another."""

_CONSTANT = 10.0
_EFFECTS, _DEVIATION, _NOISE = 0.5, 0.3, 0.1
"""Prior variances, in those of the response; of the effects, all parameters together."""
_PRIOR_SPREAD = 1.0
"""Standard deviation of the prior of a log variance."""
_BOUNDS = (math.log(1e-4), math.log(10.0))
_JITTER = 1e-8


@dataclass(frozen=True)
class Encoder:
    """Settings as numbers: a value's place in its list, or a number's distance from the lower end of its range, 0..1.

    Attributes:
        space: has a column for each parameter of more than one value.
    """

    space: SearchSpace

    def encode(self, settings: Sequence[Mapping[str, Value]]) -> Floats:
        """Return shape (settings, parameters)."""
        free = self.space.free
        found = np.empty((len(settings), len(free)))
        for column, (name, distribution) in enumerate(free.items()):
            values = distribution.values if isinstance(distribution, Choice) else ()
            places = {value: index for index, value in enumerate(values)}
            # One that is left out is coded as the baseline's: what it changes is an effect within its condition.
            found[:, column] = [
                _code(setting.get(name, distribution.first), distribution, places) for setting in settings
            ]
        return found

    def likeness(self, a: Floats, b: Floats) -> Floats:
        """Return how alike settings are in each parameter, 0..1, shape (parameters, a, b)."""
        is_listed = np.array([isinstance(each, Choice) for each in self.space.free.values()], dtype=bool)[:, None, None]
        apart = np.abs(a.T[:, :, None] - b.T[:, None, :])
        return np.where(is_listed, (apart == 0).astype(np.float64), np.exp(-0.5 * (apart / LENGTH) ** 2))


def _code(value: Value, distribution: Distribution, places: Mapping[Value, int]) -> float:
    if isinstance(distribution, Choice):
        return float(places[value])
    low, high, number = float(distribution.low), float(distribution.high), float(value)
    return math.log(number / low) / math.log(high / low) if distribution.log else (number - low) / (high - low)


class Process:
    """A process conditioned on trials."""

    def __init__(self, encoder: Encoder, settings: Floats, response: Floats, deviations: Floats, scale: float) -> None:
        """Estimate the variances and condition on the trials, at least one.

        Args:
            encoder: of the settings.
            settings: encoded, shape (trials, parameters).
            response: of each.
            deviations: standard deviation of each, beside the noise that all have.
            scale: standard deviation of the response that is expected before the trials tell.
        """
        self._encoder, self._settings = encoder, settings
        self._center = float(np.mean(response))
        self._scale = max(float(np.std(response)), 0.25 * scale) if len(response) >= MIN_TRIALS else scale
        standard, extra = (response - self._center) / self._scale, (deviations / self._scale) ** 2
        likeness = encoder.likeness(settings, settings)
        self._weights = _estimated(likeness, standard, extra)
        kernel = _kernel(likeness, self._weights) + np.diag(self._weights[-1] + extra + _JITTER)
        self._inverse = np.linalg.inv(kernel)
        self._alpha = self._inverse @ standard

    @property
    def noise(self) -> float:
        """Standard deviation of trials of one setting."""
        return self._scale * math.sqrt(float(self._weights[-1]))

    def predict(self, settings: Floats) -> tuple[Floats, Floats]:
        """Return the expected responses of encoded settings, and the standard deviation of each, noise included."""
        across = _kernel(self._encoder.likeness(settings, self._settings), self._weights)
        variance = _CONSTANT + float(self._weights.sum()) - np.einsum("ij,jk,ik->i", across, self._inverse, across)
        means = self._center + self._scale * (across @ self._alpha)
        return np.asarray(means), np.asarray(self._scale * np.sqrt(np.maximum(variance, 1e-6)))


def _kernel(likeness: Floats, weights: Floats) -> Floats:
    deviation = np.prod(COMMON + (1 - COMMON) * likeness, axis=0)
    return np.asarray(_CONSTANT + np.tensordot(weights[:-2], likeness, axes=1) + weights[-2] * deviation)


def _estimated(likeness: Floats, standard: Floats, extra: Floats) -> Floats:
    """Return the variances of each parameter's effects, of the deviation and of the noise."""
    count = len(likeness)
    prior = np.log(np.array([*([_EFFECTS / count] * count), _DEVIATION, _NOISE]))
    if len(standard) < MIN_TRIALS:
        return np.asarray(np.exp(prior))
    from scipy import optimize

    stacked = np.array([*likeness, np.prod(COMMON + (1 - COMMON) * likeness, axis=0), np.eye(len(standard))])
    known = _CONSTANT + np.diag(extra + _JITTER)

    def negative(logs: Floats) -> tuple[float, Floats]:
        variances = np.exp(logs)
        matrix = np.tensordot(variances, stacked, axes=1) + known
        inverse = np.linalg.inv(matrix)
        alpha = inverse @ standard
        away = (logs - prior) / _PRIOR_SPREAD
        value = 0.5 * standard @ alpha + 0.5 * np.linalg.slogdet(matrix)[1] + 0.5 * away @ away
        slopes = 0.5 * np.tensordot(stacked, inverse - np.outer(alpha, alpha), axes=2)
        return float(value), slopes * variances + away / _PRIOR_SPREAD

    found = optimize.minimize(
        negative, prior, jac=True, method="L-BFGS-B", bounds=[_BOUNDS] * len(prior), options={"maxiter": 20}
    )
    return np.asarray(np.exp(found.x), dtype=np.float64)
