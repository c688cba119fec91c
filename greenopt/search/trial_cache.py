"""Optuna's cache of a storage's trials, without the work that it does anew for thousands of finished ones.

Invariant: what is returned equals what Optuna's cache returns; tests compare the two.
"""

from collections.abc import Container
from copy import deepcopy as copied

from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState

_FINISHED = tuple(state for state in TrialState if state.is_finished())


class TrialCache(_CachedStorage):
    """Keeps finished trials, and looks through them only where finished ones are asked for."""

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return a study's trials in the order of their numbers, those in `states` where it is given."""
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            cached = self._studies[study_id]
            if states is None or any(state in states for state in _FINISHED):
                numbers = sorted(cached.trials)
            else:
                known = self._trial_id_to_study_id_and_number
                numbers = sorted(known[trial_id][1] for trial_id in cached.unfinished_trial_ids)
            trials = [cached.trials[number] for number in numbers]
            if states is not None:
                trials = [trial for trial in trials if trial.state in states]
            return copied(trials) if deepcopy else trials
