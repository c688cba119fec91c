"""The trials of a study as flat rows, for readers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError, one_line
from greenopt.search.exhaustive import setting_of
from greenopt.search.outage import is_away
from greenopt.spec import on_step, stored_study
from greenopt.storage.marks import MARKS_ATTRIBUTE, TrialMarks
from greenopt.storage.rows import COLUMNS, SPEC_ATTRIBUTE, sound
from greenopt.storage.snapshot import StudySnapshot, collector_paused

_UNDECODED = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)


def read_study(name: str, storage: optuna.storages.BaseStorage) -> StudySnapshot:
    """Read a study.

    Raises:
        UsageError: the storage has no such study, or it is not one of greenopt's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with decoding(name):
        if name not in {study.study_name for study in storage.get_all_studies()}:
            raise UsageError(f"study {name}: not in this storage")
        study = optuna.load_study(study_name=name, storage=storage)
        kept = study.user_attrs.get(SPEC_ATTRIBUTE)
        if kept is None:
            raise UsageError(f"study {name}: was not made by greenopt")
        spec = stored_study(kept, name)
        columns = (*COLUMNS, *spec.space.distributions)
        with collector_paused():
            marks = TrialMarks.from_kept(study.user_attrs.get(MARKS_ATTRIBUTE))
            rows = tuple(_row(trial, columns, marks) for trial in study.get_trials(deepcopy=False))
            return StudySnapshot(spec, rows)


@contextmanager
def decoding(study: str) -> Iterator[None]:
    """Read a study by Optuna, which raises errors of any kind for rows that it cannot decode.

    Raises:
        UsageError: the storage holds what no Optuna has written, or cannot be read.
        Exception: the storage is away, as Optuna or SQLAlchemy says it.
    """
    try:
        yield
    except (*_UNDECODED, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        if is_away(error):
            raise
        what = f"{type(error).__name__}: {one_line(str(error), 80)}"
        raise UsageError(f"study {study}: its storage is damaged or cannot be read: {what}") from None


def drawn_values(
    params: Mapping[str, Any], distributions: Mapping[str, optuna.distributions.BaseDistribution]
) -> dict[str, Any]:
    """Return a trial's values by parameter, those of a range with a step in the digits of the study file.

    Optuna draws low + k x step in binary, and keeps 0.30000000000000004 for 0.3.
    """
    return {name: _drawn(value, distributions.get(name)) for name, value in params.items()}


def _drawn(value: Any, distribution: optuna.distributions.BaseDistribution | None) -> Any:
    if isinstance(distribution, optuna.distributions.FloatDistribution) and distribution.step is not None:
        return on_step(value, distribution.low, distribution.step)
    return value


def read_rows(name: str, storage: optuna.storages.BaseStorage) -> tuple[dict[str, Any], ...]:
    """Return a row a trial of a study, whoever made it; `COLUMNS` first."""
    with decoding(name), collector_paused():
        study_id = storage.get_study_id_from_name(name)
        marks = _marks(storage, study_id)
        return tuple(_row(trial, COLUMNS, marks) for trial in storage.get_all_trials(study_id, deepcopy=False))


def read_attributes(name: str, storage: optuna.storages.BaseStorage) -> dict[str, Any]:
    """Return the attributes of a study."""
    with decoding(name):
        return dict(storage.get_study_user_attrs(storage.get_study_id_from_name(name)))


def read_trial(name: str, storage: optuna.storages.BaseStorage, trial: int) -> dict[str, Any]:
    """Read one trial's row, its setting and metrics, without reading the others."""
    study_id = storage.get_study_id_from_name(name)
    frozen = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, trial))
    return _row(frozen, COLUMNS, _marks(storage, study_id))


def _marks(storage: optuna.storages.BaseStorage, study_id: int) -> TrialMarks:
    return TrialMarks.from_kept(storage.get_study_user_attrs(study_id).get(MARKS_ATTRIBUTE))


def _row(trial: FrozenTrial, columns: Iterable[str], marks: TrialMarks) -> dict[str, Any]:
    own = {"trial": trial.number, "state": trial.state.name.lower()}
    times = {"began": trial.datetime_start, "ended": trial.datetime_complete}
    if trial.state is TrialState.WAITING:
        setting: Mapping[str, Any] = setting_of(trial)
    else:
        setting = drawn_values(trial.params, trial.distributions)
    row = {**dict.fromkeys(columns), **own, **setting, **times, **sound(trial.user_attrs)}
    if trial.state is TrialState.RUNNING:
        row["ended"] = None
    marks.add_to(row)
    return row
