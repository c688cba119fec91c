"""How often a counter changes: an upper bound of the time between two changes, learnt from the readings.

Invariant: the bound holds every interval between two changes that was seen, as long as the counter was sound.
"""

import math
from collections import deque

UNKNOWN_TICK_S = 1.0
"""Taken for the tick until two changes in succession were seen: the slowest counters change once a second."""

_PAIRS = 16
_SHORT_S = 0.1
_STALL_TICKS = 5
_SHORTEST_STALL_S = 0.5
_UNKNOWN_STALL_S = 3.0


class TickWatch:
    """Learns the tick of a counter."""

    def __init__(self, claimed_s: float) -> None:
        """Begin with what the source says, in s; it is kept while it fits what is seen."""
        self._claimed_s = claimed_s
        self._still_s = 0.0
        self._uppers_s: deque[float] = deque(maxlen=_PAIRS)
        self._changed_after_s: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether two changes were seen close enough to each other to bound the tick."""
        return self._upper_s <= max(2 * self._still_s, 2 * self._claimed_s, _SHORT_S)

    @property
    def tick_s(self) -> float:
        """Time between two changes, in s: the claimed one, corrected by what was seen."""
        if self._still_s <= self._claimed_s:
            return max(self._still_s, min(self._claimed_s, self._upper_s))
        return max(self._still_s, self._upper_s) if self.is_known else self._still_s

    @property
    def bound_s(self) -> float:
        """The longest that a sound value may stand, in s."""
        return self.tick_s if self.is_known else max(self.tick_s, UNKNOWN_TICK_S)

    @property
    def stall_s(self) -> float:
        """A counter that stands still for longer is broken, in s."""
        return max(_STALL_TICKS * self.tick_s, _SHORTEST_STALL_S if self.is_known else _UNKNOWN_STALL_S)

    @property
    def _upper_s(self) -> float:
        return min(self._uppers_s, default=math.inf)

    def change(self, after_s: float, by_s: float, stood_s: float) -> None:
        """Take a change of the counter.

        Args:
            after_s: the old value was still read then.
            by_s: the new value was read then.
            stood_s: for how long the old value was seen, in s.
        """
        if self._changed_after_s is not None:
            self._uppers_s.append(by_s - self._changed_after_s)
        self._changed_after_s = after_s
        if stood_s <= (2 * self.tick_s if self.is_known else _UNKNOWN_STALL_S):
            self._still_s = max(self._still_s, stood_s)
