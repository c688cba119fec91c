"""Trials that ran elsewhere, put into a study's storage as they ended there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.search.search import Search, as_optuna, stored_state
from greenopt.spec import StudySpec, Value


@dataclass(frozen=True)
class FinishedTrial:
    """A trial as it ended.

    Attributes:
        params: its setting; a value outside the study's space is kept as an attribute, because Optuna's
            distributions must be the same in all trials.
        metrics: flat figures; those that are None are left out.
        values: the objectives', for a completed one.
        began, ended: None where not known.
    """

    params: Mapping[str, Value]
    outcome: Outcome
    metrics: Mapping[str, Any]
    values: tuple[float, ...] | None = None
    began: datetime | None = None
    ended: datetime | None = None


def create_finished(
    spec: StudySpec,
    storage: optuna.storages.BaseStorage,
    trials: Iterable[FinishedTrial],
    study_id: str | None = None,
) -> None:
    """Make a study of trials that have ended; they get the numbers 0, 1, 2...

    If it fails midway, nothing of the study is left in the storage.

    Args:
        spec: the study.
        storage: where it is made.
        trials: in the order of their numbers.
        study_id: the study's identity; a new one unless given.

    Raises:
        UsageError: the storage has a study of this name.
    """
    if spec.name in optuna.get_all_study_names(storage):
        raise UsageError(f"study {spec.name}: is in this storage already; give another name with --name")
    search = Search(spec, storage, study_id=study_id)
    try:
        number = storage.get_study_id_from_name(spec.name)
        for trial in trials:
            # Not Study.add_trial, which refuses a trial of which nobody knows when it ran.
            storage.create_new_trial(number, template_trial=_frozen(trial, spec))
    except BaseException:
        optuna.delete_study(study_name=spec.name, storage=storage)
        raise
    search.lease.release()


def _frozen(trial: FinishedTrial, spec: StudySpec) -> FrozenTrial:
    # What a condition leaves out had no effect where it came from, and is not part of this study's settings.
    setting = spec.space.trimmed(trial.params)
    distributions = {
        name: as_optuna(distribution)
        for name, distribution in spec.space.distributions.items()
        if name in setting and distribution.holds(setting[name])
    }
    outside = {name: value for name, value in setting.items() if name not in distributions}
    state = stored_state(trial.outcome)
    frozen = optuna.trial.create_trial(
        state=state,
        values=list(trial.values or ()) if state is TrialState.COMPLETE else None,
        params={name: trial.params[name] for name in distributions},
        distributions=distributions,
        user_attrs={name: value for name, value in {**trial.metrics, **outside}.items() if value is not None},
    )
    frozen.datetime_start = trial.began
    frozen.datetime_complete = trial.ended
    return frozen
