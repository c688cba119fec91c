"""Made learning curves whose truth is known, to judge stopping rules by."""

import math
from collections.abc import Callable

import numpy as np

from greenopt.spec import Choice, SearchSpace
from greenopt.stopping import Curve

EPOCHS = 40
SPACE = SearchSpace(
    own=True, distributions={"batch_size": Choice(values=(16, 64, 256)), "width": Choice(values=(1, 2, 4))}
)


def crossing(random: np.random.Generator) -> np.ndarray:
    """Accuracies by epoch: the faster a curve rises, the lower it ends."""
    final, half = _final(random), random.uniform(0.5, 2)
    delay = half * (1 + 12 * final)
    epoch = np.arange(1, EPOCHS + 1)
    return final * epoch / (epoch + delay) * (EPOCHS + delay) / EPOCHS


def slow_start(random: np.random.Generator) -> np.ndarray:
    """Accuracies by epoch: at chance for up to a third of the epochs, then a steep rise."""
    final, begin = _final(random), random.uniform(0, EPOCHS / 3)
    epoch = np.arange(1, EPOCHS + 1)
    return 0.01 + (final - 0.01) / (1 + np.exp(-(epoch - begin - 4) / 2))


def cyclic(random: np.random.Generator) -> np.ndarray:
    """Accuracies by epoch: a power law that falls back at each restart of the learning rate, every ten epochs."""
    final, rate = _final(random), random.uniform(0.4, 1.2)
    epoch = np.arange(1, EPOCHS + 1)
    phase = (epoch - 1) % 10 / 9
    return final * (1 - 0.9 * epoch**-rate) * (0.75 + 0.25 * phase)


def plain(random: np.random.Generator) -> np.ndarray:
    """Accuracies by epoch: a power law."""
    final, rate = _final(random), random.uniform(0.4, 1.2)
    return final * (1 - 0.9 * np.arange(1, EPOCHS + 1) ** -rate)


FAMILIES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plain": plain,
    "crossing": crossing,
    "slow_start": slow_start,
    "cyclic": cyclic,
}


def _final(random: np.random.Generator) -> float:
    """A third of the trials do not learn; the others end anywhere up to 0.95."""
    return random.uniform(0.01, 0.03) if random.random() < 1 / 3 else 0.95 * random.beta(2, 1.5)


def made(family: str, trials: int, seed: int) -> list[Curve]:
    """Return whole curves: accuracy by family, energy by setting, with noise in both."""
    random = np.random.default_rng(seed)
    curves = []
    for trial in range(trials):
        batch_size, width = random.choice((16, 64, 256)), random.choice((1, 2, 4))
        shape = FAMILIES[family](random)
        accuracies = np.clip(shape + random.normal(0, 0.006, EPOCHS), 0, 1)
        epoch_wh = 40 * width**0.8 / batch_size**0.9 * math.exp(random.normal(0, 0.1))
        energies_wh = np.cumsum(epoch_wh * np.exp(random.normal(0, 0.03, EPOCHS)))
        setting = {"batch_size": int(batch_size), "width": int(width)}
        curves.append(Curve(trial, setting, EPOCHS, tuple(map(float, accuracies)), tuple(map(float, energies_wh))))
    return curves
