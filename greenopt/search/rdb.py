"""Optuna's relational storage, whose trials are read by plain queries: 10,000 in a second in place of fifteen.

Optuna builds an object of SQLAlchemy's for every figure of every trial. Invariant: what is read equals what Optuna
reads, errors included; tests compare the two.
"""

import warnings
from collections import defaultdict
from collections.abc import Container
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState

from greenopt.search.writes import TrialWriter
from greenopt.storage.attributes import attributes_by_trial
from greenopt.storage.live_rows import local_time, of_trials
from greenopt.storage.snapshot import collector_paused

_PARAMETERS = "SELECT x.trial_id, x.param_name, x.param_value, x.distribution_json FROM trial_params x"
_VALUES = "SELECT x.trial_id, x.value, x.value_type FROM trial_values x"
_ByTrial = dict[int, dict[str, Any]]


class FastReadingStorage(TrialWriter):
    """A relational storage that reads many trials fast and writes changes whole; in all else Optuna's own."""

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return the trials after one, and those included, by their ids; Optuna's cache calls this."""
        if states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        included = sorted(each for each in included_trial_ids if each <= trial_id_greater_than)
        wanted = f"t.trial_id > {int(trial_id_greater_than)}"
        wanted += f" OR t.trial_id IN ({','.join(str(int(each)) for each in included)})" if included else ""
        with _create_scoped_session(self.scoped_session) as session, collector_paused():
            models.StudyModel.find_or_raise_by_id(study_id, session)
            return _Reading(session.connection(), study_id, wanted, is_all=trial_id_greater_than < 0).trials()


class _Reading:
    """One reading of some trials of a study, in one transaction."""

    def __init__(self, connection: sa.Connection, study_id: int, wanted: str, *, is_all: bool) -> None:
        self._connection, self._study_id, self._wanted = connection, study_id, wanted
        self._of_trials = of_trials(wanted, is_all=is_all)

    def trials(self) -> list[FrozenTrial]:
        kept = models.TrialModel
        times = (kept._datetime_start_utc, kept._datetime_complete_utc)
        columns = (kept.trial_id, kept.number, kept.state, *times)
        rows = self._typed(sa.select(*columns).select_from(kept).order_by(kept.trial_id), kept)
        if not rows:
            return []
        params, distributions = self._parameters()
        user, system = self._attributes("trial_user_attributes"), self._attributes("trial_system_attributes")
        values, intermediate = self._values(), self._intermediate_values()
        return [
            FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=values.get(trial_id),
                datetime_start=local_time(began),
                datetime_complete=local_time(ended),
                params=params.get(trial_id, {}),
                distributions=distributions.get(trial_id, {}),
                user_attrs=user.get(trial_id, {}),
                system_attrs=system.get(trial_id, {}),
                intermediate_values=intermediate.get(trial_id, {}),
                trial_id=trial_id,
            )
            for trial_id, number, state, began, ended in rows
        ]

    def _parameters(self) -> tuple[_ByTrial, dict[int, dict[str, BaseDistribution]]]:
        """Return values and distributions; trials share the objects of the latter, which nothing changes."""
        known: dict[str, BaseDistribution] = {}
        converted: dict[tuple[str, float], tuple[Any, BaseDistribution]] = {}
        params: _ByTrial = {}
        distributions: dict[int, dict[str, BaseDistribution]] = {}
        last = None
        for trial_id, name, value, text in self._plain(f"{_PARAMETERS} WHERE {self._of_trials} ORDER BY x.param_id"):
            found = converted.get((text, value))
            if found is None:
                distribution = known.get(text) or known.setdefault(text, _distribution(text))
                found = converted[text, value] = (distribution.to_external_repr(value), distribution)
            if trial_id != last:
                of_last, kinds_of_last = params.setdefault(trial_id, {}), distributions.setdefault(trial_id, {})
                last = trial_id
            of_last[name], kinds_of_last[name] = found
        return params, distributions

    def _attributes(self, table: str) -> _ByTrial:
        is_sqlite = self._connection.dialect.name == "sqlite"
        return attributes_by_trial(self._plain, table, self._of_trials, is_sqlite=is_sqlite)

    def _values(self) -> dict[int, list[float]]:
        kept = models.TrialValueModel
        found: dict[int, list[float]] = defaultdict(list)
        for trial_id, value, kind in self._plain(f"{_VALUES} WHERE {self._of_trials} ORDER BY x.objective"):
            found[trial_id].append(kept.stored_repr_to_value(value, kept.TrialValueType[kind]))
        return found

    def _intermediate_values(self) -> dict[int, dict[int, float]]:
        kept = models.TrialIntermediateValueModel
        columns = (kept.trial_id, kept.step, kept.intermediate_value, kept.intermediate_value_type)
        found: dict[int, dict[int, float]] = defaultdict(dict)
        for trial_id, step, value, kind in self._typed(sa.select(*columns).join(models.TrialModel), models.TrialModel):
            found[trial_id][step] = kept.stored_repr_to_intermediate_value(value, kind)
        return found

    def _typed(self, query: "sa.Select[Any]", trials: Any) -> list[Any]:
        """Run a query of few rows; SQLAlchemy converts states and times."""
        wanted = sa.text(f"({self._wanted.replace('t.trial_id', 'trials.trial_id')})")
        return list(self._connection.execute(query.where(trials.study_id == self._study_id, wanted)))

    def _plain(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query of many rows; SQLAlchemy's row objects would cost a third of the time."""
        with self._connection.execute(sa.text(query), {"study_id": self._study_id}) as result:
            assert result.cursor is not None
            return list(result.cursor.fetchall())


def _distribution(text: str) -> BaseDistribution:
    """Return a stored distribution; what is unsound in it `check_soundness` says, in place of Optuna's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return json_to_distribution(text)
