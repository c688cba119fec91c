"""Mean and intervals of a few repeated measurements."""

import math
import statistics
from dataclasses import dataclass
from typing import Self

LEVEL = 0.95
NO_SPREAD = 1e-6
"""Share of a figure below which its repetitions are the same; figures are recorded with nine digits."""


@dataclass(frozen=True)
class Interval:
    """Mean and intervals of repetitions of one measurement, by Student's t.

    Attributes:
        values: the repetitions.
        mean: their mean.
        half_width: of the 95 % interval of the mean; None for a single value.
        single_half_width: of the 95 % interval in which one more repetition falls; None for a single value.
    """

    values: tuple[float, ...]
    mean: float
    half_width: float | None
    single_half_width: float | None

    @classmethod
    def from_values(cls, values: tuple[float, ...]) -> Self:
        """Compute the intervals of at least one value.

        The half-widths are t(0.975, n - 1) s sqrt(1 / n) and t(0.975, n - 1) s sqrt(1 + 1 / n).
        """
        mean, count = statistics.fmean(values), len(values)
        if count < 2:
            return cls(values, mean, None, None)
        from scipy import stats

        spread = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * statistics.stdev(values)
        return cls(values, mean, spread * math.sqrt(1 / count), spread * math.sqrt(1 + 1 / count))

    @property
    def varies(self) -> bool:
        """Whether the repetitions differ by more than rounding; without spread an interval means nothing."""
        least, most = min(self.values), max(self.values)
        return most - least > NO_SPREAD * max(abs(least), abs(most))

    def reach_of_best(self, count: int) -> float | None:
        """Return how far from the mean the best of so many more repetitions may lie by chance; None for one value.

        That is t(1 - 0.025 / count, n - 1) s sqrt(1 + 1 / n): the level is shared among the repetitions (Bonferroni).
        """
        n = len(self.values)
        if n < 2:
            return None
        from scipy import stats

        t = float(stats.t.ppf(1 - (1 - LEVEL) / 2 / max(count, 1), n - 1))
        return t * statistics.stdev(self.values) * math.sqrt(1 + 1 / n)

    @property
    def low(self) -> float | None:
        """Lower end of the interval of the mean."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end of the interval of the mean."""
        return None if self.half_width is None else self.mean + self.half_width
