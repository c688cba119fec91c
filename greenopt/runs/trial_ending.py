"""How a trial ended, as the study log keeps it, and the sentence that tells it to people.

Invariant: the log keeps values, never the sentence; progress lines and the live view share the one function below.
"""

from pydantic import BaseModel, ConfigDict

from greenopt.events import Outcome
from greenopt.formatting import format_energy, format_figure, format_flags, format_fraction, format_seconds
from greenopt.reading import EnergySource


class TrialEnding(BaseModel):
    """How a trial ended, with the figures that are told of it; those that were not measured are None.

    Attributes:
        reason: a `FailReason`, or the word for an early stop; None for a completed trial.
        message: one line for the user.
        ran: False where the trial was never started.
        accuracy: validation accuracy 0..1.
        test_accuracy: the same on the test part.
        energy_wh: energy of the training in Wh.
        energy_source: how `energy_wh` was obtained.
        seconds: length of the training in s.
        flags: words about what may be wrong with `energy_wh`.
        figures: objectives of its study beside accuracy and the energies, by name.
        total_wh: energy of the whole process in Wh, as far as metered.
        total_source: how `total_wh` was obtained.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: Outcome
    reason: str | None = None
    message: str = ""
    ran: bool = True
    accuracy: float | None = None
    test_accuracy: float | None = None
    energy_wh: float | None = None
    energy_source: EnergySource | None = None
    seconds: float | None = None
    flags: tuple[str, ...] = ()
    figures: dict[str, float] = {}
    total_wh: float | None = None
    total_source: EnergySource | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the trial was started and failed; a skipped one did not."""
        return self.ran and self.outcome is Outcome.FAILED


def format_ending(ending: TrialEnding) -> str:
    """Format how a trial ended, in one line."""
    if ending.outcome is Outcome.COMPLETED:
        others = [f"{name} {format_figure(name, value)}" for name, value in ending.figures.items()]
        accuracy = f"accuracy {format_fraction(ending.accuracy)} (test {format_fraction(ending.test_accuracy)})"
        found = [*others, *([accuracy] if ending.accuracy is not None or not others else [])]
        return (
            f"done: {', '.join(found)}, "
            f"{format_energy(ending.energy_wh, ending.energy_source)}, {format_seconds(ending.seconds)}"
            f"{format_flags(ending.flags)}{f'; {ending.message}' if ending.message else ''}"
        )
    if not ending.ran:
        return f"skipped: {ending.message}" if ending.outcome is Outcome.FAILED else ending.message
    spent = format_energy(ending.total_wh, ending.total_source)
    if ending.outcome is Outcome.STOPPED:
        return f"stopped: {ending.message} ({spent} spent)"
    word = "stopped" if ending.outcome is Outcome.DIVERGED else "failed"
    return f"{word}: {ending.reason}: {ending.message} ({spent} spent)"
