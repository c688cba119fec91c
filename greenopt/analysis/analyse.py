"""Analyses a study's rows, without reading or writing files."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from greenopt.analysis.advice import advise
from greenopt.analysis.describe import (
    build_front,
    build_hypervolume,
    completed,
    correlations,
    described,
    pairs_of,
    ranked,
)
from greenopt.analysis.failures import failure_shares
from greenopt.analysis.regression import regress
from greenopt.analysis.results import Analysis, Counts, Importance, Response, own_responses
from greenopt.analysis.trials import analysed_trials, count_trials, find_exclusions
from greenopt.analysis.versions import version_notes, versions_of
from greenopt.formatting import counted
from greenopt.front import plane_of
from greenopt.gpu_models import GPU_MODEL, format_mixed, with_model_factor
from greenopt.reading import EnergySource
from greenopt.spec import StudySpec
from greenopt.stopping import format_tally, tally_stops
from greenopt.validation_gap import doubtful_trials


def analyse(spec: StudySpec, rows: Iterable[Mapping[str, Any]], importance: Iterable[Importance] = ()) -> Analysis:
    """Analyse a study.

    Args:
        spec: the study.
        rows: a trial each, as `greenopt.search.read_study` gives them.
        importance: shares that were computed elsewhere.
    """
    explained, rows = with_model_factor(spec, rows)
    trials = analysed_trials(explained, rows)
    trials["version_letter"] = versions_of(trials)
    counts = count_trials(trials, spec)
    front = build_front(trials, spec)
    trials["on_front"] = trials["trial"].isin([point.trial for point in front])
    regressions = regress(trials, explained, (*Response, *own_responses(spec)))
    return Analysis(
        study=spec,
        trials=trials,
        counts=counts,
        exclusions=find_exclusions(trials, spec),
        descriptive=described(trials, spec),
        ranking=ranked(trials, spec),
        pareto=front,
        hypervolume=build_hypervolume(trials, spec),
        correlations=correlations(trials, pairs_of(spec)),
        regressions=regressions.fitted,
        refused=regressions.refused,
        importance=tuple(importance),
        advice=advise(regressions, trials, explained),
        footnotes=_footnotes(trials, counts, spec),
        failures=failure_shares(trials, spec),
    )


def _footnotes(trials: "pd.DataFrame", counts: Counts, spec: StudySpec) -> tuple[str, ...]:
    notes = version_notes(trials)
    if unexplained := plane_of(spec).others:
        notes.append(
            f"advice weighs accuracy against energy; what {', '.join(unexplained)} depends on is said by regressions "
            "and the importance of parameters"
        )
    if doubtful := doubtful_trials(spec, completed(trials).to_dict(orient="records")):
        notes.append(
            f"{counted(len(doubtful))} ({', '.join(map(str, doubtful))}): validation accuracy is far above test "
            "accuracy; do not trust it before it is explained"
        )
    ended_early = counts.pruned + counts.failed
    if ended_early:
        notes.append(
            f"{counted(counts.pruned)} stopped early and {counts.failed} failed; they are left out of means, rankings "
            "and regressions, which therefore describe trials that can be completed"
        )
    tally = tally_stops(trials.to_dict(orient="records"))
    if tally is not None:
        notes.append(format_tally(tally))
    if tally is not None and (tally.stopped or tally.not_started):
        notes.append(
            "completed trials are those that the stopping rule let run, so means and effects describe them and not the "
            "whole space; alternative fits and advice count the others by their forecasts"
        )
    if mixed := format_mixed(trials.to_dict(orient="records")):
        notes.append(f"{mixed}; regressions and advice have the model as a factor, `{GPU_MODEL}`")
    sources = set(trials["energy_source"].dropna()) if "energy_source" in trials else set()
    if EnergySource.ESTIMATE in sources:
        notes.append("some energies are estimates from CPU time, not measurements; compare them with one another only")
    if EnergySource.NVIDIA_SMI_SNAPSHOT in sources:
        notes.append(
            "energies are nvidia-smi's power once an epoch, read in the gap after the work, x the epoch's length: they "
            "follow the time and hardly the power"
        )
    if len(sources) > 1:
        notes.append(f"energies come from different sources ({', '.join(sorted(sources))}) and are hardly comparable")
    if not counts.replicated_settings and counts.complete:
        notes.append("no setting was completed twice: the trials' own spread (pure error) is unknown")
    return tuple(notes)
