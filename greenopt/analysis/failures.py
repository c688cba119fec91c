"""Trials that failed because of their setting: which they are, and their share by value and by pair of values.

A regression of completed trials describes trials that can be completed: a value that diverges in a quarter of its
settings looks as good there as in the other three. Failures for reasons outside the setting, such as an interruption,
say nothing and are in no share.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import pandas as pd
from scipy import stats

from greenopt.analysis.results import FailureShare
from greenopt.events import FailReason
from greenopt.spec import Choice, StudySpec, Value
from greenopt.storage.trial_state import STOPPED, TrialState

OF_THE_SETTING = frozenset((FailReason.OUT_OF_MEMORY, FailReason.CRASH, FailReason.TIMEOUT, FailReason.WRONG_SETTING))
"""Reasons that a setting can be the cause of."""
LEVEL = 0.95
Item = tuple[str, Value]


def failed_trials(trials: "pd.DataFrame") -> "pd.Series[bool]":
    """Return which trials inside the space diverged, or failed because of their setting."""
    failed = trials["state"] == TrialState.FAIL
    # A failure without a reason on record counts against its setting.
    because = (
        trials["fail_reason"].isin(list(OF_THE_SETTING)) | trials["fail_reason"].isna()
        if "fail_reason" in trials
        else True
    )
    diverged = (trials["state"] == TrialState.PRUNED) & ~stopped_trials(trials)
    return trials["in_space"] & (diverged | (failed & because))


def stopped_trials(trials: "pd.DataFrame") -> "pd.Series[bool]":
    """Return which trials were stopped early, or not started, although nothing had failed."""
    reasons = trials["stop_reason"] if "stop_reason" in trials else pd.Series(None, index=trials.index, dtype=object)
    return (trials["state"] == TrialState.PRUNED) & reasons.isin(STOPPED)


def forecast_accuracies(trials: "pd.DataFrame") -> "pd.Series[float]":
    """Return the accuracies that were forecast for stopped trials: what they had reached, where nothing was.

    Returns:
        NaN for all other trials, and for those that were not started.
    """
    reached = trials["accuracy"].astype(float)
    forecast = pd.to_numeric(trials["forecast_accuracy"]) if "forecast_accuracy" in trials else reached
    return forecast.fillna(reached).where(stopped_trials(trials))


def tried_in_vain(trials: "pd.DataFrame", spec: StudySpec) -> tuple[dict[str, Value], ...]:
    """Return the values and pairs of values that no trial has completed with: all diverged, failed or were stopped."""
    return only_failed(_shares(trials, spec, failed_trials(trials) | (stopped_trials(trials) & trials["in_space"])))


def failure_shares(trials: "pd.DataFrame", spec: StudySpec) -> tuple[FailureShare, ...]:
    """Count failures by value, and by pair of values where any trial failed; the largest share first.

    Args:
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.

    Returns:
        Empty where no trial failed because of its setting.
    """
    return _shares(trials, spec, failed_trials(trials))


def _shares(trials: "pd.DataFrame", spec: StudySpec, failed: "pd.Series[bool]") -> tuple[FailureShare, ...]:
    if not failed.any():
        return ()
    judged = trials[failed | ((trials["state"] == TrialState.COMPLETE) & trials["in_space"])]
    names = [name for name, distribution in spec.space.free.items() if isinstance(distribution, Choice)]
    tried: Counter[tuple[Item, ...]] = Counter()
    lost: Counter[tuple[Item, ...]] = Counter()
    for row, is_lost in zip(judged[names].to_dict(orient="records"), failed[judged.index], strict=True):
        # A setting has not every parameter.
        items = [*_within([(name, row[name]) for name in names if not pd.isna(row[name])])]
        tried.update(items)
        lost.update(items if is_lost else ())
    shares = [_share(items, count, lost[items]) for items, count in tried.items() if len(items) == 1 or lost[items]]
    return tuple(sorted(shares, key=lambda one: (one.second is not None, -one.share, -one.trials)))


def _within(items: Sequence[Item]) -> Iterable[tuple[Item, ...]]:
    """Return every value and every pair of values of a setting."""
    yield from ((item,) for item in items)
    yield from combinations(items, 2)


def _share(items: tuple[Item, ...], trials: int, failed: int) -> FailureShare:
    interval = stats.binomtest(failed, trials).proportion_ci(LEVEL, method="wilson")
    (parameter, value), (second, second_value) = items[0], items[1] if len(items) > 1 else (None, None)
    return FailureShare(
        parameter, value, second, second_value, trials, failed, float(interval.low), float(interval.high)
    )


def only_failed(shares: Iterable[FailureShare]) -> tuple[dict[str, Value], ...]:
    """Return the values and pairs of values whose trials have all failed, each as a part of a setting."""
    return tuple(dict(one.items) for one in shares if one.failed == one.trials)


def has_only_failed(setting: Mapping[str, Value], parts: Iterable[Mapping[str, Value]]) -> bool:
    """Return whether a setting has a value or pair whose trials have all failed."""
    return any(all(setting.get(name) == value for name, value in part.items()) for part in parts)
