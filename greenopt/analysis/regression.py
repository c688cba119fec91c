"""All regressions of a study: every response in every coding, or the reason for its absence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.alternatives import at_forecast, at_worst, censored, robust
from greenopt.analysis.design import Design, build_design, matched
from greenopt.analysis.diagnose import diagnose
from greenopt.analysis.failures import forecast_accuracies, stopped_trials
from greenopt.analysis.fit import (
    Fit,
    RefusedError,
    anova,
    build_coefficients,
    cross_validated_r_squared,
    fit,
    interactions,
    lack_of_fit,
)
from greenopt.analysis.results import Alternative, Coding, Coefficient, Explained, Interaction, Regression, Response
from greenopt.analysis.trials import LOG_ENERGY, Sample, build_sample, effective, response_values
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import TrialState


@dataclass(frozen=True)
class Regressions:
    """The fitted regressions, and the reasons for missing ones.

    Attributes:
        needed: how many trials are enough for what was refused because they are too few.
    """

    fitted: dict[Explained, dict[Coding, Regression]]
    refused: dict[tuple[Explained, Coding], str]
    needed: dict[tuple[Explained, Coding], int]


def regress(
    trials: "pd.DataFrame",
    spec: StudySpec,
    responses: Iterable[Explained] = Response,
    codings: Iterable[Coding] = Coding,
) -> Regressions:
    """Fit every response in every coding.

    Args:
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.
        responses: those that are wanted.
        codings: those that are wanted.
    """
    found = Regressions({}, {}, {})
    chosen = tuple(codings)
    designs: dict[tuple[Coding, tuple[int, ...]], Design] = {}
    for response in responses:
        sample = build_sample(response, trials, spec)
        for coding in chosen:
            key = coding, tuple(sample.trials["trial"])
            if key not in designs:
                designs[key] = build_design(sample.trials, spec, coding)
            try:
                fitted = regression(_Asked(response, coding, trials, spec), sample, designs[key])
            except RefusedError as error:
                found.refused[response, coding] = str(error)
                if error.needed is not None:
                    found.needed[response, coding] = error.needed
            else:
                found.fitted.setdefault(response, {})[coding] = fitted
    return found


def regression(asked: "_Asked", sample: Sample, design: Design) -> Regression:
    """Fit one response in one coding.

    Args:
        asked: what is explained, by which columns, in which study.
        sample: the trials that it is fitted to.
        design: their design matrix.

    Raises:
        RefusedError: it cannot be estimated from these trials.
    """
    coding = asked.coding
    fitted = fit(design, sample.response.to_numpy().astype(np.float64))
    numbers = tuple(int(number) for number in sample.trials["trial"])
    found, result = build_coefficients(fitted, coding), fitted.result
    f_value, f_pvalue = (None, None) if fitted.is_exact else (float(result.fvalue), float(result.f_pvalue))
    diagnostics = diagnose(fitted, numbers)
    plain = Regression(
        response=asked.response,
        coding=coding,
        n=len(numbers),
        columns=len(design.columns),
        rank=fitted.rank,
        df_model=float(result.df_model),
        df_resid=float(result.df_resid),
        r_squared=float(result.rsquared),
        adj_r_squared=float(result.rsquared_adj),
        f_value=f_value,
        f_pvalue=f_pvalue,
        condition_number=float(result.condition_number),
        cv_r_squared=cross_validated_r_squared(fitted),
        residual_std=float(np.sqrt(result.mse_resid)),
        coefficients=found,
        reference=design.reference,
        lack_of_fit=lack_of_fit(fitted, _repetitions(sample, asked.spec, coding)),
        diagnostics=diagnostics,
        fitted=dict(zip(numbers, (float(value) for value in result.fittedvalues), strict=True)),
        notes=(*design.notes, *_inseparable(fitted, found, coding)),
        is_exact=fitted.is_exact,
    )
    if coding is Coding.PAPER:
        return plain
    pairs = interactions(fitted)
    return replace(
        plain,
        anova=anova(fitted),
        interactions=pairs,
        alternatives=_alternatives(fitted, found, asked, odd=diagnostics.asks_for_robust),
        notes=(*plain.notes, *_unscreened(fitted, pairs)),
    )


def _repetitions(sample: Sample, spec: StudySpec, coding: Coding) -> npt.NDArray[np.int64]:
    """Return a number for each setting; trials with the same values and epochs share it."""
    names = [effective(name) if coding is Coding.EFFECTIVE else name for name in spec.space.distributions]
    numbers = sample.trials.groupby([*names, "epochs_done"], dropna=False, sort=False).ngroup()
    return numbers.to_numpy().astype(np.int64)


def _inseparable(fitted: Fit, coefficients: tuple[Coefficient, ...], coding: Coding) -> list[str]:
    """Return notes on the values whose effects the trials do not separate."""
    if coding is Coding.PAPER:
        return [
            f"{len(fitted.design.columns)} columns of rank {fitted.rank}: the coefficients are the smallest of "
            "infinitely many that fit equally well; only differences between values of one parameter mean anything"
        ]
    names = {row.name for row in coefficients}
    inseparable = [column.name for column in fitted.design.columns if column.name not in names]
    if not inseparable:
        return []
    return [f"cannot be separated by these trials, and not estimated: {', '.join(inseparable)}"]


def _unscreened(fitted: Fit, pairs: tuple[Interaction, ...]) -> list[str]:
    count = len(fitted.design.of_parameter)
    untested = count * (count - 1) // 2 - len(pairs)
    if not untested or fitted.is_exact:
        return []
    return [
        f"{untested} pairs of parameters have too few trials, too many values, or nothing beyond the main effects, and "
        "are not screened"
    ]


def _alternatives(
    fitted: Fit, found: tuple[Coefficient, ...], asked: "_Asked", *, odd: bool
) -> tuple[Alternative, ...]:
    others = [robust(fitted, found)] if odd else []
    if len(bounded := asked.bounded()) and not fitted.is_exact:
        matrix, known = matched(fitted.design, bounded, asked.spec, asked.coding)
        bounds = response_values(LOG_ENERGY, bounded[known]).to_numpy().astype(np.float64)
        others.append(censored(fitted, found, matrix, bounds) if len(matrix) else None)
    if len(stopped := asked.stopped()):
        matrix, known = matched(fitted.design, stopped, asked.spec, asked.coding)
        forecasts = forecast_accuracies(stopped[known]).to_numpy().astype(np.float64)
        others.append(at_forecast(fitted, found, matrix, forecasts) if len(matrix) else None)
    if len(lost := asked.lost()):
        matrix, _ = matched(fitted.design, lost, asked.spec, asked.coding)
        others.append(at_worst(fitted, found, matrix, 0.0) if len(matrix) else None)
    return tuple(other for other in others if other is not None)


@dataclass(frozen=True)
class _Asked:
    """What is asked of a regression: the response, the coding, of which trials."""

    response: Explained
    coding: Coding
    trials: "pd.DataFrame"
    spec: StudySpec

    def bounded(self) -> "pd.DataFrame":
        """Return the trials inside the space that ended early, whose energy would have been at least as it is."""
        trials = self.trials[self.trials["in_space"]]
        ended_early = trials["state"].isin((TrialState.PRUNED, TrialState.FAIL)) & (trials["energy_wh"] > 0)
        return trials[ended_early & (self.response is LOG_ENERGY)]

    def stopped(self) -> "pd.DataFrame":
        """Return the trials inside the space that a rule stopped, whose accuracy was forecast."""
        trials = self.trials[self.trials["in_space"]]
        return trials[forecast_accuracies(trials).notna() & (self.response is Response.ACCURACY)]

    def lost(self) -> "pd.DataFrame":
        """Return the trials inside the space that diverged: their accuracy is the worst."""
        trials = self.trials[self.trials["in_space"]]
        diverged = (trials["state"] == TrialState.PRUNED) & ~stopped_trials(trials)
        return trials[diverged & (self.response is Response.ACCURACY)]
