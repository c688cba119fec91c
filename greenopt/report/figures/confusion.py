"""Which class of the test part a trial's model took for which."""

import numpy as np

from greenopt.events import ConfusionCounted
from greenopt.report.figures.drawing import Drawing, sentences
from greenopt.report.figures.style import SCALE, new_figure, shortened
from greenopt.report.report_data import Floats

NUMBERED = 12
"""Of up to so many classes each cell says how many images it stands for; of more it is too small for a number."""
_NAMED = 40
_MISTAKES = 3


def confusion_matrix(trial: int, confusion: ConfusionCounted) -> Drawing:
    """Draw how the test images of each class were classified.

    Args:
        trial: its number.
        confusion: its counts.
    """
    counts = np.array(confusion.counts, dtype=np.float64)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    names = [shortened(name, 16) for name in confusion.class_names]
    side = min(6.2, 2.6 + 0.22 * len(names))
    figure, (axis,) = new_figure(height_in=side)
    picture = axis.imshow(shares, cmap=SCALE, vmin=0, vmax=1, interpolation="nearest")
    # At the left, where the text begins: the figure is wider than the square.
    axis.set_anchor("W")
    axis.grid(visible=False)
    if len(names) <= _NAMED:
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axis.set_yticks(range(len(names)), names, fontsize=6)
    axis.set_xlabel("taken for")
    axis.set_ylabel("class")
    if len(names) <= NUMBERED:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] < 0.5 else "black"
            axis.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", fontsize=6, color=colour)
    colours = axis.figure.colorbar(picture, ax=axis, pad=0.02)
    colours.set_label("share of the class")
    colours.outline.set_visible(False)
    caption = f"{int(counts.sum())} images of the test part; a row is a class, and its cells add up to 1."
    title = f"Classes of trial {trial} on the test part"
    return Drawing(f"confusion-{trial}", title, sentences(caption, _mistakes(counts, confusion.class_names)), figure)


def _mistakes(counts: Floats, names: tuple[str, ...]) -> str:
    """Return the most frequent mistakes as a sentence."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    found = [divmod(int(at), len(names)) for at in order if wrong.flat[at] > 0]
    if not found:
        return "None was taken for another class."
    parts = [
        f"{names[row]} taken for {names[column]} ({int(counts[row, column])} of {int(counts[row].sum())})"
        for row, column in found
    ]
    return f"Most frequent: {', '.join(parts)}."
