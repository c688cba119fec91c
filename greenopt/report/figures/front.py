"""The Pareto front of accuracy and energy, and the growth of the hypervolume."""

import numpy as np
from matplotlib.axes import Axes

from greenopt.formatting import format_energy_amount
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    RED,
    is_many,
    legend_above,
    log_if_wide,
    mark_size,
    new_figure,
    whole_numbers,
)
from greenopt.report.report_data import ReportData

_NAMED = 8


def pareto_front(report_data: ReportData) -> Picture:
    """Draw accuracy against energy with the front, and the hypervolume after each trial."""
    slug, title = "pareto-front", "Pareto front of accuracy and energy"
    front = [one for one in report_data.analysis.pareto if one.accuracy is not None and one.energy_wh is not None]
    if not front:
        return SkippedFigure(slug, title, "no completed trial has both accuracy and energy")
    figure, axes = new_figure(2, height_in=3.2)
    _front(axes[0], report_data)
    _hypervolume(axes[1], report_data)
    volume = report_data.analysis.hypervolume
    caption = "Left: all completed trials; none is both more accurate and lower in energy than one on the front."
    reference = ""
    if volume.reference_energy_wh is not None:
        reference = (
            f"Right: the hypervolume after each completed trial: the share of the area up to an accuracy of 1 and "
            f"{format_energy_amount(volume.reference_energy_wh, None)} that the front dominates."
        )
    return Drawing(slug, title, sentences(caption, reference, report_data.energy_note), figure)


def _front(axis: Axes, report_data: ReportData) -> None:
    energy, accuracy = report_data.column("energy_wh"), report_data.column("accuracy")
    known = np.isfinite(energy) & np.isfinite(accuracy)
    many = is_many(int(known.sum()))
    axis.scatter(
        energy[known],
        accuracy[known],
        s=mark_size(int(known.sum())),
        color=BLUE,
        alpha=0.55,
        linewidths=0,
        rasterized=many,
    )
    front = sorted((one.energy_wh or 0.0, one.accuracy or 0.0, one.trial) for one in report_data.analysis.pareto)
    x, y = [point[0] for point in front], [point[1] for point in front]
    axis.step(x, y, where="post", color=RED, linewidth=1.0)
    axis.scatter(x, y, s=16, color=RED, zorder=3, label="Pareto front")
    for energy_wh, best, trial in front[:: max(1, -(-len(front) // _NAMED))]:
        axis.annotate(str(trial), (energy_wh, best), xytext=(3, -8), textcoords="offset points", fontsize=6, color=GREY)
    axis.set(xlabel=f"energy (Wh){report_data.energy_mark}", ylabel="validation accuracy")
    log_if_wide(axis, "x", energy[known], ratio=10)
    legend_above(axis)


def _hypervolume(axis: Axes, report_data: ReportData) -> None:
    after = sorted(report_data.analysis.hypervolume.after.items())
    axis.step([trial for trial, _ in after], [value for _, value in after], where="post", color=GREEN)
    if len(after) == 1:
        axis.plot([after[0][0]], [after[0][1]], marker="o", color=GREEN)
    axis.set(xlabel="trial", ylabel="hypervolume, as a share")
    axis.set_ylim(0, 1.1 * max(value for _, value in after) or 1)
    whole_numbers(axis.xaxis)
