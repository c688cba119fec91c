"""What a stopping rule is, and how a study's is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from greenopt.events import StopReason
from greenopt.spec import SearchSpace, StoppingKind, StoppingSpec, Value
from greenopt.stopping.curve import Curve


@dataclass(frozen=True)
class Stop:
    """A decision to stop a running trial.

    Attributes:
        reason: the word for it.
        message: why, without the trial's own number: `dominated by trial 12 at epoch 4: ...`.
        forecast_wh: the energy that the whole training was expected to take, in Wh; None where none was needed.
        forecast_accuracy: the accuracy 0..1 that its final one was as likely to be above as below; None where none was
            needed.
        dominated_by: the trial that is expected to be better; None where it is no single one.
        is_audited: whether the trial is nevertheless trained to its end, to measure how often the rule is wrong.
    """

    reason: StopReason
    message: str
    forecast_wh: float | None = None
    forecast_accuracy: float | None = None
    dominated_by: int | None = None
    is_audited: bool = False


@dataclass(frozen=True)
class Refusal:
    """A decision not to start a trial.

    Attributes:
        setting: the trial's parameters.
        message: why, in words.
        forecast_wh: the energy that it would have taken, in Wh.
        dominated_by: the trial that it would have to beat.
    """

    setting: Mapping[str, Value]
    message: str
    forecast_wh: float
    dominated_by: int


class StoppingRule(Protocol):
    """Decides which trials are worth their energy. Used by one thread; it learns from what it is told."""

    def refuse(self, trial: int, setting: Mapping[str, Value], epochs: int) -> Refusal | None:
        """Decide whether a trial is worth its start; None where it is.

        Args:
            trial: its number.
            setting: its parameters.
            epochs: how many it would train.
        """
        ...

    def judge(self, curve: Curve, running: Sequence[Curve] = ()) -> Stop | None:
        """Decide at the end of an epoch whether a trial goes on; None where it does.

        Args:
            curve: the trial, at least one epoch of it, not yet whole.
            running: the other trials that run now.
        """
        ...

    def add(self, curve: Curve) -> None:
        """Learn from a trial that has ended: whole, stopped, or lost."""
        ...


class NoStopping:
    """The rule that stops nothing."""

    def refuse(self, trial: int, setting: Mapping[str, Value], epochs: int) -> Refusal | None:
        """Return None: every trial is started."""

    def judge(self, curve: Curve, running: Sequence[Curve] = ()) -> Stop | None:
        """Return None: every trial goes on."""

    def add(self, curve: Curve) -> None:
        """Learn nothing."""


def build_rule(spec: StoppingSpec, space: SearchSpace, seed: int) -> StoppingRule:
    """Build the rule of a study.

    Args:
        spec: its kind and constants.
        space: the study's, by which energies are forecast.
        seed: of the choice of audited trials.
    """
    from greenopt.stopping.moasha import MultiObjectiveAsha
    from greenopt.stopping.pareto import ParetoStopping

    match spec.kind:
        case StoppingKind.PARETO:
            return ParetoStopping(spec, space, seed)
        case StoppingKind.MOASHA:
            return MultiObjectiveAsha(spec)
        case StoppingKind.NONE:
            return NoStopping()
