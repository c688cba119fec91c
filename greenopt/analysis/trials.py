"""The trials of an analysis: effective values, and which trials each calculation uses."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from greenopt.analysis.results import Counts, Exclusion, Explained, Response
from greenopt.events import FailReason
from greenopt.spec import StudySpec, Value
from greenopt.storage.trial_state import FINISHED_STATES, STOPPED, TrialState

LOG_ENERGY = Response.LOG_ENERGY_WH
_TOTALS = (Response.ENERGY_WH, Response.LOG_ENERGY_WH)
_AMOUNTS_TO = {"precision": "float32", "lr_schedule": "constant", "optimizer_momentum": None}
"""What an inert value of a parameter is as good as; None where the parameter as a whole does nothing."""


def effective(parameter: str) -> str:
    """Return the name of the column with a parameter's effective value."""
    return f"effective_{parameter}"


def effective_setting(setting: Mapping[Any, Any], inert: Collection[str]) -> dict[str, Any]:
    """Return a setting with the values that do nothing in it set to what they amount to."""
    return {name: _AMOUNTS_TO.get(name) if name in inert else value for name, value in setting.items()}


def analysed_trials(spec: StudySpec, rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return the trials with the columns that `Analysis.trials` documents, all but `on_front`."""
    space = spec.space.distributions
    always = ("trial", "state", *space, *(effective(name) for name in space), "in_space", "energy_source")
    frame = pd.DataFrame([_whole(row, spec) for row in rows])
    frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *always])))
    numbers = ("accuracy", "energy_wh", "test_accuracy", "wh_per_epoch", "efficiency", "avg_power_w", "seconds")
    beside = ("train_accuracy", "total_wh", "epochs_done", "uncertainty_wh", "coverage")
    for name in dict.fromkeys((*numbers, *beside, *map(str, spec.objectives))):
        frame[name] = pd.to_numeric(frame[name]) if name in frame else float("nan")
    for name in (each for known in spec.space.conditions for each in (known, effective(known))):
        # Whole numbers stay whole beside trials whose setting does not have the parameter.
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    frame["in_space"] = frame["in_space"].astype(bool)
    frame["in_regressions"] = (frame["state"] == TrialState.COMPLETE) & frame["in_space"]
    return frame


def _whole(row: Mapping[str, Any], spec: StudySpec) -> dict[str, Any]:
    inert = str(row.get("inert") or "").split()
    space = spec.space.distributions
    values = {effective(name): _AMOUNTS_TO.get(name) if name in inert else row.get(name) for name in space}
    return {**row, **values, "in_space": spec.space.holds(row)}


def count_trials(trials: "pd.DataFrame", spec: StudySpec) -> Counts:
    """Return how many trials there are of each kind."""
    states = Counter(trials["state"]) if len(trials) else Counter()
    skipped = int((trials["fail_reason"] == FailReason.DUPLICATE).sum()) if "fail_reason" in trials else 0
    complete = trials[trials["state"] == TrialState.COMPLETE] if len(trials) else trials
    names = list(spec.space.distributions)
    settings = Counter(
        tuple(sorted(spec.space.trimmed(row).items())) for row in complete[names].to_dict(orient="records")
    )
    return Counts(
        trials=len(trials),
        complete=states[TrialState.COMPLETE],
        pruned=states[TrialState.PRUNED],
        failed=states[TrialState.FAIL] - skipped,
        unfinished=len(trials) - sum(states[state] for state in FINISHED_STATES),
        excluded=states[TrialState.EXCLUDED],
        duplicates_skipped=skipped,
        outside_space=int((~complete["in_space"]).sum()) if len(complete) else 0,
        settings=len(settings),
        replicated_settings=sum(1 for count in settings.values() if count > 1),
    )


@dataclass(frozen=True)
class Sample:
    """The trials that a regression of one response is fitted to.

    Attributes:
        trials: their rows.
        response: the values to be explained, in the rows' order.
    """

    trials: "pd.DataFrame"
    response: "pd.Series[float]"


def response_values(response: Explained, trials: "pd.DataFrame") -> "pd.Series[float]":
    """Return a response of trials; missing where it was not measured."""
    if response is not LOG_ENERGY:
        return trials[str(response)].astype(float)
    energy_wh = trials["energy_wh"].astype(float)
    return pd.Series(np.log(energy_wh.where(energy_wh > 0)), index=trials.index)


def build_sample(response: Explained, trials: "pd.DataFrame", spec: StudySpec) -> Sample:
    """Return the trials whose response can be explained: completed, inside the space, of the study's length."""
    chosen = trials[trials["in_regressions"]]
    if response in _TOTALS:
        chosen = chosen[~other_length(chosen, spec)]
    values = response_values(response, chosen)
    return Sample(chosen[values.notna()], values[values.notna()])


def other_length(trials: "pd.DataFrame", spec: StudySpec) -> "pd.Series[bool]":
    """Return whether a trial trained another number of epochs than the study."""
    # Studies that were imported from tables without epochs once had 0 of them.
    planned = spec.training.epochs if "epochs" not in spec.varied else trials["epochs"].astype(float)
    return (trials["epochs_done"] > 0) & (trials["epochs_done"] != planned)


_STOPPED_LEFT_OUT = "means, rankings and regressions; alternative fits count them"


def find_exclusions(trials: "pd.DataFrame", spec: StudySpec) -> tuple[Exclusion, ...]:
    """Return which trials are excluded from which calculation, and why."""
    if not len(trials):
        return ()
    early = trials[trials["state"] == TrialState.PRUNED]
    why = early["stop_reason"].fillna("unknown") if "stop_reason" in early else pd.Series("unknown", index=early.index)
    found = [
        _exclusion(
            group,
            f"stopped early: {reason}" if reason != "unknown" else "stopped early",
            _STOPPED_LEFT_OUT if reason in STOPPED else "everything but counts",
        )
        for reason, group in early.groupby(why)
    ]
    failed = trials[trials["state"] == TrialState.FAIL]
    reasons = failed["fail_reason"].fillna("unknown") if "fail_reason" in failed else None
    if reasons is not None and len(failed):
        for reason, group in failed.groupby(reasons):
            found.append(_exclusion(group, f"failed: {reason}", "everything but counts"))
    excluded = trials[trials["state"] == TrialState.EXCLUDED]
    if len(excluded):
        for why, group in excluded.groupby(excluded["excluded"].fillna("no reason kept")):
            found.append(_exclusion(group, f"excluded by you: {why}", "everything but counts"))
    unfinished = trials[~trials["state"].isin(FINISHED_STATES)]
    found.append(_exclusion(unfinished, "not ended yet", "everything but counts"))
    complete = trials[trials["state"] == TrialState.COMPLETE]
    found += _outside(complete[~complete["in_space"]], spec)
    regressed = complete[complete["in_regressions"]]
    found.append(
        _exclusion(
            regressed[other_length(regressed, spec)],
            f"trained another number of epochs than {spec.epochs_text}",
            ", ".join(_TOTALS),
        )
    )
    found += _unmeasured(regressed)
    return tuple(exclusion for exclusion in found if exclusion.trials)


def _unmeasured(regressed: "pd.DataFrame") -> list[Exclusion]:
    """Return the exclusions of trials without a response that others have, merged by trials."""
    lacking: dict[tuple[int, ...], list[str]] = {}
    for response in Response:
        missing = regressed["trial"][response_values(response, regressed).isna()]
        if len(missing) < len(regressed):
            lacking.setdefault(tuple(int(number) for number in missing), []).append(response)
    return [Exclusion(trials, "not measured", ", ".join(responses)) for trials, responses in lacking.items()]


def _outside(trials: "pd.DataFrame", spec: StudySpec) -> list[Exclusion]:
    found: dict[str, list[int]] = {}
    for row in trials.to_dict(orient="records"):
        left_out = spec.space.left_out(row)
        outside = [
            (name, row[name])
            for name, distribution in spec.space.distributions.items()
            if name not in left_out and not distribution.holds(row[name])
        ]
        text = ", ".join(f"{name} = {value}" for name, value in outside)
        found.setdefault(f"{text} is outside the study's space", []).append(int(row["trial"]))
    return [Exclusion(tuple(numbers), text, "regressions") for text, numbers in found.items()]


def _exclusion(trials: "pd.DataFrame", reason: str, left_out_of: str) -> Exclusion:
    return Exclusion(tuple(int(number) for number in trials["trial"]), reason, left_out_of)


def plain_setting(row: Mapping[Any, Any], parameters: Sequence[str]) -> dict[str, Value]:
    """Return a trial's setting as plain values; without parameters that it does not have."""
    values = {name: value.item() if hasattr(value := row[name], "item") else value for name in parameters}
    return {name: value for name, value in values.items() if value is not None and value == value}
