"""Training curves: accuracy and loss over epochs, accuracy over energy."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SCALE,
    epochs_axis,
    is_many,
    legend_above,
    log_if_wide,
    new_figure,
)
from greenopt.report.report_data import STATE_TEXTS, Curve, Floats, ReportData

NO_CURVES = "no trial has a finished epoch on file"


def accuracy_curves(report_data: ReportData) -> Picture:
    """Draw training and validation accuracy of all trainings."""
    return _pair(report_data, "accuracy-curves", "Accuracy of all trainings", ("accuracy", "val_accuracy"), "accuracy")


def loss_curves(report_data: ReportData) -> Picture:
    """Draw training and validation loss of all trainings."""
    return _pair(report_data, "loss-curves", "Loss of all trainings", ("loss", "val_loss"), "loss (cross-entropy)")


def energy_accuracy_curves(report_data: ReportData) -> Picture:
    """Draw the energy that each training had used when it reached an accuracy."""
    slug, title = "energy-accuracy-curves", "Accuracy over the energy used for it"
    curves = [curve for curve in report_data.curves if _points(curve.energy_wh, curve.val_accuracy) > 0]
    if not curves:
        return SkippedFigure(slug, title, "no trial has the energy and the accuracy of an epoch on file")
    front = {ranked.trial for ranked in report_data.analysis.pareto}
    figure, (axis,) = new_figure(height_in=3.4)
    others = [curve for curve in curves if curve.trial not in front]
    _lines(axis, [(curve.energy_wh, curve.val_accuracy) for curve in others], GREY, 0.35, "other trainings")
    best = [curve for curve in curves if curve.trial in front]
    _lines(axis, [(curve.energy_wh, curve.val_accuracy) for curve in best], GREEN, 1.0, "on the Pareto front")
    axis.set(xlabel=f"energy since the first epoch began (Wh){report_data.energy_mark}", ylabel="validation accuracy")
    axis.autoscale_view()
    log_if_wide(axis, "x", np.concatenate([curve.energy_wh for curve in curves]), ratio=10)
    legend_above(axis)
    label = "One line per training, from its first epoch's end to its last one's; further left used less energy."
    return Drawing(slug, title, sentences(label, report_data.energy_note, report_data.curves_note), figure)


def winner_curves(curve: Curve, report_data: ReportData) -> Drawing:
    """Draw accuracy, loss and energy of the winner's training."""
    figure, (left, middle, right) = new_figure(3, height_in=2.3)
    for axis, pair, label in ((left, ("accuracy", "val_accuracy"), "accuracy"), (middle, ("loss", "val_loss"), "loss")):
        for name, colour, part in ((pair[0], ORANGE, "training"), (pair[1], BLUE, "validation")):
            axis.plot(curve.epoch, getattr(curve, name), color=colour, label=part, marker=_marker(curve))
        axis.set(xlabel="epoch", ylabel=label)
        legend_above(axis)
    log_if_wide(middle, "y", np.concatenate((curve.loss, curve.val_loss)))
    right.plot(curve.epoch, curve.energy_wh, color=GREEN, marker=_marker(curve))
    right.set(xlabel="epoch", ylabel=f"energy so far (Wh){report_data.energy_mark}".replace(" (nvidia", "\n(nvidia"))
    right.set_ylim(bottom=0)
    if not np.isfinite(curve.energy_wh[-1:]).all():
        right.text(0.5, 0.5, "not measured\nin every epoch", transform=right.transAxes, ha="center", color=GREY)
    for axis in (left, middle, right):
        epochs_axis(axis, float(curve.epoch[-1]))
    title = f"Training curves of trial {curve.trial}"
    return Drawing(
        f"course-{curve.trial}", title, sentences("Training and validation.", report_data.energy_note), figure
    )


def _pair(report_data: ReportData, slug: str, title: str, names: tuple[str, str], label: str) -> Picture:
    curves = [
        curve for curve in report_data.curves if any(_points(curve.epoch, getattr(curve, name)) for name in names)
    ]
    if not curves:
        return SkippedFigure(slug, title, NO_CURVES)
    figure, axes = new_figure(2, share_y=True)
    scale = Normalize(0, max(float(np.nanmax(curve.val_accuracy, initial=0.0)) for curve in curves) or 1.0)
    for axis, name, part in zip(axes, names, ("training", "validation"), strict=True):
        _coloured(axis, curves, name, scale)
        axis.set(xlabel="epoch", title=part)
        axis.autoscale_view()
        epochs_axis(axis, max(float(curve.epoch[-1]) for curve in curves))
    axes[0].set_ylabel(label)
    if label.startswith("loss"):
        axes[0].set_yscale("log")
    colours = figure.colorbar(ScalarMappable(scale, SCALE), ax=list(axes), pad=0.01)
    colours.set_label("last validation accuracy")
    colours.outline.set_visible(False)
    ended = {state: sum(1 for curve in curves if curve.state == state) for state in STATE_TEXTS}
    states = ", ".join(f"{count} {STATE_TEXTS[state]}" for state, count in ended.items() if count)
    note = "Losses that were not finite are left out." if label.startswith("loss") else ""
    return Drawing(
        slug,
        title,
        sentences(
            f"One line per training, coloured by its last validation accuracy: {states}.", note, report_data.curves_note
        ),
        figure,
    )


def _coloured(axis: Axes, curves: list[Curve], name: str, scale: Normalize) -> None:
    """Draw one line per training, the most accurate on top."""
    lasts = [_last(curve.val_accuracy) for curve in curves]
    order = np.argsort(lasts, kind="stable")
    lines = LineCollection(
        [np.column_stack((curves[index].epoch, getattr(curves[index], name))) for index in order],
        array=np.array(lasts)[order],
        cmap=SCALE,
        norm=scale,
        linewidths=0.8,
        alpha=0.8,
        rasterized=is_many(sum(len(curve.epoch) for curve in curves)),
    )
    axis.add_collection(lines)
    ones = [curve for curve in curves if len(curve.epoch) == 1]
    axis.scatter(
        [1] * len(ones),
        [getattr(one, name)[0] for one in ones],
        s=6,
        c=[_last(one.val_accuracy) for one in ones],
        cmap=SCALE,
        norm=scale,
    )


def _lines(axis: Axes, series: list[tuple[Floats, Floats]], colour: str, alpha: float, label: str) -> None:
    if not series:
        return
    many = is_many(sum(len(x) for x, _ in series))
    segments = [np.column_stack(pair) for pair in series]
    lines = LineCollection(segments, colors=colour, alpha=alpha, linewidths=0.9, label=label, rasterized=many)
    axis.add_collection(lines)
    ends = np.array([segment[-1] for segment in segments])
    axis.scatter(ends[:, 0], ends[:, 1], s=7, color=colour, alpha=max(alpha, 0.6), rasterized=many)


def _marker(curve: Curve) -> str:
    return "o" if len(curve.epoch) == 1 else ""


def _last(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else 0.0


def _points(x: Floats, y: Floats) -> int:
    return int((np.isfinite(x) & np.isfinite(y)).sum())
