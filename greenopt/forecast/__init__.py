"""Forecasts of what a whole study will take, and what it has used of its budgets.

Knows trials, settings and figures alone: no storage, no process, no clock.
"""

from greenopt.forecast.amounts import Amount, StudyForecast
from greenopt.forecast.kept import forecast_kept
from greenopt.forecast.spending import Spending, format_larger, spendings
from greenopt.forecast.study import MIN_TRIALS, StudyForecaster
from greenopt.forecast.text import format_amount, format_duration, format_forecast
from greenopt.forecast.trials import EndedTrial, RunningTrial, ended_trial, ended_trials, used_wh

__all__ = [
    "MIN_TRIALS",
    "Amount",
    "EndedTrial",
    "RunningTrial",
    "Spending",
    "StudyForecast",
    "StudyForecaster",
    "ended_trial",
    "ended_trials",
    "forecast_kept",
    "format_amount",
    "format_duration",
    "format_forecast",
    "format_larger",
    "spendings",
    "used_wh",
]
