"""All figures of a study, one function each."""

from collections.abc import Callable, Iterator
from functools import partial

from greenopt.analysis.results import Response
from greenopt.report.figures import curves, distributions, effects, front, matrix, parallel, scatter
from greenopt.report.figures import interactions as interaction_figures
from greenopt.report.figures.drawing import Drawing, Picture, SkippedFigure
from greenopt.report.figures.residuals import residuals
from greenopt.report.figures.style import save, style
from greenopt.report.report_data import ReportData

FIGURES: tuple[Callable[[ReportData], Picture], ...] = (
    front.pareto_front,
    curves.energy_accuracy_curves,
    curves.accuracy_curves,
    curves.loss_curves,
    distributions.distributions,
    distributions.accuracy_histogram,
    scatter.accuracy_against_seconds,
    scatter.test_against_training,
    parallel.parallel_by_accuracy,
    parallel.parallel_by_energy,
    matrix.settings_by_accuracy,
    matrix.settings_by_power_draw,
    matrix.settings_by_efficiency,
    distributions.power_histogram,
    scatter.accuracy_against_power,
    partial(effects.coefficients, response=Response.LOG_ENERGY_WH),
    partial(effects.coefficients, response=Response.ACCURACY),
    partial(effects.coefficients, response=Response.EFFICIENCY),
    partial(interaction_figures.interactions, response=Response.LOG_ENERGY_WH),
    partial(interaction_figures.interactions, response=Response.ACCURACY),
    partial(interaction_figures.interactions, response=Response.EFFICIENCY),
    partial(residuals, response=Response.LOG_ENERGY_WH),
    partial(residuals, response=Response.ACCURACY),
    partial(residuals, response=Response.EFFICIENCY),
    effects.importance,
    scatter.counter_against_integral,
)
"""In the order in which the files are made."""


def draw(report_data: ReportData) -> Iterator[Picture]:
    """Draw all figures, one at a time; use each before the next is asked for."""
    with style():
        for function in FIGURES:
            yield function(report_data)


__all__ = ["FIGURES", "Drawing", "Picture", "SkippedFigure", "curves", "draw", "save", "style"]
