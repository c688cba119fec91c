"""Reads a confirmation from two studies' storages and events."""

from greenopt.confirmation.compare import Confirmation, confirmation
from greenopt.confirmation.pick import Picked
from greenopt.events import read_epochs
from greenopt.runs import RunFolder
from greenopt.search import StudySnapshot


def read_confirmation(
    folder: RunFolder, study: StudySnapshot, picked: Picked, new_folder: RunFolder, confirming: StudySnapshot
) -> Confirmation:
    """What the trials of `confirming` say of the trial that was picked from `study`."""
    return confirmation(
        study,
        picked,
        lambda trial: read_epochs(folder.events(trial)),
        confirming,
        lambda trial: read_epochs(new_folder.events(trial)),
    )
