"""Scatter plots of one metric of the completed trials against another."""

import numpy as np
from matplotlib.axes import Axes

from greenopt.formatting import fixed_digits
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import BLUE, GREY, RED, is_many, legend_above, log_if_wide, mark_size, new_figure
from greenopt.report.report_data import Floats, ReportData


def accuracy_against_seconds(report_data: ReportData) -> Picture:
    """Draw accuracy against the duration of an epoch."""
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = report_data.column("seconds") / report_data.column("epochs_done")
    title = "Accuracy against seconds per epoch"
    return _against(report_data, "accuracy-seconds", title, seconds, "time per epoch, validation included (s)")


def accuracy_against_power(report_data: ReportData) -> Picture:
    """Draw accuracy against average power."""
    label = f"average power of the training (W){report_data.energy_mark}"
    watts = report_data.column("avg_power_w")
    picture = _against(report_data, "accuracy-power", "Accuracy against average power", watts, label)
    if isinstance(picture, SkippedFigure):
        return picture
    return Drawing(picture.slug, picture.title, sentences(picture.caption, report_data.energy_note), picture.figure)


def test_against_training(report_data: ReportData) -> Picture:
    """Draw test accuracy against training accuracy."""
    slug, title = "test-training", "Test accuracy against training accuracy"
    training, test = report_data.column("train_accuracy"), report_data.column("test_accuracy")
    known = np.isfinite(training) & np.isfinite(test)
    if not known.any():
        return SkippedFigure(slug, title, "no completed trial has both accuracies")
    figure, (axis,) = new_figure()
    _marks(axis, training[known], test[known])
    low, high = min(training[known].min(), test[known].min()), max(training[known].max(), test[known].max())
    axis.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=0.8, label="equal")
    axis.set(xlabel="accuracy in the last epoch of training, on images as augmented", ylabel="test accuracy")
    legend_above(axis)
    caption = (
        "Below the dashed line: worse on images that were not trained on. Augmented images are harder than plain ones."
    )
    return Drawing(slug, title, caption, figure)


def counter_against_integral(report_data: ReportData) -> Picture:
    """Draw the integral of sampled power against the driver's energy counter."""
    slug, title = "counter-integral", "Energy counter against the integral of power"
    counter, integral = report_data.column("counter_wh"), report_data.column("integral_wh")
    known = np.isfinite(counter) & np.isfinite(integral) & (counter > 0) & (integral > 0)
    if not known.any():
        return SkippedFigure(slug, title, "no completed trial has both; it takes an NVIDIA GPU with an energy counter")
    counter, integral = counter[known], integral[known]
    figure, (left, right) = new_figure(2)
    _marks(left, counter, integral)
    ends = [min(counter.min(), integral.min()), max(counter.max(), integral.max())]
    left.plot(ends, ends, color=GREY, linestyle="--", linewidth=0.8, label="equal")
    left.set(xlabel="counter (Wh)", ylabel="integral of power (Wh)")
    log_if_wide(left, "x", counter)
    log_if_wide(left, "y", integral)
    legend_above(left)
    percent = 100 * (integral / counter - 1)
    _marks(right, counter, percent)
    right.axhline(0, color=GREY, linestyle="--", linewidth=0.8)
    right.set(xlabel="counter (Wh)", ylabel="integral differs by (%)")
    log_if_wide(right, "x", counter)
    caption = f"{known.sum():,} trials; the largest difference is {fixed_digits(float(np.abs(percent).max()), 2)} %."
    return Drawing(slug, title, caption, figure)


def _against(report_data: ReportData, slug: str, title: str, x: Floats, label: str) -> Picture:
    accuracy = report_data.column("accuracy")
    known = np.isfinite(x) & np.isfinite(accuracy)
    if not known.any():
        return SkippedFigure(slug, title, "no completed trial has both figures")
    figure, (axis,) = new_figure()
    _marks(axis, x[known], accuracy[known])
    on_front = _on_front(report_data)[known]
    axis.scatter(
        x[known][on_front],
        accuracy[known][on_front],
        s=40,
        facecolors="none",
        edgecolors=RED,
        linewidths=1.0,
        label="on the Pareto front",
    )
    axis.set(xlabel=label, ylabel="validation accuracy")
    log_if_wide(axis, "x", x[known])
    legend_above(axis)
    return Drawing(slug, title, f"{known.sum():,} completed trials.", figure)


def _marks(axis: Axes, x: Floats, y: Floats) -> None:
    axis.scatter(x, y, s=mark_size(len(x)), color=BLUE, alpha=0.65, linewidths=0, rasterized=is_many(len(x)))


def _on_front(report_data: ReportData) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    front = {ranked.trial for ranked in report_data.analysis.pareto}
    return np.array([trial in front for trial in report_data.complete["trial"]], dtype=bool)
