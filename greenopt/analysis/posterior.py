"""What a setting is expected to measure, tried or not: a Gaussian process of one response over settings.

A trial's response is taken to be a sum of effects of its values, of a deviation that settings share the more values
they have in common (so that parameters may interact), and of noise. Every variance is estimated from the trials, by the
largest posterior density under a weak prior. Estimates are therefore shrunk: a value's effect towards 0, and what a
trial has measured towards what similar trials lead one to expect. The luck of the best of many trials is taken off so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, optimize

from greenopt.analysis.trials import effective_setting
from greenopt.spec import Choice, Distribution, StudySpec, Value, inert_parameters

Matrix = npt.NDArray[np.float64]

MIN_TRIALS = 8
FITTED_ON = 200
"""Trials that variances are estimated from; of more a seeded sample is taken."""
KEPT = 600
"""Trials that the process is conditioned on; of more a seeded sample is taken."""
COMMON = 0.5
"""How much a value that differs leaves of what two settings' deviations have in common."""
FAR = 3.0
"""Standard deviations beyond which a trial is taken for an outlier, and loses weight."""
_CONSTANT = 100.0
"""Prior variance of the mean, in variances of the response."""
_PRIOR_SPREAD = 1.5
"""Standard deviation of the prior of a log variance."""
_JITTER = 1e-8
_AT_ONCE = 500
"""Settings whose likeness to the trials is held in memory at once."""


@dataclass(frozen=True)
class Encoder:
    """Settings as numbers: a value's place in its list, or a number's distance from the lower end, 0..1.

    Attributes:
        spec: the study, of whose free parameters there is a column each.
    """

    spec: StudySpec

    @property
    def names(self) -> tuple[str, ...]:
        """The free parameters, in the order of the columns."""
        return tuple(self.spec.space.free)

    def encode(self, settings: Sequence[Mapping[str, Value]]) -> Matrix:
        """Return `(settings, parameters)`, with values that do nothing set to what they amount to."""
        return self._encoded([effective_setting(setting, inert_in(setting, self.spec)) for setting in settings])

    def encode_plain(self, settings: Sequence[Mapping[str, Value]]) -> Matrix:
        """Return the same with every value as it stands."""
        return self._encoded(settings)

    def encode_trials(self, trials: "pd.DataFrame") -> Matrix:
        """Return the same of trials, whose values without effect are on record."""
        rows = trials.to_dict(orient="records")
        return self._encoded([effective_setting(row, str(row.get("inert") or "").split()) for row in rows])

    def _encoded(self, settings: Sequence[Mapping[str, Any]]) -> Matrix:
        found = np.empty((len(settings), len(self.names)))
        for column, name in enumerate(self.names):
            distribution = self.spec.space.distributions[name]
            values = distribution.values if isinstance(distribution, Choice) else ()
            places = {value: place for place, value in enumerate(values)}
            found[:, column] = [_code(setting.get(name), distribution, places) for setting in settings]
        return found

    def likeness(self, a: Matrix, b: Matrix) -> Matrix:
        """Return how alike settings are in each parameter, `(parameters, a, b)`, 0..1."""
        kinds = [isinstance(distribution, Choice) for distribution in self.spec.space.free.values()]
        apart = np.abs(a.T[:, :, None] - b.T[:, None, :])
        is_listed = np.array(kinds, dtype=bool)[:, None, None]
        return np.where(is_listed, (apart == 0).astype(np.float64), np.exp(-0.5 * apart**2))


def _code(value: Any, distribution: Distribution, places: Mapping[Value, int]) -> float:
    if value is None or value != value:
        value = distribution.first
    if isinstance(distribution, Choice):
        # A value that an inert one amounts to need not be in the list.
        return float(places.get(value, -1))
    low, high = float(distribution.low), float(distribution.high)
    return math.log(float(value) / low) / math.log(high / low) if distribution.log else (value - low) / (high - low)


def inert_in(setting: Mapping[str, Value], spec: StudySpec) -> Sequence[str]:
    """Return the parameters whose value does nothing in a setting of this study."""
    if spec.space.own:
        return ()
    left_out = spec.space.left_out(setting)
    return tuple(
        inert_parameters(spec.setting_of(setting), spec.training_of(setting), further=spec.further, left_out=left_out)
    )


@dataclass(frozen=True)
class Posterior:
    """A fitted Gaussian process.

    Attributes:
        center, scale: of the response; everything else is in units of `scale` around `center`.
        weights: variance of each parameter's effects, then of the deviation, then of the noise.
        settings: of the trials that it is conditioned on, encoded; `standard` is what they measured.
    """

    encoder: Encoder
    center: float
    scale: float
    weights: Matrix
    settings: Matrix
    standard: Matrix
    triangle: Matrix
    alpha: Matrix

    @property
    def noise_std(self) -> float:
        """Standard deviation of trials of one setting, in the response's unit."""
        return self.scale * math.sqrt(float(self.weights[-1]))

    def at(self, settings: Matrix) -> tuple[Matrix, Matrix]:
        """Return the expected responses of encoded settings, and their joint covariance, noise not included."""
        across = _kernel(self.encoder.likeness(settings, self.settings), self.weights)
        solved = linalg.solve_triangular(self.triangle, across.T, lower=True)
        prior = _kernel(self.encoder.likeness(settings, settings), self.weights)
        return self.center + self.scale * (across @ self.alpha), self.scale**2 * (prior - solved.T @ solved)

    def marginal(self, settings: Matrix) -> tuple[Matrix, Matrix]:
        """Return the expected responses of encoded settings, and the variance of each."""
        parts = [self._marginal(settings[start : start + _AT_ONCE]) for start in range(0, len(settings), _AT_ONCE)]
        means, variances = zip(*parts, strict=True) if parts else ((), ())
        return np.concatenate([*means, np.empty(0)]), np.concatenate([*variances, np.empty(0)])

    def _marginal(self, settings: Matrix) -> tuple[Matrix, Matrix]:
        across = _kernel(self.encoder.likeness(settings, self.settings), self.weights)
        solved = linalg.solve_triangular(self.triangle, across.T, lower=True)
        own = _CONSTANT + float(self.weights[:-1].sum())
        variance = self.scale**2 * np.maximum(own - (solved**2).sum(axis=0), 0.0)
        return self.center + self.scale * (across @ self.alpha), variance


def _kernel(likeness: Matrix, weights: Matrix) -> Matrix:
    deviation = np.prod(COMMON + (1 - COMMON) * likeness, axis=0)
    return np.asarray(_CONSTANT + np.tensordot(weights[:-2], likeness, axes=1) + weights[-2] * deviation)


def fit_posterior(encoder: Encoder, settings: Matrix, response: Matrix, seed: int = 0) -> Posterior | None:
    """Fit the process; None with fewer than `MIN_TRIALS` trials or where nothing varies.

    Args:
        encoder: what the settings were encoded by.
        settings: of the trials, encoded.
        response: what they measured.
        seed: of the samples that are taken of many trials.
    """
    if len(response) < MIN_TRIALS or not encoder.names or np.ptp(response) <= 1e-12 * float(np.abs(response).max()):
        return None
    order = np.random.default_rng(seed).permutation(len(response))[:KEPT] if len(response) > KEPT else slice(None)
    settings, response = settings[order], response[order]
    center, scale = float(np.mean(response)), float(np.std(response))
    standard = (response - center) / scale
    some = slice(FITTED_ON)
    weights = _variances(encoder.likeness(settings[some], settings[some]), standard[some])
    likeness = encoder.likeness(settings, settings)
    kernel, extra = _kernel(likeness, weights), np.ones(len(standard))
    for _ in range(2):
        triangle, alpha = _conditioned(kernel, weights[-1] * extra, standard)
        inverse = linalg.cho_solve((triangle, True), np.eye(len(standard)))
        # What the others predict of each trial, in standard deviations.
        far = np.abs(alpha) / np.sqrt(np.diag(inverse)) / np.sqrt(extra)
        extra = np.maximum(1.0, (far / FAR) ** 2)
    triangle, alpha = _conditioned(kernel, weights[-1] * extra, standard)
    return Posterior(encoder, center, scale, weights, settings, standard, triangle, alpha)


def _conditioned(kernel: Matrix, noise: Matrix, standard: Matrix) -> tuple[Matrix, Matrix]:
    triangle = np.asarray(np.linalg.cholesky(kernel + np.diag(noise + _JITTER)), dtype=np.float64)
    return triangle, np.asarray(linalg.cho_solve((triangle, True), standard), dtype=np.float64)


def _variances(likeness: Matrix, standard: Matrix) -> Matrix:
    """Estimate the variances by the largest posterior density."""
    parts = [*likeness, np.prod(COMMON + (1 - COMMON) * likeness, axis=0), np.eye(len(standard))]
    stacked = np.array(parts)
    count = len(likeness)
    prior = np.log(np.array([*([0.5 / count] * count), 0.1, 0.3]))

    def negative(logs: Matrix) -> tuple[float, Matrix]:
        variances = np.exp(logs)
        matrix = np.tensordot(variances, stacked, axes=1) + _CONSTANT
        matrix[np.diag_indices_from(matrix)] += _JITTER
        try:
            triangle = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = linalg.cho_solve((triangle, True), np.eye(len(matrix)))
        alpha = inverse @ standard
        away = (logs - prior) / _PRIOR_SPREAD
        value = 0.5 * standard @ alpha + np.log(np.diag(triangle)).sum() + 0.5 * away @ away
        slopes = 0.5 * np.einsum("kij,ij->k", stacked, inverse - np.outer(alpha, alpha), optimize=True)
        return float(value), slopes * variances + away / _PRIOR_SPREAD

    bounds = [(math.log(1e-6), math.log(20.0))] * len(prior)
    found = optimize.minimize(negative, prior, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    return np.exp(np.asarray(found.x, dtype=np.float64))
