"""Values of the best trials: one row per trial, one column per parameter value, sorted by a metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import GREY, SCALE, new_figure, plain_log_colours, shortened
from greenopt.report.report_data import Floats, ReportData
from greenopt.spec import Choice, SearchSpace

ROWS = 150
"""Of more trials, neighbours in the order share a row, whose cells are shaded by the share that has the value."""
RANGE_BINS = 4
_WIDE = 30.0


@dataclass(frozen=True, eq=False)
class _Column:
    parameter: str
    label: str
    has: npt.NDArray[np.float64]


def settings_by_accuracy(report_data: ReportData) -> Picture:
    """Draw the settings sorted by accuracy, the best trials on top."""
    return _matrix(
        report_data, "settings-accuracy", "Settings, sorted by accuracy", "accuracy", "accuracy", falling=True
    )


def settings_by_power_draw(report_data: ReportData) -> Picture:
    """Draw the settings sorted by energy per epoch, the lowest on top."""
    label = f"Wh per epoch{report_data.energy_mark}"
    title = "Settings, sorted by power draw"
    return _matrix(report_data, "settings-power-draw", title, "wh_per_epoch", label, falling=False)


def settings_by_efficiency(report_data: ReportData) -> Picture:
    """Draw the settings sorted by efficiency, the most efficient trials on top."""
    label = f"accuracy / Wh per epoch (1/Wh){report_data.energy_mark}"
    return _matrix(
        report_data, "settings-efficiency", "Settings, sorted by efficiency", "efficiency", label, falling=True
    )


def _matrix(report_data: ReportData, slug: str, title: str, column: str, label: str, *, falling: bool) -> Picture:
    values = report_data.column(column)
    order = np.argsort(-values if falling else values, kind="stable")[: int(np.isfinite(values).sum())]
    if not len(order):
        return SkippedFigure(slug, title, "no completed trial has this figure")
    columns = _columns(report_data.analysis.study.space, report_data.complete.iloc[order])
    if not columns:
        return SkippedFigure(slug, title, "no parameter of the space varies")
    groups = np.array_split(np.arange(len(order)), min(ROWS, len(order)))
    shares = np.array([[one.has[group].mean() for one in columns] for group in groups])
    means = np.array([values[order][group].mean() for group in groups])
    figure, (axis,) = new_figure(height_in=min(6.6, 2.2 + 0.03 * len(groups)))
    _draw(axis, shares, means, columns, label)
    best = {True: "highest", False: "lowest"}[falling]
    caption = f"One row per trial, the {best} on top; a filled cell: the trial has that value."
    if len(groups) < len(order):
        caption = (
            f"{len(order):,} trials in {len(groups)} rows, the {best} on top; the fuller a cell, the more trials of "
            "that row have that value."
        )
    return Drawing(slug, title, sentences(caption, report_data.energy_note if column != "accuracy" else ""), figure)


def _draw(axis: Axes, shares: Floats, means: Floats, columns: Sequence[_Column], label: str) -> None:
    rows = len(shares)
    wide = label != "accuracy" and means.min() > 0 and means.max() / means.min() > _WIDE
    low, high = float(means.min()), float(means.max())
    scale = LogNorm(low, high) if wide else Normalize(low, high if high > low else low + 1)
    picture = axis.imshow(
        np.repeat(means[:, None], len(columns), axis=1),
        alpha=np.clip(shares, 0, 1),
        cmap=SCALE,
        norm=scale,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, len(columns) - 0.5, rows - 0.5, -0.5),
    )
    axis.grid(visible=False)
    axis.set_xticks(range(len(columns)), [one.label for one in columns], rotation=90, fontsize=6)
    axis.set_yticks([0, rows - 1] if rows > 1 else [0], ["first", "last"] if rows > 1 else ["only"])
    axis.set_ylabel("trials in this order")
    starts = [i for i, one in enumerate(columns) if i == 0 or one.parameter != columns[i - 1].parameter]
    for start, end in zip(starts, [*starts[1:], len(columns)], strict=True):
        axis.text(
            (start + end - 1) / 2,
            1.015,
            shortened(columns[start].parameter, 20),
            transform=axis.get_xaxis_transform(),
            ha="left",
            va="bottom",
            fontsize=6,
            rotation=30,
            rotation_mode="anchor",
        )
        if start:
            axis.axvline(start - 0.5, color=GREY, linewidth=0.6)
    colours = axis.figure.colorbar(picture, ax=axis, pad=0.01, alpha=1)
    colours.set_label(label)
    colours.outline.set_visible(False)
    if wide:
        plain_log_colours(colours)


def _columns(space: SearchSpace, trials: pd.DataFrame) -> list[_Column]:
    found: list[_Column] = []
    for parameter, distribution in space.free.items():
        if parameter not in trials:
            continue
        values = trials[parameter]
        if isinstance(distribution, Choice):
            others = [value for value in dict.fromkeys(values.dropna()) if value not in distribution.values]
            known = [*distribution.values, *others]
            found += [
                _Column(parameter, shortened(v, 20), (values == v).fillna(False).to_numpy(dtype=float)) for v in known
            ]
        else:
            found += _binned(parameter, values)
    return found


def _binned(parameter: str, values: pd.Series) -> list[_Column]:
    """Divide a range into bins with equally many trials in each."""
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, RANGE_BINS + 1)))
    if len(edges) < 2:
        return [_Column(parameter, f"{edges[0]:.3g}", np.isfinite(numbers).astype(float))]
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    labels = [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]
    has_one = np.isfinite(numbers)
    return [_Column(parameter, label, ((place == index) & has_one).astype(float)) for index, label in enumerate(labels)]
