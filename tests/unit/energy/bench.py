"""Runs a meter over a fake board in virtual time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from greenopt.energy import EnergyMeter
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.ledger import Mark
from greenopt.energy.nvml import Nvml
from greenopt.reading import EnergyReading
from tests.unit.energy.fake_nvml import Board, FakePynvml, Spans, VirtualClock, as_module, is_inside


@dataclass
class Bench:
    """One board, a meter that nothing drives but `run`, and the clock."""

    board: Board
    sample_hz: float = 10.0
    sampler_off: Spans = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.module = FakePynvml(self.clock, self.board)
        self.source = NvmlSource(Nvml(as_module(self.module)), self.board.uuid)
        self.meter = EnergyMeter(self.source, sample_hz=self.sample_hz, clock=self.clock, **self.options)
        self._due_s = 0.0

    def run(self, until_s: float) -> None:
        """Let time pass, with the sampler at work wherever it is not switched off."""
        while self._due_s < until_s:
            self.clock.advance_to(self._due_s)
            if is_inside(self.sampler_off, self.clock()):
                self._due_s = min(end_s for start_s, end_s in self.sampler_off if start_s <= self.clock() < end_s)
            else:
                self._due_s = max(self.meter.step(), self.clock() + 1e-6)
        self.clock.advance_to(until_s)

    def mark(self, at_s: float) -> Mark:
        self.run(at_s)
        return self.meter.mark()

    def marks(self, instants_s: Sequence[float]) -> list[Mark]:
        return [self.mark(at_s) for at_s in instants_s]

    def reading(self, start_s: float, end_s: float) -> EnergyReading:
        start = self.mark(start_s)
        return self.meter.between(start, self.mark(end_s))

    def true_wh(self, start: Mark, end: Mark) -> float:
        return (self.board.waveform.energy_j(end.t_s) - self.board.waveform.energy_j(start.t_s)) / 3600


def window(board: Board, start_s: float, end_s: float, **options: Any) -> EnergyReading:
    """The reading of one window on a fresh bench."""
    return Bench(board, **options).reading(start_s, end_s)
