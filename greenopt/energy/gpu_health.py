"""Watches the GPUs of a running study for failures after which no trial should run on them.

Invariant: looking never raises; what a board does not tell is taken for sound.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenopt.energy.nvml import INDEX_PREFIX, PCI_PREFIX, Nvml
from greenopt.energy.source import DriverError, GpuLostError, ReadError

SILENT_S = 5.0
"""A board that does not answer for so long has failed; shorter silences happen."""

HOT_S = 30.0
"""A board whose clocks are halved for heat for so long is not cooled."""

FATAL_XIDS = {
    48: "a double-bit memory error",
    62: "its power controller halted",
    64: "it cannot replace a faulty row of its memory",
    74: "NVLink failed",
    79: "it has fallen off the bus",
    95: "a memory error that was not contained",
    119: "its firmware does not answer",
    120: "its firmware failed",
    140: "an uncorrectable memory error",
}
"""XIDs that are the board's failure; others, such as 13, 31 and 43, a faulty program can cause."""


@dataclass(frozen=True)
class GpuHealth:
    """What a look at a GPU found.

    Attributes:
        failure: why no trial should run on it any more, in words; None while it is sound or only in doubt.
        is_in_doubt: whether it does not answer at the moment, so that no trial should start there.
    """

    failure: str | None = None
    is_in_doubt: bool = False


@dataclass
class _Board:
    """What is known of one board from earlier looks."""

    failure: str | None = None
    silent_since_s: float | None = None
    hot_since_s: float | None = None
    errors: int | None = None
    events: Any = None
    is_known: bool = False


@dataclass
class GpuWatch:
    """Looks at GPUs by their UUIDs. A failure that was found stays."""

    load: Callable[[], Nvml | None] = Nvml.load
    clock: Callable[[], float] = time.monotonic
    _library: Nvml | None = None
    _boards: dict[str, _Board] = field(default_factory=dict)

    def look(self, uuid: str) -> GpuHealth:
        """Return the health of a GPU now."""
        board = self._boards.setdefault(uuid, _Board())
        if board.failure is None:
            try:
                board.failure = self._failure(uuid, board)
                board.silent_since_s = None
            except GpuLostError:
                board.failure = "it has fallen off the bus"
            except (ReadError, DriverError) as error:
                return self._silent(board, error)
        return GpuHealth(board.failure)

    def _silent(self, board: _Board, error: Exception) -> GpuHealth:
        if board.silent_since_s is None:
            board.silent_since_s = self.clock()
        if self.clock() - board.silent_since_s >= SILENT_S:
            board.failure = f"it does not answer ({error})"
        return GpuHealth(board.failure, is_in_doubt=board.failure is None)

    def _failure(self, uuid: str, board: _Board) -> str | None:
        """Return why a board that answers has failed; None where it has not.

        Raises:
            ReadError, DriverError: it does not answer.
        """
        if self._library is None:
            self._library = self.load()
        if self._library is None:
            raise ReadError("there is no NVIDIA driver any more")
        library, handle = self._library, self._library.handle(uuid)
        if not uuid.startswith((PCI_PREFIX, INDEX_PREFIX)):
            library.uuid(handle)
        if not board.is_known:
            board.is_known = True
            board.events, board.errors = library.watch_xids(handle), library.uncorrected_errors(handle)
        return (
            self._xid(library, board)
            or self._memory_errors(library, handle, board)
            or self._heat(library, handle, board)
        )

    def _xid(self, library: Nvml, board: _Board) -> str | None:
        fatal = [xid for xid in library.xids(board.events) if xid in FATAL_XIDS] if board.events is not None else []
        return f"{FATAL_XIDS[fatal[0]]} (XID {fatal[0]})" if fatal else None

    def _memory_errors(self, library: Nvml, handle: Any, board: _Board) -> str | None:
        errors = library.uncorrected_errors(handle)
        before, board.errors = board.errors, errors
        if errors is None or before is None or errors <= before:
            return None
        return f"its memory had {errors - before} uncorrectable error{'s' if errors - before > 1 else ''}"

    def _heat(self, library: Nvml, handle: Any, board: _Board) -> str | None:
        try:
            temperature_c = library.temperature_c(handle)
        except GpuLostError:
            raise
        except ReadError:
            temperature_c = None
        limit_c = library.shutdown_temperature_c(handle)
        if temperature_c is not None and limit_c is not None and temperature_c >= limit_c:
            return f"it is too hot: {temperature_c:.0f} °C, and it shuts down at {limit_c:.0f} °C"
        if not library.is_slowed_by_heat(handle):
            board.hot_since_s = None
            return None
        if board.hot_since_s is None:
            board.hot_since_s = self.clock()
        if self.clock() - board.hot_since_s < HOT_S:
            return None
        at = f" at {temperature_c:.0f} °C" if temperature_c is not None else ""
        return f"it is too hot: its clocks have been cut for heat for {HOT_S:.0f} s{at}"

    def close(self) -> None:
        """Release the driver's library."""
        if self._library is not None:
            self._library.close()
            self._library = None
