"""A simulated cluster: a real coordinator, with its search, storage and observers, on slots whose trials are made up.

The clock is neither the wall's nor a free invention: it runs while the coordinator works, second by second, and jumps
ahead where the coordinator would wait for the next event. What a coordinator cannot do in time therefore shows as it
would on a cluster: slots stay empty, events arrive late. Only waiting is skipped, and the making of events, which is
the trials' work in reality.
"""

import heapq
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from greenopt.events import (
    EpochEnded,
    Event,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    StepsDone,
    TrialEnded,
    TrialPrepared,
    TrialStarted,
    decode,
    encode,
)
from greenopt.execution import EventArrived, Message, ProcessEnded, Slot
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import TrialSpec

WATTS = 300.0
SPREAD = 0.4
"""Standard deviation of the logarithm of a trial's duration."""


class SkippingClock:
    """Seconds that pass as the coordinator works, and that `skip` adds where it would have waited.

    `charge` is what counts as work: `time.monotonic` also counts what other programs take from this process and the
    database server's work; `time.process_time` counts this process's CPU time alone.
    """

    def __init__(self, charge: Callable[[], float] = time.monotonic) -> None:
        self._charge = charge
        self._offset_s = -charge()
        self.skipped_s = 0.0

    def __call__(self) -> float:
        return self._charge() + self._offset_s

    def skip(self, seconds: float) -> None:
        """Let time pass in which the coordinator does nothing."""
        self._offset_s += seconds
        self.skipped_s += seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Work that is not the coordinator's takes no time."""
        began_s = self._charge()
        try:
            yield
        finally:
            self._offset_s -= self._charge() - began_s


@dataclass
class TrialTimes:
    """When a simulated trial ran and how long its slot had been empty before, in s of the clock."""

    began_s: float
    ends_s: float
    waited_s: float


class SimulatedEngine:
    """Slots whose trials take a random time and send events at a real trial's rate; see `Engine`."""

    def __init__(
        self, slots: int, clock: SkippingClock, *, trial_s: float, samples_hz: float = 1.0, seed: int = 0
    ) -> None:
        """Prepare the slots.

        Args:
            slots: how many, each with a GPU of its own.
            clock: the simulation's.
            trial_s: mean duration of a trial, in s.
            samples_hz: how often a trial tells its steps and its power, each; a real one once a second.
            seed: of the durations and the figures.
        """
        self._slots = tuple(Slot(f"gpu {index}", f"GPU-{index:04d}") for index in range(slots))
        self._clock, self._trial_s, self._samples_hz = clock, trial_s, samples_hz
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, int, bytes | None]] = []
        self._coming: dict[int, Iterator[tuple[float, Event | None]]] = {}
        self._order = 0
        self._freed_s: dict[Slot, float] = dict.fromkeys(self._slots, clock())
        self._slot_of: dict[int, Slot] = {}
        self.is_busy: Callable[[], bool] = lambda: False
        """Whether the coordinator waits for its storage: then time passes by itself, and none is skipped."""
        self.after_trials: dict[int, Callable[[], None]] = {}
        """What is called, outside the simulation's time, once so many trials have started."""
        self.times: dict[int, TrialTimes] = {}
        self.events = 0
        self.late_s: list[float] = []
        """How long after it was sent each hundredth event was taken, in s."""

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        with self._clock.stopped():
            began_s = self._clock()
            duration_s = self._trial_s * math.exp(self._random.gauss(-(SPREAD**2) / 2, SPREAD))
            self.times[spec.trial] = TrialTimes(began_s, began_s + duration_s, began_s - self._freed_s[slot])
            self._slot_of[spec.trial] = slot
            self._coming[spec.trial] = trial_events(spec, began_s, duration_s, self._samples_hz, self._random.random())
            self._schedule(spec.trial)
            if (call := self.after_trials.pop(len(self.times), None)) is not None:
                call()

    def _schedule(self, trial: int) -> None:
        at_s, event = next(self._coming[trial])
        self._order += 1
        heapq.heappush(self._due, (at_s, self._order, trial, None if event is None else encode(event)))

    def receive(self, timeout_s: float) -> list[Message]:
        if not self._due or self._due[0][0] > self._clock():
            self._wait(timeout_s)
        with self._clock.stopped():
            now_s, arrived = self._clock(), []
            while self._due and self._due[0][0] <= now_s:
                at_s, _, trial, line = heapq.heappop(self._due)
                arrived.append((trial, line))
                if line is None:
                    del self._coming[trial]
                    self._freed_s[self._slot_of.pop(trial)] = at_s
                else:
                    self._schedule(trial)
                    self.events += 1
                    if self.events % 100 == 0:
                        self.late_s.append(now_s - at_s)
        # Decoding is the engine's work, as in reality.
        return [
            ProcessEnded(trial, 0, None, "") if line is None else EventArrived(trial, decode(line))
            for trial, line in arrived
        ]

    def _wait(self, timeout_s: float) -> None:
        if self.is_busy():
            time.sleep(min(timeout_s, 0.001))
            return
        due_s = self._due[0][0] - self._clock() if self._due else timeout_s
        self._clock.skip(max(0.0, min(due_s, timeout_s)))

    def end(self, trial: int) -> None:
        """End a trial at once."""
        if trial in self._coming:
            self._due = [entry for entry in self._due if entry[2] != trial]
            heapq.heapify(self._due)
            self._coming[trial] = iter([(self._clock(), None)])
            self.times[trial].ends_s = self._clock()
            self._schedule(trial)

    def close(self) -> None:
        self._coming.clear()

    def busy_share(self, *, when_full: bool = False) -> float:
        """Return the share of the slots' time in which a trial ran, until the last trial was started.

        Args:
            when_full: count from when each slot has had a trial, in place of from the study's start.
        """
        starts_s = sorted(each.began_s for each in self.times.values())
        from_s = min(each.began_s - each.waited_s for each in self.times.values())
        if when_full:
            from_s = starts_s[min(len(self._slots), len(starts_s)) - 1]
        until_s = starts_s[-1]
        ran_s = sum(max(0.0, min(each.ends_s, until_s) - max(each.began_s, from_s)) for each in self.times.values())
        return ran_s / (len(self._slots) * max(until_s - from_s, 1e-9))


def trial_events(
    spec: TrialSpec, began_s: float, duration_s: float, samples_hz: float, luck: float
) -> Iterator[tuple[float, Event | None]]:
    """Yield a trial's events with the times at which it sends them, in order; None at the end of its process.

    A tenth of its time is set-up, the rest its epochs; steps and power are told `samples_hz` times a second.
    """
    epochs, setup_s = spec.training.epochs, 0.1 * duration_s
    end_s, epoch_s = began_s + duration_s, 0.88 * duration_s / epochs
    final = 0.2 + 0.6 * luck
    heads: list[tuple[float, Event | None]] = [
        (began_s, _started(spec, began_s)),
        (began_s, MeterOpened(t_s=began_s, device="GPU", source=EnergySource.NVML_COUNTER, idle_w=70, idle_origin="")),
    ]
    for index, phase in enumerate((Phase.IMPORT, Phase.DATA, Phase.BUILD, Phase.COMPILE)):
        at_s = began_s + (index + 1) * setup_s / 4
        heads.append((at_s, PhaseEnded(t_s=at_s, phase=phase, energy=_energy(setup_s / 4))))
    trained_s = began_s + setup_s
    heads.append((trained_s, TrialPrepared(t_s=trained_s, steps_per_epoch=100, facts={"classes": 4})))
    for number in range(1, epochs + 1):
        at_s = trained_s + number * epoch_s
        accuracy = final * (1 - math.exp(-3 * number / epochs))
        heads.append((at_s, _epoch(number, epochs, at_s, epoch_s, accuracy)))
    last_s = trained_s + epochs * epoch_s
    heads.append((last_s, PhaseEnded(t_s=last_s, phase=Phase.TRAIN, energy=_energy(epochs * epoch_s))))
    heads.append((end_s - 0.01, PhaseEnded(t_s=end_s, phase=Phase.TEST, energy=_energy(0.02 * duration_s))))
    heads.append((end_s - 0.01, _ended(end_s, accuracy, epochs * epoch_s, duration_s)))
    heads.append((end_s, None))
    count = int(duration_s * samples_hz)
    samples = (
        (began_s + (index + 1) / samples_hz, event)
        for index in range(count)
        for event in _samples(began_s + (index + 1) / samples_hz, (index + 1) / samples_hz, epoch_s)
    )
    return heapq.merge(heads, (each for each in samples if each[0] < end_s - 0.01), key=lambda each: each[0])


def _started(spec: TrialSpec, at_s: float) -> TrialStarted:
    return TrialStarted(
        t_s=at_s,
        utc="2026-01-01T00:00:00Z",
        trial=spec.trial,
        pid=1,
        host="simulated",
        gpu_uuid=spec.gpu_uuid,
        gpu_name="NVIDIA H100 80GB HBM3",
        gpu_memory_bytes=80 * 2**30,
        driver="580.159",
    )


def _energy(seconds: float) -> EnergyReading:
    wh = WATTS * seconds / 3600
    return EnergyReading(energy_wh=wh, source=EnergySource.NVML_COUNTER, seconds=seconds, coverage=1.0)


def _epoch(number: int, epochs: int, at_s: float, seconds: float, accuracy: float) -> EpochEnded:
    return EpochEnded(
        t_s=at_s,
        epoch=number,
        epochs=epochs,
        seconds=seconds,
        loss=1.0 - accuracy / 2,
        accuracy=accuracy,
        val_loss=1.0 - accuracy / 2,
        val_accuracy=accuracy,
        lr=0.1,
        energy=_energy(seconds),
    )


def _samples(at_s: float, since_s: float, epoch_s: float) -> tuple[Event, Event]:
    energy_wh = WATTS * since_s / 3600
    step = int(100 * (since_s % epoch_s) / epoch_s)
    return (
        StepsDone(t_s=at_s, epoch=1, step=step, steps=100),
        PowerSampled(
            t_s=at_s,
            power_w=WATTS,
            energy_wh=energy_wh,
            source=EnergySource.NVML_COUNTER,
            temperature_c=55.0,
            utilisation=0.9,
            memory_bytes=2**33,
        ),
    )


def _ended(at_s: float, accuracy: float, trained_s: float, total_s: float) -> TrialEnded:
    return TrialEnded(
        t_s=at_s,
        outcome=Outcome.COMPLETED,
        accuracy=accuracy,
        test_accuracy=accuracy - 0.01,
        energy=_energy(trained_s),
        total=_energy(total_s),
    )
