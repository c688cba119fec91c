"""Data of figures and report: an analysis, training curves, and how energies were obtained."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.results import Analysis
from greenopt.events import EpochEnded
from greenopt.reading import EnergySource
from greenopt.storage.trial_state import TrialState

Floats = npt.NDArray[np.float64]

CURVES_DRAWN = 400
"""The most curves that can be distinguished; of more trials, the best and a random sample are drawn."""

SOURCE_TEXTS = {
    EnergySource.NVML_COUNTER: "the GPU's energy counter",
    EnergySource.NVML_POWER: "the integral of the GPU's power",
    EnergySource.RAPL: "the CPU's energy counter (RAPL)",
    EnergySource.ESTIMATE: "estimated: CPU time x an assumed power",
    EnergySource.NVIDIA_SMI_SNAPSHOT: "one reading of nvidia-smi an epoch x time",
    EnergySource.UNKNOWN: "not known how (imported)",
}

STATE_TEXTS = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.EXCLUDED: "excluded by hand",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """The curves of one training; arrays of equal length, NaN where a value is missing.

    Attributes:
        state: as in the study's table, a `TrialState`.
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
    def from_epochs(cls, trial: int, state: str, epochs: Sequence[EpochEnded]) -> "Curve":
        """Return a trial's curves from its epochs."""

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
class ReportData:
    """The data of a study that figures and sections are built from.

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
        return trials[trials["state"] == TrialState.COMPLETE] if len(trials) else trials

    def column(self, name: str) -> Floats:
        """Return a metric of the completed trials, NaN where it is missing."""
        if name not in self.complete:
            return np.full(len(self.complete), np.nan)
        return self.complete[name].to_numpy(dtype=np.float64, na_value=np.nan)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Return how the completed trials' energies were obtained, the most frequent source first."""
        if "energy_source" not in self.complete:
            return ()
        return tuple(str(source) for source in self.complete["energy_source"].dropna().value_counts().index)

    @property
    def energy_mark(self) -> str:
        """Return an axis label's suffix: ` (est.)`, ` (nvidia-smi snapshots)`; empty for metered energies."""
        marks = {
            EnergySource.ESTIMATE: "est.",
            EnergySource.NVIDIA_SMI_SNAPSHOT: "nvidia-smi snapshots",
            EnergySource.UNKNOWN: "source unknown",
        }
        text = [marks[EnergySource(source)] for source in self.sources if source in marks]
        if not text:
            return ""
        return f" ({', '.join(text)}{' in part' if len(self.sources) > len(text) else ''})"

    @property
    def energy_note(self) -> str:
        """Return a sentence on how energies were obtained; empty if there is no energy."""
        if not self.sources:
            return ""
        text = "; ".join(SOURCE_TEXTS[EnergySource(source)] for source in self.sources)
        return f"Energy: {text}."

    @property
    def curves_note(self) -> str:
        """Return a sentence on which trainings are drawn; empty if all are."""
        if self.curves_of <= len(self.curves):
            return ""
        return (
            f"{len(self.curves):,} of {self.curves_of:,} trainings are drawn: the Pareto front, the best, "
            "and a random sample of the others."
        )
