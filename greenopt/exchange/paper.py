"""Runs in the layout of 'Computationally Efficient Deep Learning Training': a folder a run with its setting and log.

`parameters.yaml` holds the setting and the test accuracy; `logs.csv` a row an epoch, between a `pre` and a `post` row.
The paper's energy of an epoch is nvidia-smi's power at its end x the time since the row before; its power draw of a run
is the mean of that over all rows but the first, the `post` row included. Both are kept to the digit.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from greenopt.coordination.verdict import Verdict
from greenopt.errors import UsageError, one_line
from greenopt.events import (
    EpochEnded,
    Event,
    FailReason,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    TrialEnded,
    TrialStarted,
)
from greenopt.exchange.imported import BrokenRunError, ImportedTrial
from greenopt.files import leads_out, read_document
from greenopt.reading import EnergyReading, EnergySource, sum_of_windows
from greenopt.spec import PARAMETERS, Setting, describe

PARAMETERS_FILE = "parameters.yaml"
LOG_FILE = "logs.csv"
MAX_LOG_BYTES = 64 << 20
"""Of a run's log; one of 100,000 epochs has 15 MB."""

MAX_POWER_W = 100_000.0
"""More than any GPU draws."""
_NUMBERS = ("loss", "accuracy", "val_loss", "val_accuracy", "gpu_power_W", "gpu_temp_C", "gpu_util_%")
_BEFORE, _AFTER = "pre", "post"


@dataclass(frozen=True)
class LogRow:
    """A row of a run's log.

    Attributes:
        epoch: `pre`, a number from 0, or `post`.
        seconds: time since the row before; 0 in the first.
        energy: power at its end x `seconds`; what the paper took for the energy of an epoch.
    """

    epoch: str
    time: datetime
    seconds: float
    values: Mapping[str, float]
    energy: EnergyReading

    @property
    def is_epoch(self) -> bool:
        """Return whether the row is an epoch."""
        return self.epoch not in (_BEFORE, _AFTER)


def run_folders_under(folder: Path) -> list[Path]:
    """Every folder under this one that holds a file of a run, by path."""
    files = (path for name in (PARAMETERS_FILE, LOG_FILE) for path in folder.rglob(name))
    return sorted({path.parent for path in files})


def read_runs(folder: Path) -> tuple[list[ImportedTrial], dict[str, str], int]:
    """Read all runs under a folder.

    Returns:
        The runs, what could not be read -> why, and how many epochs most runs have.

    Raises:
        UsageError: there is no such folder, or no run in it.
    """
    folders = run_folders_under(folder)
    if not folders:
        raise UsageError(f"{folder}: no run in it; a run is a folder with {PARAMETERS_FILE} and {LOG_FILE}")
    read: dict[str, tuple[Mapping[str, Any], list[LogRow]]] = {}
    skipped: dict[str, str] = {}
    for path in folders:
        try:
            if outside := [name for name in (PARAMETERS_FILE, LOG_FILE) if leads_out(path / name, folder)]:
                raise BrokenRunError(f"{outside[0]} is a link that leads out of {folder}")
            read[str(path.relative_to(folder))] = read_parameters(path / PARAMETERS_FILE), read_log(path / LOG_FILE)
        except BrokenRunError as error:
            skipped[str(path)] = str(error)
    epochs = usual_epochs([rows for _, rows in read.values()])
    trials: list[ImportedTrial] = []
    for run, (parameters, rows) in read.items():
        try:
            trials.append(as_trial(run, parameters, rows, epochs))
        except ValidationError as error:
            skipped[str(folder / run)] = describe(error)
    return trials, skipped, epochs


def usual_epochs(logs: Sequence[Sequence[LogRow]]) -> int:
    """Return the number of epochs that most runs have."""
    counted = Counter(sum(row.is_epoch for row in rows) for rows in logs)
    return max(counted, key=lambda epochs: (counted[epochs], epochs), default=0) or 1


def read_parameters(path: Path) -> dict[str, Any]:
    """Read the keys of a run's `parameters.yaml`, with the ten parameters as in `Setting`.

    Raises:
        BrokenRunError: it is missing or damaged, a parameter is not there, or its value does not exist.
    """
    try:
        raw = yaml.safe_load(read_document(path))
    except FileNotFoundError:
        raise BrokenRunError(f"{path.name} is missing") from None
    except RecursionError:
        raise BrokenRunError(f"{path.name} cannot be read: is nested too deeply") from None
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        # Values that look like a date or a number, and are none, raise Python's own errors.
        raise BrokenRunError(f"{path.name} cannot be read: {one_line(str(error), 120)}") from None
    if not isinstance(raw, dict):
        raise BrokenRunError(f"{path.name} is not a list of `parameter: value`")
    missing = [name for name in PARAMETERS if name not in raw]
    if missing:
        raise BrokenRunError(f"{path.name} has no {', '.join(missing)}")
    # Values that refer to one another may be short to write and without end to print.
    if nested := [name for name in PARAMETERS if not _is_single(raw[name])]:
        raise BrokenRunError(f"{path.name}: {', '.join(nested)} is not a single value")
    raw = {str(name): value for name, value in raw.items() if _is_single(value)}
    given = {name: "none" if raw[name] in (None, "None") else raw[name] for name in PARAMETERS}
    try:
        return {**raw, **Setting(**given).model_dump(mode="json")}
    except ValidationError as error:
        raise BrokenRunError(f"{path.name}: {describe(error)}") from None


def _is_single(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def read_log(path: Path) -> list[LogRow]:
    """Read the rows of a run's `logs.csv`.

    Raises:
        BrokenRunError: it is missing, cut off, or says what cannot be.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(read_document(path, MAX_LOG_BYTES).decode(), newline="")))
    except FileNotFoundError:
        raise BrokenRunError(f"{path.name} is missing") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BrokenRunError(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not lines or lines[0].get("epoch") != _BEFORE:
        raise BrokenRunError(f"{path.name} does not begin with a row `{_BEFORE}`, so its first epoch has no length")
    rows: list[LogRow] = []
    for number, line in enumerate(lines, 2):
        try:
            rows.append(_row(line, rows[-1] if rows else None))
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenRunError(f"{path.name}, line {number}: {_what(error)}") from None
    return rows


def _what(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the column {error.args[0]} is missing"
    return "it is cut off" if isinstance(error, TypeError) else one_line(str(error), 120)


def _row(line: Mapping[str, str], before: LogRow | None) -> LogRow:
    time = datetime.fromisoformat(line["time"])
    values = {name: float(line[name]) for name in _NUMBERS}
    seconds = (time - before.time).total_seconds() if before else 0.0
    if seconds < 0:
        raise ValueError("its time is before that of the line before")
    if not 0 <= values["gpu_power_W"] <= MAX_POWER_W:
        raise ValueError(f"gpu_power_W is {line['gpu_power_W']}")
    if before is not None and line["epoch"] not in (_next_epoch(before), _AFTER):
        raise ValueError(f"epoch {line['epoch']} follows {before.epoch}")
    energy = EnergyReading(
        energy_wh=values["gpu_power_W"] * seconds / 3600, source=EnergySource.NVIDIA_SMI_SNAPSHOT, seconds=seconds
    )
    return LogRow(line["epoch"], time, seconds, values, energy)


def _next_epoch(before: LogRow) -> str:
    if before.epoch == _AFTER:
        return "nothing"
    return "0" if before.epoch == _BEFORE else str(int(before.epoch) + 1)


def as_trial(run: str, parameters: Mapping[str, Any], rows: Sequence[LogRow], epochs: int) -> ImportedTrial:
    """Convert a run to a trial.

    Args:
        run: its name.
        parameters: the keys of its `parameters.yaml`.
        rows: its log.
        epochs: how many epochs its study trains.
    """
    trained = [row for row in rows if row.is_epoch]
    verdict = _verdict(rows, trained, epochs)
    metrics: dict[str, Any] = {
        name: value
        for name, key in (("n_parameters", "n_parameters"), ("training_seed", "seed"))
        if type(value := parameters.get(key)) is int
    }
    if trained:
        power_draw_wh = sum(row.energy.energy_wh or 0.0 for row in rows[1:]) / (len(rows) - 1)
        metrics["wh_per_epoch"] = power_draw_wh
        accuracy = trained[-1].values["val_accuracy"]
        if verdict.outcome is Outcome.COMPLETED and power_draw_wh > 0:
            metrics["efficiency"] = accuracy / power_draw_wh
    return ImportedTrial(
        run=run,
        values={name: parameters[name] for name in PARAMETERS},
        verdict=verdict,
        events=tuple(_events(parameters, rows, trained, verdict, max(epochs, len(trained)))),
        metrics=metrics,
        began=rows[0].time,
        ended=rows[-1].time,
    )


def _verdict(rows: Sequence[LogRow], trained: Sequence[LogRow], epochs: int) -> Verdict:
    if rows[-1].epoch != _AFTER or not trained:
        message = f"its log ends after {len(trained)} epochs, before the row `{_AFTER}`"
        return Verdict(Outcome.FAILED, FailReason.INTERRUPTED, message)
    if not math.isfinite(trained[-1].values["val_accuracy"]):
        return Verdict(Outcome.DIVERGED, "diverged", "its last accuracy is not a number")
    if len(trained) < epochs:
        return Verdict(Outcome.DIVERGED, "ended_early", f"it ended after {len(trained)} of {epochs} epochs")
    return Verdict(Outcome.COMPLETED)


def _events(
    parameters: Mapping[str, Any], rows: Sequence[LogRow], trained: Sequence[LogRow], verdict: Verdict, epochs: int
) -> Iterator[Event]:
    yield TrialStarted(t_s=0, utc=rows[0].time.isoformat(), trial=0)
    origin = "the imported run measured none"
    yield MeterOpened(
        t_s=0, device="nvidia-smi, read once an epoch", source=EnergySource.NVIDIA_SMI_SNAPSHOT, idle_origin=origin
    )
    used_wh = 0.0
    for row in rows:
        t_s = (row.time - rows[0].time).total_seconds()
        used_wh += row.energy.energy_wh or 0.0
        yield _sample(row, t_s, used_wh)
        if row.is_epoch:
            yield _epoch(row, t_s, epochs)
        elif row.epoch == _AFTER:
            yield PhaseEnded(t_s=t_s - row.seconds, phase=Phase.TRAIN, energy=_together(trained))
            yield PhaseEnded(t_s=t_s, phase=Phase.TEST, energy=row.energy)
    accuracy = trained[-1].values["val_accuracy"] if verdict.outcome is Outcome.COMPLETED else None
    yield TrialEnded(
        t_s=(rows[-1].time - rows[0].time).total_seconds(),
        outcome=verdict.outcome,
        accuracy=accuracy,
        test_accuracy=parameters.get("test_accuracy") if verdict.outcome is Outcome.COMPLETED else None,
        energy=_together(trained),
        total=_together(rows[1:]),
        reason=str(verdict.reason) if verdict.reason else None,
        message=verdict.message,
    )


def _together(rows: Sequence[LogRow]) -> EnergyReading:
    return sum_of_windows([row.energy for row in rows]) if rows else EnergyReading.missing("no epoch was finished")


def _sample(row: LogRow, t_s: float, used_wh: float) -> PowerSampled:
    return PowerSampled(
        t_s=t_s,
        power_w=row.values["gpu_power_W"],
        energy_wh=used_wh,
        source=EnergySource.NVIDIA_SMI_SNAPSHOT,
        temperature_c=_finite(row.values["gpu_temp_C"]),
        utilisation=_finite(row.values["gpu_util_%"] / 100),
    )


def _epoch(row: LogRow, t_s: float, epochs: int) -> EpochEnded:
    metrics = {name: row.values[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return EpochEnded(
        t_s=t_s,
        epoch=int(row.epoch) + 1,
        epochs=epochs,
        seconds=row.seconds,
        lr=None,
        energy=row.energy,
        **{name: _finite(value) for name, value in metrics.items()},
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
