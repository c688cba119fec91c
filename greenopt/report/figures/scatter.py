"""One figure of the completed trials against another."""

import numpy as np
from matplotlib.axes import Axes

from greenopt.report.figures.drawing import Drawing, Picture, Undrawn, sentences
from greenopt.report.figures.style import BLUE, GREY, RED, is_many, legend_above, log_if_wide, mark_size, new_figure
from greenopt.report.report_data import Floats, Material


def accuracy_against_seconds(material: Material) -> Picture:
    """Whether slow epochs buy accuracy."""
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = material.column("seconds") / material.column("epochs_done")
    title = "Accuracy against seconds an epoch"
    return _against(material, "accuracy-seconds", title, seconds, "time an epoch, validation included (s)")


def accuracy_against_power(material: Material) -> Picture:
    """Whether a high power buys accuracy."""
    label = f"average power of the training (W){material.energy_mark}"
    watts = material.column("avg_power_w")
    picture = _against(material, "accuracy-power", "Accuracy against average power", watts, label)
    if isinstance(picture, Undrawn):
        return picture
    return Drawing(picture.slug, picture.title, sentences(picture.caption, material.energy_note), picture.figure)


def test_against_training(material: Material) -> Picture:
    """How far the accuracy on unseen images falls behind that on the training images."""
    slug, title = "test-training", "Test accuracy against training accuracy"
    training, test = material.column("train_accuracy"), material.column("test_accuracy")
    known = np.isfinite(training) & np.isfinite(test)
    if not known.any():
        return Undrawn(slug, title, "no completed trial has both accuracies")
    figure, (axis,) = new_figure(height_in=3.4)
    _marks(axis, training[known], test[known])
    low, high = min(training[known].min(), test[known].min()), max(training[known].max(), test[known].max())
    axis.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=0.8, label="equal")
    axis.set(xlabel="accuracy in the last epoch of training, on images as augmented", ylabel="test accuracy")
    legend_above(axis)
    words = (
        "Below the dashed line: worse on images that were not trained on. Augmented images are harder than plain ones."
    )
    return Drawing(slug, title, words, figure)


def counter_against_integral(material: Material) -> Picture:
    """Two ways to the same energy: the driver's counter, and the integral of sampled power."""
    slug, title = "counter-integral", "Energy counter against the integral of power"
    counter, integral = material.column("counter_wh"), material.column("integral_wh")
    known = np.isfinite(counter) & np.isfinite(integral) & (counter > 0) & (integral > 0)
    if not known.any():
        return Undrawn(slug, title, "no completed trial has both; it takes an NVIDIA GPU with an energy counter")
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
    words = f"{known.sum():,} trials; the largest difference is {np.abs(percent).max():.2g} %."
    return Drawing(slug, title, words, figure)


def _against(material: Material, slug: str, title: str, x: Floats, label: str) -> Picture:
    accuracy = material.column("accuracy")
    known = np.isfinite(x) & np.isfinite(accuracy)
    if not known.any():
        return Undrawn(slug, title, "no completed trial has both figures")
    figure, (axis,) = new_figure()
    _marks(axis, x[known], accuracy[known])
    on_front = _on_front(material)[known]
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


def _on_front(material: Material) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    front = {ranked.trial for ranked in material.analysis.pareto}
    return np.array([trial in front for trial in material.complete["trial"]], dtype=bool)
