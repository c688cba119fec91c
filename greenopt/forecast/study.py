"""Forecasts a study's energy and time from its trials so far.

Final energy = that of ended trials + that of running ones + that of those which have yet to start. The logarithm of
what a whole trial takes is a sum of effects of its setting (`greenopt.stopping.energy`), for energy and for time.
The study is drawn many times over: effects, noise, settings that are not known yet, and the share of its training that
each trial gets, which is that of an ended trial of similar energy. What is assumed: that trials go on to be stopped and
to fail as those before, that none is interrupted and repeated, and, where settings are not known, that they are drawn
as the random sampler draws, or, with a sampler that learns, each second one like one of the latest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greenopt.forecast.amounts import Amount, StudyForecast
from greenopt.forecast.draws import LATEST, draw_like
from greenopt.forecast.trials import EndedTrial, RunningTrial
from greenopt.spec import SearchSpace, Value
from greenopt.stopping.curve import Curve
from greenopt.stopping.energy import PACE_SPREAD, EnergyForecast, EnergyModel

Floats = npt.NDArray[np.float64]
Setting = Mapping[str, Value]

DRAWS = 400
MIN_TRIALS = 2
"""Trials without which nothing is forecast."""

MAX_SIMULATED = 300
"""Trials that have yet to start which are drawn one by one; more are taken to be like these."""

MAX_LEARNT = 2000
_LEAST = 1e-9
_MIN_POOL = 50
_NEAR = 0.5
"""Difference in log energy at which another trial's share of its training tells little."""


class StudyForecaster:
    """Forecasts one study; learns from each trial as it ends."""

    def __init__(self, space: SearchSpace, *, adapts: bool = False, seed: int = 0) -> None:
        """Start without trials.

        Args:
            space: the study's.
            adapts: whether its sampler learns from the trials, so that its settings drift.
            seed: of the draws.
        """
        self._space, self._adapts, self._seed = space, adapts, seed
        self._energies, self._times = _Model(space), _Model(space)
        self._settings: list[Setting] = []
        self._ended = 0
        self.used_wh = 0.0
        self._is_estimate = False

    @property
    def ended(self) -> int:
        """Trials that have ended and count."""
        return self._ended

    def add(self, trial: EndedTrial) -> None:
        """Learn from a trial that has ended."""
        self.used_wh += trial.energy_wh or 0.0
        self._is_estimate |= trial.is_estimate and bool(trial.energy_wh)
        if not trial.is_settled:
            return
        self._ended += 1
        self._settings.append(trial.setting)
        self._energies.add(trial.setting, trial.energy_wh, trial.share)
        self._times.add(trial.setting, trial.seconds, trial.share)

    def forecast(
        self, running: Sequence[RunningTrial], upcoming: Sequence[Setting], left: int, slots: int
    ) -> StudyForecast:
        """Forecast the study.

        Args:
            running: the trials that run.
            upcoming: settings of the next trials, as far as they are known.
            left: how many trials have yet to start.
            slots: how many run at once.
        """
        random = np.random.default_rng((self._seed, self._ended, len(running)))
        settings = self._next_settings(upcoming, min(left, MAX_SIMULATED), random)
        scale = left / max(1, settings.count)
        wh = self._energies.draw([(t.setting, t.energy_wh, t.share) for t in running], settings, random)
        seconds = self._times.draw([(t.setting, t.seconds, t.share) for t in running], settings, random)
        energy_wh = None
        if wh is not None:
            energy_wh = Amount.from_draws(self.used_wh + wh[0].sum(axis=1) + scale * wh[1].sum(axis=1))
        left_s = None
        if seconds is not None:
            ran_s = np.array([trial.seconds for trial in running])
            left_s = Amount.from_draws(_schedule(np.maximum(0.0, seconds[0] - ran_s), seconds[1], slots, scale))
        return StudyForecast(energy_wh, left_s, self._ended, left + len(running), self._is_estimate)

    def of_next(self, running: Sequence[RunningTrial], setting: Setting | None) -> "NextTrial":
        """Forecast the running trials and the next one.

        Args:
            running: the trials that run.
            setting: the next one's; None where it is not known.
        """
        random = np.random.default_rng((self._seed, self._ended, 1))
        settings = self._next_settings([] if setting is None else [setting], 64 if setting is None else 1, random)
        wh = self._energies.draw([(t.setting, t.energy_wh, t.share) for t in running], settings, random)
        seconds = self._times.draw([], settings, random)
        running_wh = [max(0.0, trial.energy_wh or 0.0) for trial in running]
        if wh is not None:
            running_wh = np.median(wh[0], axis=0).tolist()
            next_wh = float(np.median(wh[1].mean(axis=1)))
        else:
            next_wh = self._energies.mean
            running_wh = [max(used_wh, self._energies.mean) for used_wh in running_wh]
        next_s = self._times.mean if seconds is None else float(np.median(seconds[1].mean(axis=1)))
        return NextTrial(sum(running_wh), next_wh, next_s)

    def _next_settings(self, upcoming: Sequence[Setting], count: int, random: np.random.Generator) -> "_Upcoming":
        known = list(upcoming[:count])
        unknown = count - len(known)
        latest = self._settings[-LATEST:] if self._adapts else []
        pool = draw_like(self._space, latest, 2 * unknown + _MIN_POOL, random) if unknown else []
        return _Upcoming(known, pool, unknown)


@dataclass(frozen=True)
class _Upcoming:
    """Trials that have yet to start: known settings, and as many `unknown` ones, drawn anew from the pool each time."""

    known: Sequence[Setting]
    pool: Sequence[Setting]
    unknown: int

    @property
    def count(self) -> int:
        return len(self.known) + self.unknown

    def picked(self, values: Floats, random: np.random.Generator) -> Floats:
        """Return the columns of the trials from those of all settings."""
        if not self.unknown:
            return values
        known, pool = values[:, : len(self.known)], values[:, len(self.known) :]
        picks = random.random(pool.shape).argsort(axis=1)[:, : self.unknown]
        return np.hstack([known, np.take_along_axis(pool, picks, axis=1)])


@dataclass(frozen=True)
class NextTrial:
    """What the running trials and the next one will have used.

    Attributes:
        running_wh: energy of the running ones when they end, in Wh.
        wh: energy of the next one, in Wh; 0 where nothing tells.
        seconds: duration of the next one, in s; 0 where nothing tells.
    """

    running_wh: float
    wh: float
    seconds: float


class _Model:
    """Energy, or time, of trials."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._model = EnergyModel(space, with_slopes=True)
        self._wholes: list[float] = []
        self._shares: list[float] = []
        self._known: list[float] = []

    @property
    def mean(self) -> float:
        """Mean of what the ended trials took; 0 where nothing is known."""
        return sum(self._known) / len(self._known) if self._known else 0.0

    def add(self, setting: Setting, used: float | None, share: float) -> None:
        """Learn from a trial; one that trained no epoch tells no more than that."""
        if used is None:
            return
        self._known.append(used)
        if share <= 0 or used <= 0:
            self._shares.append(0.0)
            self._wholes.append(float("nan"))
            return
        whole = float(np.log(max(used / share, _LEAST)))
        self._shares.append(share)
        self._wholes.append(whole)
        if len(self._wholes) <= MAX_LEARNT:
            self._model.add(Curve(0, setting, 1, (0.0,), (used,)), EnergyForecast(whole, 0.0))

    def draw(
        self,
        running: Sequence[tuple[Setting, float | None, float]],
        upcoming: _Upcoming,
        random: np.random.Generator,
    ) -> tuple[Floats, Floats] | None:
        """Draw what trials will have taken: (draws, running) and (draws, upcoming); None while too few have ended."""
        settings = [*(setting for setting, _, _ in running), *upcoming.known, *upcoming.pool]
        logs = self._model.draw_logs(settings, random, DRAWS)
        if logs is None:
            return None
        wholes, shares = np.exp(np.clip(logs, -60, 60)), self._draw_shares(logs, random)
        for index, (_, used, done) in enumerate(running):
            spread = np.exp(PACE_SPREAD * random.normal(size=DRAWS))
            whole = wholes[:, index] if used is None or done <= 0 else used / done * spread
            so_far = 0.0 if used is None else used
            wholes[:, index] = so_far + np.maximum(0.0, shares[:, index] - done) * whole
        count = len(running)
        return wholes[:, :count], upcoming.picked((wholes * shares)[:, count:], random)

    def _draw_shares(self, logs: Floats, random: np.random.Generator) -> Floats:
        """Draw the part of its training that each trial gets: that of an ended one of similar size.

        Each draw of the study has its own choice of the ended trials, and one more of any share, for what few of them
        do not tell.
        """
        shares = np.array(self._shares[-MAX_LEARNT:])
        if shares.min() == 1:
            return np.ones_like(logs)
        wholes = np.array(self._wholes[-MAX_LEARNT:])
        known, drawn = wholes[~np.isnan(wholes)], np.empty_like(logs)
        noisy = logs + _NEAR * random.normal(size=logs.shape)
        for index in range(len(logs)):
            chosen = random.integers(len(shares), size=len(shares))
            # One that trained no epoch may have had any size.
            sizes = np.append(wholes[chosen], np.nan)
            sizes = np.where(np.isnan(sizes), random.choice(known, len(sizes)), sizes)
            order = sizes.argsort()
            places = np.clip(np.searchsorted(sizes[order], noisy[index]), 0, len(sizes) - 1)
            drawn[index] = np.append(shares[chosen], random.random())[order][places]
        return drawn


def _schedule(running_s: Floats, next_s: Floats, slots: int, scale: float) -> Floats:
    """Return the seconds until the last trial ends, for each draw. The next trial starts where a slot is free first."""
    slots = max(1, slots, running_s.shape[1])
    free = np.zeros((len(next_s), slots))
    free[:, : running_s.shape[1]] = running_s
    if scale > 1:
        whole: Floats = free.sum(axis=1) / slots + scale * next_s.sum(axis=1) / slots
        return whole
    each = np.arange(len(free))
    for duration in next_s.T:
        free[each, free.argmin(axis=1)] += duration
    latest: Floats = free.max(axis=1)
    return latest
