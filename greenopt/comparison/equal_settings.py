"""Differences between two studies over settings that both have run: paired, so that what settings do cancels out."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from greenopt.comparison.read import ComparedStudy
from greenopt.spec import SearchSpace

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean difference over pairs of equal settings; `low` and `high` bound its 95 % interval (Student's t).

    Attributes:
        n: pairs of settings.
        low, high: None for a single pair, which shows no spread.
    """

    n: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """What the same settings came to in another study than the first.

    Attributes:
        first, other: the studies' names.
        shared: parameters that both spaces have, whose values make settings equal.
        unshared: parameters that one space alone has; their values are not looked at.
        settings: how many settings of the shared parameters both have completed.
        accuracy: other less first, as a fraction; None without a pair.
        log_energy: log of other's energy over first's, so that exp(mean) is a ratio; None without a pair.
    """

    first: str
    other: str
    shared: tuple[str, ...]
    unshared: tuple[str, ...]
    settings: int
    accuracy: Estimate | None
    log_energy: Estimate | None


def compare_equal_settings(first: ComparedStudy, other: ComparedStudy, energy: str | None) -> Difference:
    """Compare two studies over equal settings.

    Args:
        first: the study that is compared with.
        other: the study whose difference is told.
        energy: the column of the energies, in Wh; None to compare accuracies alone.
    """
    spaces = [list(study.spec.space.distributions) for study in (first, other)]
    shared = tuple(name for name in spaces[0] if name in spaces[1])
    unshared = tuple(name for names in spaces for name in names if name not in shared)
    spaces_of_both = [study.spec.space for study in (first, other)]
    ours, theirs = (_by_setting(study, shared, energy, spaces_of_both) for study in (first, other))
    both = [key for key in ours if key in theirs] if shared else []
    return Difference(
        first=first.name,
        other=other.name,
        shared=shared,
        unshared=unshared,
        settings=len(both),
        accuracy=_estimate([theirs[key][0] - ours[key][0] for key in both]),
        log_energy=_estimate([theirs[key][1] - ours[key][1] for key in both]),
    )


def _by_setting(
    study: ComparedStudy, shared: tuple[str, ...], energy: str | None, spaces: Sequence[SearchSpace]
) -> dict[tuple[Hashable, ...], tuple[float, float]]:
    """Return mean accuracy and mean log energy by setting, NaN where none is known."""
    complete = study.complete
    groups: dict[tuple[Hashable, ...], list[tuple[float, float]]] = {}
    energies = complete[energy].to_numpy(dtype=float, na_value=np.nan) if energy else np.full(len(complete), np.nan)
    accuracies = complete["accuracy"].to_numpy(dtype=float, na_value=np.nan)
    rows = complete[list(shared)].to_dict(orient="records")
    # What one of the studies leaves out of a setting does nothing in the other one.
    left_out = [{name for space in spaces for name in space.left_out(row)} for row in rows]
    settings = [
        [None if name in unused else row[name] for name in shared] for row, unused in zip(rows, left_out, strict=True)
    ]
    for setting, accuracy, energy_wh in zip(settings, accuracies, energies, strict=True):
        log_wh = math.log(energy_wh) if energy_wh > 0 else math.nan
        groups.setdefault(tuple(_key(value) for value in setting), []).append((float(accuracy), log_wh))
    return {key: (_mean([a for a, _ in each]), _mean([e for _, e in each])) for key, each in groups.items()}


def _key(value: object) -> Hashable:
    """Return a value as it is compared: 1 and 1.0 are equal, True and 1 and "1" are not."""
    if value is None or value != value:
        return "left out", None
    if isinstance(value, bool | np.bool_):
        return "bool", bool(value)
    if isinstance(value, int | float | np.number):
        return "number", float(f"{float(value):.12g}")
    return "text", str(value)


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _estimate(differences: list[float]) -> Estimate | None:
    known = np.array([each for each in differences if math.isfinite(each)])
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(1, mean, None, None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Estimate(len(known), mean, mean - half, mean + half)
