"""Reads the curves of a study's trials from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenopt.errors import UsageError
from greenopt.events import read_epochs
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.snapshot import read_folder
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.spec import Metric, SearchSpace
from greenopt.stopping import Curve, curve_from_epochs
from greenopt.storage.trial_state import TrialState


@dataclass(frozen=True)
class StudyCurves:
    """The whole curves of a study.

    Attributes:
        space: the study's.
        curves: of trials that were trained to their end, by number.
        left_out: completed trials of which no whole curve is known.
        not_completed: trials that ended in another way.
        is_estimate: whether the energy of one of them is an estimate.
    """

    space: SearchSpace
    curves: tuple[Curve, ...]
    left_out: tuple[int, ...]
    not_completed: tuple[int, ...]
    is_estimate: bool


def read_curves(folder: RunFolder, storage: str | None = None, *, needs_epochs: bool = True) -> StudyCurves:
    """Read the curves of a study's completed trials.

    Args:
        folder: its results.
        storage: URL of its storage; the one that it was last run with unless given.
        needs_epochs: whether a study of which no epoch is known is refused, such as one imported from a table; else
            each of its trials is taken for one epoch.

    Raises:
        UsageError: there is no such study, or none of its trials has a whole curve with measured energies and an
            accuracy above 0.
    """
    snapshot = read_folder(folder, storage)
    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    curves, left_out = [], []
    for row in complete:
        trial = int(row["trial"])
        epochs = read_epochs(folder.own_events(trial, row.get(ATTEMPT_ATTRIBUTE)))
        setting = snapshot.spec.space.trimmed(row)
        curve = curve_from_epochs(trial, setting, epochs)
        if curve is None or not curve.is_whole or curve.used_wh <= 0:
            left_out.append(trial)
        else:
            curves.append(curve)
    if not curves and not needs_epochs:
        curves = [curve for row in complete if (curve := _single_epoch(row, snapshot.spec.space)) is not None]
        left_out = sorted({int(row["trial"]) for row in complete} - {curve.trial for curve in curves})
    if not curves:
        raise UsageError(f"study {folder.name}: {_why_none(complete)}; nothing to replay")
    if not any(curve.accuracy > 0 for curve in curves):
        raise UsageError(f"study {folder.name}: no completed trial has an accuracy above 0; there is no front to keep")
    ended = (TrialState.PRUNED, TrialState.FAIL)
    is_estimate = any(row["energy_source"] == EnergySource.ESTIMATE for row in complete)
    others = tuple(int(row["trial"]) for row in snapshot.rows if row["state"] in ended)
    return StudyCurves(snapshot.spec.space, tuple(curves), tuple(left_out), others, is_estimate)


def _single_epoch(row: Mapping[str, Any], space: SearchSpace) -> Curve | None:
    """Return a completed trial as a curve of one epoch; None where its accuracy or its energy is not known."""
    accuracy, energy_wh = row["accuracy"], row["energy_wh"]
    if accuracy is None or energy_wh is None or energy_wh <= 0:
        return None
    setting = space.trimmed(row)
    return Curve(int(row["trial"]), setting, 1, (float(accuracy),), (float(energy_wh),))


def _why_none(complete: Sequence[Mapping[str, Any]]) -> str:
    """Return why no completed trial can be replayed."""
    if not complete:
        return "no trial completed"
    for name in (Metric.ACCURACY, Metric.ENERGY_WH):
        if all(row.get(name) is None for row in complete):
            return f"no completed trial has {'an accuracy' if name is Metric.ACCURACY else 'a measured energy'}"
    return "no completed trial has accuracy and energy of all its planned epochs"
