"""The trials of a study as flat rows, for whoever only reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError
from greenopt.spec import StudySpec
from greenopt.study_rows import COLUMNS, SPEC_ATTRIBUTE


@dataclass(frozen=True)
class StudySnapshot:
    """A study as its storage had it at one moment.

    Attributes:
        rows: a trial each: `COLUMNS`, the parameters, then every further figure; None where there is none.
    """

    spec: StudySpec
    rows: tuple[dict[str, Any], ...]

    def count(self, *states: str) -> int:
        """How many trials are in one of these states (`complete`, `pruned`, `fail`, `running`, `waiting`)."""
        return sum(1 for row in self.rows if row["state"] in states)


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
    return StudySnapshot(spec, tuple(_row(trial, columns) for trial in study.get_trials(deepcopy=False)))


def _row(trial: FrozenTrial, columns: Iterable[str]) -> dict[str, Any]:
    own = {"trial": trial.number, "state": trial.state.name.lower()}
    times = {"began": trial.datetime_start, "ended": trial.datetime_complete}
    setting = trial.params or dict(trial.system_attrs.get("fixed_params", {}))
    row = {**dict.fromkeys(columns), **own, **setting, **times, **trial.user_attrs}
    if trial.state is TrialState.RUNNING:
        row["ended"] = None
    return row
