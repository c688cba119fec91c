"""The paper's regression, done directly: parameters from the files, all dummies, no constant, statsmodels' OLS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from greenopt.spec import PARAMETERS

RESPONSES = ("wh_per_epoch", "accuracy", "efficiency")
"""The paper's three."""


@dataclass(frozen=True)
class Facts:
    """What a run's files say, read without greenopt.

    Attributes:
        setting: value of each of the ten parameters, as text in the paper's spelling or in greenopt's.
        accuracy: validation accuracy of the last epoch, 0 to 1.
        wh_per_epoch: the paper's power draw: mean of power x time over all rows but the first, in Wh.
        epochs: how many were trained.
        energy_wh: power x time of the epochs alone, summed, in Wh.
        seconds: length of the training in s.
    """

    setting: Mapping[str, str]
    accuracy: float
    wh_per_epoch: float
    epochs: int
    energy_wh: float
    seconds: float

    @property
    def efficiency(self) -> float:
        """Return the paper's quotient: accuracy by power draw, in 1/Wh."""
        return self.accuracy / self.wh_per_epoch


def facts_of_log(parameters: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Facts:
    """Return the facts of a run from its setting and the rows of its log, `pre` and `post` included."""
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    seconds = [(now - before).total_seconds() for now, before in zip(times[1:], times, strict=False)]
    energies_wh = [float(row["gpu_power_W"]) * length_s / 3600 for row, length_s in zip(rows[1:], seconds, strict=True)]
    return Facts(
        setting={name: _spelled(parameters[name]) for name in PARAMETERS},
        accuracy=float(rows[-2]["val_accuracy"]),
        wh_per_epoch=float(np.mean(energies_wh)),
        epochs=len(rows) - 2,
        energy_wh=sum(energies_wh[:-1]),
        seconds=sum(seconds[:-1]),
    )


def _spelled(value: Any) -> str:
    return "none" if value in (None, "None") else str(value)


def direct_fit(runs: Sequence[Facts], response: str) -> Any:
    """statsmodels' own fit."""
    settings = pd.DataFrame([run.setting for run in runs])
    values = np.array([getattr(run, response) for run in runs])
    return sm.OLS(values, pd.get_dummies(settings).astype(float)).fit()


def differences(runs: Sequence[Facts], response: str, fitted: Mapping[str, Any]) -> dict[str, float]:
    """Largest difference of each figure between a fit of `greenopt analyze --json` and the direct one.

    Relative to the figure where that is above 1, else absolute.
    """
    direct = direct_fit(runs, response)
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
