"""Checks that samplers can learn from a stored study, before anything is written to it.

Readers of rows need neither directions nor the values that Optuna keeps of a trial; asking does, and would end a study
over a damaged one long after it was started.
"""

import math
from collections.abc import Iterable

import optuna
from optuna.distributions import CategoricalDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError
from greenopt.search.arguments import shown
from greenopt.search.rows import decoding
from greenopt.search.search import as_optuna
from greenopt.spec import StudySpec


def check_whole(spec: StudySpec, name: str, storage: optuna.storages.BaseStorage) -> None:
    """Check that samplers can learn from the trials of a study, which readers of rows do not need.

    Args:
        spec: the study as it was begun.
        name: its name in the storage.
        storage: where it is.

    Raises:
        UsageError: directions, values or distributions are damaged.
    """
    with decoding(name):
        study_id = storage.get_study_id_from_name(name)
        directions = [direction.name for direction in storage.get_study_directions(study_id)]
        storage.get_study_system_attrs(study_id)
        trials = storage.get_all_trials(study_id, deepcopy=False)
    damaged = f"study {name}: its storage is damaged:"
    if sorted(directions) != sorted(direction.name for direction in spec.objectives.values()):
        raise UsageError(f"{damaged} it has {len(directions)} directions, not those of {', '.join(spec.objectives)}")
    for trial in trials:
        if trial.state is TrialState.COMPLETE and sum(map(_is_number, trial.values or ())) != len(directions):
            raise UsageError(f"{damaged} trial {trial.number} is complete and lacks values of its objectives")
    wrong = _wrong_distribution(spec, trials)
    if wrong is not None:
        raise UsageError(f"{damaged} trial {wrong[0]} has parameter {shown(wrong[1])} of other values than the study's")


def _is_number(value: object) -> bool:
    """Return whether a value is a number, which SQLite does not make sure of."""
    return isinstance(value, int | float) and not math.isnan(value)


def _wrong_distribution(spec: StudySpec, trials: Iterable[FrozenTrial]) -> tuple[int, str] | None:
    """Return a trial and its parameter whose distribution is of another kind than the study's, or has other choices."""
    seen: set[tuple[str, int]] = set()  # one object for all trials that have the same
    for trial in trials:
        for name, distribution in trial.distributions.items():
            is_choice = isinstance(distribution, CategoricalDistribution)
            if not is_choice and not _is_number(trial.params[name]):
                return trial.number, name
            if (name, id(distribution)) in seen or name not in spec.space.distributions:
                continue
            try:
                check_distribution_compatibility(as_optuna(spec.space.distributions[name]), distribution)
            except ValueError:
                return trial.number, name
            seen.add((name, id(distribution)))
    return None
