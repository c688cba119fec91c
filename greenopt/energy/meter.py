"""The energy meter: it reads one device in the background and returns the energy between any two instants.

Invariants: a meter never raises into the work that it meters, whatever the device does; every boundary is one shared
set of readings, so that nested and adjacent windows add up exactly; all times are the monotonic clock's.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from greenopt.energy.ledger import Ledger, Mark
from greenopt.energy.meter_log import MeterLog
from greenopt.energy.schedule import Schedule
from greenopt.energy.source import DeviceStats, PowerSource
from greenopt.energy.trace import Limits
from greenopt.energy.window_reading import Scale, reading_between
from greenopt.reading import EnergyReading, EnergySource

REPORT_PERIOD_S = 1.0
"""The shortest time between two calls of `on_sample`, and between two readings of the device's state."""

FLAG_PERIOD_S = 10.0
"""How often the source is asked what makes its readings doubtful."""

_MAX_GAP_PERIODS = 5
_MIN_GAP_S = 0.5


@dataclass(frozen=True, slots=True)
class PowerSample:
    """The device at one instant, for live display.

    Attributes:
        t_s: the instant, in s of the meter's clock.
        power_w: power in W, where it can be read.
        energy_wh: energy since metering began, in Wh; None while nothing was measured.
        source: how that energy was obtained.
        device_stats: temperature, utilisation, memory.
    """

    t_s: float
    power_w: float | None
    energy_wh: float | None
    source: EnergySource | None
    device_stats: DeviceStats


class Window:
    """A stretch of metered time."""

    def __init__(self, meter: "EnergyMeter", start: Mark) -> None:
        self._meter = meter
        self.start = start
        self.end: Mark | None = None
        self._partial = False

    @property
    def reading(self) -> EnergyReading:
        """Return the window's energy; `partial` while it is open (up to the last sample) or if it was interrupted."""
        if self.end is None:
            return self._meter.so_far(self.start).flagged("partial")
        reading = self._meter.between(self.start, self.end)
        return reading.flagged("partial") if self._partial else reading

    def close(self, *, partial: bool = False) -> None:
        """Take the closing mark; `partial` marks interrupted work."""
        self.end = self._meter.mark()
        self._partial = partial


class EnergyMeter:
    """Meters one device: `with EnergyMeter(source) as meter: ... with meter.window() as window: ...`.

    Safe to use from several threads. The device is read by a daemon thread while the `with` block runs and by `mark`
    in the calling thread. Leaving the block closes the source; readings remain available after the block exits.
    """

    def __init__(
        self,
        source: PowerSource,
        *,
        sample_hz: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sync: Callable[[], None] | None = None,
        on_sample: Callable[[PowerSample], None] | None = None,
        idle_w: float | None = None,
    ) -> None:
        """Store the arguments; nothing is read yet.

        Args:
            source: the device.
            sample_hz: how often power is read, in Hz.
            clock: seconds of a clock that is never set.
            sync: waits until the device has done all work it was given; called before each mark.
            on_sample: called from the sampler thread about once a second.
            idle_w: idle power of the device in W, for net energy.
        """
        self.source = source
        self._clock, self._sync, self._on_sample = clock, sync, on_sample
        self._period_s = 1 / sample_hz
        self._limits = Limits(
            power_limit_w=source.power_limit_w or None,  # a limit of 0 is one that the board does not know
            lag_s=source.power_lag_s,
            max_gap_s=max(_MAX_GAP_PERIODS * self._period_s, _MIN_GAP_S),
        )
        self._idle_w = idle_w
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ledger: Ledger | None = None
        self._schedule: Schedule | None = None
        self._first: Mark | None = None
        self._latest: Mark | None = None
        self._flags: tuple[str, ...] = ()
        self._failure: str | None = None
        self._reported_s = self._asked_s = float("-inf")
        self._log = MeterLog(source, sample_hz)

    def __enter__(self) -> Self:
        """Begin metering: the first readings, then a thread for the others."""
        self._read()
        self._thread = threading.Thread(target=self._sample, name="energy-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Read once more, stop the thread, close the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._read()
        with suppress(Exception):
            self.source.close()
        self._log.closed()

    def mark(self) -> Mark:
        """Wait for the device's pending work, then read counter, power and clock once, as a boundary of windows."""
        if self._sync is not None:
            try:
                self._sync()
            except Exception as error:
                self._log.not_synchronised(error)
                self.flag("not_synchronised")
        return self._read()

    def between(self, start: Mark, end: Mark) -> EnergyReading:
        """Return the energy between two marks of this meter in Wh, with uncertainty and flags."""
        with self._lock:
            scale, failure = self._scale(), self._failure
        return reading_between(start, end, scale, failure=failure)

    def so_far(self, start: Mark | None = None) -> EnergyReading:
        """Return the energy since a mark (by default since metering began) up to the last sample; reads nothing."""
        first, latest = start or self._first, self._latest
        if first is None or latest is None:
            return EnergyReading.missing("metering has not begun")
        return self.between(first, latest)

    @contextmanager
    def window(self) -> Iterator[Window]:
        """Meter a block; its reading is flagged `partial` where the block was left by an exception."""
        window = Window(self, self.mark())
        try:
            yield window
        except BaseException:
            window.close(partial=True)
            raise
        window.close()

    def flag(self, word: str) -> None:
        """Add a word to every window that is open now or opens later."""
        with self._lock:
            if word not in self._flags:
                self._flags = (*self._flags, word)

    def step(self) -> float:
        """Read what is due now; the sampler thread's work, callable without a thread.

        Returns:
            When to come again, in s of the meter's clock.
        """
        now_s = self._clock()
        schedule = self._schedule = self._schedule or Schedule(now_s, self._period_s)
        counter_due = schedule.is_counter_due(now_s)
        before = self._ledger.changes if self._ledger else 0
        mark = self._read(with_counter=counter_due, is_boundary=False)
        assert self._ledger is not None
        schedule.advance(
            now_s,
            counter_read=counter_due,
            changed=self._ledger.changes > before,
            tick_s=self._ledger.known_tick_s,
            has_power=mark.trace.power_w is not None,
        )
        self._report(mark)
        return schedule.next_s

    def _sample(self) -> None:
        due_s = self._clock()
        while not self._stop.wait(max(0.0, due_s - self._clock())):
            due_s = self.step()

    def _read(self, *, with_counter: bool = True, is_boundary: bool = True) -> Mark:
        """Add one set of readings at one instant to the ledger."""
        with self._lock:
            began_s = self._clock()
            energy_j = self._ask("energy", self.source.energy_j) if with_counter else None
            now_s = self._clock()
            power_w = self._ask("power", self.source.power_w)
            if self._ledger is None:
                may_rest = self.source.kind is EnergySource.ESTIMATE
                self._ledger = Ledger(self._limits, self.source.counter_tick_s, now_s, may_rest=may_rest)
            if self.source.power_lag_s > self._limits.lag_s:  # a sensor that failed gave way to a slower one
                self._limits = replace(self._limits, lag_s=self.source.power_lag_s)
                self._ledger.see_farther_back(self._limits.lag_s)
            if power_w is not None or energy_j is not None or is_boundary:
                self._ledger.add_power(now_s, power_w)
            if energy_j is not None:
                self._ledger.add_counter(began_s, now_s, energy_j)
            self._latest = self._ledger.mark(now_s, self._flags, is_boundary=is_boundary)
            self._first = self._first or self._latest
            self._log.marked(self._latest)
            return self._latest

    def _ask(self, what: str, read: Callable[[], float | None]) -> float | None:
        try:
            value = read()
        except Exception as error:
            self._failure = str(error)
            self._log.read_failed(what, error)
            return None
        return value if value is not None and math.isfinite(value) else None

    def _scale(self) -> Scale:
        tick_s = self._ledger.tick_s if self._ledger else self.source.counter_tick_s
        return Scale(kind=self.source.kind, limits=self._limits, tick_s=tick_s, idle_w=self._idle_w)

    def _report(self, mark: Mark) -> None:
        """Notify the listener and read the source's flags, outside the lock and without raising."""
        if mark.t_s - self._asked_s >= FLAG_PERIOD_S:
            self._asked_s = mark.t_s
            with suppress(Exception):
                for word in self.source.flags():
                    self.flag(word)
        if self._on_sample is None or mark.t_s - self._reported_s < REPORT_PERIOD_S:
            return
        self._reported_s = mark.t_s
        with suppress(Exception):
            reading = self.so_far()
            device_stats = self.source.device_stats()
            self._on_sample(PowerSample(mark.t_s, mark.trace.power_w, reading.energy_wh, reading.source, device_stats))
