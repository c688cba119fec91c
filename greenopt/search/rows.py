"""The trials of a study as flat rows, for whoever only reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.errors import UsageError
from greenopt.events import FailReason
from greenopt.search.search import MAX_RETRIES, SPEC_ATTRIBUTE
from greenopt.spec import StudySpec

COLUMNS = (
    *("trial", "state", "accuracy", "energy_wh", "energy_source", "uncertainty_wh", "coverage", "test_accuracy"),
    *("wh_per_epoch", "efficiency", "avg_power_w", "seconds", "epochs_done"),
)
"""Columns that every row has, in this order; then the study's parameters, then others where a trial has them."""


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


def is_settled(row: Mapping[str, Any]) -> bool:
    """Whether a row counts towards the study's size: it ended, and is neither to be repeated nor a skipped setting."""
    if row["state"] not in ("complete", "pruned", "fail"):
        return False
    reason = None if row["state"] != "fail" else FailReason(row.get("fail_reason") or FailReason.INTERRUPTED)
    if reason is None:
        return True
    will_run_again = reason.is_worth_a_retry and (row.get("attempt") or 0) < MAX_RETRIES
    return not will_run_again and reason is not FailReason.DUPLICATE


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
