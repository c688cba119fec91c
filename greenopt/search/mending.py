"""Changes to a study that has stopped: settings asked for again, trials left out, the study removed.

The caller holds the study's folder and has seen that nobody runs it. Invariant: each change can be repeated after it
was broken off, and then does what is left of it.
"""

from collections.abc import Iterable, Mapping

import optuna

from greenopt.search.exhaustive import setting_of
from greenopt.storage.marks import MARKS_ATTRIBUTE, TrialMarks


def read_marks(name: str, storage: optuna.storages.BaseStorage) -> TrialMarks:
    """Return what was said of a study's trials."""
    study_id = storage.get_study_id_from_name(name)
    return TrialMarks.from_kept(storage.get_study_user_attrs(study_id).get(MARKS_ATTRIBUTE))


def keep_marks(name: str, storage: optuna.storages.BaseStorage, marks: TrialMarks) -> None:
    """Keep what is said of a study's trials, in place of what was."""
    storage.set_study_user_attr(storage.get_study_id_from_name(name), MARKS_ATTRIBUTE, marks.kept)


def retries_of(rows: Iterable[Mapping[str, object]]) -> dict[int, int]:
    """Return which trial repeats which: repeated trial -> the latest that repeats it."""
    return {int(str(row["retry_of"])): int(str(row["trial"])) for row in rows if row.get("retry_of") is not None}


def enqueue_again(name: str, storage: optuna.storages.BaseStorage, trials: Iterable[int]) -> None:
    """Enqueue the settings of trials once more, each with `retry_of`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=name, storage=storage)
    known = study.get_trials(deepcopy=False)
    for number in trials:
        study.enqueue_trial(setting_of(known[number]), user_attrs={"retry_of": number})


def names_in(storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the names of a storage's studies."""
    return [study.study_name for study in storage.get_all_studies()]


def delete_stored(name: str, storage: optuna.storages.BaseStorage) -> None:
    """Remove a study from its storage."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.delete_study(study_name=name, storage=storage)
