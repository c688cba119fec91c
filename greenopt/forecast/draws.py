"""Settings drawn from a search space."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from greenopt.spec import Choice, Distribution, SearchSpace, Value

LATEST = 20
"""The latest trials whose settings an adaptive sampler's next ones are taken to be like."""


def draw_settings(space: SearchSpace, count: int, random: np.random.Generator) -> list[dict[str, Value]]:
    """Return settings that are drawn independently, as the random sampler draws them."""
    drawn = ({name: _value(d, random.random()) for name, d in space.distributions.items()} for _ in range(count))
    return [space.trimmed(setting) for setting in drawn]


def draw_like(
    space: SearchSpace, latest: Sequence[Mapping[str, Value]], count: int, random: np.random.Generator
) -> list[Mapping[str, Value]]:
    """Return settings as an adaptive sampler may propose them: each second one like one of the latest."""
    drawn: list[Mapping[str, Value]] = list(draw_settings(space, count, random))
    if latest:
        for index in range(0, count, 2):
            drawn[index] = latest[int(random.integers(len(latest)))]
    return drawn


def _value(distribution: Distribution, share: float) -> Value:
    if isinstance(distribution, Choice):
        return distribution.values[int(share * len(distribution.values))]
    low, high = float(distribution.low), float(distribution.last)
    value = math.exp(math.log(low) + share * math.log(high / low)) if distribution.log else low + share * (high - low)
    return round(value) if distribution.is_integer else value
