"""What figures and report are made of: an analysis, the courses of trainings, and how energies were obtained."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.results import Analysis
from greenopt.events import EnergySource, EpochEnded

Floats = npt.NDArray[np.float64]

CURVES_DRAWN = 400
"""So many courses can be told apart at most; of more trials, the best and a random sample are drawn."""

SOURCE_WORDS = {
    EnergySource.NVML_COUNTER: "the GPU's energy counter",
    EnergySource.NVML_POWER: "the integral of the GPU's power",
    EnergySource.RAPL: "the CPU's energy counter (RAPL)",
    EnergySource.ESTIMATE: "estimated: CPU time x an assumed power",
    EnergySource.NVIDIA_SMI_SNAPSHOT: "one reading of nvidia-smi an epoch x time",
    EnergySource.UNKNOWN: "not known how (imported)",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """The course of one training; arrays of one length, nan where a figure is missing.

    Attributes:
        state: as in the study's table: `complete`, `pruned`, `fail`, `running`.
        energy_wh: energy of the training up to the end of each epoch, in Wh.
    """

    trial: int
    state: str
    epoch: Floats
    accuracy: Floats
    val_accuracy: Floats
    loss: Floats
    val_loss: Floats
    energy_wh: Floats
    seconds: Floats

    @classmethod
    def of(cls, trial: int, state: str, epochs: Sequence[EpochEnded]) -> "Curve":
        """The course that a trial's events tell."""

        def figures(values: Iterable[float | None]) -> Floats:
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

        return cls(
            trial=trial,
            state=state,
            epoch=figures(epoch.epoch for epoch in epochs),
            accuracy=figures(epoch.accuracy for epoch in epochs),
            val_accuracy=figures(epoch.val_accuracy for epoch in epochs),
            loss=figures(epoch.loss for epoch in epochs),
            val_loss=figures(epoch.val_loss for epoch in epochs),
            energy_wh=np.cumsum(figures(epoch.energy.energy_wh for epoch in epochs)),
            seconds=np.cumsum(figures(epoch.seconds for epoch in epochs)),
        )


@dataclass(frozen=True, eq=False)
class Material:
    """A study, ready to be drawn and written about.

    Attributes:
        curves: of the trials that are drawn, by number.
        curves_of: how many trials there are to draw curves of; more than `curves` where some were left out.
    """

    analysis: Analysis
    curves: tuple[Curve, ...] = ()
    curves_of: int = 0

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The completed trials."""
        trials = self.analysis.trials
        return trials[trials["state"] == "complete"] if len(trials) else trials

    def column(self, name: str) -> Floats:
        """A figure of the completed trials, nan where it is missing."""
        if name not in self.complete:
            return np.full(len(self.complete), np.nan)
        return self.complete[name].to_numpy(dtype=np.float64, na_value=np.nan)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """How the completed trials' energies were obtained, the commonest first."""
        if "energy_source" not in self.complete:
            return ()
        return tuple(str(source) for source in self.complete["energy_source"].dropna().value_counts().index)

    @property
    def energy_mark(self) -> str:
        """What an axis has to say of its energies: ` (est.)`, ` (nvidia-smi snapshots)`; nothing of metered ones."""
        marks = {
            EnergySource.ESTIMATE: "est.",
            EnergySource.NVIDIA_SMI_SNAPSHOT: "nvidia-smi snapshots",
            EnergySource.UNKNOWN: "source unknown",
        }
        words = [marks[EnergySource(source)] for source in self.sources if source in marks]
        if not words:
            return ""
        return f" ({', '.join(words)}{' in part' if len(self.sources) > len(words) else ''})"

    @property
    def energy_note(self) -> str:
        """How energies were obtained, as a sentence; empty where there is no energy."""
        if not self.sources:
            return ""
        words = "; ".join(SOURCE_WORDS[EnergySource(source)] for source in self.sources)
        return f"Energy: {words}."

    @property
    def curves_note(self) -> str:
        """Which trainings are drawn, where not all are; else empty."""
        if self.curves_of <= len(self.curves):
            return ""
        return (
            f"{len(self.curves):,} of {self.curves_of:,} trainings are drawn: the Pareto front, the best, "
            "and a random sample of the others."
        )
