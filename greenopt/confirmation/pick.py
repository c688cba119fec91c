"""Picks the trial of a study to confirm, and its runner-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenopt.errors import UsageError
from greenopt.search import StudySnapshot
from greenopt.spec import Metric
from greenopt.storage.trial_state import TrialState

BY: Mapping[str, Metric] = {
    "efficiency": Metric.EFFICIENCY,
    "accuracy": Metric.ACCURACY,
    "energy": Metric.ENERGY_WH,
}
"""What a trial can be chosen by: its word on the command line, and the figure that it means."""

MAX_DIGITS = 10
"""Digits of the largest number of a trial."""

LESS_IS_BETTER = (Metric.ENERGY_WH, Metric.TOTAL_WH, Metric.WH_PER_EPOCH)


@dataclass(frozen=True)
class Picked:
    """A trial of a study, as a flat row.

    Attributes:
        asked: what was asked for: a key of `BY`, or a number.
        by: the figure in which it is the best of its study; None where it was named by its number.
        runner_up: the best trial in that figure among those of other settings; None where there is none.
    """

    row: Mapping[str, Any]
    asked: str
    by: Metric | None
    runner_up: Mapping[str, Any] | None = None

    @property
    def trial(self) -> int:
        """Return the trial's number."""
        return int(self.row["trial"])


def pick_trial(snapshot: StudySnapshot, pick: str) -> Picked:
    """Choose a completed trial.

    Args:
        snapshot: the study.
        pick: `efficiency`, `accuracy`, `energy` (the least), or a trial's number.

    Raises:
        UsageError: there is no such trial, or it did not complete.
    """
    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    if pick not in BY:
        return Picked(_numbered(snapshot, pick), pick, None)
    metric = BY[pick]
    ranked = sorted(
        (row for row in complete if row.get(metric) is not None),
        key=lambda row: (row[metric] if metric in LESS_IS_BETTER else -row[metric], row["trial"]),
    )
    if not ranked:
        raise UsageError(f"study {snapshot.spec.name}: no completed trial has a measured {metric}; nothing to confirm")
    names = tuple(snapshot.spec.space.distributions)
    best = ranked[0]
    others = (row for row in ranked if any(row[name] != best[name] for name in names))
    return Picked(best, pick, metric, next(others, None))


def _numbered(snapshot: StudySnapshot, pick: str) -> Mapping[str, Any]:
    if not (pick.isascii() and pick.isdecimal() and len(pick) <= MAX_DIGITS):
        raise UsageError(f"--pick {pick}: is neither {', '.join(BY)} nor a trial's number")
    row = next((row for row in snapshot.rows if row["trial"] == int(pick)), None)
    if row is None:
        raise UsageError(f"--pick {pick}: study {snapshot.spec.name} has no such trial")
    if row["state"] != TrialState.COMPLETE:
        why = row.get("fail_reason") or row.get("stop_reason") or row["state"]
        raise UsageError(f"--pick {pick}: that trial did not complete ({why}); there is no result to confirm")
    return row
