"""The setting that the winner has to stay ahead of, after as many epochs as are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenopt.confirmation.metrics import Metrics
from greenopt.confirmation.pick import LESS_IS_BETTER
from greenopt.events import EpochEnded
from greenopt.search import StudySnapshot
from greenopt.spec import Metric
from greenopt.storage.trial_state import TrialState

Epochs = Callable[[int], Sequence[EpochEnded]]
"""Gives the finished epochs of a trial by its number."""


@dataclass(frozen=True)
class Rival:
    """The best trial of another setting after a number of epochs.

    Attributes:
        row: None where no other setting has the figure.
        metrics: what it had come to.
        others: how many other settings have the figure; the best of many is partly the luckiest.
        unknown: how many completed trials of other settings lack it, and might have been better.
    """

    row: Mapping[str, Any] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    others: int = 0
    unknown: int = 0


def figures_after(row: Mapping[str, Any], epochs_of: Epochs, epochs: int, *, at_the_end: bool) -> Metrics:
    """Return what a trial had come to after so many epochs.

    Args:
        row: the trial.
        epochs_of: the epochs of its study's trials.
        epochs: how many.
        at_the_end: take the recorded result of a trial that is as long, its quantization included.
    """
    if at_the_end and (row.get("epochs_done") or epochs) == epochs:
        return Metrics.at_the_end(row)
    return Metrics.after(epochs_of(row["trial"]), epochs)


def find_rival(
    study: StudySnapshot, winner: Mapping[str, Any], by: Metric, epochs_of: Epochs, epochs: int, *, at_the_end: bool
) -> Rival:
    """Return the best completed trial of another setting after so many epochs.

    Args:
        study: the study.
        winner: the trial that is confirmed.
        by: the figure in which it is the study's best.
        epochs_of: the epochs of the study's trials.
        epochs: after how many epochs trials are compared.
        at_the_end: as in `figures_after`.
    """
    names = tuple(study.spec.space.distributions)
    rows = [row for row in study.rows if row["state"] == TrialState.COMPLETE and _differ(row, winner, names)]
    known = [(row, figures_after(row, epochs_of, epochs, at_the_end=at_the_end)) for row in rows]
    having = [(row, metrics) for row, metrics in known if getattr(metrics, by) is not None]
    # A trial without the figure at its end is not known to be better after fewer epochs either.
    lacking = [row for row, metrics in known if getattr(metrics, by) is None and row.get(by) is not None]
    if not having:
        return Rival(unknown=len(lacking))
    sign = 1 if by in LESS_IS_BETTER else -1
    best, metrics = min(having, key=lambda pair: (sign * getattr(pair[1], by), pair[0]["trial"]))
    least = sign * getattr(metrics, by)
    # What a trial of just this length came to is on record, if not in its epochs.
    unknown = [row for row in lacking if row.get("epochs_done") != epochs or sign * row[by] < least]
    return Rival(best, metrics, len({tuple(row[name] for name in names) for row, _ in having}), len(unknown))


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(one[name] != other[name] for name in names)
