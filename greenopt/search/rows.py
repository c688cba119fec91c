"""The trials of a study as flat rows, for readers."""

from collections.abc import Iterable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError
from greenopt.search.exhaustive import setting_of
from greenopt.spec import StudySpec
from greenopt.storage.rows import COLUMNS, SPEC_ATTRIBUTE
from greenopt.storage.snapshot import StudySnapshot, collector_paused


def read_study(name: str, storage: optuna.storages.BaseStorage) -> StudySnapshot:
    """Read a study.

    Raises:
        UsageError: the storage has no such study, or it is not one of greenopt's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        raise UsageError(f"study {name}: not in this storage") from None
    kept = study.user_attrs.get(SPEC_ATTRIBUTE)
    if kept is None:
        raise UsageError(f"study {name}: was not made by greenopt")
    spec = StudySpec.model_validate(kept)
    columns = (*COLUMNS, *spec.space.distributions)
    with collector_paused():
        return StudySnapshot(spec, tuple(_row(trial, columns) for trial in study.get_trials(deepcopy=False)))


def read_rows(name: str, storage: optuna.storages.BaseStorage) -> tuple[dict[str, Any], ...]:
    """Return a row a trial of a study, whoever made it; `COLUMNS` first."""
    study_id = storage.get_study_id_from_name(name)
    with collector_paused():
        return tuple(_row(trial, COLUMNS) for trial in storage.get_all_trials(study_id, deepcopy=False))


def read_attributes(name: str, storage: optuna.storages.BaseStorage) -> dict[str, Any]:
    """Return the attributes of a study."""
    return dict(storage.get_study_user_attrs(storage.get_study_id_from_name(name)))


def read_trial(name: str, storage: optuna.storages.BaseStorage, trial: int) -> dict[str, Any]:
    """Read one trial's row, its setting and metrics, without reading the others."""
    study_id = storage.get_study_id_from_name(name)
    frozen = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, trial))
    return _row(frozen, COLUMNS)


def _row(trial: FrozenTrial, columns: Iterable[str]) -> dict[str, Any]:
    own = {"trial": trial.number, "state": trial.state.name.lower()}
    times = {"began": trial.datetime_start, "ended": trial.datetime_complete}
    setting = setting_of(trial) if trial.state is TrialState.WAITING else trial.params
    row = {**dict.fromkeys(columns), **own, **setting, **times, **trial.user_attrs}
    if trial.state is TrialState.RUNNING:
        row["ended"] = None
    return row
