"""A trial that has ended, as trackers take it: parameters, figures, texts, curves and files."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from greenopt.events import EpochEnded, TrialStarted, read_events
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec, Value
from greenopt.storage.snapshot import StudySnapshot
from greenopt.storage.trial_state import FINISHED_STATES

_KEPT_FILES = ("log.txt", "model.keras", "model.int8.tflite", "model.json")


@dataclass(frozen=True)
class EpochRecord:
    """An epoch's figures.

    Attributes:
        epoch: counts from 1.
        utc_s: when it ended, in s since 1970.
        figures: by name; energies in Wh. What was not measured is left out.
    """

    epoch: int
    utc_s: float
    figures: dict[str, float]


@dataclass(frozen=True)
class TrialRecord:
    """A trial that has ended.

    Attributes:
        attempt: its identity, by which it is sent once.
        state: a `TrialState`.
        parameters: its setting.
        figures: its numbers, with the units of their names; what was not measured is left out.
        texts: where its energy is from, the GPU, why it failed, and the like.
        began_s: when it began, in s since 1970; `ended_s` when it ended.
        epochs: its curves.
        files: what of its folder is sent too.
    """

    number: int
    attempt: str
    state: str
    parameters: dict[str, Value]
    figures: dict[str, float]
    texts: dict[str, str]
    began_s: float
    ended_s: float
    epochs: list[EpochRecord] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What a tracker calls it."""
        return f"trial {self.number}"


def read_records(folder: RunFolder, snapshot: StudySnapshot, sent: Mapping[str, Any]) -> Iterator[TrialRecord]:
    """Yield the trials that have ended and were not sent, by number.

    Args:
        folder: the study's.
        snapshot: its trials.
        sent: attempts that were sent.
    """
    for row in snapshot.rows:
        attempt = str(row.get(ATTEMPT_ATTRIBUTE) or f"trial {row['trial']}")
        if row["state"] in FINISHED_STATES and attempt not in sent:
            yield _record(folder, snapshot.spec, row, attempt)


def _record(folder: RunFolder, spec: StudySpec, row: Mapping[str, Any], attempt: str) -> TrialRecord:
    number = int(row["trial"])
    names = set(spec.space.distributions)
    others = {name: value for name, value in row.items() if name not in {*names, "trial", "state", "began", "ended"}}
    figures = {
        name: float(value)
        for name, value in others.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    texts = {name: str(value) for name, value in others.items() if value is not None and name not in figures}
    own = folder.own_events(number, row.get(ATTEMPT_ATTRIBUTE))
    began_s = _seconds(row["began"])
    return TrialRecord(
        number=number,
        attempt=attempt,
        state=str(row["state"]),
        parameters={name: row[name] for name in spec.space.distributions if row[name] is not None},
        figures=figures,
        texts=texts,
        began_s=began_s,
        ended_s=max(began_s, _seconds(row["ended"])),
        epochs=_epochs(own, began_s) if own is not None else [],
        files=[path for name in _KEPT_FILES if (path := own.with_name(name)).is_file()] if own is not None else [],
    )


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


def _epochs(events: Path, began_s: float) -> list[EpochRecord]:
    found: list[EpochRecord] = []
    start_s: float | None = None
    used_wh: float | None = 0.0
    for event in read_events(events):
        if isinstance(event, TrialStarted):
            start_s = event.t_s
        if not isinstance(event, EpochEnded):
            continue
        used_wh = None if used_wh is None or event.energy.energy_wh is None else used_wh + event.energy.energy_wh
        figures = {
            "loss": event.loss,
            "train_accuracy": event.accuracy,
            "val_loss": event.val_loss,
            "val_accuracy": event.val_accuracy,
            "lr": event.lr,
            "epoch_s": event.seconds,
            "epoch_energy_wh": event.energy.energy_wh,
            "energy_so_far_wh": used_wh,
        }
        passed_s = event.t_s - (event.t_s if start_s is None else start_s)
        kept = {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}
        found.append(EpochRecord(event.epoch, began_s + max(0.0, passed_s), kept))
    return found
