"""Why the energy of a study's trials cannot be explained, and what to do about it."""

import math

import pandas as pd

from greenopt.analysis.results import Response
from greenopt.analysis.trials import build_sample
from greenopt.formatting import counted
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import FINISHED_STATES, TrialState


def no_advice(trials: "pd.DataFrame", spec: StudySpec, refused: str, needed: int | None) -> str:
    """Return the reason why there is no advice, with its cure where there is one, as one sentence.

    Args:
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.
        refused: why the regression of log energy was refused.
        needed: how many trials it needs, where too few were the reason.
    """
    sample = build_sample(Response.LOG_ENERGY_WH, trials, spec).trials
    if not len(sample):
        return f"No advice: {_nothing_to_explain(trials, spec)}."
    if needed is not None:
        return f"No advice: {refused}. {_cure(trials, spec, len(sample), needed)}"
    if not spec.space.free:
        return "No advice: the study varies no parameter; give one of [space] several values."
    return f"No advice: energy cannot be explained: {refused}."


def _nothing_to_explain(trials: "pd.DataFrame", spec: StudySpec) -> str:
    """Why no trial's energy can be used at all."""
    complete = trials[trials["state"] == TrialState.COMPLETE]
    if not len(complete):
        return "no trial has been completed"
    inside = complete[complete["in_space"]]
    if not len(inside):
        return f"all of {counted(len(complete), 'completed trial')} have values outside the study's space"
    measured = inside[inside["energy_wh"].notna()]
    if not len(measured):
        reasons = inside["energy_missing"].dropna().tolist() if "energy_missing" in inside else []
        why = f" ({reasons[0]})" if reasons else ""
        return f"no completed trial has a measured energy_wh{why}; `greenopt doctor` says what can be measured here"
    if not (measured["energy_wh"] > 0).any():
        return f"energy_wh is 0 in all of {counted(len(measured), 'completed trial')}"
    return f"no completed trial has energy_wh and trained the study's {counted(spec.training.epochs, 'epoch')}"


def _cure(trials: "pd.DataFrame", spec: StudySpec, usable: int, needed: int) -> str:
    """How to come to as many trials as are needed, if as many of them can be used as until now."""
    ended = int(trials["state"].isin(FINISHED_STATES).sum())
    if "run" in trials and trials["run"].notna().any():
        return f"Import at least {needed} such trials."
    total = max(math.ceil(needed * ended / usable), ended + needed - usable)
    file = f"studies/{spec.study.name}.toml"
    if total <= spec.study.trials:
        return f"The study has not ended: `greenopt run {file}` goes on with it."
    return f"`greenopt run {file} --trials {total}` goes on until there are enough."
