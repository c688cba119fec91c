"""Effects of parameters' values: count, mean and spread of two figures, updated as trials end."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from greenopt.formatting import significant
from greenopt.spec import Choice, Range, SearchSpace

BINS = 4


class Moments:
    """Count, mean and standard deviation of numbers that come one by one (Welford's recurrence)."""

    def __init__(self) -> None:
        """Start without numbers."""
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Add a number."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._squares += step * (value - self.mean)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation; None below two numbers."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None


@dataclass
class Effect:
    """The completed trials with one value of one parameter: figures of the study's two axes."""

    up: Moments = field(default_factory=Moments)
    across: Moments = field(default_factory=Moments)


class ValueEffect(NamedTuple):
    """A value as text, and its effect."""

    value: str
    effect: Effect


class ParameterEffects:
    """Effects by parameter and value; ranges are cut into `BINS` equal parts, in the logarithm where they are drawn so.

    These are plain means over whatever the other parameters were: a first look, not an analysis.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Lay out the parameters that have more than one value."""
        self._bins: dict[str, tuple[Range, list[str]]] = {}
        self._effects: dict[str, dict[str, Effect]] = {}
        for name, distribution in space.distributions.items():
            if isinstance(distribution, Choice):
                labels = [str(value) for value in distribution.values]
            else:
                labels = _bin_labels(distribution)
                self._bins[name] = (distribution, labels)
            if len(labels) > 1:
                self._effects[name] = {label: Effect() for label in labels}

    def add(self, row: Mapping[str, Any], across: str, up: str = "accuracy") -> None:
        """Add a completed trial; `across` and `up` name the compared columns."""
        for name, effects in self._effects.items():
            value = row.get(name)
            effect = None if value is None else effects.get(self._label(name, value))
            if effect is None:
                continue
            if row.get(up) is not None:
                effect.up.add(row[up])
            if row.get(across) is not None:
                effect.across.add(row[across])

    def __iter__(self) -> Iterator[tuple[str, list[ValueEffect]]]:
        """Iterate over parameters with their values, in the order of the study file."""
        for name, effects in self._effects.items():
            yield name, [ValueEffect(label, effect) for label, effect in effects.items()]

    def _label(self, name: str, value: Any) -> str:
        if name not in self._bins:
            return str(value)
        distribution, labels = self._bins[name]
        return labels[_bin_of(distribution, float(value))]


def _scaled(distribution: Range, value: float) -> float:
    return math.log(value) if distribution.log else value


def _bin_of(distribution: Range, value: float) -> int:
    low, high = _scaled(distribution, float(distribution.low)), _scaled(distribution, float(distribution.high))
    share = (_scaled(distribution, value) - low) / (high - low) if high > low else 0.0
    return min(BINS - 1, max(0, int(share * BINS)))


def _bin_labels(distribution: Range) -> list[str]:
    low, high = _scaled(distribution, float(distribution.low)), _scaled(distribution, float(distribution.high))
    edges = [low + (high - low) * step / BINS for step in range(BINS + 1)]
    shown = [significant(math.exp(edge) if distribution.log else edge, 2) for edge in edges]
    return [f"{one} to {other}" for one, other in pairwise(shown)]
