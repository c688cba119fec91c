"""Parallel coordinates: one line per trial through its values, its accuracy and its energy, the front marked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize

from greenopt.formatting import fixed_digits
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import GREY, SCALE, is_many, new_figure, plain, plain_log_colours, shortened
from greenopt.report.report_data import Floats, ReportData
from greenopt.spec import Choice, Distribution

AXES_DRAWN = 12
"""Of more parameters than this, names beside one another could not be read; the first ones are drawn."""
_MAX_TICKS = 12
_SPREAD = 0.35
"""Trials of one value are spread over this share of the distance between two values, so that lines stay apart."""


@dataclass(frozen=True, eq=False)
class _Coordinate:
    """An axis: where each trial crosses it, 0 at the bottom to 1 at the top, and its ticks."""

    label: str
    places: Floats
    ticks: tuple[tuple[float, str], ...]


def parallel_by_accuracy(report_data: ReportData) -> Picture:
    """Draw the trials' values, coloured by accuracy."""
    return _parallel(report_data, "parallel-accuracy", "accuracy", "validation accuracy")


def parallel_by_energy(report_data: ReportData) -> Picture:
    """Draw the trials' values, coloured by energy."""
    return _parallel(report_data, "parallel-energy", "energy_wh", f"energy (Wh){report_data.energy_mark}")


def _parallel(report_data: ReportData, slug: str, column: str, label: str) -> Picture:
    title = f"Values of all completed trials, coloured by {'accuracy' if column == 'accuracy' else 'energy'}"
    accuracy, energy = report_data.column("accuracy"), report_data.column("energy_wh")
    known = np.isfinite(accuracy) & np.isfinite(energy)
    if not known.any():
        return SkippedFigure(slug, title, "no completed trial has both accuracy and energy")
    trials = report_data.complete[known]
    free = {name: one for name, one in report_data.analysis.study.space.free.items() if name in trials}
    if not free:
        return SkippedFigure(slug, title, "no parameter of the space varies")
    drawn = dict(list(free.items())[:AXES_DRAWN])
    coordinates = [_parameter(name, one, trials[name]) for name, one in drawn.items()]
    coordinates += [_metric("accuracy", accuracy[known]), _metric("energy (Wh)", energy[known], is_log=True)]
    figure, (axis,) = new_figure(height_in=2.7)
    values = (accuracy if column == "accuracy" else energy)[known]
    scale = _scale(values, is_log=column != "accuracy")
    on_front = np.isin(trials["trial"].to_numpy(), [one.trial for one in report_data.analysis.pareto])
    _lines(axis, coordinates, values, on_front, scale)
    _axes(axis, coordinates)
    colours = figure.colorbar(ScalarMappable(scale, SCALE), ax=axis, pad=0.02)
    colours.set_label(label)
    colours.outline.set_visible(False)
    if isinstance(scale, LogNorm):
        plain_log_colours(colours)
    left_out = len(free) - len(drawn)
    caption = (
        f"One line per trial, {len(trials):,} in all; thick and dotted: the {on_front.sum()} on the Pareto front. "
        "Lines of one value are spread to be told apart.",
        f"{left_out} more parameters are not drawn." if left_out else "",
        _interrupted([name for name in drawn if name in report_data.analysis.study.space.conditions]),
        report_data.energy_note,
    )
    return Drawing(slug, title, sentences(*caption), figure)


def _interrupted(names: Sequence[str]) -> str:
    """Return the sentence on parameters that not every setting has."""
    return f"A line is interrupted where the setting does not have {' or '.join(names)}." if names else ""


def _scale(values: Floats, *, is_log: bool) -> Normalize:
    low, high = float(values.min()), float(values.max())
    if is_log and low > 0 and high > low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)


def _parameter(name: str, distribution: Distribution, values: "pd.Series") -> _Coordinate:
    if not isinstance(distribution, Choice):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        return _range(name, numbers, float(distribution.low), float(distribution.high), is_log=distribution.log)
    others = [value for value in dict.fromkeys(values.dropna()) if value not in distribution.values]
    listed = [*distribution.values, *others]
    step = 1 / max(1, len(listed) - 1)
    place = {value: index * step if len(listed) > 1 else 0.5 for index, value in enumerate(listed)}
    # Evenly spread and not by chance, so that a report looks the same when it is made again.
    offsets = np.linspace(-0.5, 0.5, len(values)) if len(values) > 1 else np.zeros(1)
    offsets = offsets[np.argsort(np.argsort(values.index.to_numpy() * 7919 % 104729, kind="stable"))]
    places = np.array([place.get(value, np.nan) for value in values], dtype=np.float64)
    shown = listed[:: max(1, -(-len(listed) // _MAX_TICKS))]
    return _Coordinate(
        shortened(name, 24), places + _SPREAD * step * offsets, tuple((place[v], shortened(v, 11)) for v in shown)
    )


def _metric(label: str, values: Floats, *, is_log: bool = False) -> _Coordinate:
    return _range(label, values, float(values.min()), float(values.max()), is_log=is_log)


def _range(label: str, values: Floats, low: float, high: float, *, is_log: bool) -> _Coordinate:
    if not high > low:
        return _Coordinate(shortened(label, 24), np.full(len(values), 0.5), ((0.5, fixed_digits(low)),))
    if is_log and low > 0:
        places = np.log(values / low) / np.log(high / low)
        middle = float(np.sqrt(low * high))
    else:
        places, middle = (values - low) / (high - low), (low + high) / 2
    ticks = ((0.0, plain(f"{low:.3g}")), (0.5, plain(f"{middle:.3g}")), (1.0, plain(f"{high:.3g}")))
    return _Coordinate(shortened(label, 24), places, ticks)


def _lines(
    axis: Axes,
    coordinates: Sequence[_Coordinate],
    values: Floats,
    on_front: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    scale: Normalize,
) -> None:
    places = np.column_stack([one.places for one in coordinates])
    x = np.arange(len(coordinates), dtype=np.float64)
    many = is_many(len(places))
    for chosen, width, alpha, order in ((~on_front, 0.7, 0.15 if many else 0.45, 2), (on_front, 1.9, 1.0, 3)):
        segments = [np.column_stack((x, line)) for line in places[chosen]]
        lines = LineCollection(
            segments, array=values[chosen], cmap=SCALE, norm=scale, linewidths=width, alpha=alpha, zorder=order
        )
        lines.set_rasterized(many)
        axis.add_collection(lines)
    front = places[on_front]
    axis.scatter(
        np.tile(x, len(front)),
        front.ravel(),
        s=9,
        c=np.repeat(values[on_front], len(x)),
        cmap=SCALE,
        norm=scale,
        zorder=4,
    )


def _axes(axis: Axes, coordinates: Sequence[_Coordinate]) -> None:
    axis.set_xlim(-0.3, len(coordinates) - 0.4)
    axis.set_ylim(-0.12, 1.1)
    axis.grid(visible=False)
    axis.set_yticks([])
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_xticks(range(len(coordinates)), [one.label for one in coordinates], rotation=30, ha="left", fontsize=6.5)
    axis.xaxis.tick_top()
    axis.tick_params(axis="x", length=0, pad=1)
    for index, one in enumerate(coordinates):
        axis.axvline(index, color=GREY, linewidth=0.6, zorder=1)
        for place, label in one.ticks:
            axis.text(
                index + 0.04,
                place,
                label,
                fontsize=5.2,
                va="center",
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            )
