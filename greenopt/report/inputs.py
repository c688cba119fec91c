"""Reads the inputs of a report from a study's folder and storage; no model is fitted here."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from greenopt.analysis.results import Analysis
from greenopt.confirmation import Confirmation, pick_trial, read_confirmation
from greenopt.errors import GreenoptError
from greenopt.events import ConfusionCounted, read_confusion, read_epochs
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.snapshot import read_folder
from greenopt.report.environment import Environment, read_environment
from greenopt.report.report_data import CURVES_DRAWN, Curve, ReportData
from greenopt.report.study_analysis import analyse_snapshot
from greenopt.runs.folder import RunFolder, run_folders
from greenopt.runs.study_log import ForecastMade, read_entries
from greenopt.search import StudySnapshot
from greenopt.spec import Confirms
from greenopt.storage.trial_state import FINISHED_STATES, TrialState


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """The inputs of a report; `confusions` are those of the best trials, by number."""

    report_data: ReportData
    environment: Environment
    code: dict[str, str]
    confirmations: tuple[Confirmation, ...] = ()
    forecasts: tuple[ForecastMade, ...] = ()
    confusions: Mapping[int, ConfusionCounted] = field(default_factory=dict)

    @property
    def analysis(self) -> Analysis:
        """Return the analysis of the study's trials."""
        return self.report_data.analysis


def read_report_inputs(
    folder: RunFolder, storage: str | None = None, tell: Callable[[str], None] = lambda _: None
) -> ReportInputs:
    """Read and analyse a study.

    Args:
        folder: its results.
        storage: URL of its storage; the one that it was last run with unless given.
        tell: called with the current step, for a progress display.

    Raises:
        UsageError: there is no such study.
    """
    tell("reading trials")
    snapshot = read_folder(folder, storage)
    tell(f"analysing {len(snapshot.rows):,} trials")
    analysis = analyse_snapshot(snapshot)
    tell("reading training curves")
    ran = [(int(row["trial"]), str(row["state"])) for row in snapshot.rows if row.get("epochs_done")]
    chosen = drawn_trials(analysis, [trial for trial, _ in ran])
    states = dict(ran)
    attempts = {int(row["trial"]): row.get(ATTEMPT_ATTRIBUTE) for row in snapshot.rows}
    events = {trial: folder.own_events(trial, attempts[trial]) for trial in chosen}
    curves = (Curve.from_epochs(trial, states[trial], read_epochs(path)) for trial, path in events.items())
    kept = tuple(curve for curve in curves if len(curve.epoch))
    of = len(ran) if kept else 0
    return ReportInputs(
        ReportData(analysis, kept, of),
        read_environment(folder, _ended(snapshot)),
        folder.code(),
        _confirmations(folder, snapshot, storage),
        tuple(each for each in read_entries(folder.study_log, folder.study_id) if isinstance(each, ForecastMade)),
        _confusions(folder, analysis, attempts),
    )


def _confusions(
    folder: RunFolder, analysis: Analysis, attempts: Mapping[int, str | None]
) -> dict[int, ConfusionCounted]:
    """Return how the test images of the best trials were classified, where their events say it."""
    best = {one.trial for ranked in analysis.ranking.values() for one in ranked[:1]}
    found = {trial: read_confusion(folder.own_events(trial, attempts.get(trial))) for trial in sorted(best)}
    return {trial: confusion for trial, confusion in found.items() if confusion is not None}


def _ended(snapshot: StudySnapshot) -> dict[int, str | None]:
    """Return the attempt of each trial that ended."""
    ended = (row for row in snapshot.rows if row["state"] in FINISHED_STATES and row["state"] != TrialState.EXCLUDED)
    return {int(row["trial"]): row.get(ATTEMPT_ATTRIBUTE) for row in ended}


def drawn_trials(analysis: Analysis, ran: list[int]) -> list[int]:
    """Return the trials whose curves are drawn: all, or the front, the best and a seeded sample of the others."""
    if len(ran) <= CURVES_DRAWN:
        return ran
    ranked = [one.trial for best in analysis.ranking.values() for one in best]
    first = list(dict.fromkeys([*ranked, *(one.trial for one in analysis.pareto)]))[:CURVES_DRAWN]
    others = sorted(set(ran) - set(first))
    sample = random.Random(0).sample(others, min(len(others), CURVES_DRAWN - len(first)))
    return sorted([*(trial for trial in first if trial in set(ran)), *sample])


def _confirmations(folder: RunFolder, study: StudySnapshot, storage: str | None) -> tuple[Confirmation, ...]:
    """Return what confirming studies in the same folder say; those that cannot be read are left out."""
    found = []
    for other in run_folders(folder.path.parent):
        confirms = other.confirms()
        if confirms is None or confirms.study not in (study.spec.name, folder.stored_name):
            continue
        try:
            found.append(_confirmation(folder, study, other, confirms, storage))
        except GreenoptError:
            continue
    return tuple(found)


def _confirmation(
    folder: RunFolder, study: StudySnapshot, other: RunFolder, confirms: Confirms, storage: str | None
) -> Confirmation:
    again = read_folder(other, storage)
    picked = pick_trial(study, confirms.by)
    if picked.trial != confirms.trial:
        picked = pick_trial(study, str(confirms.trial))
    return read_confirmation(folder, study, picked, other, again)
