"""The learning curve of a trial: accuracy and energy at the end of each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from greenopt.events import EpochEnded
from greenopt.spec import Value


@dataclass(frozen=True)
class Curve:
    """A trial's curve as far as it got.

    Attributes:
        trial: its number.
        setting: its parameters.
        planned_epochs: epochs of the whole training.
        accuracies: validation accuracy 0..1 after each epoch so far.
        energies_wh: energy used by the end of each of these epochs, in Wh.
        is_lost: whether the trial ended without a result, and can bring nothing any more.
    """

    trial: int
    setting: Mapping[str, Value]
    planned_epochs: int
    accuracies: tuple[float, ...]
    energies_wh: tuple[float, ...]
    is_lost: bool = False

    @property
    def epochs(self) -> int:
        """Epochs that have ended."""
        return len(self.accuracies)

    @property
    def is_whole(self) -> bool:
        """Whether all planned epochs have ended."""
        return self.epochs >= self.planned_epochs

    @property
    def used_wh(self) -> float:
        """Energy used so far, in Wh."""
        return self.energies_wh[-1] if self.energies_wh else 0.0

    @property
    def accuracy(self) -> float:
        """Accuracy 0..1 after the last epoch that ended; 0 before the first."""
        return self.accuracies[-1] if self.accuracies else 0.0

    def up_to(self, epochs: int) -> "Curve":
        """Return the curve of the first epochs."""
        return replace(self, accuracies=self.accuracies[:epochs], energies_wh=self.energies_wh[:epochs])


def curve_from_epochs(trial: int, setting: Mapping[str, Value], epochs: Sequence[EpochEnded]) -> Curve | None:
    """Return the curve of a trial's epochs; None where there are none, or one lacks its accuracy or energy."""
    known = [(epoch.val_accuracy, epoch.energy.energy_wh) for epoch in epochs]
    accuracies = tuple(accuracy for accuracy, _ in known if accuracy is not None)
    energies = tuple(energy_wh for _, energy_wh in known if energy_wh is not None)
    if not epochs or len(accuracies) < len(epochs) or len(energies) < len(epochs):
        return None
    return Curve(trial, setting, epochs[-1].epochs, accuracies, tuple(accumulate(energies)))
