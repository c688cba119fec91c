"""Trials from a table that `greenopt export` wrote, or one like it: a row a trial, CSV or Parquet."""

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow
from pydantic import ValidationError

from greenopt.cells import looked_up, loose_number, read_cell, read_column, read_plain_cell
from greenopt.coordination.verdict import Verdict, metric_names
from greenopt.errors import UsageError, one_line, shortened, shown
from greenopt.events import Event, FailReason, Outcome, TrialEnded, TrialStarted
from greenopt.exchange.columns import CELLS_ATTRIBUTE, IDENTITIES, PLAIN_TEXTS, STUDY_ATTRIBUTE
from greenopt.exchange.imported import BrokenRunError, ImportedTrial
from greenopt.exchange.studies import table_study
from greenopt.files import open_regular
from greenopt.plain_text import printable
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import PARAMETERS, Direction, Metric, Setting, StudySpec, Value, describe, is_too_varied
from greenopt.storage.rows import NUMBERS, is_sound_metric
from greenopt.storage.trial_state import FINISHED_STATES, TrialState, outcome_of

MAX_ROWS, MAX_COLUMNS, MAX_BYTES = 1_000_000, 5_000, 1 << 30
"""Of a table that is imported: a small file may claim, or unpack to, more than fits into memory."""

_OF_THE_ROW = ("trial", "state", "began", "ended")
_BESIDE = (
    "baseline",
    "wanted",
    "from_prior",
    "from_study",
    "from_trial",
    "retry_of",
    "attempt",
    "retried",
    "carbon_g",
    "cost",
    "run",
    "n_parameters",
    "accuracy_caution",
)
_EMPTY = " is empty"
_NO_NUMBERS = ("nan", "inf", "infinity")
_BETTER = {Metric.ACCURACY: Direction.MAXIMIZE, Metric.EFFICIENCY: Direction.MAXIMIZE}
_ENERGIES = (Metric.ENERGY_WH, Metric.WH_PER_EPOCH, Metric.TOTAL_WH)


@dataclass(frozen=True)
class Table:
    """What a table was understood as.

    Attributes:
        skipped: rows that could not be read -> why.
        spec: the study, where the file or the caller knows it.
        notes: what was understood in another way than one might expect, as sentences.
    """

    trials: list[ImportedTrial]
    skipped: dict[str, str]
    spec: StudySpec | None
    notes: list[str]


def read_table(path: Path, spec: StudySpec | None) -> Table:
    """Read the trials of a table.

    With the study known a parameter's value is looked up in its space. Without it the columns of a CSV file are read as
    `greenopt.cells.read_column` says.

    Args:
        path: a file whose ending is `.csv` or `.parquet`.
        spec: the study that they belong to, where it is known.

    Raises:
        UsageError: the file cannot be read or has no trial.
    """
    frame = _frame(path)
    spec = spec or _kept_study(frame, path)
    parameters = _parameters(frame, spec, path)
    is_setting = set(parameters) <= set(PARAMETERS)
    columns = _columns(frame, parameters, spec, is_csv=path.suffix == ".csv", is_setting=is_setting)
    named = [] if spec is not None else _names_of_rows(columns, parameters)
    parameters = tuple(name for name in parameters if name not in named)
    if not parameters:
        raise UsageError(f"{path}: has no column that could be a parameter: {_named_words(named)}")
    trials: dict[str, ImportedTrial] = {}
    skipped: dict[str, str] = {}
    for position in range(len(frame)):
        row = {name: values[position] for name, values in columns.items()}
        number = str(row["trial"] if row.get("trial") is not None else position)
        try:
            if number in trials:
                raise BrokenRunError(f"trial {number} is in the table twice")
            left_out = () if spec is None else spec.space.left_out(row)
            had = tuple(name for name in parameters if name not in left_out)
            trials[number] = _trial(row, number, had, left_out, is_setting=is_setting)
        except ValidationError as error:
            skipped[f"{path}, row {position + 1}"] = describe(error)
        except BrokenRunError as error:
            is_empty = spec is None and str(error).endswith(_EMPTY)
            hint = "; if a condition leaves it out there, give the study file with --study" if is_empty else ""
            skipped[f"{path}, row {position + 1}"] = f"{error}{hint}"
    return Table(_renumbered(trials), skipped, spec, [_named_words(named)] if named else [])


def _names_of_rows(columns: Mapping[str, list[Any]], parameters: Iterable[str]) -> list[str]:
    """Return the columns of texts of which most rows have one of their own: names, that explain nothing."""
    return [
        name
        for name in parameters
        if all(isinstance(value, str | None) for value in columns[name]) and is_too_varied(columns[name])
    ]


def _named_words(named: Iterable[str]) -> str:
    return f"{', '.join(named)}: most rows have a text of their own; kept as a figure, not taken for a parameter"


def infer_study(name: str, trials: list[ImportedTrial]) -> StudySpec:
    """Infer a study from its table alone; its objectives are accuracy and an energy.

    Raises:
        UsageError: no completed row has an accuracy or an energy.
    """
    complete = [trial.metrics for trial in trials if trial.verdict.outcome is Outcome.COMPLETED]
    energy = next((metric for metric in _ENERGIES if any(row.get(metric) is not None for row in complete)), None)
    chosen = [Metric.ACCURACY] if any(row.get("accuracy") is not None for row in complete) else []
    chosen += [energy] if energy else []
    if not chosen:
        raise UsageError("no completed row has a number in a column accuracy or energy_wh")
    return table_study(name, trials, {str(m): str(_BETTER.get(m, Direction.MINIMIZE)) for m in chosen})


def _frame(path: Path) -> "pd.DataFrame":
    try:
        with open_regular(path) as file:
            _check_size(path, file)
            if path.suffix == ".parquet":
                return pd.read_parquet(file)
            # Cell by cell: a column with an empty cell would make every whole number in it a fraction.
            frame = pd.read_csv(file, dtype=str, keep_default_na=False, nrows=MAX_ROWS + 1)
        _check_extent(path, len(frame), len(frame.columns), 0)
        return frame.rename(columns=lambda name: read_plain_cell(str(name)))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file or folder") from None
    except (OSError, ValueError, MemoryError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read as {path.suffix[1:]}: {_why(error)}") from None


def _why(error: BaseException) -> str:
    return one_line(str(getattr(error, "strerror", None) or error), 100)


def _check_size(path: Path, file: BinaryIO) -> None:
    """Raise UsageError where a table is too large to be read; a Parquet file says so before it is unpacked."""
    _check_extent(path, 0, 0, os.fstat(file.fileno()).st_size)
    if path.suffix == ".parquet":
        from pyarrow import parquet

        about = parquet.ParquetFile(file).metadata
        unpacked = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
        _check_extent(path, about.num_rows, about.num_columns, unpacked)
        file.seek(0)


def _check_extent(path: Path, rows: int, columns: int, size_bytes: int) -> None:
    for name, found, most in (("rows", rows, MAX_ROWS), ("columns", columns, MAX_COLUMNS)):
        if found > most:
            raise UsageError(f"{path}: has more than {most:,} {name}; import it in parts")
    if size_bytes > MAX_BYTES:
        raise UsageError(f"{path}: has {size_bytes / 2**30:.1f} GiB of data, more than 1 GiB; import it in parts")


def _kept_study(frame: "pd.DataFrame", path: Path) -> StudySpec | None:
    kept = frame.attrs.get(STUDY_ATTRIBUTE)
    try:
        # A file of others must not say from which folder code is taken.
        return StudySpec.model_validate({**json.loads(kept), "modules_folder": None}) if kept else None
    except (ValueError, TypeError) as error:
        why = describe(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{path}: the study that it keeps cannot be used: {why}; give one with --study") from None


def _parameters(frame: "pd.DataFrame", spec: StudySpec | None, path: Path) -> tuple[str, ...]:
    """Return the parameter columns: the study's, or all that are not otherwise known."""
    if spec is not None:
        missing = [name for name in spec.space.free if name not in frame]
        if missing:
            raise UsageError(f"{path}: has no column {', '.join(missing)}, which the study varies")
        return tuple(name for name in spec.space.distributions if name in frame)
    metrics = {*_OF_THE_ROW, *_BESIDE, *IDENTITIES, *metric_names()}
    found = tuple(str(name) for name in frame.columns if name not in metrics)
    if not found:
        raise UsageError(f"{path}: has no column that could be a parameter")
    return found


def _columns(
    frame: "pd.DataFrame", parameters: Iterable[str], spec: StudySpec | None, *, is_csv: bool, is_setting: bool
) -> dict[str, list[Any]]:
    """Return the columns with the types that their values had; None where there is none."""
    cells = json.loads(frame.attrs.get(CELLS_ATTRIBUTE) or "[]")
    found = {}
    for column in frame.columns:
        name, is_cell = str(column), is_csv or column in cells
        values = [None if pd.isna(value) else _plain(value) for value in frame[column]]
        values = [None if value == "" and is_cell else value for value in values]
        if name not in parameters:
            found[name] = [_figure(value, name) if is_csv else value for value in values]
        elif spec is not None:
            space = spec.space.distributions[name]
            found[name] = [None if v is None else looked_up(v, space, is_cell=is_cell) for v in values]
        else:
            found[name] = _read(values, as_whole=not is_setting) if is_cell else values
    return found


def _read(values: list[Any], *, as_whole: bool) -> list[Any]:
    """Cells of a parameter of an unknown study; those of the ten one by one, because their types are known."""
    known = [value for value in values if value is not None]
    read = iter(read_column(known) if as_whole else [read_cell(value) for value in known])
    return [None if value is None else next(read) for value in values]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _figure(cell: str | None, name: str) -> Any:
    """Return a cell of a figure: nothing, true or false, a number, or a text."""
    if cell is None or name in PLAIN_TEXTS:
        return None if cell is None else read_plain_cell(cell)
    value = read_cell(cell)
    if not isinstance(value, str) or value != cell:
        return value
    if cell.strip().lower().lstrip("+-") in _NO_NUMBERS:
        return None
    number = loose_number(cell)
    return cell if number is None else number


def _trial(
    row: Mapping[str, Any],
    number: str,
    parameters: tuple[str, ...],
    left_out: Collection[str],
    *,
    is_setting: bool,
) -> ImportedTrial:
    state = row.get("state") or TrialState.COMPLETE
    if state == TrialState.EXCLUDED:
        raise BrokenRunError(f"it was excluded: {row.get('excluded') or 'no reason kept'}")
    if state not in FINISHED_STATES:
        raise BrokenRunError(f"its state is {state}; only trials that have ended are imported")
    values = _values(row, parameters, is_setting=is_setting)
    metrics = {name: value for name, value in row.items() if name not in (*_OF_THE_ROW, "run", *values, *left_out)}
    _check_numbers(metrics)
    verdict = _verdict(row, outcome_of(state, row) or Outcome.FAILED)
    began, ended = _time(row.get("began")), _time(row.get("ended"))
    return ImportedTrial(
        run=str(row.get("run") or number),
        values=values,
        verdict=verdict,
        events=_events(metrics, verdict, began),
        metrics=metrics,
        began=began,
        ended=ended,
    )


def _check_numbers(metrics: Mapping[str, Any]) -> None:
    for name in NUMBERS & metrics.keys():
        if metrics[name] is not None and not is_sound_metric(name, metrics[name]):
            raise BrokenRunError(f"{name} is {shortened(printable(str(metrics[name])), 40)}, which is no number")
    for name in Metric:
        number = metrics.get(name)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise BrokenRunError(f"{name} is {number}, which is no number")
        if number < 0 or (name is Metric.ACCURACY and number > 1):
            raise BrokenRunError(f"{name} is {number}, which cannot be")


def _values(row: Mapping[str, Any], parameters: tuple[str, ...], *, is_setting: bool) -> dict[str, Value]:
    empty = [name for name in parameters if row[name] is None]
    if empty:
        raise BrokenRunError(f"{', '.join(empty)}{_EMPTY}")
    values = {name: row[name] for name in parameters}
    if not is_setting:
        return values
    try:
        checked = Setting(**values).model_dump(mode="json")
    except ValidationError as error:
        raise BrokenRunError(describe(error)) from None
    return {name: checked[name] for name in parameters}


def _verdict(row: Mapping[str, Any], outcome: Outcome) -> Verdict:
    message = str(row.get("message") or "")
    if outcome is Outcome.FAILED:
        known = row.get("fail_reason")
        reason = FailReason(known) if known in list(FailReason) else FailReason.CRASH
        return Verdict(outcome, reason, message)
    if outcome is Outcome.COMPLETED:
        return Verdict(outcome, message=message)
    return Verdict(outcome, str(row.get("stop_reason") or "ended_early"), message)


def _time(value: Any) -> datetime | None:
    try:
        return None if value is None else pd.Timestamp(value).to_pydatetime()
    except (TypeError, ValueError, OverflowError):
        raise BrokenRunError(f"{shown(value)} is not a time") from None


def _events(metrics: Mapping[str, Any], verdict: Verdict, began: datetime | None) -> tuple[Event, ...]:
    """Build the first and last event of a trial; a table has no epochs."""
    energy = _reading(metrics, "energy_wh", "energy_source", "seconds")
    total = _reading(metrics, "total_wh", "total_source", "total_s")
    ended = TrialEnded(
        t_s=total.seconds or energy.seconds,
        outcome=verdict.outcome,
        accuracy=metrics.get("accuracy") if verdict.outcome is Outcome.COMPLETED else None,
        test_accuracy=metrics.get("test_accuracy"),
        unquantized_accuracy=metrics.get("unquantized_accuracy"),
        energy=energy,
        total=total,
        reason=str(verdict.reason) if verdict.reason else None,
        message=verdict.message,
    )
    return (TrialStarted(t_s=0, utc=began.isoformat() if began else "", trial=0), ended)


def _reading(metrics: Mapping[str, Any], energy: str, source: str, seconds: str) -> EnergyReading:
    length_s = float(metrics.get(seconds) or 0.0)
    if metrics.get(energy) is None:
        return EnergyReading.missing(str(metrics.get("energy_missing") or "not in the table"), length_s)
    named = metrics.get(source)
    known = EnergySource(named) if named in list(EnergySource) else EnergySource.UNKNOWN
    return EnergyReading(energy_wh=metrics[energy], source=known, seconds=length_s)


def _renumbered(trials: Mapping[str, ImportedTrial]) -> list[ImportedTrial]:
    """Trials whose references to one another count anew, without the rows that were skipped."""
    numbers = {original: number for number, original in enumerate(trials)}
    return [replace(trial, metrics=_with_references(trial.metrics, numbers)) for trial in trials.values()]


def _with_references(metrics: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    given = {name: metrics[name] for name in ("retry_of", "replicate_of") if metrics.get(name) is not None}
    return {**metrics, **{name: numbers.get(str(int(number))) for name, number in given.items()}}
