"""A trial's events and their energies, from one set of marks.

Invariants: phases follow one another without gaps, since each begins at the mark that ended the one before; the same
holds for epochs inside of the training; the final event, `TrialEnded`, is written exactly once, by whichever thread.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from greenopt.energy.meter import PowerSample
from greenopt.energy.trial_meter import Marks, Readings
from greenopt.events import (
    ConfusionCounted,
    EpochEnded,
    Event,
    FailReason,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    StepsDone,
    TrialEnded,
    TrialPrepared,
    encode,
)
from greenopt.logs import get_logger
from greenopt.reading import EnergySource
from greenopt.trial.failures import Failure

_log = get_logger(__name__)

PARTIAL = "partial"


@dataclass(frozen=True)
class Figures:
    """Figures of a trial beside accuracies and energies.

    Attributes:
        values: by name.
        missing: why one that was wanted is not there.
        inference_source: where the energy of a prediction is from.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    inference_source: EnergySource | None = None


NO_FIGURES = Figures()


class Meter(Protocol):
    """The meters that a journal needs; see `greenopt.energy.trial_meter.TrialMeter`."""

    def mark(self) -> Marks:
        """Return a mark at this instant, after the device has finished all queued work."""
        ...

    def between(self, start: Marks, end: Marks) -> Readings:
        """Return the energy between two marks."""
        ...

    def so_far(self, start: Marks | None = None) -> Readings:
        """Return the energy since a mark, or since metering began, without waiting for the device."""
        ...


class EventPipe:
    """Writes events to a file descriptor, each as one whole line, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write one event.

        Raises:
            OSError: nobody reads any more.
        """
        line = encode(event)
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def emit_sample(self, sample: PowerSample) -> None:
        """Write the state of the device."""
        device_stats = sample.device_stats
        self.emit(
            PowerSampled(
                t_s=sample.t_s,
                power_w=sample.power_w,
                energy_wh=sample.energy_wh,
                source=sample.source,
                temperature_c=device_stats.temperature_c,
                utilisation=device_stats.utilisation,
                memory_bytes=device_stats.memory_bytes,
            )
        )


class EpochMetrics(Protocol):
    """Loss and accuracy of a pass over images."""

    @property
    def loss(self) -> float:
        """Mean loss."""
        ...

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0..1."""
        ...


class Journal:
    """Writes the events of one trial. Used by one thread; `interrupt` may come from another."""

    def __init__(self, meter: Meter, emit: Callable[[Event], None]) -> None:
        """Take the first mark and begin the first phase."""
        self._meter, self._emit = meter, emit
        self._first = self._last = meter.mark()
        self._training: Marks | None = None
        self._epoch_began: Marks | None = None
        self._lock = threading.Lock()
        self._has_ended = False
        self.epochs_done = 0

    def end_phase(self, phase: Phase) -> None:
        """End the current phase and begin the next one."""
        self._end_phase_at(phase, self._meter.mark())

    def begin_training(
        self, steps_per_epoch: int, inert: dict[str, str], facts: dict[str, str | int | float | bool | None]
    ) -> None:
        """Begin the training; the phase that ended last was the last of the set-up."""
        self._training = self._epoch_began = self._last
        _log.info("training begins, %d steps an epoch", steps_per_epoch)
        self._emit(TrialPrepared(t_s=time.monotonic(), steps_per_epoch=steps_per_epoch, inert=inert, facts=facts))

    def tell_steps(self, epoch: int, steps: int, step: int) -> None:
        """Report that `step` of an epoch's steps are done."""
        self._emit(StepsDone(t_s=time.monotonic(), epoch=epoch, step=step, steps=steps))

    def end_epoch(
        self, epoch: int, epochs: int, train: EpochMetrics, validation: EpochMetrics, lr: float | None
    ) -> None:
        """Record the end of an epoch and its validation."""
        assert self._epoch_began is not None
        began, ended = self._epoch_began, self._meter.mark()
        self._epoch_began = ended
        self.epochs_done += 1
        readings = self._meter.between(began, ended)
        _log.debug("epoch %d/%d ended after %.3f s: %s", epoch, epochs, ended.t_s - began.t_s, readings.device)
        self._emit(
            EpochEnded(
                t_s=ended.t_s,
                epoch=epoch,
                epochs=epochs,
                seconds=ended.t_s - began.t_s,
                loss=_finite(train.loss),
                accuracy=_finite(train.accuracy),
                val_loss=_finite(validation.loss),
                val_accuracy=_finite(validation.accuracy),
                lr=lr,
                energy=readings.device,
                cpu=readings.cpu,
                dram=readings.dram,
            )
        )

    def end_training(self) -> None:
        """End the training at the end of its last epoch."""
        assert self._epoch_began is not None
        self._end_phase_at(Phase.TRAIN, self._epoch_began)

    def metered(self, work: Callable[[], None]) -> Readings:
        """Return the energy of some work inside of a phase, which has it too."""
        began = self._meter.mark()
        work()
        return self._meter.between(began, self._meter.mark())

    def training_energy(self) -> Readings:
        """Return the energy from the start of the first epoch to the end of the last phase."""
        assert self._training is not None
        return self._meter.between(self._training, self._last)

    def tell_confusion(self, class_names: tuple[str, ...], counts: list[list[int]]) -> None:
        """Report how often the test images of each class (row) were taken for each class (column)."""
        rows = tuple(map(tuple, counts))
        self._emit(ConfusionCounted(t_s=time.monotonic(), class_names=class_names, counts=rows))

    def complete(
        self,
        accuracy: float | None,
        test_accuracy: float | None,
        unquantized_accuracy: float | None,
        energy: Readings,
        figures: Figures = NO_FIGURES,
        message: str = "",
    ) -> None:
        """Write the final event of a completed trial; `message` is one line for the user, where there is one."""
        self._end(
            TrialEnded(
                t_s=time.monotonic(),
                outcome=Outcome.COMPLETED,
                accuracy=accuracy,
                test_accuracy=test_accuracy,
                unquantized_accuracy=unquantized_accuracy,
                energy=energy.device,
                cpu=energy.cpu,
                dram=energy.dram,
                total=self._meter.between(self._first, self._last).device,
                figures=dict(figures.values),
                missing=dict(figures.missing),
                inference_source=figures.inference_source,
                message=message,
            )
        )

    def diverge(self, message: str) -> None:
        """Write the final event of a diverged trial."""
        self._break_off(Outcome.DIVERGED, "diverged", message, self._meter.mark())

    def fail(self, failure: Failure) -> None:
        """Write the final event of a failed trial."""
        self._break_off(Outcome.FAILED, str(failure.reason), failure.message, self._meter.mark())

    def interrupt(self) -> None:
        """Write the final event of an interrupted trial, without waiting for running work."""
        self._break_off(Outcome.FAILED, str(FailReason.INTERRUPTED), "interrupted while it ran", None)

    def _break_off(self, outcome: Outcome, reason: str, message: str, mark: Marks | None) -> None:
        if self._training is None:
            energy = Readings.missing("the trial ended before its first epoch")
        else:
            energy = self._since(self._training, mark).flagged(PARTIAL)
        total = self._since(self._first, mark).flagged(PARTIAL)
        self._end(
            TrialEnded(
                t_s=time.monotonic(),
                outcome=outcome,
                reason=reason,
                message=message,
                energy=energy.device,
                cpu=energy.cpu,
                dram=energy.dram,
                total=total.device,
            )
        )

    def _since(self, start: Marks, mark: Marks | None) -> Readings:
        return self._meter.so_far(start) if mark is None else self._meter.between(start, mark)

    def _end(self, ended: TrialEnded) -> None:
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                _log.info("the trial ended: %s %s %s", ended.outcome, ended.reason or "", ended.message)
                self._emit(ended)

    def _end_phase_at(self, phase: Phase, mark: Marks) -> None:
        began, self._last = self._last, mark
        energy = self._meter.between(began, mark)
        _log.info("phase %s ended after %.3f s: %s", phase, mark.t_s - began.t_s, energy.device)
        self._emit(PhaseEnded(t_s=mark.t_s, phase=phase, energy=energy.device, cpu=energy.cpu, dram=energy.dram))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
