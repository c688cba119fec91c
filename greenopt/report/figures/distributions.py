"""Distributions of metrics over the completed trials."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from greenopt.formatting import fixed_digits
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import BLUE, GREEN, GREY, ORANGE, legend_above, new_figure, whole_numbers
from greenopt.report.report_data import Floats, ReportData

_MAX_BINS = 40
_BOX = 1.12


def distributions(report_data: ReportData) -> Picture:
    """Draw the distributions of power draw and accuracy, with quartiles."""
    slug, title = "distributions", "Distributions of power draw and accuracy"
    draw, accuracy = _known(report_data, "wh_per_epoch"), _known(report_data, "accuracy")
    if not len(draw) and not len(accuracy):
        return SkippedFigure(slug, title, "no trial completed")
    figure, (left, right) = new_figure(2, share_y=True)
    _cumulative(left, draw, GREEN)
    _cumulative(right, accuracy, BLUE)
    left.set(xlabel=f"power draw (Wh per epoch){report_data.energy_mark}", ylabel="share of trials at or below")
    right.set(xlabel="validation accuracy")
    caption = "Boxes: the quartiles; their whiskers: the whole range."
    return Drawing(slug, title, sentences(caption, report_data.energy_note), figure)


def accuracy_histogram(report_data: ReportData) -> Picture:
    """Draw a histogram of the trials' accuracy."""
    return _histogram(report_data, "accuracy-histogram", "Accuracy", "accuracy", "validation accuracy", BLUE)


def power_histogram(report_data: ReportData) -> Picture:
    """Draw a histogram of the trials' mean power."""
    label = f"average power of the training (W){report_data.energy_mark}"
    return _histogram(report_data, "power-histogram", "Average power", "avg_power_w", label, ORANGE)


def _histogram(report_data: ReportData, slug: str, title: str, column: str, label: str, colour: str) -> Picture:
    values = _known(report_data, column)
    if not len(values):
        return SkippedFigure(slug, title, "no completed trial has this figure")
    figure, (axis,) = new_figure()
    axis.hist(values, bins=_bins(column, values), color=colour, edgecolor="white", linewidth=0.5)
    median = float(np.median(values))
    axis.axvline(median, color=GREY, linestyle="--", label=f"median {fixed_digits(median)}")
    axis.set(xlabel=label, ylabel="trials")
    whole_numbers(axis.yaxis)
    legend_above(axis)
    energy = report_data.energy_note if column == "avg_power_w" else ""
    return Drawing(slug, title, sentences(f"{len(values):,} completed trials.", energy), figure)


def _bins(column: str, values: Floats) -> Floats:
    """Return bin edges: every 0.05 for wide accuracies, else by Freedman-Diaconis or Sturges, at most 40 bins."""
    if np.ptp(values) == 0:
        half = abs(values[0]) * 0.05 or 0.5
        return np.array([values[0] - half, values[0] + half])
    if column == "accuracy" and np.ptp(values) > 0.25:
        return np.linspace(0, 1, 21)
    edges = np.histogram_bin_edges(values, "auto")
    return edges if len(edges) <= _MAX_BINS + 1 else np.linspace(values.min(), values.max(), _MAX_BINS + 1)


def _cumulative(axis: Axes, values: Floats, colour: str) -> None:
    """Draw the empirical distribution, with a box plot above it."""
    axis.set_ylim(0, 1.22)
    axis.set_yticks(np.linspace(0, 1, 5))
    if not len(values):
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color=GREY)
        return
    axis.ecdf(values, color=colour)
    # Drawn without matplotlib's boxplot, which tries to connect to a window system.
    least, low, middle, high, most = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    axis.plot([least, low, np.nan, high, most], [_BOX] * 5, color=colour)
    axis.add_patch(Rectangle((low, _BOX - 0.05), high - low, 0.1, fill=False, edgecolor=colour))
    axis.plot([middle, middle], [_BOX - 0.05, _BOX + 0.05], color=GREY)


def _known(report_data: ReportData, column: str) -> Floats:
    values = report_data.column(column)
    return values[np.isfinite(values)]
