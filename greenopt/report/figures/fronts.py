"""The Pareto fronts of several studies in one plot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from greenopt.pareto import Point
from greenopt.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    is_many,
    log_if_wide,
    new_figure,
    shortened,
)

_COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, GREY)
_MARKS = "osD^vP*X"


@dataclass(frozen=True)
class StudyPoints:
    """A study's name, its completed trials and those on its front, least energy first."""

    name: str
    points: Sequence[Point]
    front: Sequence[Point]


def draw_fronts(studies: Sequence[StudyPoints], label: str) -> Figure:
    """Draw accuracy against energy of several studies, each with its front as a stepped line.

    Args:
        studies: each with at least one point.
        label: of the axis of energies.
    """
    figure, (axis,) = new_figure(height_in=3.6)
    for index, one in enumerate(studies):
        colour, mark = _COLOURS[index % len(_COLOURS)], _MARKS[index % len(_MARKS)]
        axis.scatter(
            [point.energy_wh for point in one.points],
            [point.accuracy for point in one.points],
            s=10,
            color=colour,
            alpha=0.3,
            linewidths=0,
            marker=mark,
            rasterized=is_many(len(one.points)),
        )
        x, y = [point.energy_wh for point in one.front], [point.accuracy for point in one.front]
        axis.step(x, y, where="post", color=colour, linewidth=1.1)
        name = f"{shortened(one.name, 40)} ({len(one.front)} of {len(one.points)})"
        axis.scatter(x, y, s=22, color=colour, marker=mark, zorder=3, label=name)
    axis.set(xlabel=label, ylabel="validation accuracy")
    log_if_wide(axis, "x", np.array([point.energy_wh for one in studies for point in one.points]), ratio=10)
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=2, borderaxespad=0.2, handlelength=1.4)
    return figure
