"""One trial reconstructed from its events: progress, curves, device state over the last minutes."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError

from greenopt.events import SETUP_PHASES, PowerSampled, decode
from greenopt.reading import EnergySource
from greenopt.summary import TrialFold

SAMPLES_KEPT = 600
"""At about one a second, the last ten minutes."""


class Progress(NamedTuple):
    """Finished epochs, including the fraction of the running one, and all epochs."""

    epochs_done: float
    epochs: int


class LiveTrial(TrialFold):
    """The state of a trial from its events so far. Updated by one thread, read by another between two updates."""

    def __init__(self, trial: int, epochs: int) -> None:
        """Start without events.

        Args:
            trial: its number.
            epochs: how many it will train.
        """
        super().__init__()
        self.trial, self.epochs_planned = trial, epochs
        self.samples: deque[PowerSampled] = deque(maxlen=SAMPLES_KEPT)

    def take_lines(self, lines: Iterable[bytes]) -> None:
        """Add lines of an events file; a line that is not an event is skipped."""
        for line in lines:
            try:
                self.take(decode(line))
            except ValidationError:
                continue

    def take_sample(self, sample: PowerSampled, power_w: float | None) -> None:
        """Keep a sample of the last minutes."""
        self.samples.append(sample.model_copy(update={"power_w": power_w}))

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of all energies so far."""
        ends = [self.ended.energy] if self.ended is not None and self.ended.energy is not None else []
        readings = [*(part.energy for part in self.phases), *(epoch.energy for epoch in self.epochs), *ends]
        return tuple(dict.fromkeys(flag for reading in readings for flag in reading.flags))

    @property
    def memory_bytes(self) -> int | None:
        """Size of the device's memory; None where not known."""
        return self.started.gpu_memory_bytes if self.started else None

    @property
    def progress(self) -> Progress:
        """How far the epochs are."""
        done = float(len(self.epochs))
        if self.steps is not None and self.steps.epoch == len(self.epochs) + 1 and self.steps.steps:
            done += min(1.0, self.steps.step / self.steps.steps)
        return Progress(done, self.epochs_planned)

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy 0..1 after the last finished epoch."""
        return self.epochs[-1].val_accuracy if self.epochs else None

    @property
    def training_wh(self) -> float | None:
        """Energy of the finished epochs in Wh; where one was too short to measure, all that followed the set-up.

        None where that is not known either.
        """
        energies = [epoch.energy.energy_wh for epoch in self.epochs]
        known = [energy for energy in energies if energy is not None]
        if len(known) == len(energies):
            return sum(known) if known else None
        setup = [ended.energy.energy_wh for ended in self.phases if ended.phase in SETUP_PHASES]
        total = self.total_wh
        if total is None or any(energy is None for energy in setup):
            return None
        return max(0.0, total - sum(energy or 0.0 for energy in setup))

    @property
    def total_wh(self) -> float | None:
        """Energy since metering began in Wh, set-up included."""
        return next((sample.energy_wh for sample in reversed(self.samples) if sample.energy_wh is not None), None)

    @property
    def source(self) -> EnergySource | None:
        """How its energy is obtained."""
        return self.meter.source if self.meter is not None else None

    @property
    def forecast_wh(self) -> float | None:
        """Energy of all epochs at the pace of those that are done, in Wh."""
        used = self.training_wh
        return None if used is None or not self.epochs else used / len(self.epochs) * self.epochs_planned

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean duration of the finished epochs in s."""
        return sum(epoch.seconds for epoch in self.epochs) / len(self.epochs) if self.epochs else None

    def activity_text(self) -> str:
        """Return what the trial is doing: `getting ready: compile`, `epoch 3/50`, `testing`."""
        if self.ended is not None:
            return "ending"
        if self.prepared is None:
            last = self.phases[-1].phase if self.phases else None
            following = {None: "starting", "import": "reading data", "data": "building", "build": "compiling"}
            return f"getting ready: {following.get(last, 'compiling')}"
        if len(self.epochs) >= self.epochs_planned:
            return "quantizing and testing"
        return f"epoch {min(int(self.progress.epochs_done) + 1, self.epochs_planned)}/{self.epochs_planned}"
