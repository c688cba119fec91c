"""Plots of the interactions that an analysis names: means of one parameter's values at each value of another."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from greenopt.analysis.results import FOUND, Explained, Interaction, Regression, Response
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.effects import READ_FIRST
from greenopt.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    make_log,
    new_figure,
    plain,
    shortened,
)
from greenopt.report.report_data import ReportData
from greenopt.spec import Choice, StudySpec

PAIRS_DRAWN = 3
"""The clearest so many pairs, as many as the advice names."""
_GROUPS = 3
"""A range is divided into so many groups of equally many trials."""
_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
_TITLES: dict[Explained, str] = {
    Response.LOG_ENERGY_WH: "energy",
    Response.ACCURACY: "accuracy",
    Response.EFFICIENCY: "efficiency",
}
_MEASURED: dict[Explained, str] = {
    Response.LOG_ENERGY_WH: "energy_wh",
    Response.ACCURACY: "accuracy",
    Response.EFFICIENCY: "efficiency",
}


def interaction_slug(response: Explained) -> str:
    """Return the file's name of the interactions in a response."""
    return f"interactions-{str(response).replace('_', '-')}"


def named_interactions(fit: Regression) -> tuple[Interaction, ...]:
    """Return the interactions of a regression that stand out after Holm's correction, the clearest first."""
    return tuple(one for one in fit.interactions if one.p_holm < FOUND)


def interactions(report_data: ReportData, response: Explained) -> Picture:
    """Draw the clearest interactions in a response; skipped where none stands out."""
    slug, title = interaction_slug(response), f"Interactions in {_TITLES[response]}"
    fit = report_data.analysis.regressions.get(response, {}).get(READ_FIRST)
    if fit is None:
        return SkippedFigure(slug, title, "this regression was not fitted")
    pairs = named_interactions(fit)
    if not pairs:
        return SkippedFigure(slug, title, "no pair of parameters stands out")
    shown = pairs[:PAIRS_DRAWN]
    figure, axes = new_figure(len(shown), height_in=3.0, share_y=True)
    trials = report_data.analysis.trials
    trials = trials[trials["trial"].isin(list(fit.fitted))]
    for axis, pair in zip(axes, shown, strict=True):
        _draw(axis, trials, pair, report_data.analysis.study, response)
    unit: dict[Explained, str] = {
        Response.LOG_ENERGY_WH: f"energy (Wh){report_data.energy_mark}",
        Response.EFFICIENCY: "efficiency (1/Wh)",
    }
    axes[0].set_ylabel(unit.get(response, "validation accuracy"))
    if response is Response.LOG_ENERGY_WH:
        make_log(axes[0], "y")
    more = len(pairs) - len(shown)
    mean = "geometric means" if response is Response.LOG_ENERGY_WH else "means"
    caption = (
        f"Points: {mean} with 95 % intervals (Student's t) where two or more trials have both values; lines that are "
        "not parallel: the effect of one parameter depends on the other.",
        f"{more} more {'pair stands' if more == 1 else 'pairs stand'} out." if more else "",
        "" if response is Response.ACCURACY else report_data.energy_note,
    )
    return Drawing(slug, title, sentences(*caption), figure)


def _draw(axis: Axes, trials: pd.DataFrame, pair: Interaction, spec: StudySpec, response: Explained) -> None:
    first, second = _grouped(trials, pair.first, spec), _grouped(trials, pair.second, spec)
    values = trials[_MEASURED[response]].to_numpy(dtype=float, na_value=np.nan)
    levels, lines = list(dict.fromkeys(sorted(first.dropna()))), list(dict.fromkeys(sorted(second.dropna())))
    for index, line in enumerate(lines):
        offset = 0.12 * (index - (len(lines) - 1) / 2)
        means = [_mean(values[((first == at) & (second == line)).to_numpy()], response) for at in levels]
        known = [(place + offset, *mean) for place, mean in enumerate(means) if mean is not None]
        if not known:
            continue
        x, middle, low, high = (np.array(each) for each in zip(*known, strict=True))
        colour = _COLOURS[index % len(_COLOURS)]
        axis.plot(x, middle, marker="o", markersize=3, color=colour, label=line[1])
        axis.vlines(x, low, high, color=colour, linewidth=0.9)
    axis.set_xticks(range(len(levels)), [label for _, label in levels], rotation=30, ha="right", fontsize=6)
    axis.set_xlim(-0.5, len(levels) - 0.5)
    axis.set_xlabel(shortened(pair.first, 26))
    title = shortened(pair.second, 26)
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=6, title=title, title_fontsize=6.5)


def _mean(
    values: "np.ndarray[tuple[int], np.dtype[np.float64]]", response: Explained
) -> tuple[float, float, float] | None:
    """Return the mean of a group and the bounds of its 95 % interval; all three equal for a single trial."""
    known = values[np.isfinite(values)]
    is_log = response is Response.LOG_ENERGY_WH
    known = np.log(known[known > 0]) if is_log else known
    if not len(known):
        return None
    half = 0.0
    if len(known) > 1:
        half = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    middle = float(known.mean())
    bounds = (middle, middle - half, middle + half)
    return tuple(float(np.exp(one)) for one in bounds) if is_log else bounds  # type: ignore[return-value]


def _grouped(trials: pd.DataFrame, parameter: str, spec: StudySpec) -> pd.Series:
    """Return each trial's value as (place in order, label); ranges in groups of equally many trials."""
    name = f"effective_{parameter}" if f"effective_{parameter}" in trials else parameter
    values = trials[name]
    distribution = spec.space.distributions[parameter]
    if isinstance(distribution, Choice):
        listed = [*distribution.values, *(v for v in dict.fromkeys(values.dropna()) if v not in distribution.values)]
        place = {value: index for index, value in enumerate(listed)}
        shown = [None if pd.isna(value) else (place[value], shortened(value, 18)) for value in values]
        return pd.Series(shown, index=values.index, dtype="object")
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _GROUPS + 1)))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(0, len(edges) - 2))
    labels = [plain(f"{low:.2g} to {high:.2g}") for low, high in pairwise(edges)] or ["all"]
    shown = [None if np.isnan(number) else (int(each), labels[each]) for number, each in zip(numbers, at, strict=True)]
    return pd.Series(shown, index=values.index, dtype="object")
