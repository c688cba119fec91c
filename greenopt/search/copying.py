"""Copies a study's trials into another study, whose space holds their settings.

Invariant: trials keep their numbers, values, figures, attempts and times; only their parameters are those of the new
space. The study that is copied is read and not changed.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.search.exhaustive import setting_of
from greenopt.search.search import ENQUEUED_ATTRIBUTE, Search, as_optuna
from greenopt.spec import StudySpec, Value

FROM_STUDY, FROM_TRIAL = "from_study", "from_trial"
"""Attributes of a trial that was taken over: the study and the trial that measured it."""

Converter = Callable[[Mapping[str, Any], str, int], dict[str, Value]]
"""Returns a trial's setting in the new space: from its values, the names of the inert ones, and its number."""


def copy_study(
    spec: StudySpec,
    storage: optuna.storages.BaseStorage,
    study_id: str,
    origin: tuple[str, optuna.storages.BaseStorage],
    convert: Converter,
    attributes: Mapping[str, Any],
) -> None:
    """Make a study of another one's trials. If it fails midway, nothing of the study is left in the storage.

    Args:
        spec: the new study, which names the one that it `extends`.
        storage: where it is made.
        study_id: its identity.
        origin: name and storage of the study whose trials are copied.
        convert: returns their settings in the new space.
        attributes: attributes of the study that it gets.

    Raises:
        UsageError: a setting has no place in the new space.
    """
    name, source = origin
    extends = spec.study.extends
    assert extends is not None
    search = Search(spec, storage, study_id=study_id)
    try:
        number = storage.get_study_id_from_name(spec.name)
        for trial in source.get_all_trials(source.get_study_id_from_name(name), deepcopy=False):
            storage.create_new_trial(number, template_trial=_copied(trial, spec, extends.study, convert))
        for key, value in attributes.items():
            search.note(key, value)
    except BaseException:
        optuna.delete_study(study_name=spec.name, storage=storage)
        raise
    search.lease.release()


def _copied(trial: FrozenTrial, spec: StudySpec, study: str, convert: Converter) -> FrozenTrial:
    setting = convert(setting_of(trial), str(trial.user_attrs.get("inert") or ""), trial.number)
    params = {name: value for name, value in setting.items() if spec.space.distributions[name].holds(value)}
    is_waiting = trial.state is TrialState.WAITING
    own = trial.user_attrs.get(FROM_STUDY, study), trial.user_attrs.get(FROM_TRIAL, trial.number)
    marks = {} if is_waiting else {FROM_STUDY: own[0], FROM_TRIAL: own[1]}
    if ENQUEUED_ATTRIBUTE in trial.user_attrs:
        # What `study.enqueue` lists was asked for already, in the words of the new space.
        marks[ENQUEUED_ATTRIBUTE] = json.dumps(setting, sort_keys=True)
    copied = optuna.trial.create_trial(
        state=trial.state,
        values=list(trial.values) if trial.state is TrialState.COMPLETE else None,
        params={} if is_waiting else params,
        distributions={} if is_waiting else {name: as_optuna(spec.space.distributions[name]) for name in params},
        user_attrs={**trial.user_attrs, **marks},
        system_attrs={"fixed_params": params} if is_waiting or "fixed_params" in trial.system_attrs else {},
    )
    copied.datetime_start, copied.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copied
