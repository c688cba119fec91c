"""How well studies are forecast, over random orders of their trials."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greenopt.exchange import read_import, write_import
from greenopt.forecast import EndedTrial, StudyForecaster, ended_trials
from greenopt.forecast.draws import draw_settings
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.spec import Choice, Range, SearchSpace

AFTER = (5, 10, 20, 40)


@dataclass(frozen=True)
class Made:
    """A study whose trials are all known."""

    space: SearchSpace
    trials: tuple[EndedTrial, ...]


@dataclass(frozen=True)
class Hits:
    """Of how many orders, in percent, the expected energy was within 25 % of the final one, and the interval held it.

    `error` is the median of the expected energy's error, as a share; `width` that of the interval's two ends' ratio.
    """

    within: float
    held: float
    error: float
    width: float


def judge(make: Callable[[int], Made], after: int, orders: int, *, are_settings_known: bool) -> Hits:
    """Forecast studies after some of their trials, which come in random orders.

    Args:
        make: the study of an order.
        after: how many of its trials have ended.
        orders: how many.
        are_settings_known: whether those of the trials to come are, as with a random sampler and its seed.
    """
    found = []
    for order in range(orders):
        study = make(order)
        trials = [study.trials[index] for index in np.random.default_rng(order).permutation(len(study.trials))]
        forecaster = StudyForecaster(study.space, seed=order)
        for trial in trials[:after]:
            forecaster.add(trial)
        upcoming = [trial.setting for trial in trials[after:]] if are_settings_known else []
        energy_wh = forecaster.forecast([], upcoming, len(trials) - after, 1).energy_wh
        assert energy_wh is not None
        final_wh = sum(trial.energy_wh or 0.0 for trial in trials)
        found.append((energy_wh.expected / final_wh, energy_wh.low / final_wh, energy_wh.high / final_wh))
    expected, low, high = np.array(found).T
    within = 100 * np.mean(np.abs(expected - 1) <= 0.25)
    held = 100 * np.mean((low <= 1) & (high >= 1))
    return Hits(float(within), float(held), float(np.median(np.abs(expected - 1))), float(np.median(high / low)))


def _lists(sizes: Mapping[str, Sequence[Any]]) -> SearchSpace:
    return SearchSpace(own=True, distributions={name: Choice(values=tuple(v)) for name, v in sizes.items()})


SPACES = {
    "narrow": _lists({"batch_size": (32, 64, 128), "optimizer": ("SGD", "Adam")}),
    "batch": _lists({"batch_size": (8, 16, 32, 64, 128, 256), "optimizer": ("SGD", "Adam", "Lion"), "aug": (1, 2, 3)}),
    "ranges": SearchSpace(
        own=True,
        distributions={
            "width": Range(low=16, high=512, log=True),
            "depth": Range(low=1, high=12),
            "lr": Range(low=1e-4, high=1e-1, log=True),
        },
    ),
    "names": _lists({"model": tuple("abcdefgh"), "precision": ("half", "single", "double"), "aug": ("none", "mixup")}),
}
"""Spaces of made studies."""


def made(space: str, trials: int, seed: int, *, stops: bool = False) -> Made:
    """Return a study of settings drawn at random.

    Energy is a product of powers of numbers and of factors of names, with 15 % of noise and, for a third of the values
    of two parameters together, a factor that no sum of effects tells.

    Args:
        space: one of `SPACES`.
        trials: how many.
        seed: of all that is drawn.
        stops: whether the dearer half of the trials is stopped after a part of its training.
    """
    random = np.random.default_rng((seed, len(space)))
    distributions = SPACES[space].distributions
    powers = {name: random.normal(0, 0.6) for name in distributions}
    factors: dict[tuple[str, Any], float] = {}
    pairs: dict[tuple[Any, ...], float] = {}
    found = []
    for setting in draw_settings(SPACES[space], trials, random):
        log_wh = math.log(40) + random.normal(0, 0.15)
        for name, value in setting.items():
            if isinstance(value, str):
                log_wh += factors.setdefault((name, value), random.normal(0, 0.6))
            else:
                log_wh += powers[name] * math.log(value)
        pair = tuple(value if isinstance(value, str) else round(math.log(value)) for value in setting.values())[:2]
        log_wh += pairs.setdefault(pair, random.normal(0, 0.3) if random.random() < 1 / 3 else 0.0)
        found.append((setting, math.exp(log_wh)))
    middle_wh = float(np.median([wh for _, wh in found]))
    ended = []
    for setting, wh in found:
        share = float(random.choice((0.05, 0.1, 0.2, 1.0))) if stops and wh > middle_wh else 1.0
        ended.append(EndedTrial(setting, wh * share, 10 * wh * share, share))
    return Made(SPACES[space], tuple(ended))


def imported(source: Path, scratch: Path) -> Made:
    """Return the study that `greenopt import` makes of runs, as it is read back."""
    write_import(read_import(source, "paper"), scratch)
    snapshot = read_folder(RunFolder(scratch / "paper"))
    return Made(snapshot.spec.space, tuple(ended_trials(snapshot.spec, snapshot.rows)))
