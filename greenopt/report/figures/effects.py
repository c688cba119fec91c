"""Figures of the parameters' effects and importances."""

import numpy as np

from greenopt.analysis.results import Coding, Coefficient, Regression, Response
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.style import BLUE, GREEN, GREY, ORANGE, RED, legend_above, make_log, new_figure, shortened
from greenopt.report.report_data import ReportData

_TITLES = {
    Response.LOG_ENERGY_WH: "Effects on energy",
    Response.ACCURACY: "Effects on accuracy",
    Response.EFFICIENCY: "Effects on efficiency",
    Response.ENERGY_WH: "Effects on energy, in Wh",
    Response.WH_PER_EPOCH: "Effects on power draw",
}
_MAX_ROWS = 60
READ_FIRST = Coding.EFFECTIVE
"""The coding that figures and report show: values without effect in a setting do not count as if they had one."""


def coefficients(report_data: ReportData, response: Response, coding: Coding = READ_FIRST) -> Picture:
    """Draw the coefficients of a regression with 95 % intervals; those of log energy as factors."""
    slug, title = f"coefficients-{str(response).replace('_', '-')}", _TITLES[response]
    fit = report_data.analysis.regressions.get(response, {}).get(coding)
    if fit is None:
        reason = report_data.analysis.refused.get((response, coding), "this regression was not fitted")
        return SkippedFigure(slug, title, reason)
    shown = [one for one in fit.coefficients if one.parameter is not None][:_MAX_ROWS]
    if not shown:
        return SkippedFigure(slug, title, "the regression has no parameter")
    figure, (axis,) = new_figure(height_in=0.9 + 0.135 * len(shown))
    places = np.arange(len(shown))[::-1]
    for place, one in zip(places, shown, strict=True):
        bounds = _bounds(one, robust=_is_robust(fit))
        middle, low, high = (_shown(value, response) for value in (one.coef, *bounds))
        colour = _colour(one.coef, bounds, response)
        axis.plot([low, high], [place, place], color=colour, linewidth=1.4)
        axis.plot([middle], [place], marker="o", markersize=3.5, color=colour)
    neutral = 1.0 if response is Response.LOG_ENERGY_WH else 0.0
    axis.axvline(neutral, color=GREY, linewidth=0.8)
    axis.set_yticks(places, [_name(one, fit) for one in shown], fontsize=6.5)
    axis.set_ylim(-0.8, len(shown) - 0.2)
    axis.set_xlabel(_label(response))
    if response is Response.LOG_ENERGY_WH:
        make_log(axis, "x")
    return Drawing(slug, title, _caption(fit, report_data), figure)


def importance(report_data: ReportData) -> Picture:
    """Draw each parameter's importance for each objective."""
    slug, title = "importance", "Importance of the parameters"
    estimated = [one for one in report_data.analysis.importance if one.shares]
    if not estimated:
        reason = next((one.text for one in report_data.analysis.importance if one.text), "it was not estimated")
        return SkippedFigure(slug, title, reason)
    names = sorted(
        {name for one in estimated for name in one.shares}, key=lambda n: -max(o.shares.get(n, 0) for o in estimated)
    )
    figure, (axis,) = new_figure(height_in=1.0 + 0.14 * len(names) * max(1, len(estimated) / 2))
    height = 0.8 / len(estimated)
    colours = (GREEN, BLUE, ORANGE, RED, GREY)
    for index, one in enumerate(estimated):
        places = np.arange(len(names))[::-1] + 0.4 - (index + 0.5) * height
        shares = [one.shares.get(name, 0.0) for name in names]
        axis.barh(places, shares, height, color=colours[index % len(colours)], label=f"{one.objective} ({one.method})")
        chances = [one.chance.get(name, np.nan) for name in names]
        axis.scatter(chances, places, marker="|", color="black", s=24, linewidths=0.9, zorder=3)
    axis.set_yticks(np.arange(len(names))[::-1], [shortened(name, 34) for name in names])
    axis.set_xlabel("share")
    legend_above(axis)
    caption = (
        "How much a parameter matters, not in which direction. ped_anova: which parameters tell the best trials from "
        "the rest; fanova: shares of the variance. A black mark is what 95 of 100 permutations of the results stay "
        "below: a bar that ends before it may be chance."
    )
    return Drawing(slug, title, sentences(caption, *(one.text for one in estimated)), figure)


def _bounds(one: Coefficient, *, robust: bool) -> tuple[float, float]:
    if robust and one.hc3_low is not None and one.hc3_high is not None:
        return one.hc3_low, one.hc3_high
    return one.low, one.high


def _is_robust(fit: Regression) -> bool:
    """Return whether every coefficient has a robust interval; one figure never mixes both kinds."""
    return all(one.hc3_low is not None for one in fit.coefficients if one.parameter is not None)


def _shown(value: float, response: Response) -> float:
    return float(np.exp(np.clip(value, -50, 50))) if response is Response.LOG_ENERGY_WH else value


def _colour(coefficient: float, bounds: tuple[float, float], response: Response) -> str:
    if bounds[0] <= 0 <= bounds[1]:
        return GREY
    better = (coefficient > 0) is (response in (Response.ACCURACY, Response.EFFICIENCY))
    return BLUE if better else RED


def _name(one: Coefficient, fit: Regression) -> str:
    reference = fit.reference.get(one.parameter) if one.parameter is not None else None
    if one.value is None:
        return f"{shortened(one.parameter, 34)} (slope)"
    of = f" (from {shortened(reference, 16)})" if reference is not None else ""
    return f"{shortened(one.parameter)} {shortened(one.value)}{of}"


def _label(response: Response) -> str:
    return {
        Response.LOG_ENERGY_WH: "energy is multiplied by",
        Response.ACCURACY: "accuracy changes by",
        Response.EFFICIENCY: "efficiency changes by (1/Wh)",
        Response.ENERGY_WH: "energy changes by (Wh)",
        Response.WH_PER_EPOCH: "Wh per epoch change by",
    }[response]


def _caption(fit: Regression, report_data: ReportData) -> str:
    kind = "robust (HC3) " if _is_robust(fit) else ""
    caption = (
        f"OLS on {fit.n:,} trials, R2 {fit.r_squared:.2f}; points and {kind}95 % intervals, against the value in "
        "brackets."
    )
    colours = (
        "Blue: better; red: worse; grey: perhaps no effect. Intervals are not adjusted for their number; the tables' "
        "Holm p is."
    )
    energy = "" if fit.response is Response.ACCURACY else report_data.energy_note
    return sentences(caption, colours, energy)
