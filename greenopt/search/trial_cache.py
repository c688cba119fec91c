"""Optuna's cache of a storage's trials, without the work that it does anew for thousands of finished and running ones.

Invariants: what is returned equals what Optuna's cache returns; tests compare the two. Of a study whose lease this
process holds, nobody else writes the trials: its own writes are seen at once, those of others (a trial enqueued from
elsewhere) after `REFRESH_S` at most, and after a write that failed everything is read again.
"""

import copy
import json
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy as copied
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState

from greenopt.search.writes import TrialChange, TrialWriter

REFRESH_S = 10.0
"""How often the trials of a study that this process runs are read again."""

_FINISHED = tuple(state for state in TrialState if state.is_finished())
_Changes = dict[int, TrialChange]


class TrialCache(_CachedStorage):
    """Keeps finished trials, and those of studies that this process runs; writes what belongs together at once."""

    def __init__(self, backend: TrialWriter, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap a storage; nothing is read yet."""
        super().__init__(backend)
        self._writer, self._clock = backend, clock
        self._ordered: dict[int, list[FrozenTrial]] = {}
        self._read_at_s: dict[int, float] = {}
        """When the trials of each study that this process runs were read; minus infinity where they must be."""
        self._open: dict[int, _Changes] = {}
        """Changes that are gathered, by the thread that makes them."""

    def own(self, study_id: int) -> None:
        """Rely on being the only one that writes a study's trials."""
        self._read_at_s[study_id] = -float("inf")

    def disown(self, study_id: int) -> None:
        """Read a study's trials each time again."""
        self._read_at_s.pop(study_id, None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what the block changes of trials at its end, each trial's in one transaction; nothing where it fails.

        Within the block the changes are seen, except for a trial's end. Blocks may stand within one another.
        """
        thread = threading.get_ident()
        if thread in self._open:
            yield
            return
        changes = self._open[thread] = {}
        try:
            yield
            for trial_id, change in changes.items():
                self._write(trial_id, change)
        except BaseException:
            for trial_id in changes:
                self._distrust(trial_id)
            raise
        finally:
            del self._open[thread]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return a study's trials in the order of their numbers, those in `states` where it is given."""
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            study = self._studies[study_id]
            if states is None or any(state in states for state in _FINISHED):
                trials = self._by_number(study_id)
            else:
                known = self._trial_id_to_study_id_and_number
                numbers = sorted(known[trial_id][1] for trial_id in study.unfinished_trial_ids)
                trials = [study.trials[number] for number in numbers]
            if states is not None:
                trials = [trial for trial in trials if trial.state in states]
            return copied(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; one that is running is the caller's own copy."""
        if (study_id := self._owned(trial_id)) is None:
            return super().get_trial(trial_id)
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            trial = self._kept(trial_id)
            return trial if trial.state.is_finished() else _copy(trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial; see Optuna."""
        try:
            trial_id = super().create_new_trial(study_id, template_trial)
        except BaseException:
            self._forget(study_id)
            raise
        if study_id in self._read_at_s:
            with self._lock:
                trial = self._kept(trial_id)
                if trial.number + 1 != len(self._ordered[study_id]):
                    # Optuna repeats a creation whose answer was lost; the first one is there too.
                    self._forget(study_id)
                trial._user_attrs, trial._system_attrs = _stored(trial.user_attrs), _stored(trial.system_attrs)
                if not trial.state.is_finished():
                    self._studies[study_id].unfinished_trial_ids.add(trial_id)
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Store a parameter's value; see Optuna."""
        if (study_id := self._owned(trial_id)) is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        with self.together():
            previous = self._distribution(study_id, param_name)
            if previous is not None:
                check_distribution_compatibility(previous, distribution)
            trial, change = self._changed(trial_id)
            if param_name not in trial.params:
                self._studies[study_id].param_distribution.setdefault(param_name, distribution)
                change.params[param_name] = (param_value_internal, distribution)
                trial._params[param_name] = distribution.to_external_repr(param_value_internal)
                trial._distributions[param_name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a user attribute; see Optuna."""
        if self._owned(trial_id) is None:
            super().set_trial_user_attr(trial_id, key, value)
            return
        with self.together():
            trial, change = self._changed(trial_id)
            change.user[key] = trial._user_attrs[key] = _stored(value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a system attribute; see Optuna."""
        if self._owned(trial_id) is None:
            super().set_trial_system_attr(trial_id, key, value)
            return
        with self.together():
            trial, change = self._changed(trial_id)
            change.system[key] = trial._system_attrs[key] = _stored(value)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Store how a trial ended, or that it was begun; see Optuna."""
        if self._owned(trial_id) is None:
            return super().set_trial_state_values(trial_id, state, values)
        if not state.is_finished():
            try:
                return super().set_trial_state_values(trial_id, state, values)
            finally:
                self._distrust(trial_id)
        with self.together():
            _, change = self._changed(trial_id)
            change.state, change.values = state, None if values is None else [float(value) for value in values]
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Store an intermediate value; see Optuna."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._distrust(trial_id)

    def delete_study(self, study_id: int) -> None:
        """Delete a study; see Optuna."""
        self._ordered.pop(study_id, None)
        self._read_at_s.pop(study_id, None)
        super().delete_study(study_id)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        read_at_s = self._read_at_s.get(study_id)
        if read_at_s is not None and (self._open.get(threading.get_ident()) or self._clock() - read_at_s < REFRESH_S):
            return
        super()._read_trials_from_remote_storage(study_id)
        if read_at_s is not None:
            self._read_at_s[study_id] = self._clock()

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        super()._add_trials_to_cache(study_id, trials)
        ordered = self._ordered.setdefault(study_id, [])
        for trial in trials:
            if trial.number < len(ordered):
                ordered[trial.number] = trial
        kept = self._studies[study_id].trials
        while len(ordered) in kept:
            ordered.append(kept[len(ordered)])

    def _by_number(self, study_id: int) -> list[FrozenTrial]:
        """Return the trials that are known, in order; a number may be lacking until they are read again."""
        ordered, kept = self._ordered.get(study_id, []), self._studies[study_id].trials
        return list(ordered) if len(ordered) == len(kept) else [kept[number] for number in sorted(kept)]

    def _write(self, trial_id: int, change: TrialChange) -> None:
        now = datetime.now()
        self._writer.write_change(trial_id, change, now)
        if change.state is None:
            return
        with self._lock:
            trial = self._kept(trial_id)
            trial.state, trial.datetime_complete = change.state, now
            if change.values is not None:
                trial._values = change.values
            study_id, _ = self._trial_id_to_study_id_and_number[trial_id]
            self._studies[study_id].unfinished_trial_ids.discard(trial_id)

    def _changed(self, trial_id: int) -> tuple[FrozenTrial, TrialChange]:
        """Return a trial as it is in the open block, to be changed, and its change."""
        changes = self._open[threading.get_ident()]
        with self._lock:
            if trial_id not in changes:
                changes[trial_id] = TrialChange()
                study_id, _ = self._trial_id_to_study_id_and_number[trial_id]
                # Samplers may hold the object that was there.
                self._add_trials_to_cache(study_id, [_copy(self._kept(trial_id))])
            return self._kept(trial_id), changes[trial_id]

    def _kept(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        return self._studies[study_id].trials[number]

    def _owned(self, trial_id: int) -> int | None:
        """Return the study of a running trial that this process alone writes; None of any other trial."""
        study_id, number = self._trial_id_to_study_id_and_number.get(trial_id, (None, None))
        if study_id is None or number is None or study_id not in self._read_at_s:
            return None
        return None if self._studies[study_id].trials[number].state.is_finished() else study_id

    def _distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """Return the distribution of a parameter in the study's trials so far."""
        found = self._studies[study_id].param_distribution.get(name)
        if found is not None:
            return found
        return next((t.distributions[name] for t in self._by_number(study_id) if name in t.distributions), None)

    def _distrust(self, trial_id: int) -> None:
        if trial_id in self._trial_id_to_study_id_and_number:
            self._forget(self._trial_id_to_study_id_and_number[trial_id][0])

    def _forget(self, study_id: int) -> None:
        """Read a study's trials again before they are used: nobody knows whether a write came about."""
        if study_id in self._read_at_s:
            self._read_at_s[study_id] = -float("inf")


def writing_together(storage: BaseStorage) -> AbstractContextManager[None]:
    """Return a block whose changes of trials are written at its end, each trial's at once, where a storage can."""
    return storage.together() if isinstance(storage, TrialCache) else nullcontext()


def _copy(trial: FrozenTrial) -> FrozenTrial:
    """Copy a trial, so that the copy's setting and attributes can be changed."""
    made = copy.copy(trial)
    made._params, made._distributions = dict(trial.params), dict(trial.distributions)
    made._user_attrs, made._system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    return made


def _stored(value: Any) -> Any:
    """Return a value as a storage returns it."""
    return json.loads(json.dumps(value))
