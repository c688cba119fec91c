"""Forecasts the energy of a trial: from its own epochs, or, before it starts, from the trials so far.

The model before the start: the logarithm of a trial's energy an epoch is a sum of effects, one for each value of a
listed parameter, a slope along the range of a ranged one. Effects have a normal prior, so that the forecast is wide
until the trials tell, and never undefined.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

import numpy as np
import numpy.typing as npt

from greenopt.spec import Choice, Range, SearchSpace, Value
from greenopt.stopping.curve import Curve

Floats = npt.NDArray[np.float64]

PACE_SPREAD = 0.05
"""How far a whole training may be from the pace of its second epoch, as a share; less for more epochs."""

_FIRST_TRIALS = 2
_FIRST_SPREAD = 0.5
"""How far the pace may be from that of the first epoch, in its logarithm, as if seen in `_FIRST_TRIALS` trials."""

_LEAST_WH = 1e-12
_NODES = (0.1, 0.3, 0.5, 0.7, 0.9)

_EFFECT_SPREAD = 1.0
"""Standard deviation of an effect before the trials tell: a factor of e."""

_PRIOR_COLUMNS = 1.0
_PRIOR_SCALE = 0.1
_ROUNDS = 12
_MIN_NOISE = 0.05
_NOISE_TRIALS = 3.0
_NOISE_BEFORE = 0.2
"""The noise that is assumed, as if it had been seen in `_NOISE_TRIALS` trials."""


@dataclass(frozen=True)
class EnergyForecast:
    """The distribution of a trial's energy: normal in its logarithm.

    Attributes:
        mean: of log(Wh).
        deviation: its standard deviation.
    """

    mean: float
    deviation: float

    @property
    def median_wh(self) -> float:
        """The energy in Wh that the trial's is as likely above as below."""
        return math.exp(self.mean)

    def quantile_wh(self, share: float) -> float:
        """Return the energy in Wh that the trial's stays below with this probability."""
        return math.exp(self.mean + self.deviation * NormalDist().inv_cdf(share))

    def nodes_wh(self) -> tuple[float, ...]:
        """Return equally likely energies in Wh, ascending; one where it is known."""
        return tuple(self.quantile_wh(share) for share in _NODES) if self.deviation > 0 else (self.median_wh,)


class PaceModel:
    """Energy of a running trial from its own epochs.

    The pace is the median of the epochs after the first. The first may hold what is done once, from loading a library
    to warming up: how much, the earlier trials tell.
    """

    def __init__(self) -> None:
        """Start without trials."""
        self._ratios = [0.0] * _FIRST_TRIALS
        self._squares = _FIRST_TRIALS * _FIRST_SPREAD**2

    def add(self, curve: Curve) -> None:
        """Learn from a trial that has ended how its first epoch differs from the others."""
        steps = _steps(curve)
        if len(steps) > 1 and min(steps[0], median(steps[1:])) > 0:
            self._ratios.append(math.log(median(steps[1:]) / steps[0]))

    def forecast(self, curve: Curve) -> EnergyForecast:
        """Forecast a trial's energy in Wh from at least one of its epochs."""
        steps = _steps(curve)
        left = max(0, curve.planned_epochs - curve.epochs)
        share_left = left / max(1, curve.planned_epochs)
        if curve.epochs > 1:
            whole_wh = max(curve.used_wh + left * median(steps[1:]), _LEAST_WH)
            return EnergyForecast(math.log(whole_wh), PACE_SPREAD / math.sqrt(curve.epochs - 1) * share_left)
        mean = sum(self._ratios) / len(self._ratios)
        squares = self._squares + sum((ratio - mean) ** 2 for ratio in self._ratios)
        whole_wh = max(curve.used_wh + left * math.exp(mean) * curve.used_wh, _LEAST_WH)
        return EnergyForecast(math.log(whole_wh), math.sqrt(squares / len(self._ratios)) * share_left)


def _steps(curve: Curve) -> list[float]:
    return [after - before for before, after in zip((0.0, *curve.energies_wh), curve.energies_wh, strict=False)]


class EnergyModel:
    """Energy an epoch by setting; learns from each trial as it ends."""

    def __init__(self, space: SearchSpace, *, with_slopes: bool = False) -> None:
        """Start without trials.

        Args:
            space: the study's.
            with_slopes: whether a list of three or more positive numbers has a slope in their logarithm beside the
                effects of its values, so that numbers which no trial had yet are extrapolated to.
        """
        self._space = space
        self._logs_of_lists = _logs_of_lists(space) if with_slopes else {}
        self._columns: dict[tuple[str, Value | None], int] = {}
        for name, distribution in space.distributions.items():
            if isinstance(distribution, Choice):
                if len(distribution.values) > 1:
                    self._columns |= {(name, value): 0 for value in distribution.values}
            else:
                self._columns[name, None] = 0
        self._columns |= {(name, None): 0 for name in self._logs_of_lists}
        self._columns = {key: index for index, key in enumerate(self._columns, 1)}
        groups = [(name, value is None) for name, value in self._columns]
        names = list(dict.fromkeys(groups))
        self._groups = [[index for index, of in enumerate(groups, 1) if of == name] for name in names]
        self._group_of_column = np.array([names.index(of) for of in groups], dtype=np.intp)
        self._rows: list[Floats] = []
        self._logs: list[float] = []
        self._fitted: tuple[Floats, Floats, float] | None = None

    def add(self, curve: Curve, energy: EnergyForecast) -> None:
        """Learn from a trial that has ended, of which this energy is forecast or known."""
        self._rows.append(self._row(curve.setting))
        self._logs.append(energy.mean - math.log(max(1, curve.planned_epochs)))
        self._fitted = None

    def forecast(self, setting: Mapping[str, Value], epochs: int) -> EnergyForecast | None:
        """Forecast the energy in Wh of a trial with this setting; None while fewer than two trials have ended."""
        if len(self._rows) < 2:
            return None
        if self._fitted is None:
            self._fitted = self._fit()
        effects, covariance, noise = self._fitted
        row = self._row(setting)
        variance = noise**2 + float(row @ covariance @ row)
        return EnergyForecast(float(row @ effects) + math.log(max(1, epochs)), math.sqrt(variance))

    def draw_logs(
        self, settings: Sequence[Mapping[str, Value]], random: np.random.Generator, draws: int
    ) -> Floats | None:
        """Draw log(Wh an epoch) of trials with these settings, with the uncertainty of effects and noise.

        Returns:
            (draws, settings) float64; one draw's effects are the same for all settings. None while fewer than two
            trials have ended.
        """
        if len(self._rows) < 2:
            return None
        if self._fitted is None:
            self._fitted = self._fit()
        effects, covariance, noise = self._fitted
        rows = np.array([self._row(setting) for setting in settings]).reshape(len(settings), len(effects))
        # The noise is known as well as the trials beyond those that the effects took tell.
        taken = float(np.trace(covariance @ (np.array(self._rows).T @ np.array(self._rows)))) / noise**2
        degrees = max(2.0, len(self._rows) + _NOISE_TRIALS - taken)
        noises = noise * np.sqrt(degrees / random.chisquare(degrees, size=(draws, 1)))
        drawn = random.multivariate_normal(effects, covariance, size=draws, method="cholesky")
        logs: Floats = drawn @ rows.T + noises * random.normal(size=(draws, len(settings)))
        return logs

    def _fit(self) -> tuple[Floats, Floats, float]:
        """Return effects, their covariance, and the noise's standard deviation, all of log(Wh an epoch).

        The spread of the effects of each parameter, and the noise, are estimated from the trials (expectation
        maximisation): most parameters hardly matter for energy, and few trials show which do.
        """
        rows, logs = np.array(self._rows), np.array(self._logs)
        level = float(logs.mean())
        products, sums = rows.T @ rows, rows.T @ (logs - level)
        spreads = np.full(len(self._groups), _EFFECT_SPREAD)
        noise = _NOISE_BEFORE
        for _ in range(_ROUNDS):
            precision = np.diag(np.concatenate([[1e-6], 1 / spreads[self._group_of_column] ** 2]))
            covariance = np.asarray(np.linalg.inv(precision + products / noise**2), dtype=np.float64)
            effects = np.asarray(covariance @ sums / noise**2, dtype=np.float64)
            squares = effects**2 + np.diag(covariance)
            for group, columns in enumerate(self._groups):
                total = float(squares[columns].sum()) + _PRIOR_COLUMNS * _EFFECT_SPREAD**2 * _PRIOR_SCALE
                spreads[group] = math.sqrt(total / (len(columns) + _PRIOR_COLUMNS))
            misses = float(np.sum((logs - level - rows @ effects) ** 2) + np.trace(products @ covariance))
            noise = math.sqrt((misses + _NOISE_TRIALS * _NOISE_BEFORE**2) / (len(logs) + _NOISE_TRIALS))
        effects[0] += level
        return effects, covariance, max(_MIN_NOISE, noise)

    def _row(self, setting: Mapping[str, Value]) -> Floats:
        row = np.zeros(len(self._columns) + 1)
        row[0] = 1.0
        for name, value in setting.items():
            if (name, value) in self._columns:
                row[self._columns[name, value]] = 1.0
                if name in self._logs_of_lists and isinstance(value, int | float):
                    mean, deviation = self._logs_of_lists[name]
                    row[self._columns[name, None]] = (math.log(value) - mean) / deviation
            elif (name, None) in self._columns and isinstance(value, int | float):
                distribution = self._space.distributions[name]
                if isinstance(distribution, Range):
                    row[self._columns[name, None]] = _position(float(value), distribution)
        return row


def _logs_of_lists(space: SearchSpace) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of the logarithms of each listed parameter that is a positive number."""
    found = {}
    for name, distribution in space.distributions.items():
        values = distribution.values if isinstance(distribution, Choice) else ()
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(values) > 2 and len(numbers) == len(values) and min(numbers) > 0:
            logs = np.log(numbers)
            found[name] = (float(logs.mean()), float(logs.std()))
    return found


def _position(value: float, distribution: Range) -> float:
    """Return where a value lies in its range, from -0.5 to 0.5; on a logarithmic scale where the range is above 0."""
    low, high = float(distribution.low), float(distribution.high)
    if low > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) - 0.5
