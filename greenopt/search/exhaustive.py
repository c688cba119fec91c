"""Proposes every setting of a finite space once, in an order that the seed decides.

Optuna's own samplers for that end the study by themselves, which `ask` and `tell` do not allow, and know nothing of
settings that were enqueued or whose parameters a killed process left incomplete. Invariant: a setting that any other
trial has, whoever proposed it, is not proposed again while there is another.
"""

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from greenopt.spec import Choice, Distribution, SearchSpace, Value, value_at_step

Place = tuple[float, ...]
"""The positions of a setting's values in their distributions; of a continuous one, the value."""

DRAWS = 100
"""Settings that are drawn before the ones that are left are listed: then few are left, or the space is small."""


class ExhaustiveSampler(optuna.samplers.BaseSampler):
    """Draws evenly from the settings that no other trial has; from all of them once there is none left."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        """Prepare for one trial.

        Args:
            space: finite.
            seed: decides what is drawn.
        """
        self._space, self._seed = space, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no distributions: the values come from `sample_independent`."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values; see `infer_relative_search_space`."""
        return {}

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the trial's setting."""
        others = (other for other in study.get_trials(deepcopy=False) if other.number != trial.number)
        self._setting = draw_untried(self._space, tried_places(self._space, others), random.Random(self._seed))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of the chosen setting."""
        return self._setting[param_name]


def draw_untried(space: SearchSpace, tried: set[Place], rng: random.Random) -> dict[str, Value]:
    """Draw one of the settings that were not tried, or any one where all were."""
    distributions = list(space.distributions.values())
    sizes = [int(distribution.size) for distribution in distributions]
    size = math.prod(sizes)
    number = rng.randrange(size)
    for _ in range(DRAWS):
        if _place(number, sizes) not in tried:
            break
        number = rng.randrange(size)
    else:
        number = rng.choice([left for left in range(size) if _place(left, sizes) not in tried] or range(size))
    values = (_value_at(d, index) for d, index in zip(distributions, _place(number, sizes), strict=True))
    return dict(zip(space.distributions, values, strict=True))


def tried_places(space: SearchSpace, trials: Iterable[FrozenTrial]) -> set[Place]:
    """Return the places of the settings that trials have or will have; incomplete ones are left out."""
    return {place for trial in trials if (place := place_of(space, setting_of(trial))) is not None}


def setting_of(trial: FrozenTrial) -> dict[str, Value]:
    """Return a trial's setting, of which a process that was killed while it asked may have left a part."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def place_of(space: SearchSpace, setting: Mapping[str, Value]) -> Place | None:
    """Return the place of a setting; None where a value is missing or not one of the space's.

    Two settings are the same where their places are: 0.1 + 2 * 0.1 and 0.3 are one value of a range with a step.
    """
    indexes = [_index(distribution, setting.get(name)) for name, distribution in space.distributions.items()]
    return None if None in indexes else tuple(index for index in indexes if index is not None)


def _place(number: int, sizes: list[int]) -> tuple[int, ...]:
    indexes = []
    for size in reversed(sizes):
        number, index = divmod(number, size)
        indexes.append(index)
    return tuple(reversed(indexes))


def _index(distribution: Distribution, value: Value | None) -> float | None:
    if value is None or not distribution.holds(value):
        return None
    if isinstance(distribution, Choice):
        return distribution.values.index(value)
    assert not isinstance(value, str)
    if math.isinf(distribution.size):
        return value
    return round((value - distribution.low) / (distribution.step or 1))


def _value_at(distribution: Distribution, index: int) -> Value:
    if isinstance(distribution, Choice):
        return distribution.values[index]
    value = value_at_step(distribution.low, distribution.step or 1, index)
    return int(value) if distribution.is_integer else float(value)
