"""Forecast of a study's end from the durations of its trials."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.parameter_effects import Moments
from greenopt.tui.state.reader import Row

SPREAD_FROM = 4
_TENTH = 1.28
"""Standard deviations within which four fifths of a normal distribution lie."""


class Remaining(NamedTuple):
    """Seconds to the end: the expected value, and an 80 % range if there are enough trials for one."""

    expected_s: float
    low_s: float | None = None
    high_s: float | None = None


class TrialForecast:
    """Durations of ended trials, and the remaining time that follows from them."""

    def __init__(self) -> None:
        """Start without durations."""
        self._durations_s = Moments()
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, row: Row) -> None:
        """Add an ended trial."""
        began, ended = row.get("began"), row.get("ended")
        if began is None or ended is None:
            return
        self._first = began if self._first is None else min(self._first, began)
        self._last = ended if self._last is None else max(self._last, ended)
        self._durations_s.add((ended - began).total_seconds())

    def span_s(self, now: datetime | None) -> float | None:
        """Return the seconds from the first trial's start to now, or to the last one's end."""
        if self._first is None or self._last is None:
            return None
        end = self._last if now is None else now.astimezone().replace(tzinfo=None)
        return max(0.0, (end - self._first).total_seconds())

    def remaining(self, left: int, running: Iterable[LiveTrial], slots: int) -> Remaining | None:
        """Estimate the seconds until `left` trials have ended; None before the first has.

        Args:
            left: trials that have not ended, those that run included.
            running: the latter; what they have done is taken off by their share of epochs.
            slots: how many run at once.
        """
        durations = self._durations_s
        if durations.count == 0 or left <= 0:
            return None if left > 0 else Remaining(0.0)
        done = sum(live.progress.epochs_done / max(1, live.progress.epochs) for live in running)
        trials = max(0.0, left - done)
        expected_s = trials * durations.mean / max(1, slots)
        deviation_s = durations.deviation
        if durations.count < SPREAD_FROM or deviation_s is None:
            return Remaining(expected_s)
        error_s = deviation_s * math.sqrt(trials + trials**2 / durations.count) / max(1, slots)
        return Remaining(expected_s, max(0.0, expected_s - _TENTH * error_s), expected_s + _TENTH * error_s)
