"""Proposes every setting of a finite space once, in an order that the seed decides.

Optuna's own samplers for that end the study by themselves, which `ask` and `tell` do not allow, and know nothing of
settings that were enqueued or whose parameters a killed process left incomplete. Invariant: a setting that any other
trial has, whoever proposed it, is not proposed again while there is another.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from greenopt.spec import Choice, Distribution, SearchSpace, Value

Place = tuple[float, ...]
"""The positions of a setting's values in their distributions; of a continuous one, the value."""

LEFT_OUT = -math.inf
"""The position of a parameter that a setting does not have."""

_UNKNOWN: Any = object()

DRAWS = 100
"""Settings that are drawn before the ones that are left are listed: then few are left, or the space is small."""


class WholeSettingSampler(optuna.samplers.BaseSampler):
    """A sampler that chooses a trial's setting as a whole, in `before_trial`, and keeps it in `_setting`."""

    _setting: Mapping[str, Value]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no distributions: the values come from `sample_independent`."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values; see `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of the chosen setting."""
        if param_name in self._setting:
            return self._setting[param_name]
        # Of a trial that a killed process left with a part of another setting, which has this parameter.
        return optuna.samplers.RandomSampler(trial.number).sample_independent(
            study, trial, param_name, param_distribution
        )


class ExhaustiveSampler(WholeSettingSampler):
    """Draws evenly from the settings that no other trial has; from all of them once there is none left."""

    def __init__(self, space: SearchSpace, seed: int, places: "Places | None" = None) -> None:
        """Prepare for one trial.

        Args:
            space: finite.
            seed: decides what is drawn.
            places: of the trials' settings; kept from one trial to the next, each is looked up once.
        """
        self._space, self._seed, self._places = space, seed, places or Places(space)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the trial's setting."""
        others = (other for other in study.get_trials(deepcopy=False) if other.number != trial.number)
        self._setting = draw_untried(self._space, self._places.tried(others), random.Random(self._seed))


def draw_untried(space: SearchSpace, tried: set[Place], rng: random.Random) -> dict[str, Value]:
    """Draw one of the settings that were not tried, or any one where all were."""
    if space.conditions:
        places = Places(space)
        number = _draw_number(int(space.size), lambda number: places.of(space.settings.at(number)), tried, rng)
        return space.settings.at(number)
    distributions = list(space.distributions.values())
    sizes = [int(distribution.size) for distribution in distributions]
    number = _draw_number(math.prod(sizes), lambda number: _place(number, sizes), tried, rng)
    values = (d.value_at(index) for d, index in zip(distributions, _place(number, sizes), strict=True))
    return dict(zip(space.distributions, values, strict=True))


def _draw_number(size: int, place_of: Callable[[int], Place | None], tried: set[Place], rng: random.Random) -> int:
    """Draw the number of a setting below `size` whose place was not tried; any one where all were."""
    number = rng.randrange(size)
    for _ in range(DRAWS):
        if place_of(number) not in tried:
            return number
        number = rng.randrange(size)
    return rng.choice([left for left in range(size) if place_of(left) not in tried] or range(size))


def setting_of(trial: FrozenTrial) -> dict[str, Value]:
    """Return a trial's setting, of which a process that was killed while it asked may have left a part."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


class Places:
    """Looks up the places of settings; those of trials that have ended, which never change, once.

    Two settings are the same where their places are: 0.1 + 2 * 0.1 and 0.3 are one value of a range with a step.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Begin with none."""
        self._space = space
        self._indexes: dict[str, dict[tuple[type, Any], float | None]] = {name: {} for name in space.distributions}
        self._tried: dict[int, Place | None] = {}

    def of(self, setting: Mapping[str, Value]) -> Place | None:
        """Return the place of a setting; None where a value is missing or not one of the space's."""
        found = []
        left_out = self._space.left_out(setting)
        for name, indexes in self._indexes.items():
            if name in left_out:
                found.append(LEFT_OUT)
                continue
            value = setting.get(name)
            index = indexes.get((type(value), value), _UNKNOWN)
            if index is _UNKNOWN:
                index = self._learn(name, self._space.distributions[name], value)
            if index is None:
                return None
            found.append(index)
        return tuple(found)

    def tried(self, trials: Iterable[FrozenTrial]) -> set[Place]:
        """Return the places of the settings that trials have or will have; incomplete ones are left out."""
        places = {self._of_trial(trial) for trial in trials}
        return {place for place in places if place is not None}

    def _of_trial(self, trial: FrozenTrial) -> Place | None:
        number = trial.number
        if number in self._tried:
            return self._tried[number]
        place = self.of(setting_of(trial))
        if trial.state.is_finished():
            self._tried[number] = place
        return place

    def _learn(self, name: str, distribution: Distribution, value: Value | None) -> float | None:
        index = _index(distribution, value)
        if not math.isinf(distribution.size):  # of infinitely many, each would be looked up once
            self._indexes[name][(type(value), value)] = index
        return index


def _place(number: int, sizes: Sequence[int]) -> tuple[int, ...]:
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
