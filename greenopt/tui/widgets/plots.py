"""Plots of a study's model by textual-plot: the Pareto front, histories over trials, curves of one trial."""

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.containers import Grid
from textual.strip import Strip
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import AxisFormatter, HiResMode, PlotWidget

from greenopt.formatting import significant
from greenopt.gpu_models import mixed_models
from greenopt.reading import EnergySource
from greenopt.spec import UNITS
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.model import StudyModel
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, STATUS_SYMBOLS, YELLOW

LOG_FROM = 8.0
"""Energies whose largest is this many times the least are drawn on a logarithmic axis."""

_CELLS = (240, 80)
"""Points that fall into the same of so many cells are drawn once: more cannot be seen."""

Pair = tuple[float, float]


class LinearAxis(AxisFormatter):
    """Ticks at 1, 2 or 5 times a power of ten, as many as fit with their labels.

    Args:
        room: cells along the axis; None for the vertical one, whose numbers cannot run into one another.
        step: the least distance of two ticks, such as 1 for counts.
    """

    def __init__(self, room: int | None = None, step: float = 0.0) -> None:
        self._room, self._step = room, step

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Positions between two numbers, the closest that fit."""
        span = max_ - min_
        if span <= 0:
            return [min_]
        power = math.floor(math.log10(span)) - 2
        for step in (factor * 10.0**exponent for exponent in range(power, power + 5) for factor in (1, 2, 5)):
            first, last = math.ceil(min_ / step - 1e-9), math.floor(max_ / step + 1e-9)
            if step < self._step or last - first + 1 > max_ticks:
                continue
            ticks = [at * step for at in range(first, last + 1)]
            widest = max((len(label) for label in self.get_labels_for_ticks(ticks)), default=0)
            if self._room is None or len(ticks) * (widest + 3) <= self._room:
                return ticks
        return [min_]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Numbers with as many decimals as their distance asks for."""
        step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(ticks[0]) if ticks else 1.0
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
        return [f"{tick:.{decimals}f}" for tick in ticks]


class LogAxis(AxisFormatter):
    """Ticks at 1, 2 and 5 times powers of ten for an axis that holds common logarithms."""

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Positions between two logarithms; whole powers of ten alone where there would be too many."""
        powers = range(math.floor(min_), math.ceil(max_) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            ticks = [power + math.log10(factor) for power in powers for factor in factors]
            ticks = [tick for tick in ticks if min_ <= tick <= max_]
            if len(ticks) <= max_ticks:
                break
        return ticks

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return the numbers that the logarithms stand for."""
        return [significant(10**tick, 2) for tick in ticks]


class StyledCanvas(Canvas):
    """A canvas whose empty lines have a style too: without one, NO_COLOR's filter fails on them."""

    def render_line(self, y: int) -> Strip:
        """One line of the canvas."""
        strip = super().render_line(y)
        return Strip([Segment(text, style or Style.null(), control) for text, style, control in strip])


class Plot(PlotWidget):
    """A plot with narrow margins and a title in its frame."""

    def __init__(self, title: str, *, widget_id: str | None = None, zooms: bool = False) -> None:
        """Make an empty plot.

        Args:
            title: in its upper frame.
            widget_id: CSS id.
            zooms: whether keys and mouse zoom and pan it.
        """
        super().__init__(id=widget_id, allow_pan_and_zoom=zooms)
        self.border_title = title
        self.can_focus = zooms

    def compose(self) -> ComposeResult:
        """Lay out the parts that textual-plot expects, under the names that it expects."""
        with Grid():
            for name in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield StyledCanvas(1, 1, id=name)
        yield Static(id="legend")

    def render(self) -> RenderResult:
        """Draw on the canvases, each of which is then refreshed once and not at every point."""
        with ExitStack() as stack:
            for canvas in self.query(StyledCanvas):
                stack.enter_context(canvas.batch_refresh())
            return super().render()

    def on_mount(self) -> None:
        """Keep room for the numbers at the axes and no more."""
        super().on_mount()
        self.margin_top, self.margin_bottom, self.margin_left = 0, 1, 7

    def axes(self, *, is_log: bool = False, counts: bool = False) -> None:
        """Choose the formatters of both axes.

        Args:
            is_log: the horizontal axis holds common logarithms.
            counts: the horizontal axis holds whole numbers.
        """
        room = max(10, self.size.width - self.margin_left)
        self.set_x_formatter(LogAxis() if is_log else LinearAxis(room, 1.0 if counts else 0.0))
        self.set_y_formatter(LinearAxis())

    def line(self, points: Iterable[Pair], style: str) -> None:
        """Draw a line through points."""
        x, y = _columns(points)
        if len(x):
            self.plot(x, y, line_style=style, hires_mode=HiResMode.BRAILLE)

    def marks(self, points: Iterable[Pair], mark: str, style: str) -> None:
        """Draw a mark at each point."""
        x, y = _columns(points)
        if len(x):
            self.scatter(x, y, marker=mark, marker_style=style)

    def limits(self, points: Sequence[Pair], *, from_zero: bool = True) -> None:
        """Set the axes' limits around all points with a margin; without points, to the unit square."""
        x, y = _columns(points or [(0.0, 0.0), (1.0, 1.0)])
        air = 0.04 * (float(x.max() - x.min()) or abs(float(x.max())) or 1.0)
        self.set_xlimits(float(x.min()) - air, float(x.max()) + air)
        rise = float(y.max() - y.min()) or abs(float(y.max())) or 1.0
        least = float(y.min())
        low = 0.0 if from_zero else max(min(0.0, least), least - 0.06 * rise)
        self.set_ylimits(low, float(y.max()) + 0.08 * rise)


class FrontPlot(Plot):
    """Accuracy against energy: every trial, the front as a stepped line, running trials as moving points."""

    def __init__(self, *, widget_id: str | None = None, zooms: bool = False) -> None:
        """Create an empty plot."""
        super().__init__("Pareto front · accuracy over energy", widget_id=widget_id, zooms=zooms)
        self.is_log: bool | None = None
        self._drawn: tuple[object, ...] | None = None

    def show_model(self, model: StudyModel) -> None:
        """Draw the study if it has changed since it was last drawn."""
        running = tuple(sorted(_running(model)))
        key = (model.revision, running, self.is_log, self.size.width)
        if key == self._drawn:
            return
        self._drawn = key
        clouds = {state: list(points) for state, points in _clouds(model).items()}
        front = _front(model)
        everything = [pair for points in (*clouds.values(), front, running) for pair in points]
        is_log = _wants_log(everything) if self.is_log is None else self.is_log
        self._draw(clouds, front, list(running), everything, is_log and bool(everything), model.plane.is_stepped)
        estimate = any(row.get("energy_source") == EnergySource.ESTIMATE for row in model.rows.values())
        plane = model.plane
        if not plane.is_accuracy_for_energy:
            whole = "" if len(plane.objectives) == 2 else f" · front of {plane.title}"
            self.border_title = Text(f"Pareto front · {plane.up} over {plane.across}{whole}")
        unit = _UNITS.get(plane.across) or UNITS.get(plane.across) or plane.across
        is_estimate = estimate and plane.across in _UNITS
        unit = f"{unit}{' est.' if is_estimate else ''}{', log' if is_log and everything else ''}"
        legend = "  ".join(f"{STATUS_SYMBOLS[state].mark} {STATUS_SYMBOLS[state].word}" for state in _DRAWN)
        if plane.across in _UNITS and mixed_models(model.rows.values()):
            unit += "  ·  GPUs of different models"
        self.border_subtitle = f"{legend}  ·  {unit}" if everything else _nothing(model)

    def _draw(
        self,
        clouds: dict[str, list[Pair]],
        front: list[Pair],
        running: list[Pair],
        all_points: list[Pair],
        is_log: bool,
        is_line: bool = True,
    ) -> None:
        def placed(points: Iterable[Pair]) -> list[Pair]:
            return [(math.log10(x), y) for x, y in points if x > 0] if is_log else list(points)

        self.clear()
        self.axes(is_log=is_log)
        everything = placed(all_points)
        # Good accuracies are close together; on an axis from zero they would share a few lines of the screen.
        self.limits(everything, from_zero=not everything)
        if is_line:
            self.line(_stepped(placed(front), right=max((x for x, _ in everything), default=0.0)), GREEN)
        for state, points in clouds.items():
            self.marks(_thinned(placed(points)), STATUS_SYMBOLS[state].mark, STATUS_SYMBOLS[state].style.split()[-1])
        self.marks(placed(front), STATUS_SYMBOLS["front"].mark, GREEN)
        self.marks(placed(running), STATUS_SYMBOLS[TrialState.RUNNING].mark, YELLOW)


class HypervolumePlot(Plot):
    """The hypervolume over completed trials."""

    def __init__(self, widget_id: str | None = None) -> None:
        """Create an empty plot."""
        super().__init__("hypervolume over completed trials", widget_id=widget_id)
        self._drawn = -1

    def show_model(self, model: StudyModel) -> None:
        """Draw the plot if a trial has ended since."""
        if model.revision == self._drawn:
            return
        self._drawn = model.revision
        values = [(float(count), value) for count, value in model.trace.values()]
        self.clear()
        self.axes(counts=True)
        ending = [*values, (float(model.counts[TrialState.COMPLETE]), values[-1][1])] if values else []
        self.limits(ending)
        self.line(_stepped(ending), GREEN)
        self.border_subtitle = f"{values[-1][1]:.3f} of 1, {_box(model)}" if values else "no completed trial yet"


class UsedEnergyPlot(Plot):
    """Cumulative energy of all trials over ended trials."""

    def __init__(self, widget_id: str | None = None) -> None:
        """Create an empty plot."""
        super().__init__("energy used over ended trials", widget_id=widget_id)
        self._drawn = -1

    def show_model(self, model: StudyModel) -> None:
        """Draw the plot if a trial has ended since."""
        if model.revision == self._drawn:
            return
        self._drawn = model.revision
        energies = [model.rows[number].get("total_wh") or 0.0 for number in model.finished]
        sums = np.cumsum(energies)
        step = max(1, len(sums) // 400)
        points = [(float(at + 1), float(sums[at])) for at in range(0, len(sums), step)]
        self.clear()
        self.axes(counts=True)
        self.limits(points)
        self.line(points, BLUE)
        unit = "Wh est." if model.used().has_estimate else "Wh"
        self.border_subtitle = Text(f"{unit}, set-up and failures included")


class CurvePlot(Plot):
    """One or two curves over the epochs of a trial."""

    def show_curves(self, curves: Sequence[tuple[str, Sequence[float | None], str]]) -> None:
        """Draw curves.

        Args:
            curves: name, values from the first epoch on, colour.
        """
        series = [
            [(float(at), value) for at, value in enumerate(values, 1) if value is not None] for _, values, _ in curves
        ]
        self.clear()
        self.axes(counts=True)
        self.limits([pair for points in series for pair in points])
        for points, (_, _, style) in zip(series, curves, strict=True):
            self.line(points, style)
            self.marks(points, "•", style)
        self.border_subtitle = "  ".join(f"[{style}]•[/] {name}" for name, values, style in curves if values)


_DRAWN = ("front", TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED)
_UNITS = {"energy_wh": "Wh", "total_wh": "Wh in total", "wh_per_epoch": "Wh per epoch"}
CURVE_STYLES = {"training": ORANGE, "validation": GREEN, "energy": BLUE, "other": GREY}


def _nothing(model: StudyModel) -> str:
    if model.plane.is_accuracy_for_energy:
        return "no trial has an accuracy and an energy yet"
    return f"no trial has {model.plane.up} and {model.plane.across} yet"


def _box(model: StudyModel) -> str:
    if not model.plane.is_accuracy_for_energy:
        return model.trace.words()
    front = model.trace.trace.front
    return f"{significant(front.least_wh)} to {significant(front.reference_wh)} Wh, log"


def _front(model: StudyModel) -> list[Pair]:
    """Return the front's points, from left to right."""
    plane = model.plane
    rows = (model.rows[trial] for trial in model.trace.trials)
    return sorted((row[plane.across], row[plane.up]) for row in rows if row.get(plane.across) is not None)


def _running(model: StudyModel) -> Iterable[Pair]:
    """Return running trials' points: accuracy after the last epoch against the energy forecast."""
    if model.plane.up != "accuracy" or model.plane.across not in _UNITS:
        # Nothing else is known of a trial before it ends.
        return
    for live in model.live.values():
        at = {"total_wh": live.total_wh, "wh_per_epoch": None, "energy_wh": live.training_wh}[model.plane.across]
        if model.plane.across == "wh_per_epoch" and live.training_wh is not None:
            at = live.training_wh / len(live.epochs)
        if at is not None and live.accuracy is not None:
            yield at, live.accuracy


def _clouds(model: StudyModel) -> dict[str, list[Pair]]:
    clouds: dict[str, list[Pair]] = {TrialState.PRUNED: [], TrialState.COMPLETE: []}
    for row in model.rows.values():
        points = clouds.get(row["state"])
        x, y = row.get(model.plane.across), row.get(model.plane.up)
        if points is not None and x is not None and y is not None:
            points.append((x, y))
    return clouds


def _wants_log(points: Sequence[Pair]) -> bool:
    energies = [x for x, _ in points if x > 0]
    return bool(energies) and max(energies) >= LOG_FROM * min(energies)


def _stepped(points: Sequence[Pair], right: float | None = None) -> list[Pair]:
    """Return the corners of a stepped line, extended to the right end if one is given."""
    corners: list[Pair] = []
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (right, corners[-1][1])] if corners and right is not None and right > corners[-1][0] else corners


def _thinned(points: Sequence[Pair]) -> list[Pair]:
    """Return the points without those that would be drawn over others."""
    if len(points) < 500:
        return list(points)
    table = np.array(points)
    low, high = table.min(axis=0), table.max(axis=0)
    cells = np.floor((table - low) / np.where(high > low, high - low, 1.0) * _CELLS)
    _, first = np.unique(cells[:, 0] * (_CELLS[1] + 1) + cells[:, 1], return_index=True)
    return [points[at] for at in first]


def _columns(points: Iterable[Pair]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    table = np.array(list(points), dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]
