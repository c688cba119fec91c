"""The truth behind a made study: expected accuracy and energy of any setting, and what a trial of it measures.

Settings are rows of indices into the values of the paper's space, one column a parameter, so that whole studies are
computed at once. Invariant: everything follows from the family's drawn effects and a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from greenopt.exchange.studies import PAPER_SPACE
from greenopt.spec import Setting, StudySpec, Value, inert_parameters
from tests.known_effects import paper_study

Indices = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Generator = np.random.Generator

PARAMETERS = tuple(PAPER_SPACE)
LEVELS = 4
BACKGROUNDS = 1024
AMOUNTS_TO = {
    "precision": PAPER_SPACE["precision"].index("float32"),
    "lr_schedule": PAPER_SPACE["lr_schedule"].index("constant"),
    "optimizer_momentum": 0,
}
"""The index of the value that a parameter amounts to where it does nothing."""


def no_effects() -> Numbers:
    """Return a table of effects, `(parameter, value)`, that are all 0."""
    return np.zeros((len(PARAMETERS), LEVELS))


@dataclass(frozen=True)
class Truth:
    """What is true of every setting.

    Attributes:
        energy: effects on log Wh, `(parameter, value)`; those of the baseline's values are 0.
        accuracy: effects on accuracy as a fraction.
        base_wh, base_accuracy: of the baseline.
        energy_spread, accuracy_spread: standard deviation of a trial's log Wh and accuracy.
        pairs: (first parameter, its value, second, its value, log Wh, accuracy): added where both values meet.
        triples: three (parameter, value) each, with what they add to log Wh and accuracy where all three meet.
        failing: pairs of (parameter, value) whose trials diverge: their accuracy is 0.
        chance_of_learning: below 1, a trial learns with this chance and has an accuracy of 0.01 otherwise.
        learning: effects on that chance.
        is_linear: whether effects on energy add up in Wh, as fractions of the baseline's.
        has_inert: whether values that do nothing in a setting do nothing here, as the analysis is told.
        uneven: how much more the noise of log energy and accuracy is, by value.
        tails: degrees of freedom of Student's noise; infinite for normal noise.
        rare: chance that a trial's noise is `rare_size` times as large.
    """

    energy: Numbers = field(default_factory=no_effects)
    accuracy: Numbers = field(default_factory=no_effects)
    base_wh: float = 20.0
    base_accuracy: float = 0.45
    energy_spread: float = 0.15
    accuracy_spread: float = 0.03
    pairs: tuple[tuple[int, int, int, int, float, float], ...] = ()
    triples: tuple[tuple[tuple[tuple[int, int], ...], float, float], ...] = ()
    failing: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    chance_of_learning: float = 1.0
    learning: Numbers = field(default_factory=no_effects)
    is_linear: bool = False
    has_inert: bool = True
    uneven: Numbers = field(default_factory=no_effects)
    tails: float = np.inf
    rare: float = 0.0
    rare_size: float = 8.0

    def acting(self, settings: Indices) -> Indices:
        """Return the settings with values that do nothing set to what they amount to."""
        if not self.has_inert:
            return settings
        found = settings.copy()
        for row in found:
            for name in inert_names(row):
                row[PARAMETERS.index(name)] = AMOUNTS_TO[name]
        return found

    def log_energy(self, settings: Indices) -> Numbers:
        """Return the expected log Wh of settings."""
        found = self._sum(self.energy, settings) + self._pairs(settings, 4)
        if self.is_linear:
            found = np.log(np.maximum(1 + found, 0.05))
        return np.asarray(np.log(self.base_wh) + found)

    def learns(self, settings: Indices) -> Numbers:
        """Return the chance that a trial learns at all."""
        if self.chance_of_learning >= 1:
            return np.ones(len(settings))
        return np.clip(self.chance_of_learning + self._sum(self.learning, settings), 0.02, 1.0)

    def fails(self, settings: Indices) -> npt.NDArray[np.bool_]:
        """Return which settings diverge."""
        found = np.zeros(len(settings), dtype=bool)
        for (first, a), (second, b) in self.failing:
            found |= (settings[:, first] == a) & (settings[:, second] == b)
        return found

    def if_it_learns(self, settings: Indices) -> Numbers:
        """Return the expected accuracy of a trial that learns."""
        found = self.base_accuracy + self._sum(self.accuracy, settings) + self._pairs(settings, 5)
        return np.clip(found, 0.01, 0.99)

    def expected_accuracy(self, settings: Indices) -> Numbers:
        """Return the expected accuracy of settings; 0 where they diverge."""
        chance = self.learns(settings)
        found = chance * self.if_it_learns(settings) + (1 - chance) * 0.01
        return np.where(self.fails(settings), 0.0, found)

    def spread(self, settings: Indices) -> Numbers:
        """Return how many times larger the noise of settings is."""
        return np.exp(self._sum(self.uneven, settings))

    def _sum(self, table: Numbers, settings: Indices) -> Numbers:
        acting = self.acting(settings)
        return np.asarray(table[np.arange(len(PARAMETERS)), acting].sum(axis=1))

    def _pairs(self, settings: Indices, which: int) -> Numbers:
        """Return what values add together: to log Wh (`which` = 4) or to accuracy (5)."""
        found = np.zeros(len(settings))
        for first, a, second, b, *adds in self.pairs:
            found += np.where((settings[:, first] == a) & (settings[:, second] == b), adds[which - 4], 0.0)
        for items, *adds in self.triples:
            meets = np.all([settings[:, parameter] == value for parameter, value in items], axis=0)
            found += np.where(meets, adds[which - 4], 0.0)
        return found

    @cached_property
    def effects(self) -> tuple[Numbers, Numbers]:
        """Mean effects of each value against the baseline's over the space: on log Wh, and on accuracy."""
        backgrounds = np.random.default_rng(7).integers(LEVELS, size=(BACKGROUNDS, len(PARAMETERS)))
        energy, accuracy = no_effects(), no_effects()
        for parameter in range(len(PARAMETERS)):
            at = backgrounds.copy()
            for value in range(LEVELS):
                at[:, parameter] = value
                energy[parameter, value] = self.log_energy(at).mean()
                accuracy[parameter, value] = self.expected_accuracy(at).mean()
        return energy - energy[:, :1], accuracy - accuracy[:, :1]


def inert_names(setting: Indices) -> list[str]:
    """Return the parameters that do nothing in a setting."""
    key = tuple(int(index) for index in setting)
    if key not in _INERT:
        _INERT[key] = list(inert_parameters(Setting(**as_values(setting)), _SPEC.training))
    return _INERT[key]


def as_values(setting: Indices) -> dict[str, Value]:
    """Return a setting's values by name."""
    return {name: PAPER_SPACE[name][int(index)] for name, index in zip(PARAMETERS, setting, strict=True)}


def as_indices(setting: Mapping[str, Value]) -> Indices:
    """Return a setting as a row of indices."""
    return np.array([PAPER_SPACE[name].index(setting[name]) for name in PARAMETERS])


_SPEC = paper_study(1)
_INERT: dict[tuple[int, ...], list[str]] = {}


@dataclass(frozen=True)
class Made:
    """A made study.

    Attributes:
        spec: the study.
        rows: its trials, as `greenopt.search.read_study` gives them.
        truth: what is true of every setting.
        seed: what it was made with.
    """

    spec: StudySpec
    rows: tuple[dict[str, Any], ...]
    truth: Truth
    seed: int

    def true_accuracy(self, setting: Mapping[str, Value]) -> float:
        """Return the expected accuracy of a setting; 0 where it diverges."""
        return float(self.truth.expected_accuracy(as_indices(setting)[None])[0])

    def true_energy_wh(self, setting: Mapping[str, Value]) -> float:
        """Return the median energy of a setting in Wh."""
        return float(np.exp(self.truth.log_energy(as_indices(setting)[None])[0]))

    def run(self, settings: Sequence[Mapping[str, Value]], seed: int) -> list[dict[str, Any]]:
        """Return the rows of further trials of these settings."""
        if not settings:
            return []
        chosen = np.array([as_indices(setting) for setting in settings])
        return measured(self.truth, chosen, np.random.default_rng([self.seed, seed, 99]), len(self.rows))


def measured(truth: Truth, settings: Indices, generator: Generator, first: int = 0) -> list[dict[str, Any]]:
    """Return the rows of trials of settings, with noise.

    Args:
        truth: what is true of them.
        settings: a row a trial.
        generator: of the noise.
        first: number of the first trial.
    """
    count, spread = len(settings), truth.spread(settings)
    rare = np.where(generator.random((2, count)) < truth.rare, truth.rare_size, 1.0)
    drawn = (
        generator.standard_normal((2, count))
        if np.isinf(truth.tails)
        else generator.standard_t(truth.tails, (2, count))
    )
    noise = drawn * spread * rare
    energy_wh = np.exp(truth.log_energy(settings) + truth.energy_spread * noise[0])
    learns = generator.random(count) < truth.learns(settings)
    good = truth.if_it_learns(settings) + truth.accuracy_spread * noise[1]
    poor = np.abs(0.01 + 0.002 * generator.standard_normal(count))
    accuracy = np.clip(np.where(learns, good, poor), 0.001, 0.999)
    stopped_at = generator.integers(1, 10, size=count)
    fails = truth.fails(settings)
    return [
        _row(first + i, settings[i], float(energy_wh[i]), float(accuracy[i]), int(stopped_at[i]) if fails[i] else None)
        for i in range(count)
    ]


def _row(number: int, setting: Indices, energy_wh: float, accuracy: float, stopped_at: int | None) -> dict[str, Any]:
    epochs = _SPEC.training.epochs
    done = epochs if stopped_at is None else stopped_at
    energy_wh *= done / epochs
    is_whole = stopped_at is None
    return {
        "trial": number,
        "state": "complete" if is_whole else "pruned",
        "stop_reason": None if is_whole else "diverged",
        **as_values(setting),
        "accuracy": accuracy if is_whole else None,
        "energy_wh": energy_wh,
        "energy_source": "nvml_counter",
        "wh_per_epoch": energy_wh / done,
        "efficiency": accuracy / (energy_wh / done) if is_whole else None,
        "seconds": 60.0 * done,
        "epochs_done": done,
        "inert": " ".join(inert_names(setting)) or None,
    }
