"""The trials of a study as they change, for viewers: each call brings only what is new since the last one.

Optuna builds every trial with its distributions: 10,000 of them take it well over ten seconds, and its own import half
a second. This reads the same figures with a few plain queries on the tables that Optuna 5 keeps, and never writes.
Invariant: rows equal those of `read_study`; tests compare the two, on SQLite and on PostgreSQL.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from greenopt.errors import GreenoptError, UsageError, one_line
from greenopt.spec import StudySpec, on_step, stored_study
from greenopt.storage.attributes import attributes_by_trial
from greenopt.storage.database import Ask, DatabaseError, find_database
from greenopt.storage.marks import MARKS_ATTRIBUTE, TrialMarks
from greenopt.storage.rows import COLUMNS, LEASE_ATTRIBUTE, SPEC_ATTRIBUTE, TEXTS, is_alive, is_sound_metric, kept_lease
from greenopt.storage.trial_state import TrialState

_STUDY = "SELECT study_id FROM studies WHERE study_name = :study"
_STUDY_ATTRIBUTE = """
    SELECT a.value_json FROM study_user_attributes a WHERE a.study_id = :study_id AND a.key = :key
"""
_TRIALS = """
    SELECT t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete
    FROM trials t WHERE t.study_id = :study_id AND ({wanted}) ORDER BY t.number
"""
_PARAMETERS = "SELECT x.trial_id, x.param_name, x.param_value FROM trial_params x WHERE {of_trials}"
_DISTRIBUTION = """
    SELECT p.distribution_json
    FROM trial_params p JOIN trials t ON t.trial_id = p.trial_id
    WHERE t.study_id = :study_id AND p.param_name = :name LIMIT 1
"""
_FIXED = """
    SELECT a.trial_id, a.value_json
    FROM trial_system_attributes a JOIN trials t ON t.trial_id = a.trial_id
    WHERE t.study_id = :study_id AND t.state = 'WAITING' AND a.key = 'fixed_params' AND ({wanted})
"""


def of_trials(wanted: str, *, is_all: bool) -> str:
    """Return the condition that a row `x` belongs to one of the wanted trials `t` of the study `:study_id`.

    Args:
        wanted: the condition on `t`.
        is_all: whether these are most of the table's rows.
    """
    # The sign keeps databases from the index, by which all rows of a table take twice as long as one after the other.
    sign = "+" if is_all else ""
    return f"{sign}x.trial_id IN (SELECT t.trial_id FROM trials t WHERE t.study_id = :study_id AND ({wanted}))"


class LiveRows:
    """Repeated reading of one study's rows. Used by one thread at a time."""

    def __init__(self, study: str, url: str) -> None:
        """Find the study.

        Raises:
            UsageError: the storage cannot be opened, has no such study, or it is not one of greenopt's.
        """
        self._study = study
        self._database = find_database(url)
        self._last_settled = -1
        self._open: set[int] = set()
        self._values: dict[str, Callable[[float], Any]] = {}
        self._marks = TrialMarks()
        self._study_id = self._find(study)
        if self._attribute(SPEC_ATTRIBUTE) is None:
            raise UsageError(f"study {study}: was not made by greenopt")

    def spec(self) -> StudySpec:
        """Return the study as it was last run."""
        return stored_study(self._attribute(SPEC_ATTRIBUTE), self._study)

    def holder(self) -> dict[str, Any] | None:
        """Return who runs the study now (`pid`, `host`, `utc_s`); None if nobody does.

        Raises:
            GreenoptError: the storage does not answer.
        """
        holder = kept_lease(self._attribute(LEASE_ATTRIBUTE))
        return holder if holder is not None and is_alive(holder) else None

    def changed(self, columns: Sequence[str], only: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the rows of trials that are new, unfinished, or finished since the last call, by number.

        Args:
            columns: the study's parameters, which every row has beside `COLUMNS`.
            only: the figures that are read, where not all are wanted; then no setting is read.

        Raises:
            GreenoptError: the storage does not answer.
        """
        with self._answering() as ask:
            self._read_marks(ask)
            return self._read(ask, (*COLUMNS, *columns), only)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _find(self, study: str) -> int:
        url = self._database.shown_url
        try:
            with self._database.connect() as ask:
                found = ask(_STUDY, study=study)
        except DatabaseError as error:
            if "no such table" not in str(error) and "does not exist" not in str(error):
                raise UsageError(f"storage {url}: cannot be read: {error}") from None
            found = []
        if not found:
            raise UsageError(f"study {study}: not in storage {url}")
        return int(found[0][0])

    @contextmanager
    def _answering(self) -> Iterator[Ask]:
        try:
            with self._database.connect() as ask:
                yield ask
        except DatabaseError as error:
            raise GreenoptError(f"storage {self._database.shown_url}: {error}") from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {one_line(str(error), 80)}"
            raise UsageError(f"storage {self._database.shown_url}: is damaged: {what}") from None

    def _read_marks(self, ask: Ask) -> None:
        """Read what the user said of trials; where that changed, all are read again."""
        found = ask(_STUDY_ATTRIBUTE, study_id=self._study_id, key=MARKS_ATTRIBUTE)
        marks = TrialMarks.from_kept(json.loads(found[0][0]) if found else None)
        if marks != self._marks:
            self._marks, self._last_settled, self._open = marks, -1, set()

    def _read(self, ask: Ask, columns: Sequence[str], only: Sequence[str] | None) -> list[dict[str, Any]]:
        trials = self._of_wanted(ask, _TRIALS)
        if not trials:
            return []
        unknown = dict.fromkeys(columns)
        rows = {
            trial_id: {
                **unknown,
                "trial": number,
                "state": state.lower(),
                "began": _moment(began),
                "ended": None if state == TrialState.RUNNING.name else _moment(ended),
            }
            for trial_id, number, state, began, ended in trials
        }
        # A trial that is created between two of these queries is left for the next call.
        if only is None:
            self._add_settings(ask, rows)
        self._add_figures(ask, rows, only)
        for row in rows.values():
            self._marks.add_to(row)
        self._remember([(trial_id, TrialState[state].is_finished) for trial_id, _, state, *_ in trials])
        return list(rows.values())

    def _add_settings(self, ask: Ask, rows: dict[int, dict[str, Any]]) -> None:
        if any(row["state"] == TrialState.WAITING for row in rows.values()):
            for trial_id, text in self._of_wanted(ask, _FIXED):
                if trial_id in rows:
                    rows[trial_id].update(json.loads(text))
        for trial_id, name, value in self._of_wanted(ask, _PARAMETERS):
            if trial_id in rows:
                rows[trial_id][name] = (self._values.get(name) or self._learn(ask, name))(value)

    def _add_figures(self, ask: Ask, rows: dict[int, dict[str, Any]], only: Sequence[str] | None) -> None:
        keys = {f"key_{index}": key for index, key in enumerate(only or ())}
        chosen = f" AND x.key IN ({', '.join(f':{name}' for name in keys)})" if keys else ""
        found = attributes_by_trial(
            lambda query: self._of_wanted(ask, query, keys),
            "trial_user_attributes",
            "{of_trials}" + chosen,
            is_sqlite=self._database.is_sqlite,
        )
        for trial_id, figures in found.items():
            if (row := rows.get(trial_id)) is not None:
                # What most are is decided here: a call for each of hundreds of thousands takes four times as long.
                row |= {
                    key: value
                    for key, value in figures.items()
                    if (type(value) is float and isfinite(value) and key not in TEXTS) or is_sound_metric(key, value)
                }

    def _of_wanted(self, ask: Ask, query: str, keys: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
        """Run a query for the trials that may have changed."""
        wanted = "t.trial_id > :last_settled"
        if self._open:
            wanted += f" OR t.trial_id IN ({','.join(map(str, self._open))})"
        query = query.format(wanted=wanted, of_trials=of_trials(wanted, is_all=self._last_settled < 0))
        return ask(query, study_id=self._study_id, last_settled=self._last_settled, **(keys or {}))

    def _learn(self, ask: Ask, name: str) -> Callable[[float], Any]:
        """Read how a parameter's numbers become values; Optuna forbids changing choices within a study."""
        ((text,),) = ask(_DISTRIBUTION, study_id=self._study_id, name=name)
        self._values[name] = _values_of(json.loads(text))
        return self._values[name]

    def _remember(self, seen: Sequence[tuple[int, bool]]) -> None:
        """Remember unfinished trials, which are read again; finished trials never change."""
        self._open = {trial_id for trial_id, is_finished in seen if not is_finished}
        self._last_settled = max(self._last_settled, max(trial_id for trial_id, _ in seen))

    def _attribute(self, key: str) -> Any:
        with self._answering() as ask:
            found = ask(_STUDY_ATTRIBUTE, study_id=self._study_id, key=key)
            return json.loads(found[0][0]) if found else None


def _moment(stored: datetime | str | None) -> datetime | None:
    """Convert a database time to local time; SQLite stores text."""
    return local_time(datetime.fromisoformat(stored) if isinstance(stored, str) else stored)


def local_time(utc: datetime | None) -> datetime | None:
    """Return a time that Optuna stores, which is UTC and says no zone, as it gives it: in local time without a zone."""
    return None if utc is None else utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _values_of(distribution: dict[str, Any]) -> Callable[[float], Any]:
    """Return a function from a stored number to a parameter's value, by its distribution."""
    match distribution["name"]:
        case "CategoricalDistribution":
            choices = distribution["attributes"]["choices"]
            return lambda value: choices[int(value)]
        case "IntDistribution":
            return int
        case _:
            low, step = distribution["attributes"]["low"], distribution["attributes"].get("step")
            return float if step is None else lambda value: on_step(value, low, step)
