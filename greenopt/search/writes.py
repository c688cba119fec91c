"""Changes of a trial that are written to a relational storage in one transaction.

Optuna commits each figure by itself: sixty transactions a trial, each of which waits for the disk. Invariants: all of a
change is written or nothing of it; the tables hold what Optuna's own calls would have written; writing one again that
was written already changes nothing.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy.dialects.postgresql as postgresql
import sqlalchemy.dialects.sqlite as sqlite
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState
from sqlalchemy.orm import Session

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Databases of which a row that is there already can be told in the same statement."""


@dataclass
class TrialChange:
    """What is to be written of one trial.

    Attributes:
        params: values by parameter as Optuna stores them, with their distributions; one that is stored stays.
        user: user attributes.
        system: Optuna's and the dashboard's.
        state: in which it ended; None while it goes on.
        values: the objectives', of a completed one.
    """

    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    values: list[float] | None = None


class TrialWriter(RDBStorage):
    """A relational storage that writes changes of trials whole; in all else Optuna's own."""

    def write_change(self, trial_id: int, change: TrialChange, now: datetime) -> None:
        """Write a change.

        Args:
            trial_id: the trial's, as the storage counts.
            change: what is written.
            now: the time at which the trial ended, where it does.

        Raises:
            UpdateFinishedTrialError: the trial has ended already.
            StorageInternalError: the storage is away.
        """
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, trial.state)
            self._write_params(session, trial_id, change)
            self._write_attributes(session, models.TrialUserAttributeModel, trial_id, change.user)
            self._write_attributes(session, models.TrialSystemAttributeModel, trial_id, change.system)
            for objective, value in enumerate(change.values or ()):
                self._set_trial_value_without_commit(session, trial, objective, value)
            if change.state is not None:
                trial.state = change.state
                trial.datetime_complete = now

    def _write_params(self, session: Session, trial_id: int, change: TrialChange) -> None:
        if not change.params:
            return
        there = {
            name
            for (name,) in session.query(models.TrialParamModel.param_name).filter(
                models.TrialParamModel.trial_id == trial_id
            )
        }
        session.add_all(
            models.TrialParamModel(
                trial_id=trial_id,
                param_name=name,
                param_value=value,
                distribution_json=distribution_to_json(distribution),
            )
            for name, (value, distribution) in change.params.items()
            if name not in there
        )

    def _write_attributes(self, session: Session, model: Any, trial_id: int, attributes: dict[str, Any]) -> None:
        if not attributes:
            return
        insert = _INSERTS.get(self.engine.name)
        if insert is None:
            for key, value in attributes.items():
                self._set_trial_attr_without_commit(session, model, trial_id, key, value)
            return
        rows = [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
        ]
        statement = insert(model).values(rows)
        updated = {"value_json": statement.excluded.value_json}
        session.execute(statement.on_conflict_do_update(index_elements=[model.trial_id, model.key], set_=updated))
