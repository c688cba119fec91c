"""The Pareto front of accuracy and energy, and the growth of the hypervolume."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from greenopt.formatting import format_budgets, sentence
from greenopt.front import plane_of
from greenopt.gpu_models import format_mixed, mixed_models, model_of
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
from greenopt.spec import UNITS

Floats = npt.NDArray[np.float64]

_NAMED = 8


def pareto_front(report_data: ReportData) -> Picture:
    """Draw accuracy against energy with the front, and the hypervolume after each trial."""
    slug, title = "pareto-front", "Pareto front of accuracy and energy"
    if not plane_of(report_data.analysis.study).is_accuracy_for_energy:
        return _front_of_others(report_data)
    front = [one for one in report_data.analysis.pareto if one.accuracy is not None and one.energy_wh is not None]
    if not front:
        return SkippedFigure(slug, title, "no completed trial has both accuracy and energy")
    figure, axes = new_figure(2, height_in=3.2)
    _front(axes[0], report_data)
    _hypervolume(axes[1], report_data)
    volume = report_data.analysis.hypervolume
    caption = "Left: all completed trials; none is both more accurate and lower in energy than one on the front."
    reference = ""
    if volume.reference_energy_wh is not None and volume.least_energy_wh is not None:
        reference = (
            "Right: the hypervolume after each completed trial, the mean accuracy that the front has for "
            f"{format_budgets(volume.least_energy_wh, volume.reference_energy_wh)}."
        )
    notes = (_models_note(report_data), report_data.energy_note)
    return Drawing(slug, title, sentences(caption, reference, *notes), figure)


def _models_note(report_data: ReportData) -> str:
    mixed = format_mixed(report_data.complete.to_dict(orient="records"))
    return sentence(f"{mixed}; circled trials ran on another model than most") if mixed else ""


def _circle_others(axis: Axes, report_data: ReportData, energy: Floats, accuracy: Floats) -> None:
    """Draw a ring around each trial that ran on another model of GPU than most, in a study that mixes them."""
    models = mixed_models(report_data.complete.to_dict(orient="records"))
    if models:
        other = np.array([model_of(row) != models[0] for row in report_data.complete.to_dict(orient="records")])
        axis.scatter(energy[other], accuracy[other], s=34, facecolors="none", edgecolors=GREY, linewidths=0.8)


def _front_of_others(report_data: ReportData) -> Picture:
    """Draw two of the study's objectives with the front of all of them, and the hypervolume."""
    plane = plane_of(report_data.analysis.study)
    slug, title = "pareto-front", f"Pareto front of {plane.title}"
    x, y = report_data.column(plane.across), report_data.column(plane.up)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return SkippedFigure(slug, title, f"no completed trial has both {plane.up} and {plane.across}")
    volume = report_data.analysis.hypervolume
    figure, axes = new_figure(2 if volume.after else 1, height_in=3.2)
    many = is_many(int(known.sum()))
    axes[0].scatter(x[known], y[known], s=mark_size(int(known.sum())), color=BLUE, alpha=0.55, rasterized=many)
    on_front = {one.trial for one in report_data.analysis.pareto}
    chosen = known & np.array([trial in on_front for trial in report_data.complete["trial"]], dtype=bool)
    places = sorted(zip(x[chosen], y[chosen], strict=True))
    if plane.is_stepped:
        axes[0].step([p[0] for p in places], [p[1] for p in places], where="post", color=RED, linewidth=1.0)
    axes[0].scatter([p[0] for p in places], [p[1] for p in places], s=16, color=RED, zorder=3, label="Pareto front")
    axes[0].set(xlabel=_labelled(plane.across), ylabel=_labelled(plane.up))
    log_if_wide(axes[0], "x", x[known], ratio=10)
    legend_above(axes[0])
    caption = f"All completed trials; none is better in all of {plane.title} than one on the front."
    if volume.after:
        _hypervolume(axes[1], report_data)
        sides = ", ".join(f"{name} {worse:.4g} to {better:.4g}" for name, (worse, better) in volume.box.items())
        caption += f" Right: the hypervolume after each completed trial, the share that the front dominates of {sides}."
    return Drawing(slug, title, sentences(caption, report_data.energy_note), figure)


def _labelled(name: str) -> str:
    return f"{name} ({UNITS[name]})" if name in UNITS else name


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
    _circle_others(axis, report_data, energy, accuracy)
    log_if_wide(axis, "x", energy[known], ratio=10)
    legend_above(axis)


def _hypervolume(axis: Axes, report_data: ReportData) -> None:
    after = sorted(report_data.analysis.hypervolume.after.items())
    axis.step([trial for trial, _ in after], [value for _, value in after], where="post", color=GREEN)
    if len(after) == 1:
        axis.plot([after[0][0]], [after[0][1]], marker="o", color=GREEN)
    axis.set(xlabel="trial", ylabel="hypervolume, 0 to 1")
    axis.set_ylim(0, 1.1 * max(value for _, value in after) or 1)
    whole_numbers(axis.xaxis)
