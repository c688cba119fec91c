"""From a study's folder to its analysis: reads the storage, asks for importances, analyses."""

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Analysis, Importance
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.search import StudySnapshot, importances


def analyse_study(folder: RunFolder, storage: str | None = None) -> Analysis:
    """Analyse a study as its storage has it now.

    Args:
        folder: the study's results.
        storage: URL of the storage; the one that the study was last run with unless given.

    Raises:
        UsageError: there is no such study.
    """
    return analyse_snapshot(read_folder(folder, storage))


def analyse_snapshot(snapshot: StudySnapshot) -> Analysis:
    """Analyse a study that has been read."""
    return analyse(snapshot.spec, snapshot.rows, importances_of(snapshot))


def importances_of(snapshot: StudySnapshot) -> list[Importance]:
    """Importance of every parameter for every objective, over completed trials inside the space."""
    space = snapshot.spec.space.distributions
    rows = [
        row
        for row in snapshot.rows
        if row["state"] == "complete" and all(distribution.holds(row[name]) for name, distribution in space.items())
    ]
    found = importances(snapshot.spec, rows)
    return [Importance(shares.objective, shares.method, shares.shares, shares.words) for shares in found]
