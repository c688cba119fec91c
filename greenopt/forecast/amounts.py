"""What is forecast of a study."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Amount:
    """A quantity that is forecast.

    Attributes:
        expected: it is as likely above as below.
        low: it is above with a probability of 95 %.
        high: it is below with a probability of 95 %.
    """

    expected: float
    low: float
    high: float

    @classmethod
    def from_draws(cls, draws: npt.NDArray[np.float64]) -> Self:
        """Return the amount whose distribution these are draws of."""
        low, expected, high = np.quantile(draws, (0.05, 0.5, 0.95))
        return cls(float(expected), float(low), float(high))

    def mapped(self, convert: Callable[[float], float | None]) -> "Amount | None":
        """Return the amount in another unit; None where it cannot be converted."""
        values = (convert(self.expected), convert(self.low), convert(self.high))
        expected, low, high = values
        return None if expected is None or low is None or high is None else Amount(expected, low, high)


@dataclass(frozen=True)
class StudyForecast:
    """What a study will have taken when its last trial has ended.

    Attributes:
        energy_wh: of all its trials, those that ended included, in Wh; None where no energy is known.
        left_s: time until then, in s; None where no duration is known.
        ended: trials that it rests on.
        left: trials that have yet to end, the running ones included.
        is_estimate: whether an energy that it rests on was estimated and not measured.
    """

    energy_wh: Amount | None
    left_s: Amount | None
    ended: int
    left: int
    is_estimate: bool = False
