"""Families of made studies. Each draws its effects anew from a seed, so that no study of a family is like another.

`build(name, seed, trials)` makes a study; with the same seed a study of fewer trials is the beginning of a longer one's
effects, not of its trials.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import optuna

from tests.known_effects import paper_study
from tests.made_studies.truth import (
    LEVELS,
    PARAMETERS,
    Generator,
    Indices,
    Made,
    Numbers,
    Truth,
    as_indices,
    as_values,
    measured,
    no_effects,
)

BATCH, LR, OPTIMIZER, INTERNAL = (PARAMETERS.index(name) for name in ("batch_size", "lr", "optimizer", "internal"))
ACTIVE = (2, 5)
"""How many parameters act on energy, besides the batch size, and on accuracy: from 2 to 4."""


def _some(generator: Generator, scale: float, table: Numbers | None = None) -> Numbers:
    """Give some parameters normal effects; those of their baseline's values are 0."""
    found = no_effects() if table is None else table
    for parameter in generator.choice(len(PARAMETERS), generator.integers(*ACTIVE), replace=False):
        found[parameter, 1:] = scale * generator.standard_normal(LEVELS - 1)
    return found


def _additive(generator: Generator) -> Truth:
    energy = _some(generator, 0.35)
    energy[BATCH] = -generator.uniform(0.2, 1.2) * np.array([0, 0.6, 0.85, 1.0])
    return Truth(
        energy=energy,
        accuracy=_some(generator, 0.06),
        energy_spread=generator.uniform(0.1, 0.2),
        accuracy_spread=generator.uniform(0.015, 0.04),
    )


def _null(generator: Generator) -> Truth:
    return Truth(energy_spread=generator.uniform(0.1, 0.3), accuracy_spread=generator.uniform(0.02, 0.06))


def _null_rare(generator: Generator) -> Truth:
    return replace(_null(generator), rare=0.02)


def _heteroscedastic(generator: Generator) -> Truth:
    return replace(_additive(generator), uneven=_some(generator, 0.6))


def _interactions(generator: Generator) -> Truth:
    pairs = []
    for _ in range(3):
        first, second = generator.choice(len(PARAMETERS), 2, replace=False)
        energy, accuracy = 0.6 * generator.standard_normal(), 0.15 * generator.standard_normal()
        a, b = generator.integers(1, LEVELS, size=2)
        pairs += [(int(first), int(a), int(second), int(b), float(energy), float(accuracy))]
    return replace(_additive(generator), pairs=tuple(pairs))


def _bimodal(generator: Generator) -> Truth:
    learning = no_effects()
    learning[[OPTIMIZER, LR], 1:] = 0.25 * generator.standard_normal((2, LEVELS - 1))
    chance = float(generator.uniform(0.6, 0.85))
    return replace(_additive(generator), chance_of_learning=chance, learning=learning, base_accuracy=0.6)


def _failing(generator: Generator) -> Truth:
    second, value = (LR, OPTIMIZER)[generator.integers(2)], int(generator.integers(LEVELS))
    failing = tuple(((BATCH, large), (second, value)) for large in (2, 3))
    return replace(_additive(generator), failing=failing)


def _poor_baseline(generator: Generator) -> Truth:
    found = _additive(generator)
    for parameter in generator.choice(len(PARAMETERS), 3, replace=False):
        found.accuracy[parameter, 1:] += generator.uniform(0.05, 0.15)
    return replace(found, base_accuracy=0.2)


def _inert(generator: Generator) -> Truth:
    found = _additive(generator)
    for name in ("precision", "lr_schedule", "optimizer_momentum"):
        parameter = PARAMETERS.index(name)
        found.energy[parameter, 1:] = 0.3 * generator.standard_normal(LEVELS - 1)
        found.accuracy[parameter, 1:] = 0.05 * generator.standard_normal(LEVELS - 1)
    return found


def _outliers(generator: Generator) -> Truth:
    return replace(_additive(generator), rare=0.05)


def _linear(generator: Generator) -> Truth:
    energy = no_effects()
    energy[BATCH] = -generator.uniform(0.2, 0.6) * np.array([0, 0.6, 0.85, 1.0])
    for parameter in generator.choice([p for p in range(len(PARAMETERS)) if p != BATCH], 3, replace=False):
        energy[parameter, 1:] = generator.uniform(-0.1, 0.5, size=LEVELS - 1)
    return replace(_additive(generator), energy=energy, is_linear=True)


def _heavy(generator: Generator) -> Truth:
    return replace(_additive(generator), tails=2.5)


def _triples(generator: Generator) -> Truth:
    found = []
    for _ in range(2):
        chosen = generator.choice(len(PARAMETERS), 3, replace=False)
        # Each of the two upper values meets the others in a thirty-second of the settings.
        items = [tuple((int(p), int(generator.integers(LEVELS))) for p in chosen[:2]) for _ in range(2)]
        for item in items:
            last = (int(chosen[2]), int(generator.integers(LEVELS)))
            found.append(((*item, last), float(0.8 * generator.standard_normal()), -float(generator.uniform(0, 0.3))))
    return replace(_additive(generator), triples=tuple(found))


def _dense(generator: Generator) -> Truth:
    """Let every parameter act a little, in steps of one sign: few settings are as good as equal."""
    steps = generator.uniform(0, 1, size=(2, len(PARAMETERS), LEVELS)).cumsum(axis=2) / LEVELS
    steps -= steps[:, :, :1]
    sizes = generator.standard_normal((2, len(PARAMETERS), 1))
    return replace(_additive(generator), energy=0.4 * sizes[0] * steps[0], accuracy=0.06 * sizes[1] * steps[1])


def _mislabelled(generator: Generator) -> Truth:
    """Let values act that the analysis is told to do nothing, such as momentum where the optimizer has none."""
    return replace(_additive(generator), has_inert=False)


FAMILIES: Final[dict[str, Callable[[Generator], Truth]]] = {
    "additive": _additive,
    "null": _null,
    "null_rare": _null_rare,
    "heteroscedastic": _heteroscedastic,
    "interactions": _interactions,
    "bimodal": _bimodal,
    "failing": _failing,
    "poor_baseline": _poor_baseline,
    "inert": _inert,
    "outliers": _outliers,
    "linear": _linear,
    "tpe": _additive,
    "heavy": _heavy,
    "triples": _triples,
    "dense": _dense,
    "correlated": _additive,
    "mislabelled": _mislabelled,
}
"""Name -> how a study's truth is drawn. The settings of `tpe` are chosen by the sampler, those of `correlated` resemble
one another from parameter to parameter, all others are at random."""
HELD_OUT = ("heavy", "triples", "dense", "correlated")
"""Families that nothing was developed on: they were made and measured once the method stood."""


def build(family: str, seed: int, trials: int) -> Made:
    """Make a study.

    Args:
        family: a name of `FAMILIES`.
        seed: of its truth, settings and noise.
        trials: how many; the first is the baseline's.
    """
    number = list(FAMILIES).index(family)
    truth = FAMILIES[family](np.random.default_rng([number, seed]))
    generator = np.random.default_rng([number, seed, trials])
    rows = {"tpe": _chosen_by_tpe, "correlated": _alike}.get(family, _at_random)(truth, trials, generator)
    return Made(paper_study(trials), tuple(rows), truth, seed)


def _at_random(truth: Truth, trials: int, generator: Generator) -> list[dict[str, Any]]:
    settings = generator.integers(LEVELS, size=(trials, len(PARAMETERS)))
    settings[0] = 0
    return measured(truth, settings, generator)


def _alike(truth: Truth, trials: int, generator: Generator) -> list[dict[str, Any]]:
    """Let each parameter take the place of the one before it in half of the settings."""
    settings = generator.integers(LEVELS, size=(trials, len(PARAMETERS)))
    for parameter in range(1, len(PARAMETERS)):
        same = generator.random(trials) < 0.5
        settings[same, parameter] = settings[same, parameter - 1]
    settings[0] = 0
    return measured(truth, settings, generator)


def _chosen_by_tpe(truth: Truth, trials: int, generator: Generator) -> list[dict[str, Any]]:
    """Let the sampler of the trials' results choose their settings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=int(generator.integers(2**31)), multivariate=True)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(range(LEVELS)) for name in PARAMETERS
    }
    study.enqueue_trial(dict.fromkeys(PARAMETERS, 0))
    rows: list[dict[str, Any]] = []
    for number in range(trials):
        trial = study.ask(space)
        setting: Indices = np.array([trial.params[name] for name in PARAMETERS])
        assert np.array_equal(as_indices(as_values(setting)), setting)
        rows += measured(truth, setting[None], generator, number)
        study.tell(trial, [rows[-1]["accuracy"], rows[-1]["energy_wh"]])
    return rows
