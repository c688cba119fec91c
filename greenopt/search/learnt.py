"""The trials that TPE learns from: all of them, or of thousands a share that represents them.

TPE weighs every trial anew for each proposal; of 10,000 trials that takes a quarter of a second, and what it proposes
rests on the best tenth and the density of the others, which a share of them tells as well. Invariant: which trials are
learnt from depends on the trials that have ended and on nothing else, so that an interrupted study proposes the same.
"""

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.study._multi_objective import _is_pareto_front
from optuna.trial import FrozenTrial, TrialState

LEARNT_TRIALS = 2000
"""How many trials TPE learns from at most, beside the Pareto front; of more, at least half as many are kept."""

_GOLDEN = 2654435769
"""2**32 divided by the golden ratio: its multiples spread evenly whatever pattern the numbers have."""


class LearntTrials:
    """Follows a study's trials, and keeps those that TPE learns from. Each trial that has ended is looked at once."""

    def __init__(self, states: Container[TrialState], limit: int | None) -> None:
        """Start with no trials.

        Args:
            states: of the trials that teach the sampler.
            limit: how many are kept at most, beside the Pareto front; None where it learns from all of them.
        """
        self._states, self._limit = states, limit
        self._seen: set[int] = set()
        self._share: dict[int, FrozenTrial] = {}
        self._front: dict[int, FrozenTrial] = {}
        self._step = 1
        self.common: set[str] | None = None
        """The parameters that all these trials have; None before the first."""

    def update(self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> None:
        """Take in the trials that have ended since the last call.

        Args:
            trials: all of the study's.
            directions: of its objectives.
        """
        new = [trial for trial in trials if trial.number not in self._seen and trial.state in self._states]
        for trial in new:
            self._seen.add(trial.number)
            self.common = set(trial.params) if self.common is None else self.common & trial.params.keys()
        if self._limit is None:
            return
        self._share |= {trial.number: trial for trial in new if self._is_kept(trial.number)}
        while len(self._share) > self._limit:
            self._step *= 2
            self._share = {number: trial for number, trial in self._share.items() if self._is_kept(number)}
        self._extend_front([trial for trial in new if trial.state is TrialState.COMPLETE], directions)

    @property
    def is_share(self) -> bool:
        """Return whether there are more trials than those that are kept."""
        return self._step > 1

    @property
    def trials(self) -> list[FrozenTrial]:
        """Return the trials to learn from, by number."""
        kept = self._share | self._front
        return [kept[number] for number in sorted(kept)]

    def _is_kept(self, number: int) -> bool:
        return (number * _GOLDEN & 0xFFFFFFFF) * self._step < 1 << 32

    def _extend_front(self, new: list[FrozenTrial], directions: Sequence[StudyDirection]) -> None:
        if not new:
            return
        candidates = [*self._front.values(), *new]
        signs = [-1.0 if direction is StudyDirection.MAXIMIZE else 1.0 for direction in directions]
        losses = np.array([trial.values for trial in candidates]) * signs
        on_front = _is_pareto_front(losses, assume_unique_lexsorted=False)
        self._front = {trial.number: trial for trial, is_on in zip(candidates, on_front, strict=True) if is_on}


class FewerTrials:
    """A study as a sampler sees it, with these finished trials in place of all."""

    def __init__(self, study: optuna.Study, ended: list[FrozenTrial]) -> None:
        """Show a study.

        Args:
            study: the study.
            ended: the trials that stand for those that have ended.
        """
        self._study, self._ended = study, ended

    def __getattr__(self, name: str) -> Any:
        """Return what the study has."""
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """Return the trials in these states, by number; a sampler calls this."""
        ended = [trial for trial in self._ended if states is None or trial.state in states]
        if states is None or TrialState.RUNNING not in states:
            return ended
        running = self._study._get_trials(deepcopy=False, states=(TrialState.RUNNING,), use_cache=use_cache)
        return sorted([*ended, *running], key=lambda trial: trial.number)
