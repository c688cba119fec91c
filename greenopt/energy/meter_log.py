"""Log lines of one meter: what went wrong with its device, each kind as a warning once.

Invariant: nothing is raised, whatever a listener of the log does; the meter promises as much.
"""

import logging
from contextlib import suppress

from greenopt.energy.ledger import Mark
from greenopt.energy.source import PowerSource
from greenopt.logs import get_logger

_log = get_logger(__name__)


class MeterLog:
    """Keeps what was already said of a device."""

    def __init__(self, source: PowerSource, sample_hz: float) -> None:
        """Say what is metered, at how many Hz."""
        self._name = source.name
        self._said: set[str] = set()
        self._resets = self._stalls = 0
        self._write(logging.DEBUG, "metering by %s, power at %g Hz", source.kind, sample_hz)

    def read_failed(self, what: str, error: Exception) -> None:
        """Say once that a reading failed; ten a second may."""
        self._warn_once(what, "%s cannot be read: %s", what, error)

    def not_synchronised(self, error: Exception) -> None:
        """Say once that waiting for the device's work failed."""
        self._warn_once("sync", "its work cannot be waited for: %s", error)

    def marked(self, mark: Mark) -> None:
        """Say what the latest readings showed of the counter: resets, each; a stall, once."""
        if mark.resets > self._resets:
            self._resets = mark.resets
            level = logging.DEBUG if "reset" in self._said else logging.WARNING
            self._said.add("reset")
            self._write(level, "the energy counter was reset or jumped, at %.1f s", mark.t_s)
        if mark.stalls > self._stalls:
            self._stalls = mark.stalls
            self._warn_once("stall", "the energy counter stands still, at %.1f s; power is integrated", mark.t_s)

    def closed(self) -> None:
        """Say that metering has ended."""
        self._write(logging.DEBUG, "metering ended")

    def _warn_once(self, word: str, text: str, *values: object) -> None:
        if word not in self._said:
            self._said.add(word)
            self._write(logging.WARNING, text, *values)

    def _write(self, level: int, text: str, *values: object) -> None:
        with suppress(Exception):
            _log.log(level, f"%s: {text}", self._name, *values)
