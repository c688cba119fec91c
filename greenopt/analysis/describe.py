"""Statistics, rankings, the Pareto front and correlations of the completed trials."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
from scipy import stats

from greenopt.analysis.results import Correlation, Descriptive, Hypervolume, Ranked
from greenopt.analysis.trials import plain_setting
from greenopt.front import ENERGIES, StudyFront, plane_of
from greenopt.pareto import HypervolumeTrace, ParetoFront, Point, hypervolume
from greenopt.spec import Direction, StudySpec
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import accuracy_caution

BEST = 5
DESCRIBED = (
    *("accuracy", "test_accuracy", "energy_wh", "total_wh", "wh_per_epoch", "efficiency"),
    *("avg_power_w", "seconds", "train_accuracy", "epochs_done"),
)
CORRELATED = (
    *(("energy_wh", "accuracy"), ("wh_per_epoch", "accuracy"), ("seconds", "energy_wh"), ("seconds", "accuracy")),
    *(("avg_power_w", "energy_wh"), ("train_accuracy", "accuracy"), ("accuracy", "test_accuracy")),
)
MIN_FOR_INTERVAL = 4


def completed(trials: "pd.DataFrame") -> "pd.DataFrame":
    """Return the completed trials."""
    return trials[trials["state"] == TrialState.COMPLETE]


def described(trials: "pd.DataFrame", spec: StudySpec) -> dict[str, Descriptive]:
    """Compute statistics of each column that any completed trial has."""
    found = {}
    for name in dict.fromkeys([*DESCRIBED, *plane_of(spec).others]):
        values = completed(trials)[name].dropna().astype(float)
        if len(values):
            std = float(values.std(ddof=1)) if len(values) > 1 else None
            least, middle, mean, most = (values.agg(how) for how in ("min", "median", "mean", "max"))
            found[name] = Descriptive(len(values), float(least), float(middle), float(mean), float(most), std)
    return found


def energy_column(trials: "pd.DataFrame", spec: StudySpec) -> str:
    """Return the energy column that trials are compared by: the study's objective, or the first present."""
    objectives = [str(metric) for metric in ENERGIES if spec.objectives.get(metric) is Direction.MINIMIZE]
    candidates = [*objectives, "energy_wh", "wh_per_epoch", "total_wh"]
    return next((name for name in candidates if completed(trials)[name].notna().any()), "energy_wh")


def ranked(trials: "pd.DataFrame", spec: StudySpec) -> dict[str, tuple[Ranked, ...]]:
    """Rank the best five completed trials by accuracy, by least energy, by efficiency, and by each other objective."""
    energy = energy_column(trials, spec)
    by = {"accuracy": ("accuracy", False), "energy": (energy, True), "efficiency": ("efficiency", False)}
    by |= {name: (name, spec.objectives[name] is Direction.MINIMIZE) for name in _unranked(spec, energy)}
    return {name: _best(trials, spec, *how) for name, how in by.items()}


def _unranked(spec: StudySpec, energy: str) -> list[str]:
    return [str(name) for name in spec.objectives if name not in ("accuracy", energy, "efficiency")]


def _best(trials: "pd.DataFrame", spec: StudySpec, column: str, ascending: bool) -> tuple[Ranked, ...]:
    having = completed(trials).dropna(subset=[column])
    best = having.sort_values([column, "trial"], ascending=[ascending, True], kind="stable").head(BEST)
    return tuple(ranked_row(row, spec, column) for row in best.to_dict(orient="records"))


def ranked_row(row: Mapping[Any, Any], spec: StudySpec, column: str) -> Ranked:
    """Return a trial's row for a ranking by a column."""
    return Ranked(
        trial=int(row["trial"]),
        value=float(row[column]),
        params=plain_setting(row, tuple(spec.space.distributions)),
        accuracy=_number(row.get("accuracy")),
        energy_wh=_number(row.get("energy_wh")),
        efficiency=_number(row.get("efficiency")),
        run=_text(row.get("run")),
        energy_source=_text(row.get("energy_source")),
        wh_per_epoch=_number(row.get("wh_per_epoch")),
        version=_text(row.get("version_letter")),
        caution=accuracy_caution(spec, row) or None,
        figures={name: _number(row.get(name)) for name in plane_of(spec).others},
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) else str(value)


def build_points(trials: "pd.DataFrame", column: str) -> list[Point]:
    """Return the completed trials that have accuracy and energy, in the order of their numbers."""
    having = completed(trials).dropna(subset=[column, "accuracy"]).sort_values("trial")
    rows = zip(having[column], having["accuracy"], having["trial"], strict=True)
    return [Point(float(energy), float(accuracy), int(trial)) for energy, accuracy, trial in rows]


def build_front(trials: "pd.DataFrame", spec: StudySpec) -> tuple[Ranked, ...]:
    """Return the Pareto front: of accuracy against energy, least energy first, or of the study's other objectives."""
    if not plane_of(spec).is_accuracy_for_energy:
        by_trial = trials.set_index("trial", drop=False)
        first, front_trials = str(next(iter(spec.objectives))), _study_front(trials, spec)[0].trials
        return tuple(ranked_row(by_trial.loc[trial].to_dict(), spec, first) for trial in front_trials)
    column = energy_column(trials, spec)
    front = ParetoFront(build_points(trials, column)).points
    rows = trials.set_index("trial", drop=False)
    return tuple(ranked_row(rows.loc[point.trial].to_dict(), spec, column) for point in front)


def build_hypervolume(trials: "pd.DataFrame", spec: StudySpec) -> Hypervolume:
    """Return the hypervolume and its growth."""
    if not plane_of(spec).is_accuracy_for_energy:
        found, taken = _study_front(trials, spec)
        return Hypervolume(found.value, None, _after(found.values(), taken), box=found.box)
    points = build_points(trials, energy_column(trials, spec))
    if not points:
        return Hypervolume(None, None)
    trace = HypervolumeTrace()
    for point in points:
        trace.add(point)
    after = _after(trace.values(), [point.trial for point in points])
    front = trace.front
    return Hypervolume(hypervolume(points), front.reference_wh, after, front.least_wh)


def _study_front(trials: "pd.DataFrame", spec: StudySpec) -> tuple[StudyFront, list[int]]:
    """Return the front of a study's objectives, and the trials that have all of them, by number."""
    names = [str(name) for name in spec.objectives]
    having = completed(trials).dropna(subset=names).sort_values("trial")
    front = StudyFront(spec)
    for row in having[[*names, "trial"]].to_dict(orient="records"):
        front.add({str(name): value for name, value in row.items()})
    return front, [int(number) for number in having["trial"]]


def _after(steps: Sequence[tuple[int, float]], trials: Sequence[int]) -> dict[int, float]:
    """Return the hypervolume after each trial; empty where there is none."""
    after: dict[int, float] = {}
    left = iter([*steps, (math.inf, 0.0)]) if steps else iter(())
    now, (count, later) = 0.0, next(left, (math.inf, 0.0))
    for position, trial in enumerate(trials, 1):
        while position >= count:
            now, (count, later) = later, next(left)
        after[trial] = now
    return after if steps else {}


def pairs_of(spec: StudySpec) -> tuple[tuple[str, str], ...]:
    """Return the columns to be correlated: the usual ones, each other objective with energy, and with one another."""
    names = plane_of(spec).others
    return (*CORRELATED, *((name, "energy_wh") for name in names), *combinations(names, 2))


def correlations(trials: "pd.DataFrame", pairs: Iterable[tuple[str, str]] = CORRELATED) -> tuple[Correlation, ...]:
    """Compute correlations of pairs of columns over completed trials; undefined ones are left out."""
    found = (_correlation(completed(trials)[[first, second]].dropna().astype(float)) for first, second in pairs)
    return tuple(correlation for correlation in found if correlation is not None)


def _correlation(both: "pd.DataFrame") -> Correlation | None:
    first, second = both.columns
    if len(both) < MIN_FOR_INTERVAL or both[first].nunique() < 2 or both[second].nunique() < 2:
        return None
    pearson = stats.pearsonr(both[first], both[second])
    interval = pearson.confidence_interval(0.95)
    spearman = stats.spearmanr(both[first], both[second])
    return Correlation(
        first=str(first),
        second=str(second),
        n=len(both),
        pearson=float(pearson.statistic),
        low=float(interval.low),
        high=float(interval.high),
        p=float(pearson.pvalue),
        spearman=float(spearman.statistic),
        spearman_p=float(spearman.pvalue),
    )
