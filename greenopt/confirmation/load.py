"""Reads a confirmation from two studies' storages and events."""

from greenopt.confirmation.compare import Confirmation, confirmation
from greenopt.confirmation.pick import Picked
from greenopt.events import EpochEnded, read_epochs
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.runs.folder import RunFolder
from greenopt.search import StudySnapshot


def read_confirmation(
    folder: RunFolder, study: StudySnapshot, picked: Picked, new_folder: RunFolder, confirming: StudySnapshot
) -> Confirmation:
    """Compare the trials of `confirming` with the trial picked from `study`."""
    return confirmation(
        study,
        picked,
        lambda trial: _epochs(folder, study, trial),
        confirming,
        lambda trial: _epochs(new_folder, confirming, trial),
    )


def _epochs(folder: RunFolder, study: StudySnapshot, trial: int) -> list[EpochEnded]:
    attempt_id = next((row.get(ATTEMPT_ATTRIBUTE) for row in study.rows if row["trial"] == trial), None)
    return read_epochs(folder.own_events(trial, attempt_id))
