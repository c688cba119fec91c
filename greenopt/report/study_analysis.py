"""Analyses a study: reads the storage, computes importances, runs the analysis."""

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Analysis, Importance
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.search import StudySnapshot, importances
from greenopt.storage.trial_state import TrialState


def analyse_study(folder: RunFolder, storage: str | None = None) -> Analysis:
    """Analyse a study's current storage.

    Args:
        folder: the study's results.
        storage: URL of the storage; the one that the study was last run with unless given.

    Raises:
        UsageError: there is no such study.
    """
    return analyse_snapshot(read_folder(folder, storage))


def analyse_snapshot(snapshot: StudySnapshot) -> Analysis:
    """Analyse a study from a snapshot."""
    return analyse(snapshot.spec, snapshot.rows, compute_importances(snapshot))


def compute_importances(snapshot: StudySnapshot) -> list[Importance]:
    """Compute the importance of every parameter for every objective, over completed trials inside the space."""
    space = snapshot.spec.space
    rows = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE and space.holds(row)]
    found = importances(snapshot.spec, rows)
    return [Importance(shares.objective, shares.method, shares.shares, shares.text, shares.chance) for shares in found]
