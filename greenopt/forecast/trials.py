"""Trials as a forecast sees them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from greenopt.events import FailReason, StopReason
from greenopt.reading import EnergySource
from greenopt.spec import StudySpec, Value
from greenopt.storage.trial_state import TrialState, failure_of, is_settled

MOST_START_S = 120.0
"""What a trial's process may take to start and to end, beside what the trial itself counts; more has another cause."""


@dataclass(frozen=True)
class EndedTrial:
    """A trial that has ended, in whatever way.

    Attributes:
        setting: its parameters.
        energy_wh: used by it, set-up included, in Wh; None where not measured.
        seconds: that it took; None where not known.
        share: the part 0..1 of its epochs that it trained.
        is_settled: whether it counts towards the study's size, and is not run again.
        is_estimate: whether its energy was estimated.
    """

    setting: Mapping[str, Value]
    energy_wh: float | None
    seconds: float | None
    share: float
    is_settled: bool = True
    is_estimate: bool = False


@dataclass(frozen=True)
class RunningTrial:
    """A trial that runs.

    Attributes:
        setting: its parameters.
        energy_wh: used by it so far, set-up included, in Wh; None where not known.
        seconds: since it started.
        share: the part 0..1 of its epochs that has ended.
    """

    setting: Mapping[str, Value]
    energy_wh: float | None
    seconds: float
    share: float


def ended_trial(spec: StudySpec, row: Mapping[str, Any]) -> EndedTrial | None:
    """Return a trial of a study's storage; None where it has not ended, or was skipped and never ran.

    Args:
        spec: its study.
        row: its setting and figures by name, and its `state`.
    """
    state = row["state"]
    if not TrialState(state).is_finished or failure_of(state, row) is FailReason.DUPLICATE:
        return None
    if row.get("stop_reason") == StopReason.NOT_STARTED:
        return refused_trial(_setting(spec, row))
    share = 1.0 if state == TrialState.COMPLETE else min(1.0, (row.get("epochs_done") or 0) / spec.epochs_of(row))
    return EndedTrial(
        _setting(spec, row),
        used_wh(row),
        _seconds(row),
        share,
        is_settled(state, row),
        EnergySource.ESTIMATE in (row.get("total_source"), row.get("energy_source")),
    )


def refused_trial(setting: Mapping[str, Value]) -> EndedTrial:
    """Return a trial that was not started, and took nothing."""
    return EndedTrial(setting, 0.0, 0.0, 0.0)


def _setting(spec: StudySpec, row: Mapping[str, Any]) -> dict[str, Value]:
    return {name: row[name] for name in spec.space.distributions if row.get(name) is not None}


def ended_trials(spec: StudySpec, rows: Iterable[Mapping[str, Any]]) -> list[EndedTrial]:
    """Return the trials of a study's storage that have ended and were not skipped; see `ended_trial`."""
    return [trial for row in rows if (trial := ended_trial(spec, row)) is not None]


def used_wh(row: Mapping[str, Any]) -> float | None:
    """Return the energy of a trial in Wh; of set-up and training where the whole was not measured; None without."""
    if row.get("total_wh") is not None:
        return float(row["total_wh"])
    parts = [float(row[name]) for name in ("setup_wh", "energy_wh") if row.get(name) is not None]
    return sum(parts) if parts else None


def _seconds(row: Mapping[str, Any]) -> float | None:
    """Return how long a trial kept its slot, in s: what its own clock says, and its process's start before that."""
    began, ended = row.get("began"), row.get("ended")
    kept_s = None if began is None or ended is None else max(0.0, float((ended - began).total_seconds()))
    if row.get("total_s") is not None:
        own_s = float(row["total_s"])
        # A coordinator that was killed told of the trial's end when it was started again.
        return own_s if kept_s is None or kept_s > own_s + MOST_START_S else max(own_s, kept_s)
    if kept_s is not None:
        return kept_s
    return None if row.get("seconds") is None else float(row["seconds"])
