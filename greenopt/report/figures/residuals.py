"""Figures of what regressions leave unexplained."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy import stats

from greenopt.analysis.results import Explained, Regression, Response
from greenopt.analysis.trials import response_values
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure, sentences
from greenopt.report.figures.effects import READ_FIRST
from greenopt.report.figures.style import BLUE, GREY, RED, is_many, log_if_wide, mark_size, new_figure
from greenopt.report.report_data import Floats, ReportData

Numbers = npt.NDArray[np.int64]

NAMED = 5
"""How many of the trials that pull a fit most bear their number."""

_TITLES: dict[Explained, str] = {
    Response.LOG_ENERGY_WH: "What the regression of log energy leaves",
    Response.ACCURACY: "What the regression of accuracy leaves",
    Response.EFFICIENCY: "What the regression of efficiency leaves",
}
_X_LABELS: dict[Explained, str] = {
    Response.LOG_ENERGY_WH: "energy by the regression (Wh)",
    Response.ACCURACY: "accuracy by the regression",
    Response.EFFICIENCY: "efficiency by the regression (1/Wh)",
}
_Y_LABELS: dict[Explained, str] = {
    Response.LOG_ENERGY_WH: "measured energy / the regression's",
    Response.ACCURACY: "measured accuracy - the regression's",
    Response.EFFICIENCY: "measured - the regression's (1/Wh)",
}


def residual_slug(response: Explained) -> str:
    """Return the name of a response's figure as a file."""
    return f"residuals-{str(response).replace('_', '-')}"


def residuals(report_data: ReportData, response: Response) -> Picture:
    """Draw the residuals of a regression against its fitted values, and their quantiles against the normal ones'."""
    slug, title = residual_slug(response), _TITLES[response]
    fit = report_data.analysis.regressions.get(response, {}).get(READ_FIRST)
    if fit is None:
        reason = report_data.analysis.refused.get((response, READ_FIRST), "this regression was not fitted")
        return SkippedFigure(slug, title, reason)
    if fit.is_exact:
        return SkippedFigure(slug, title, "the settings explain every trial to the last digit")
    trials, fitted, residual = _points(report_data, fit)
    figure, (left, right) = new_figure(2)
    _against_fitted(left, fit, trials, fitted, residual)
    _quantiles(right, residual / residual.std())
    caption = (
        "Left: a band of even width around the dashed line is what p and intervals assume; a funnel, a bend or groups "
        "are not. Right: on the dashed line the residuals are normal."
    )
    return Drawing(slug, title, sentences(caption, _numbered(fit)), figure)


def _points(report_data: ReportData, fit: Regression) -> tuple[Numbers, Floats, Floats]:
    """Return the trials of a regression, its fitted values and its residuals, each (trials,)."""
    complete = report_data.complete
    measured = dict(zip(complete["trial"], response_values(fit.response, complete), strict=True))
    trials = np.array(list(fit.fitted), dtype=np.int64)
    fitted = np.array(list(fit.fitted.values()), dtype=np.float64)
    return trials, fitted, np.array([measured[trial] for trial in trials], dtype=np.float64) - fitted


def _against_fitted(axis: Axes, fit: Regression, trials: Numbers, fitted: Floats, residual: Floats) -> None:
    is_log = fit.response is Response.LOG_ENERGY_WH
    x, y = (np.exp(fitted), np.exp(residual)) if is_log else (fitted, residual)
    axis.scatter(x, y, s=mark_size(len(x)), color=BLUE, alpha=0.65, linewidths=0, rasterized=is_many(len(x)))
    axis.axhline(1.0 if is_log else 0.0, color=GREY, linestyle="--", linewidth=0.8)
    axis.set(xlabel=_X_LABELS[fit.response], ylabel=_Y_LABELS[fit.response])
    if is_log:
        log_if_wide(axis, "x", x)
        log_if_wide(axis, "y", y, 5.0)
    places = {int(trial): place for place, trial in enumerate(trials)}
    for trial in fit.diagnostics.influential[:NAMED]:
        at = places[trial]
        axis.annotate(str(trial), (x[at], y[at]), (3, 3), textcoords="offset points", fontsize=6.5, color=RED)


def _quantiles(axis: Axes, standardized: Floats) -> None:
    count = len(standardized)
    normal = stats.norm.ppf((np.arange(1, count + 1) - 0.5) / count)
    axis.scatter(
        normal,
        np.sort(standardized),
        s=mark_size(count),
        color=BLUE,
        alpha=0.65,
        linewidths=0,
        rasterized=is_many(count),
    )
    ends = [normal[0], normal[-1]]
    axis.plot(ends, ends, color=GREY, linestyle="--", linewidth=0.8)
    axis.set(xlabel="quantile of the normal distribution", ylabel="residual / standard deviation")


def _numbered(fit: Regression) -> str:
    count = len(fit.diagnostics.influential[:NAMED])
    if count == 0:
        return ""
    return f"Numbered: the {'trial that pulls' if count == 1 else f'{count} trials that pull'} the fit most."
