"""Content of the dashboard: which trials are in the figures, which files and notes a trial gets."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenopt.dashboard.figures import (
    accuracy_energy_figure,
    front_figure,
    hypervolume_figure,
    power_figure,
)
from greenopt.dashboard.files import draw_curves, write_epochs
from greenopt.dashboard.notes import format_row_setting, trial_note
from greenopt.dashboard.store import DashboardStore
from greenopt.dashboard.trial_curves import CurvesByTrial, TrialCurves
from greenopt.files import tail_text
from greenopt.formatting import format_budgets
from greenopt.front import StudyFront
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.runs.folder import RunFolder
from greenopt.search import StudySnapshot
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import TrialState

FRONT_CURVES = 8
LATEST_CURVES = 4
LOG_BYTES = 4000


def _budgets(trace: StudyFront) -> str:
    if not trace.plane.is_accuracy_for_energy:
        return trace.words()
    front = trace.trace.front
    return format_budgets(front.least_wh, front.reference_wh) if front.points else ""


def write_figures(store: DashboardStore, snapshot: StudySnapshot, curves_by_trial: CurvesByTrial) -> None:
    """Draw a study's four figures and store them.

    Curves are those of up to `FRONT_CURVES` trials spread over the Pareto front, of the running ones and of the
    `LATEST_CURVES` that ended last; power over time is that of the running and the latest ones. Both are left as they
    are where the trials' events are not on this machine.
    """
    spec, trace = snapshot.spec, StudyFront(snapshot.spec)
    rows = _placed(snapshot, trace)
    for row in rows:
        trace.add(row)
    front = list(trace.trials)
    recent = _recent(snapshot)
    attempts = [row.get(ATTEMPT_ATTRIBUTE) for row in snapshot.rows]
    shown = sorted({*_spread(front, FRONT_CURVES), *recent})
    followed = {trial: curves_by_trial.get(trial, attempts[trial]) for trial in shown}
    settings = {
        trial: format_row_setting(spec, snapshot.rows[trial]) for trial, curves in followed.items() if curves.epochs
    }
    figures = {
        "greenopt-pareto-front": front_figure(spec, rows, front),
        "greenopt-hypervolume": hypervolume_figure(
            len(rows), trace.values(), _budgets(trace), trace.plane.is_accuracy_for_energy
        ),
    }
    if curves_by_trial.are_here:
        figures["greenopt-accuracy-by-energy"] = accuracy_energy_figure(settings, followed)
        figures["greenopt-power"] = power_figure({trial: followed[trial] for trial in recent})
    for name, figure in figures.items():
        store.write_figure(name, figure.to_json())
    curves_by_trial.keep(set(followed))


def _placed(snapshot: StudySnapshot, trace: StudyFront) -> list[dict[str, Any]]:
    """Return the completed trials that have the figures of both axes."""
    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    axes = (trace.plane.up, trace.plane.across)
    return [row for row in complete if all(row.get(name) is not None for name in axes)]


def _recent(snapshot: StudySnapshot) -> list[int]:
    """Return the numbers of the trials that ended last and of running trials."""
    ended = sorted((row for row in snapshot.rows if row["epochs_done"]), key=lambda row: row["ended"] or row["began"])
    running = [row["trial"] for row in snapshot.rows if row["state"] == TrialState.RUNNING]
    return [*(row["trial"] for row in ended[-LATEST_CURVES:]), *running]


def describe_trial(
    store: DashboardStore, folder: RunFolder, spec: StudySpec, row: Mapping[str, Any], *, ended: bool
) -> None:
    """Add a trial's note and log, unless they exist.

    Args:
        store: where they go.
        folder: the study's results.
        spec: the study.
        row: the trial's setting, figures and state.
        ended: whether the storage holds the trial for finished.
    """
    trial, log = row["trial"], folder.own_log(row["trial"], row.get(ATTEMPT_ATTRIBUTE))
    if not store.has_trial_note(trial):
        text = "" if log is None else tail_text(log, LOG_BYTES)
        store.write_trial_note(trial, trial_note(spec, row, text))
    if log is not None and log.exists() and log.stat().st_size and log.name not in store.artifact_names(trial):
        store.attach(trial, log, ended=ended)


def attach_curves(
    store: DashboardStore,
    folder: RunFolder,
    trial: int,
    setting: str,
    curves: TrialCurves,
    *,
    ended: bool,
    is_drawn: bool = True,
) -> None:
    """Add a trial's epochs as a table and its curves as a drawing, unless they exist.

    Args:
        store: where they go.
        folder: the study's results.
        trial: its number.
        setting: in words.
        curves: what it did.
        ended: whether the storage holds the trial for finished.
        is_drawn: whether the drawing, which takes a tenth of a second, is made too.
    """
    present = store.artifact_names(trial)
    if not folder.trial(trial).exists() or {"epochs.csv", "curves.svg"} <= present:
        return
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".artifacts-") as scratch:
        table, drawing = Path(scratch) / "epochs.csv", Path(scratch) / "curves.svg"
        if table.name not in present and curves.epochs:
            write_epochs(curves, table)
            store.attach(trial, table, ended=ended)
        if is_drawn and drawing.name not in present and draw_curves(curves, f"trial {trial}: {setting}", drawing):
            store.attach(trial, drawing, ended=ended)


def _spread(trials: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the trials, evenly spread, both ends included."""
    if len(trials) <= most:
        return list(trials)
    return [trials[round(n * (len(trials) - 1) / (most - 1))] for n in range(most)]
