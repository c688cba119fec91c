"""How figures are spread over the completed trials."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from greenopt.report.figures.drawing import Drawing, Picture, Undrawn, sentences
from greenopt.report.figures.style import BLUE, GREEN, GREY, ORANGE, legend_above, new_figure, whole_numbers
from greenopt.report.report_data import Floats, Material

_MOST_BINS = 40
_BOX = 1.12


def distributions(material: Material) -> Picture:
    """Power draw and accuracy: the share of trials at or below each value, and the quartiles."""
    slug, title = "distributions", "Distributions of power draw and accuracy"
    draw, accuracy = _known(material, "wh_per_epoch"), _known(material, "accuracy")
    if not len(draw) and not len(accuracy):
        return Undrawn(slug, title, "no trial completed")
    figure, (left, right) = new_figure(2, share_y=True)
    _cumulative(left, draw, GREEN)
    _cumulative(right, accuracy, BLUE)
    left.set(xlabel=f"power draw (Wh an epoch){material.energy_mark}", ylabel="share of trials at or below")
    right.set(xlabel="validation accuracy")
    words = "Boxes: the quartiles; their whiskers: the whole range."
    return Drawing(slug, title, sentences(words, material.energy_note), figure)


def accuracy_histogram(material: Material) -> Picture:
    """How many trials reached which accuracy."""
    return _histogram(material, "accuracy-histogram", "Accuracy", "accuracy", "validation accuracy", BLUE)


def power_histogram(material: Material) -> Picture:
    """The mean power of the trials."""
    label = f"average power of the training (W){material.energy_mark}"
    return _histogram(material, "power-histogram", "Average power", "avg_power_w", label, ORANGE)


def _histogram(material: Material, slug: str, title: str, column: str, label: str, colour: str) -> Picture:
    values = _known(material, column)
    if not len(values):
        return Undrawn(slug, title, "no completed trial has this figure")
    figure, (axis,) = new_figure(height_in=2.5)
    axis.hist(values, bins=_bins(column, values), color=colour, edgecolor="white", linewidth=0.5)
    median = float(np.median(values))
    axis.axvline(median, color=GREY, linestyle="--", label=f"median {median:.3g}")
    axis.set(xlabel=label, ylabel="trials")
    whole_numbers(axis.yaxis)
    legend_above(axis)
    energy = material.energy_note if column == "avg_power_w" else ""
    return Drawing(slug, title, sentences(f"{len(values):,} completed trials.", energy), figure)


def _bins(column: str, values: Floats) -> Floats:
    """Edges: every 0.05 for accuracies far apart, else by Freedman and Diaconis or Sturges, at most 40 bins."""
    if np.ptp(values) == 0:
        half = abs(values[0]) * 0.05 or 0.5
        return np.array([values[0] - half, values[0] + half])
    if column == "accuracy" and np.ptp(values) > 0.25:
        return np.linspace(0, 1, 21)
    edges = np.histogram_bin_edges(values, "auto")
    return edges if len(edges) <= _MOST_BINS + 1 else np.linspace(values.min(), values.max(), _MOST_BINS + 1)


def _cumulative(axis: Axes, values: Floats, colour: str) -> None:
    """The empirical distribution, with a box above it."""
    axis.set_ylim(0, 1.22)
    axis.set_yticks(np.linspace(0, 1, 5))
    if not len(values):
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color=GREY)
        return
    axis.ecdf(values, color=colour)
    # By hand: matplotlib's boxplot looks for a window system on its way.
    least, low, middle, high, most = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    axis.plot([least, low, np.nan, high, most], [_BOX] * 5, color=colour)
    axis.add_patch(Rectangle((low, _BOX - 0.05), high - low, 0.1, fill=False, edgecolor=colour))
    axis.plot([middle, middle], [_BOX - 0.05, _BOX + 0.05], color=GREY)


def _known(material: Material, column: str) -> Floats:
    values = material.column(column)
    return values[np.isfinite(values)]
