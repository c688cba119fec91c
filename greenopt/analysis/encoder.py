"""Settings as numbers, for the models that foretell them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.spike_slab import Columns
from greenopt.analysis.trials import effective_setting
from greenopt.spec import Choice, Distribution, StudySpec, Value, inert_parameters

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """Settings as numbers: a value's place in its list, or a number's distance from the lower end, 0..1.

    Attributes:
        spec: the study, of whose free parameters there is a column each.
    """

    spec: StudySpec

    @property
    def names(self) -> tuple[str, ...]:
        """The free parameters, in the order of the columns."""
        return tuple(self.spec.space.free)

    def encode(self, settings: Sequence[Mapping[str, Value]]) -> Matrix:
        """Return `(settings, parameters)`, with values that do nothing set to what they amount to."""
        return self._encoded([effective_setting(setting, inert_in(setting, self.spec)) for setting in settings])

    def encode_plain(self, settings: Sequence[Mapping[str, Value]]) -> Matrix:
        """Return the same with every value as it stands."""
        return self._encoded(settings)

    def encode_trials(self, trials: "pd.DataFrame") -> Matrix:
        """Return the same of trials, whose values without effect are on record."""
        rows = trials.to_dict(orient="records")
        return self._encoded([effective_setting(row, str(row.get("inert") or "").split()) for row in rows])

    def _encoded(self, settings: Sequence[Mapping[str, Any]]) -> Matrix:
        found = np.empty((len(settings), len(self.names)))
        for column, name in enumerate(self.names):
            distribution = self.spec.space.distributions[name]
            values = distribution.values if isinstance(distribution, Choice) else ()
            places = {value: place for place, value in enumerate(values)}
            found[:, column] = [_code(setting.get(name), distribution, places) for setting in settings]
        return found

    @cached_property
    def columns(self) -> Columns:
        """How encoded settings become levels; the first level is of what an inert value amounts to."""
        return Columns(
            tuple(len(one.values) + 1 if isinstance(one, Choice) else 0 for one in self.spec.space.free.values())
        )


def _code(value: Any, distribution: Distribution, places: Mapping[Value, int]) -> float:
    if value is None or value != value:
        value = distribution.first
    if isinstance(distribution, Choice):
        # A value that an inert one amounts to need not be in the list.
        return float(places.get(value, -1))
    low, high = float(distribution.low), float(distribution.high)
    return math.log(float(value) / low) / math.log(high / low) if distribution.log else (value - low) / (high - low)


def inert_in(setting: Mapping[str, Value], spec: StudySpec) -> Sequence[str]:
    """Return the parameters whose value does nothing in a setting of this study."""
    if spec.space.own:
        return ()
    left_out = spec.space.left_out(setting)
    return tuple(
        inert_parameters(spec.setting_of(setting), spec.training_of(setting), further=spec.further, left_out=left_out)
    )
