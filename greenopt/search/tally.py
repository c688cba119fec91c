"""Counts over a study's trials, kept up with it: each trial that has ended is looked at once.

Invariant: the counts equal those over all trials, whatever their number; an ended trial never changes.
"""

from collections.abc import Collection, Sequence
from typing import Any, Self

from optuna.trial import FrozenTrial

from greenopt.storage.trial_state import TrialState, is_settled, is_to_retry


class TrialTally:
    """What a study's trials come to."""

    def __init__(self) -> None:
        """Start with no trials."""
        self._seen = 0
        self._unended: list[int] = []
        self._settled: set[int] = set()
        self.unended: list[FrozenTrial] = []
        """The trials that run or wait, by number."""

        self.interrupted: list[FrozenTrial] = []
        """Those whose setting is to run again, in the order of their ends."""

        self.retried: set[int] = set()
        """The numbers of trials whose setting was enqueued again."""

        self.used_wh = 0.0
        """The energy of those that have ended, set-up included, in Wh; unknown energies count as nothing."""

    def update(self, trials: Sequence[FrozenTrial]) -> Self:
        """Take in what has changed since the last call.

        Args:
            trials: all of the study's, by number.
        """
        for trial in trials[self._seen :]:
            if (retry_of := trial.user_attrs.get("retry_of")) is not None:
                self.retried.add(retry_of)
        looked_at = [*self._unended, *range(self._seen, len(trials))]
        self._seen, self._unended = len(trials), []
        for number in looked_at:
            if trials[number].state.is_finished():
                self._count(trials[number])
            else:
                self._unended.append(number)
        self.unended = [trials[number] for number in self._unended]
        return self

    @property
    def settled(self) -> int:
        """How many trials count towards the study's size."""
        return len(self._settled)

    def settled_of(self, numbers: Collection[int]) -> list[int]:
        """Return those of some trials that count towards the study's size."""
        return [number for number in numbers if number in self._settled]

    def _count(self, trial: FrozenTrial) -> None:
        state = TrialState[trial.state.name]
        if is_settled(state, trial.user_attrs):
            self._settled.add(trial.number)
        if is_to_retry(state, trial.user_attrs):
            self.interrupted.append(trial)
        self.used_wh += _drawn_wh(trial.user_attrs)


def _drawn_wh(figures: dict[str, Any]) -> float:
    """Return the energy of a trial in Wh; of its set-up and its training where the whole was not measured."""
    total_wh = figures.get("total_wh")
    parts_wh = (figures.get("setup_wh"), figures.get("energy_wh")) if total_wh is None else (total_wh,)
    return sum(float(part_wh) for part_wh in parts_wh if part_wh is not None)
