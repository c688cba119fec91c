"""Says in the dashboard at once which trials were excluded.

optuna-dashboard knows no such state, and Optuna lets nobody change a trial that has ended, its attributes included; its
note can be. Invariant: the rest of a note, whoever wrote it, stays as it is.
"""

from collections.abc import Iterable

from greenopt.dashboard.content import describe_trial
from greenopt.dashboard.notes import excluded_head, without_excluded_head
from greenopt.dashboard.store import DashboardStore
from greenopt.runs.folder import RunFolder
from greenopt.search import Storage, read_study
from greenopt.storage.trial_state import TrialState


def publish_exclusions(study: str, storage: Storage, folder: RunFolder, trials: Iterable[int]) -> None:
    """Bring the notes of trials up to date that were excluded or taken back in.

    Args:
        study: its name in the storage.
        storage: holds the study.
        folder: its results; it need not exist.
        trials: their numbers.
    """
    snapshot = read_study(study, storage)
    store = DashboardStore(study, storage, folder.artifacts)
    for number in dict.fromkeys(trials):
        row = snapshot.rows[number]
        if not store.has_trial_note(number):
            describe_trial(store, folder, snapshot.spec, row, ended=True)
            continue
        head = excluded_head(row) if row["state"] == TrialState.EXCLUDED else ""
        store.replace_trial_note(number, head + without_excluded_head(store.trial_note(number)))
