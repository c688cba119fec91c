"""Effects of settings a posteriori, where most parameters may have none: draws of a spike-and-slab model.

A response is a constant, effects of the values of those parameters that have any, effects of those pairs of values
that have any, and noise. Whether a parameter acts at all is itself unknown (a *spike* at exactly no effect, George and
McCulloch 1993), so that settings that differ in idle parameters alone are equal, and not just similar. Noise is
Student's, with degrees of freedom from the trials (Geweke 1993): outliers lose their weight. Values may spread more or
less than others, again with a spike at no difference: trials that say little count little. Draws come from Gibbs
sampling of several chains at once. Invariant: the same trials give the same draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, ndtr, ndtri

Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

CHAINS, BURN_IN, SWEEPS, EACH = 48, 20, 18, 3
"""Chains that run side by side, sweeps that are thrown away, sweeps after those, and of which every third is kept."""
SCREENING = 15
"""Sweeps without pairs, by whose residuals the pairs are chosen that are looked at."""
MAX_PAIRS = 6
"""Pairs of parameters that are looked at, those first that explain most of what parameters alone leave."""
TAILS = (3.0, 6.0, 15.0, np.inf)
"""Degrees of freedom that the noise may have, each as likely beforehand; the last is normal noise."""
SLAB_DF = 3.0
"""Degrees of freedom of an acting parameter's variance: effects of parameters differ in size by a factor of ten."""
TYPICAL, TYPICAL_EVENT = 0.25, 1.0
"""Variance of an acting parameter's effects beforehand: a quarter of the response's, since few act (Box, Meyer 1986).
Of what decides an event it is that of its noise, which takes a chance from 0.5 to 0.84."""
SPREAD_SHAPE = 2.0
"""Of the factor by which the noise's variance differs at a value, inverse gamma: one of two is common, of ten rare."""
FAR = 3.0
"""Standard deviations at which what is left of a trial is cut off when pairs are chosen."""
PRIOR_TRIALS, PRIOR_NOISE = 2.0, 0.05
"""Weight, in trials, and variance, as a share of the response's, of what is assumed of the noise beforehand."""
_TINY = 1e-12


class Kind(Enum):
    """What a response is."""

    NUMBER = "number"
    """A measured number, with Student's noise."""
    EVENT = "event"
    """0 or 1: its chance is a normal distribution function of the sum of effects (Albert and Chib 1993)."""


@dataclass(frozen=True)
class Columns:
    """How encoded settings become levels.

    Attributes:
        sizes: how many levels each parameter has; 0 for a range, whose code is a number 0..1.
    """

    sizes: tuple[int, ...]

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The groups of effects: each parameter alone, then each pair."""
        places = range(len(self.sizes))
        return (*((index,) for index in places), *combinations(places, 2))

    def levels(self, group: Sequence[int]) -> int:
        """Return how many effects a group has."""
        return int(np.prod([max(self.sizes[index], 1) for index in group]))

    def place(self, group: Sequence[int], encoded: Matrix) -> tuple[Places, Matrix]:
        """Return the level of each setting in a group, and the factor of its effect."""
        level, factor = np.zeros(len(encoded), dtype=np.int64), np.ones(len(encoded))
        for index in group:
            if self.sizes[index]:
                level = level * self.sizes[index] + np.rint(encoded[:, index]).astype(np.int64) + 1
            else:
                # In the middle of its range a slope has no part; at both ends it is as large as a value's effect.
                factor = factor * (2 * encoded[:, index] - 1)
        return level, factor

    def is_listed(self, group: Sequence[int]) -> bool:
        """Return whether every parameter of a group is a list of values."""
        return all(self.sizes[index] for index in group)


@dataclass(frozen=True)
class Draws:
    """Draws of all effects a posteriori.

    Attributes:
        constant: `(draws,)`.
        effects: group -> `(draws, levels)`, in the response's unit; groups that were not looked at have none.
        noise_std: of one more trial at values that spread as usual, `(draws,)`, in the response's unit.
        spreads: parameter's place -> `(draws, levels)`: factors of the noise's variance at the values of a list.
        tails: degrees of freedom of the noise, `(draws,)`.
        left: what the effects leave of each trial, `(draws, trials)`, in the response's unit.
    """

    columns: Columns
    kind: Kind
    constant: Matrix
    effects: dict[tuple[int, ...], Matrix]
    noise_std: Matrix
    spreads: dict[int, Matrix]
    tails: Matrix
    left: Matrix

    def at(self, encoded: Matrix) -> Matrix:
        """Return what settings truly give, `(draws, settings)`: a median, or the chance of the event."""
        found = np.repeat(self.constant[:, None], len(encoded), axis=1)
        for group, effects in self.effects.items():
            level, factor = self.columns.place(group, encoded)
            found += effects[:, level] * factor
        return ndtr(found) if self.kind is Kind.EVENT else found

    def mean_at(self, encoded: Matrix) -> Matrix:
        """Return the mean of a number over settings, `(draws,)`: that of the sums of effects, without each sum."""
        found = self.constant.copy()
        for group, effects in self.effects.items():
            level, factor = self.columns.place(group, encoded)
            found += effects @ np.bincount(level, factor, minlength=effects.shape[1]) / len(encoded)
        return found

    def noise_at(self, encoded: Matrix) -> Matrix:
        """Return the standard deviation of one more trial of each setting, `(draws, settings)`."""
        variance = np.repeat(self.noise_std[:, None] ** 2, len(encoded), axis=1)
        for place, factors in self.spreads.items():
            variance *= factors[:, self.columns.place((place,), encoded)[0]]
        return np.sqrt(variance)

    def acts(self, group: Sequence[int]) -> float:
        """Return the probability that a parameter, or a pair, has any effect."""
        effects = self.effects.get(tuple(group))
        return 0.0 if effects is None else float((effects != 0).any(axis=1).mean())


def draw_effects(columns: Columns, encoded: Matrix, response: Matrix, kind: Kind, seed: int = 0) -> Draws:
    """Draw the effects of settings on a response.

    Args:
        columns: how the settings are encoded.
        encoded: the trials' settings, `(trials, parameters)`.
        response: what they measured, `(trials,)`.
        kind: of the response.
        seed: of the draws.
    """
    center, scale = (0.0, 1.0) if kind is Kind.EVENT else (float(response.mean()), max(float(response.std()), _TINY))
    alone: list[tuple[int, ...]] = [group for group in columns.groups if len(group) == 1]
    pairs = [group for group in columns.groups if len(group) > 1]
    cells = sum(columns.levels(pair) for pair in pairs)
    sampler = _Sampler(columns, encoded, (response - center) / scale, kind, np.random.default_rng(seed))
    for group in alone:
        sampler.add(group)
    # What decides an event is not measured: parameters alone would hide in it what their pairs do together.
    for _ in range(SCREENING if kind is Kind.NUMBER else 0):
        sampler.sweep(alone, cells)
    looked_at = sampler.most_telling(pairs)
    for group in looked_at:
        sampler.add(group)
    kept: list[_State] = []
    for number in range(BURN_IN + SWEEPS):
        sampler.sweep([*looked_at, *alone] if kind is Kind.EVENT else [*alone, *looked_at], cells)
        if number >= BURN_IN and number % EACH == 0:
            kept.append(sampler.state())
    return Draws(
        columns=columns,
        kind=kind,
        constant=center + scale * np.concatenate([one.constant for one in kept]),
        effects={group: scale * np.concatenate([one.effects[group] for one in kept]) for group in kept[0].effects},
        noise_std=scale * np.concatenate([one.noise_std for one in kept]),
        spreads={place: np.concatenate([one.spreads[place] for one in kept]) for place in kept[0].spreads},
        tails=np.concatenate([one.tails for one in kept]),
        left=scale * np.concatenate([one.left for one in kept]),
    )


@dataclass(frozen=True)
class _State:
    """What one sweep has drawn, of each chain, in units of the standardised response."""

    constant: Matrix
    effects: dict[tuple[int, ...], Matrix]
    noise_std: Matrix
    spreads: dict[int, Matrix]
    tails: Matrix
    left: Matrix


@dataclass
class _Spread:
    """By how much a parameter's values spread more than others, in all chains.

    Attributes:
        marks: `(trials, levels)`.
        factors: of the noise's variance, `(chains, levels)`; 1 where the parameter's values do not differ in it.
        differs: `(chains,)`.
    """

    marks: Matrix
    factors: Matrix
    differs: npt.NDArray[np.bool_]


@dataclass
class _Group:
    """A group of effects in all chains.

    Attributes:
        marks: `(trials, levels)`: the factor of each trial's effect, in the column of its level.
        effects: `(chains, levels)`; 0 where the group does not act.
        variance: of the effects, if they act: `(chains, 1)`, of a pair `(chains, levels)`.
        acts: of the same shape: a parameter acts as a whole, a pair value by value.
        has_constant: whether the constant is drawn along with the effects.
    """

    marks: Matrix
    has_constant: bool
    effects: Matrix
    variance: Matrix
    acts: npt.NDArray[np.bool_]


class _Sampler:
    """All chains of one model."""

    def __init__(
        self, columns: Columns, encoded: Matrix, response: Matrix, kind: Kind, generator: np.random.Generator
    ) -> None:
        self._columns, self._encoded, self._response, self._kind = columns, encoded, response, kind
        self._generator = generator
        self._groups: dict[tuple[int, ...], _Group] = {}
        self._constant = np.full(CHAINS, ndtri(np.clip(response.mean(), 0.05, 0.95)) if kind is Kind.EVENT else 0.0)
        self._noise = np.ones(CHAINS)
        self._tails = np.full(CHAINS, np.inf)
        self._spread = np.ones((CHAINS, len(response)))
        self._weights = np.ones((CHAINS, len(response)))
        self._spreads: dict[int, _Spread] = {}
        self._typical = TYPICAL_EVENT if kind is Kind.EVENT else TYPICAL
        self._fitted = np.repeat(self._constant[:, None], len(response), axis=1)
        self._target = np.repeat(response[None], CHAINS, axis=0)

    def add(self, group: tuple[int, ...]) -> None:
        """Look at a group from now on; it starts without effect."""
        level, factor = self._columns.place(group, self._encoded)
        levels, is_pair = self._columns.levels(group), len(group) > 1
        marks = np.zeros((len(level), levels))
        marks[np.arange(len(level)), level] = factor
        if self._kind is Kind.NUMBER and not is_pair and self._columns.is_listed(group):
            self._spreads[group[0]] = _Spread(marks, np.ones((CHAINS, levels)), np.zeros(CHAINS, dtype=bool))
        self._groups[group] = _Group(
            marks=marks,
            has_constant=not is_pair and self._columns.is_listed(group),
            effects=np.zeros((CHAINS, levels)),
            variance=np.full((CHAINS, levels if is_pair else 1), self._typical),
            acts=np.zeros((CHAINS, levels if is_pair else 1), dtype=bool),
        )

    def state(self) -> _State:
        """Return what was drawn last."""
        return _State(
            constant=self._constant,
            effects={group: one.effects for group, one in self._groups.items()},
            noise_std=np.sqrt(self._noise),
            spreads={place: one.factors for place, one in self._spreads.items()},
            tails=self._tails,
            left=self._target - self._fitted,
        )

    def sweep(self, groups: Sequence[tuple[int, ...]], cells: int) -> None:
        """Draw everything once, given everything else.

        Args:
            groups: those that may act.
            cells: how many pairs of values there are, those that are not looked at included.
        """
        if self._kind is Kind.EVENT:
            self._draw_latent()
        shares = self._shares(groups, cells)
        for group in groups:
            self._draw_group(self._groups[group], shares[len(group) - 1])
        if self._kind is Kind.NUMBER:
            self._draw_noise()

    def _shares(self, groups: Sequence[tuple[int, ...]], cells: int) -> tuple[Matrix, Matrix]:
        """Draw the shares of parameters, and of pairs of values, that act.

        Any share of parameters is as likely beforehand; of all pairs of values one is expected to act.
        """
        found = []
        for size, count, idle in ((1, len(self._columns.sizes), 1.0), (2, cells, float(max(cells, 1)))):
            acting = np.sum([self._groups[g].acts.sum(axis=1) for g in groups if len(g) == size], axis=0)
            found.append(self._generator.beta(1 + acting, np.maximum(idle + count - acting, 1.0), CHAINS)[:, None])
        return found[0], found[1]

    def _draw_group(self, group: _Group, share: Matrix) -> None:
        """Draw whether a group acts, its effects and the constant, all three at once."""
        fitted = self._fitted - group.effects @ group.marks.T
        if group.has_constant:
            fitted -= self._constant[:, None]
        told = (self._weights @ group.marks**2) / self._noise[:, None]
        along = ((self._weights * (self._target - fitted)) @ group.marks) / self._noise[:, None]
        shrunk = 1 + told * group.variance
        spread = group.variance / shrunk
        evidence = 0.5 * (spread * along**2 - np.log(shrunk))
        if group.acts.shape[1] == 1:
            evidence = evidence.sum(axis=1, keepdims=True)
        if group.has_constant:
            # The constant is any number beforehand, and integrated out of both alternatives.
            told_acting, along_acting = (told / shrunk).sum(axis=1), (along / shrunk).sum(axis=1)
            told_idle, along_idle = told.sum(axis=1), along.sum(axis=1)
            evidence[:, 0] += 0.5 * (along_acting**2 / told_acting - along_idle**2 / told_idle)
            evidence[:, 0] -= 0.5 * np.log(told_acting / told_idle)
        chance = expit(evidence + np.log(share) - np.log1p(-share))
        group.acts = self._generator.random(chance.shape) < chance
        if group.has_constant:
            precision = np.where(group.acts[:, 0], told_acting, told_idle)
            mean = np.where(group.acts[:, 0], along_acting, along_idle) / precision
            self._constant = mean + self._generator.standard_normal(CHAINS) / np.sqrt(precision)
            along = along - told * self._constant[:, None]
            fitted += self._constant[:, None]
        normal = self._generator.standard_normal(group.effects.shape)
        group.effects = np.where(group.acts, spread * along + np.sqrt(spread) * normal, 0.0)
        self._fitted = fitted + group.effects @ group.marks.T
        self._draw_variance(group)

    def _draw_variance(self, group: _Group) -> None:
        """Draw the variance of a group's effects; as before any trial where it does not act."""
        alone = group.acts.shape[1] > 1
        squares = group.effects**2 if alone else (group.effects**2).sum(axis=1, keepdims=True)
        df = SLAB_DF + group.acts * (1 if alone else group.effects.shape[1])
        gamma = np.maximum(self._generator.standard_gamma(0.5 * df), _TINY)
        group.variance = 0.5 * (SLAB_DF * self._typical + squares) / gamma

    def _draw_noise(self) -> None:
        """Draw the noise's degrees of freedom, the weight of each trial, the noise's variance and where it differs."""
        squares = (self._target - self._fitted) ** 2
        relative = squares / self._noise[:, None] / self._spread
        logs = np.column_stack([_log_likelihood(relative, df) for df in TAILS])
        chances = np.exp(logs - logs.max(axis=1, keepdims=True))
        picked = (chances.cumsum(axis=1) < self._generator.random((CHAINS, 1)) * chances.sum(axis=1)[:, None]).sum(
            axis=1
        )
        self._tails = np.array(TAILS)[picked]
        df = np.where(np.isinf(self._tails), 1.0, self._tails)[:, None]
        gamma = self._generator.standard_gamma(np.broadcast_to(0.5 * (df + 1), squares.shape))
        weights = np.where(np.isinf(self._tails)[:, None], 1.0, gamma / (0.5 * (df + relative)))
        weighted = weights * squares
        trials = squares.shape[1]
        total = (weighted / self._spread).sum(axis=1) + PRIOR_TRIALS * PRIOR_NOISE
        self._noise = 0.5 * total / self._generator.standard_gamma(0.5 * (trials + PRIOR_TRIALS), CHAINS)
        self._draw_spreads(weighted / self._noise[:, None])
        self._weights = weights / self._spread

    def _draw_spreads(self, squares: Matrix) -> None:
        """Draw whose values spread more than others, and by which factor of the variance.

        Of all parameters one is expected to differ beforehand. The factors are integrated out of whether one does.

        Args:
            squares: of what is left, weighted and in units of the noise's variance, `(chains, trials)`.
        """
        count, shape = len(self._spreads), SPREAD_SHAPE
        differing = np.sum([one.differs for one in self._spreads.values()], axis=0)
        share = self._generator.beta(1 + differing, 2 * count - differing, CHAINS) if count else 0.5
        for one in self._spreads.values():
            others = self._spread / (one.factors @ one.marks.T)
            half = 0.5 * (squares / others) @ one.marks
            known = shape + 0.5 * one.marks.sum(axis=0)
            evidence = half - known * np.log(shape + half) + gammaln(known) + shape * np.log(shape) - gammaln(shape)
            chance = expit(evidence.sum(axis=1) + np.log(share) - np.log1p(-share))
            one.differs = self._generator.random(CHAINS) < chance
            drawn = (shape + half) / self._generator.standard_gamma(np.broadcast_to(known, half.shape))
            one.factors = np.where(one.differs[:, None], drawn, 1.0)
            self._spread = others * (one.factors @ one.marks.T)

    def _draw_latent(self) -> None:
        """Draw what decides an event: normal around the sum of effects, above 0 where the event occurred."""
        below = ndtr(-self._fitted)
        uniform = self._generator.random(self._fitted.shape)
        occurred = self._response > 0.5
        share = np.where(occurred, below + uniform * (1 - below), uniform * below)
        self._target = self._fitted + ndtri(np.clip(share, 1e-9, 1 - 1e-9))

    def most_telling(self, pairs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Return the pairs one of whose pairs of values explains most of what is left, by the evidence for it alone."""
        if self._kind is Kind.EVENT:
            left, noise = self._response - self._response.mean(), np.full(len(self._response), self._response.var())
        else:
            left, noise = (self._target - self._fitted).mean(axis=0), (self._noise[:, None] * self._spread).mean(axis=0)
        # A single trial far from all others must not choose the pairs.
        left = np.clip(left, -FAR * np.sqrt(noise), FAR * np.sqrt(noise)) / noise
        found = []
        for pair in pairs:
            level, factor = self._columns.place(pair, self._encoded)
            shrunk = 1 + np.bincount(level, factor**2 / noise) * self._typical
            along = np.bincount(level, left * factor)
            gain = 0.5 * (self._typical / shrunk * along**2 - np.log(shrunk))
            found.append((float(gain.max()), pair))
        return [pair for _, pair in sorted(found, key=lambda one: -one[0])[:MAX_PAIRS]]


def _log_likelihood(relative: Matrix, df: float) -> Matrix:
    """Return the log likelihood of Student's noise of all trials, up to a constant, `(chains,)`."""
    if np.isinf(df):
        return np.asarray(-0.5 * relative.sum(axis=1) - 0.5 * np.log(2 * np.pi) * relative.shape[1])
    norm = gammaln(0.5 * (df + 1)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * df)
    return np.asarray(relative.shape[1] * norm - 0.5 * (df + 1) * np.log1p(relative / df).sum(axis=1))
