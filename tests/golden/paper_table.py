"""The paper's regression, done directly: parameters from the files, all dummies, no constant, statsmodels' OLS."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

Run = tuple[Mapping[str, Any], Sequence[Mapping[str, str]]]

PARAMETERS = (
    *("preprocessing", "augmentation", "precision", "batch_size", "partitioning"),
    *("lr", "lr_schedule", "optimizer", "optimizer_momentum", "internal"),
)


def power_draw_wh(rows: Sequence[Mapping[str, str]]) -> float:
    """Mean over all rows but the first of power x time since the row before, in Wh."""
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    energies = [
        float(row["gpu_power_W"]) * (now - before).total_seconds() / 3600
        for row, now, before in zip(rows[1:], times[1:], times, strict=False)
    ]
    return float(np.mean(energies))


def figures_of(runs: Sequence[Run]) -> dict[str, list[float]]:
    """The paper's three responses of each run."""
    accuracies = [float(rows[-2]["val_accuracy"]) for _, rows in runs]
    draws = [power_draw_wh(rows) for _, rows in runs]
    return {
        "wh_per_epoch": draws,
        "accuracy": accuracies,
        "efficiency": [accuracy / draw for accuracy, draw in zip(accuracies, draws, strict=True)],
    }


def direct_fit(runs: Sequence[Run], values: Sequence[float]) -> Any:
    """statsmodels' own fit."""
    settings = pd.DataFrame([{name: str(parameters[name]) for name in PARAMETERS} for parameters, _ in runs])
    return sm.OLS(np.array(values), pd.get_dummies(settings).astype(float)).fit()


def differences(runs: Sequence[Run], values: Sequence[float], fitted: Mapping[str, Any]) -> dict[str, float]:
    """Largest difference of each figure between a fit of `greenopt analyze --json` and the direct one.

    Relative to the figure where that is above 1, else absolute.
    """
    direct = direct_fit(runs, values)
    bounds = direct.conf_int()
    figures = {
        "coef": direct.params,
        "std_err": direct.bse,
        "t": direct.tvalues,
        "p": direct.pvalues,
        "low": bounds[0],
        "high": bounds[1],
    }
    rows = {row["name"].lower(): row for row in fitted["coefficients"]}
    assert set(rows) == {name.lower() for name in direct.params.index}
    found = {
        name: max(_difference(rows[value.lower()][name], column[value]) for value in column.index)
        for name, column in figures.items()
    }
    whole = {
        "r_squared": direct.rsquared,
        "adj_r_squared": direct.rsquared_adj,
        "f_value": direct.fvalue,
        "f_pvalue": direct.f_pvalue,
        "n": direct.nobs,
        "df_model": direct.df_model,
    }
    return {**found, **{name: _difference(fitted[name], value) for name, value in whole.items()}}


def _difference(ours: float, theirs: float) -> float:
    return abs(ours - float(theirs)) / max(1.0, abs(float(theirs)))
