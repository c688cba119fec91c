"""Tables of made trials whose curves and effects are of a known kind, to compare samplers on more than one study.

Each seed draws the effects anew. In all of them energy is a product of effects of the values and of noise, a fifth of
the values of a parameter do not learn at all, and the settings are different ones drawn at random.
"""

import math
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import numpy.typing as npt

from greenopt.replay.contest import TrialTable
from greenopt.spec import Choice, SearchSpace, Value
from greenopt.stopping import Curve

Floats = npt.NDArray[np.float64]

TRIALS = 120
EPOCHS = 30
VALUES: Mapping[str, tuple[Value, ...]] = {
    "batch_size": (8, 16, 32, 64, 128, 256),
    "width": (1, 2, 4, 8),
    "lr": (0.0001, 0.001, 0.01, 0.1),
    "optimizer": ("a", "b", "c", "d"),
    "augmentation": ("none", "weak", "strong"),
    "schedule": ("constant", "cosine", "step"),
}
SPACE = SearchSpace(own=True, distributions={name: Choice(values=values) for name, values in VALUES.items()})


def _power_law(final: float, random: np.random.Generator) -> Floats:
    return np.asarray(final * (1 - 0.9 * np.arange(1, EPOCHS + 1) ** -random.uniform(0.4, 1.2)))


def _crossing(final: float, random: np.random.Generator) -> Floats:
    """Return a curve that rises the slower the higher it ends."""
    epoch, delay = np.arange(1, EPOCHS + 1), random.uniform(0.5, 2) * (1 + 12 * final)
    return np.asarray(final * epoch / (epoch + delay) * (EPOCHS + delay) / EPOCHS)


def _slow_start(final: float, random: np.random.Generator) -> Floats:
    """Return a curve at chance for up to a third of the epochs, then a steep rise."""
    epoch, begin = np.arange(1, EPOCHS + 1), random.uniform(0, EPOCHS / 3)
    return np.asarray(0.01 + (final - 0.01) / (1 + np.exp(-(epoch - begin - 4) / 2)))


def _cyclic(final: float, random: np.random.Generator) -> Floats:
    """Return a power law that falls back at each restart of the learning rate."""
    phase = (np.arange(1, EPOCHS + 1) - 1) % 10 / 9
    return np.asarray(_power_law(final, random) * (0.75 + 0.25 * phase))


FAMILIES: dict[str, tuple[Callable[[float, np.random.Generator], Floats], float]] = {
    "additive": (_power_law, 0.0),
    "interactions": (_power_law, 1.5),
    "crossing": (_crossing, 0.5),
    "slow_start": (_slow_start, 0.5),
    "cyclic": (_cyclic, 0.5),
}
"""Name -> the shape of its curves, and how strongly pairs of values interact, in log(a / (1 - a))."""


def make_table(family: str, seed: int = 0, trials: int = TRIALS) -> TrialTable:
    """Make a table.

    Args:
        family: a name of `FAMILIES`.
        seed: of effects, settings and noise.
        trials: how many, of 3,456 settings.
    """
    shape, interaction = FAMILIES[family]
    random = np.random.default_rng([list(FAMILIES).index(family), seed])
    truth = _Truth(random, interaction)
    settings = list(product(*(range(len(values)) for values in VALUES.values())))
    chosen = random.choice(len(settings), trials, replace=False)
    curves = [_curve(number, settings[index], truth, shape, random) for number, index in enumerate(chosen)]
    return TrialTable(SPACE, tuple(curves))


class _Truth:
    """Effects of the values on log energy and on accuracy."""

    def __init__(self, random: np.random.Generator, interaction: float) -> None:
        sizes = [len(values) for values in VALUES.values()]
        self._energy = [0.2 * random.standard_normal(size) for size in sizes]
        self._energy[0] -= random.uniform(0.3, 0.9) * np.log(np.array(VALUES["batch_size"], dtype=float))
        self._energy[1] += random.uniform(0.3, 0.9) * np.log(np.array(VALUES["width"], dtype=float))
        self._accuracy = [0.8 * random.standard_normal(size) for size in sizes]
        for effects in self._accuracy[2:4]:
            effects[random.integers(len(effects))] -= 5.0
        first, second = random.choice(len(sizes), 2, replace=False)
        self._pair = int(first), int(second), interaction * random.standard_normal((sizes[first], sizes[second]))

    def log_energy(self, setting: tuple[int, ...]) -> float:
        return float(sum(effects[value] for effects, value in zip(self._energy, setting, strict=True)))

    def accuracy(self, setting: tuple[int, ...], random: np.random.Generator) -> float:
        first, second, table = self._pair
        logit = sum(effects[value] for effects, value in zip(self._accuracy, setting, strict=True))
        logit += table[setting[first], setting[second]] + 0.3 * random.standard_normal()
        return float(max(0.01, 0.96 / (1 + math.exp(-logit))))


def _curve(
    number: int,
    setting: tuple[int, ...],
    truth: _Truth,
    shape: Callable[[float, np.random.Generator], Floats],
    random: np.random.Generator,
) -> Curve:
    accuracies = np.clip(shape(truth.accuracy(setting, random), random) + random.normal(0, 0.006, EPOCHS), 0, 1)
    epoch_wh = math.exp(truth.log_energy(setting) + 0.1 * random.standard_normal())
    energies_wh = np.cumsum(epoch_wh * np.exp(random.normal(0, 0.03, EPOCHS)))
    values = {name: VALUES[name][value] for name, value in zip(VALUES, setting, strict=True)}
    return Curve(number, values, EPOCHS, tuple(map(float, accuracies)), tuple(map(float, energies_wh)))
