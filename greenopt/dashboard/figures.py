"""Plotly figures that optuna-dashboard lacks. Each is small enough to be stored in one piece."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from greenopt.dashboard.notes import format_row_setting
from greenopt.dashboard.trial_curves import TrialCurves
from greenopt.front import Plane, plane_of
from greenopt.gpu_models import mixed_models, model_of
from greenopt.plain_text import in_one_line
from greenopt.reading import EnergySource
from greenopt.spec import UNITS, Metric, StudySpec

MAX_POINTS = 1000
"""Trials off the front that are drawn; of more, every second, third, ..."""

LOG_FROM = 30.0
TITLES = {
    Metric.ENERGY_WH: "energy (Wh)",
    Metric.TOTAL_WH: "energy, set-up included (Wh)",
    Metric.WH_PER_EPOCH: "energy per epoch (Wh)",
}
ACCURACY = "validation accuracy"
COLORS = {"other trials": "#7570b3", "Pareto front": "#d95f02"}
SYMBOLS = ("circle", "diamond", "square", "cross", "x", "triangle-up", "star")
"""Of the GPUs' models in a study that mixes them."""

Row = Mapping[str, Any]


def front_figure(spec: StudySpec, rows: Sequence[Row], front: Sequence[int]) -> go.Figure:
    """Draw trials by accuracy and energy, or two objectives, with the Pareto front; hovering shows figures and setting.

    Args:
        spec: the study.
        rows: its completed trials.
        front: numbers of the trials on the front.
    """
    plane, by_number = plane_of(spec), {row["trial"]: row for row in rows}
    on_front = sorted((by_number[trial] for trial in front if trial in by_number), key=lambda row: row[plane.across])
    others = [row for row in rows if row["trial"] not in set(front)]
    others = others[:: 1 + len(others) // MAX_POINTS]
    title = "Accuracy for energy" if plane.is_accuracy_for_energy else _plain(f"{plane.up} for {plane.across}")
    if not plane.is_accuracy_for_energy and len(plane.objectives) != 2:
        title += _plain(f", of {plane.title}")
    estimated = _estimated(rows) if plane.across in TITLES else ""
    models = mixed_models(rows) if plane.across in TITLES else []
    title += ", GPUs of different models" if models else ""
    figure = _figure(f"{title}: the Pareto front", _axis(plane.across) + estimated, _axis(plane.up))
    for some, name in ((others, "other trials"), (on_front, "Pareto front")):
        for is_estimate in (False, True):
            drawn = [row for row in some if (row["energy_source"] == EnergySource.ESTIMATE) is is_estimate]
            trace = _scatter(drawn, plane, is_estimate)
            trace.update(name=f"{name}, estimated" if is_estimate else name, marker_color=COLORS[name])
            if models:
                trace.marker.symbol = [SYMBOLS[models.index(model_of(row)) % len(SYMBOLS)] for row in drawn]
                trace.hovertext = [_plain(model_of(row)) for row in drawn]
                trace.hovertemplate += "<br>%{hovertext}"
            if some is on_front:
                trace.update(text=[_plain(format_row_setting(spec, row)) for row in drawn], marker_size=10)
                trace.hovertemplate += "<br>%{text}"
            figure.add_trace(trace)
    if plane.is_stepped:
        figure.add_scatter(
            **_xy([row[plane.across] for row in on_front], [row[plane.up] for row in on_front]),
            mode="lines",
            line={"shape": "hv", "color": COLORS["Pareto front"], "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    return _noted(_widely(figure), "" if rows else "no trial has completed yet")


def _axis(name: str) -> str:
    """Return the title of an axis: a figure in words, or its name with its unit."""
    if name == Metric.ACCURACY or name in TITLES:
        return ACCURACY if name == Metric.ACCURACY else TITLES[Metric(name)]
    return _plain(f"{name} ({UNITS[name]})" if name in UNITS else name)


def _scatter(rows: Sequence[Row], plane: Plane, is_estimate: bool) -> go.Scatter:
    template = f"trial %{{customdata[0]:d}}<br>{_plain(plane.up)} %{{y:.4}}<br>{_plain(plane.across)} %{{x:.4}}"
    if plane.is_accuracy_for_energy:
        template = "trial %{customdata[0]:d}<br>accuracy %{y:.3f}<br>" + _energy_template(is_estimate)
        template += "<br>efficiency %{customdata[1]:.3r} 1/Wh"
    return go.Scatter(
        **_xy([row[plane.across] for row in rows], [row[plane.up] for row in rows]),
        customdata=np.array([[row["trial"], row["efficiency"]] for row in rows], dtype="f4"),
        hovertemplate=template,
        mode="markers",
        showlegend=bool(rows),
        marker={"size": 7, "symbol": "circle-open" if is_estimate else "circle"},
    )


def _energy_template(is_estimate: bool) -> str:
    """Return a plotly template that formats an energy as `greenopt.formatting.format_energy` does."""
    return "~%{x:.3r} Wh est." if is_estimate else "%{x:.3r} Wh"


def hypervolume_figure(
    completed: int, steps: Sequence[tuple[int, float]], budgets: str = "", is_accuracy: bool = True
) -> go.Figure:
    """Draw the growth of the hypervolume.

    Args:
        completed: how many trials there are.
        steps: pairs of (completed trials so far, hypervolume 0..1), one for each change.
        budgets: the energies that it is a mean over, in words; of other objectives, the sides of its box.
        is_accuracy: whether it is of accuracy for energy.
    """
    what = "mean accuracy of the front" if is_accuracy else "share that the front dominates"
    link = "for" if is_accuracy else "of"
    title = what + (f"<br>{link} {_plain(budgets)}" if budgets else "")
    figure = _figure("Hypervolume over trials", "completed trials", title)
    corners = [*steps, (completed, steps[-1][1])] if steps else []
    figure.add_scatter(
        **_xy([count for count, _ in corners], [volume for _, volume in corners]),
        mode="lines+markers",
        line={"shape": "hv", "color": "#1b7837"},
        marker={"size": 4},
        hovertemplate="after %{x} trials: %{y:.4f}<extra></extra>",
    )
    return _noted(figure, "" if steps else "no trial has completed yet")


def accuracy_energy_figure(settings: Mapping[int, str], curves_by_trial: Mapping[int, TrialCurves]) -> go.Figure:
    """Draw each epoch's accuracy against the energy used by then, one line per trial.

    Args:
        settings: what is drawn: trials' settings in words.
        curves_by_trial: the trials' curves.
    """
    sources = [epoch.energy for number in settings for epoch in curves_by_trial[number].epochs]
    across = "energy since the first epoch began (Wh)" + _estimated([{"energy_source": r.source} for r in sources])
    figure = _figure("Accuracy during training, by energy used", across, ACCURACY)
    for number, text in settings.items():
        curves = curves_by_trial[number]
        points = [
            (spent, epoch.val_accuracy, epoch.epoch)
            for spent, epoch in zip(curves.used_wh, curves.epochs, strict=True)
            if spent is not None and epoch.val_accuracy is not None
        ]
        points = points[:: 1 + len(points) // 100]
        is_estimate = any(epoch.energy.source == EnergySource.ESTIMATE for epoch in curves.epochs)
        figure.add_scatter(
            **_xy([x for x, _, _ in points], [y for _, y, _ in points]),
            customdata=np.array([n for _, _, n in points], dtype="i2"),
            name=f"trial {number}",
            mode="lines+markers",
            marker={"size": 4},
            hovertemplate="epoch %{customdata}<br>accuracy %{y:.3f}<br>"
            + _energy_template(is_estimate)
            + f"<br>{_plain(text)}",
        )
    return _noted(_widely(figure), "" if sources else "no epoch has finished yet")


def power_figure(curves_by_trial: Mapping[int, TrialCurves]) -> go.Figure:
    """Draw the power of the trials' devices over time, one line per trial."""
    drawn = [{"energy_source": curves.power_source} for curves in curves_by_trial.values() if curves.power.t_s]
    figure = _figure("Power of the latest trials", "time since the trial began (s)", "power (W)" + _estimated(drawn))
    for number, curves in curves_by_trial.items():
        figure.add_scatter(
            **_xy(curves.power.t_s, curves.power.power_w),
            mode="lines",
            name=f"trial {number}",
            line={"width": 1},
            hovertemplate="%{x:.0f} s: %{y:.0f} W",
        )
    figure.update_yaxes(rangemode="tozero")
    return _noted(figure, "" if drawn else "there are no power readings")


def _figure(title: str, across: str, up: str) -> go.Figure:
    axis = {"gridcolor": "#eeeeee", "zerolinecolor": "#cccccc", "exponentformat": "none"}
    return go.Figure(
        layout={
            "title": {"text": title},
            "xaxis": {**axis, "title": {"text": across}},
            "yaxis": {**axis, "title": {"text": up}},
            "margin": {"l": 70, "r": 20, "t": 50, "b": 60},
            "legend": {"orientation": "h", "y": -0.2},
            "template": "none",
        }
    )


def _widely(figure: go.Figure) -> go.Figure:
    """Use a logarithmic axis for energies that span more than a factor of `LOG_FROM`."""
    drawn = [float(x) for trace in figure.data for x in trace.x]
    if drawn and min(drawn) > 0 and max(drawn) > LOG_FROM * min(drawn):
        figure.update_xaxes(type="log", title_text=f"{figure.layout.xaxis.title.text}, logarithmic")
    return figure


def _noted(figure: go.Figure, text: str) -> go.Figure:
    if text:
        figure.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def _xy(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Encode coordinates as float32 (seven digits), a third of their length as text; as float64 where they need it."""
    largest = max((abs(value) for value in (*x, *y)), default=0.0)
    kind = "f4" if largest <= float(np.finfo("f4").max) else "f8"
    return {"x": np.array(x, dtype=kind), "y": np.array(y, dtype=kind)}


def _estimated(rows: Sequence[Row]) -> str:
    estimates = [row["energy_source"] == EnergySource.ESTIMATE for row in rows if row["energy_source"] is not None]
    return ", estimated" if estimates and all(estimates) else ", some estimated" if any(estimates) else ""


def _plain(text: str) -> str:
    """Escape anybody's text for plotly, which reads tags, links and templates: it is shown letter by letter."""
    return re.sub(r"[&<>{}%]", lambda found: f"&#{ord(found.group())};", in_one_line(text))
