"""The sampler's schedule: power at a steady rate, the counter rarely, and then until it changes.

Invariants: due times are counted from the start, so lateness of one step does not move the next; steps that were
missed are left out, not caught up. Within its period each power sample is shifted by a multiple of the golden ratio
(two samples are then 0.62 or 1.62 periods apart), so that sampling never locks to the sensor's own period of 100 ms.
"""

import math

COUNTER_PERIOD_S = 5.0
"""The counter's own reading costs 4 ms; the power integral carries the curve in between."""

COUNTER_ONLY_PERIOD_S = 1.0
"""Where there is no power reading the counter alone must show progress."""

HUNT_STEP_S = 0.02
"""Distance of counter readings while its next change is awaited: the change is then known this closely."""

_HUNT_TICKS = 2
_FIRST_HUNT_S = 5.0
_HUNT_GROWTH = 0.1
_HUNT_SHARE = 0.2
_LEAST_TICKS = 3

_GOLDEN = (math.sqrt(5) - 1) / 2


class Schedule:
    """Due times in s of a monotonic clock. Pure."""

    def __init__(self, start_s: float, period_s: float) -> None:
        self._start_s, self._period_s = start_s, period_s
        self._power_s = start_s
        self._counter_s = start_s
        self._count = 0
        self._hunt_s: float | None = None
        self._changed_s = start_s

    @property
    def next_s(self) -> float:
        """When the next step is due."""
        return min(self._power_s, self._counter_s)

    def is_counter_due(self, now_s: float) -> bool:
        """Return whether this step reads the counter too."""
        return now_s >= self._counter_s

    def advance(
        self, now_s: float, *, counter_read: bool, changed: bool, tick_s: float | None, has_power: bool
    ) -> None:
        """Set the next due times after a step.

        Args:
            now_s: when the step was taken.
            counter_read: whether it read the counter.
            changed: whether the counter had changed since it was last read.
            tick_s: time between two changes of the counter, in s; None before it is known.
            has_power: whether power is read too.
        """
        if now_s >= self._power_s:
            self._count += 1
            if self._power_due_s() <= now_s:
                self._count = math.floor((now_s - self._start_s) / self._period_s) + 1
            self._power_s = self._power_due_s()
        if counter_read:
            self._plan_counter(now_s, changed, tick_s, COUNTER_PERIOD_S if has_power else COUNTER_ONLY_PERIOD_S)

    def _power_due_s(self) -> float:
        return self._start_s + self._period_s * (self._count + self._count * _GOLDEN % 1)

    def _plan_counter(self, now_s: float, changed: bool, tick_s: float | None, period_s: float) -> None:
        """Hunt for the next change, or plan when to; until the tick is known, for changes in succession."""
        if self._hunt_s is None:
            self._hunt_s = self._changed_s = now_s
        self._changed_s = now_s if changed else self._changed_s
        longest_s = _FIRST_HUNT_S if tick_s is None else _HUNT_TICKS * tick_s
        is_over = now_s - self._hunt_s > longest_s or (changed and tick_s is not None and self._hunt_s < now_s)
        if is_over:
            # The next hunt begins shortly before a change is due, so that few readings find it.
            tick_s = tick_s or period_s
            whole_ticks_s = max(_LEAST_TICKS, math.floor(period_s / tick_s)) * tick_s
            self._hunt_s, self._counter_s = None, now_s + whole_ticks_s - HUNT_STEP_S
            return
        # A slow counter is looked at more seldom, so that its changes cost no more readings than a fast one's.
        slow_step_s = _HUNT_GROWTH * (now_s - self._changed_s) if tick_s is None else _HUNT_SHARE * tick_s
        self._counter_s = now_s + max(HUNT_STEP_S, slow_step_s)
