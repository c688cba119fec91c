"""What the trials say of every value against the baseline's, for the advice: in energy and in accuracy.

From `MIN_TRIALS` on, effects are partially pooled (`greenopt.analysis.pooled`), which needs far fewer trials than a
regression with a column for every value. Below that, and where the settings explain every trial exactly, they are those
of the regression. Accuracy is given twice: of completed trials, and with those that failed counted as an accuracy of 0.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from greenopt.analysis.design import NOTHING_NEW, Design, Matrix, build_design
from greenopt.analysis.failures import failed_trials, forecast_accuracies
from greenopt.analysis.fit import adjusted_p
from greenopt.analysis.pooled import (
    Contrasts,
    Groups,
    Shrunk,
    build_groups,
    contrasts,
    estimate_variances,
    shrink,
    tame,
)
from greenopt.analysis.regression import Regressions
from greenopt.analysis.results import Coding, Coefficient, Explained, Regression, Response
from greenopt.analysis.trials import Sample, build_sample, effective
from greenopt.spec import Choice, Distribution, Range, StudySpec, Value

MIN_TRIALS, MIN_A_PARAMETER, MIN_A_VALUE = 12, 2, 2
MIN_A_COLUMN = 2 / 3
"""Trials from which on effects are pooled: at least 12, two for every parameter and for every value of the parameter
with the most, and two thirds of the columns of a regression with all values."""
BEYOND_CHANCE = 5
"""Degrees of freedom left over by an exact fit from which on it is no coincidence."""
FAILED_ACCURACY = 0.0


@dataclass(frozen=True)
class Effect:
    """A value against the baseline's: an estimate and its 95 % interval; `p` is the larger of plain and robust.

    Attributes:
        p_holm: p adjusted over all values of energy and accuracy together (family-wise).
        q: p adjusted over all values of energy and accuracy together (false discoveries, Benjamini and Hochberg).
    """

    estimate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    p: float = 1.0
    p_holm: float = 1.0
    q: float = 1.0

    @classmethod
    def from_coefficient(cls, row: Coefficient, df_resid: float) -> "Effect":
        """Return the effect that a coefficient stands for, in a regression with these degrees of freedom left."""
        if row.p is None:
            is_there = row.coef != 0
            return cls(
                row.coef, row.low, row.high, float(not is_there), float(df_resid < BEYOND_CHANCE or not is_there)
            )
        low = min(row.low, row.low if row.hc3_low is None else row.hc3_low)
        high = max(row.high, row.high if row.hc3_high is None else row.hc3_high)
        # Without a robust p a single trial decides the coefficient, and nothing is certain.
        p_holm = 1.0 if row.hc3_p_holm is None else max(row.p_holm or 0.0, row.hc3_p_holm)
        return cls(row.coef, low, high, max(row.p, row.hc3_p or 0.0), p_holm)

    def times(self, factor: float) -> "Effect":
        """Return the effect of `factor` steps; the factor is positive."""
        return replace(self, estimate=self.estimate * factor, low=self.low * factor, high=self.high * factor)


Effects = Mapping[str, Mapping[Value, Effect]]
"""Parameter -> value -> effect against the baseline's; for a range, of its upper end against its lower end."""


@dataclass(frozen=True)
class Evidence:
    """The effects of all values.

    Attributes:
        energy: on log energy.
        accuracy: of completed trials, pooled towards none; empty where accuracy cannot be explained.
        with_early: the same with failed trials counted as an accuracy of 0, and stopped ones with what was
            forecast for them; empty where there were none.
        reference: parameter -> the value that its effects are compared with.
        trials: numbers of the trials behind `energy`.
        is_pooled: whether effects on energy are partially pooled.
    """

    energy: Effects
    accuracy: Effects
    with_early: Effects
    reference: Mapping[str, Value]
    trials: tuple[int, ...]
    is_pooled: bool
    has_early: bool = False
    why_no_accuracy: str = ""
    regressions: Mapping[Explained, Regression] = field(default_factory=dict)


def enough_to_pool(spec: StudySpec) -> int:
    """Return how many trials are needed for effects to be pooled."""
    values = [len(one.values) if isinstance(one, Choice) else 1 for one in spec.space.free.values()]
    columns = 1 + sum(max(count - 1, 1) for count in values)
    return max(
        MIN_TRIALS,
        MIN_A_PARAMETER * len(values),
        MIN_A_VALUE * max(values, default=1),
        math.ceil(MIN_A_COLUMN * columns),
    )


def gather(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> Evidence | None:
    """Gather the effects of all values; None where energy cannot be explained.

    Args:
        regressions: those of log energy and accuracy, in the effective coding.
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.
    """
    found = {r: fits[Coding.EFFECTIVE] for r, fits in regressions.fitted.items() if Coding.EFFECTIVE in fits}
    wanted = Response.LOG_ENERGY_WH, Response.ACCURACY
    samples = {response: build_sample(response, trials, spec) for response in wanted}
    energy, of_energy = _explained(samples[wanted[0]], found.get(wanted[0]), spec, pool=False)
    if energy is None:
        return None
    accuracy, of_accuracy = _explained(samples[wanted[1]], found.get(wanted[1]), spec, pool=True)
    early = _early_accuracies(trials)
    with_early: Effects | None = None
    of_early: Mapping[str, Value] = {}
    if accuracy is not None and len(early):
        with_early, of_early = _explained(_joined(samples[wanted[1]], trials, early), None, spec, pool=True)
    energy, accuracy = _with_q(energy, _same_reference(accuracy, of_accuracy, of_energy), of_energy)
    return Evidence(
        energy=energy,
        accuracy=accuracy,
        with_early=_same_reference(with_early, of_early, of_energy),
        reference=of_energy,
        trials=tuple(int(number) for number in samples[wanted[0]].trials["trial"]),
        is_pooled=_is_pooled(samples[wanted[0]], found.get(wanted[0]), spec),
        has_early=bool(len(early)),
        why_no_accuracy="" if accuracy else regressions.refused.get((wanted[1], Coding.EFFECTIVE), ""),
        regressions={response: found[response] for response in wanted if response in found},
    )


def _same_reference(effects: Effects | None, ours: Mapping[str, Value], wanted: Mapping[str, Value]) -> Effects:
    """Return the effects of those parameters that are compared with the same value."""
    return {
        name: values for name, values in (effects or {}).items() if name in wanted and ours.get(name) == wanted[name]
    }


def _early_accuracies(trials: "pd.DataFrame") -> "pd.Series[float]":
    """Return the accuracies that trials which ended early are counted with.

    What failed because of its setting reached nothing; of what was stopped, the forecast. Effects that stand both
    without these trials and with them do not come from the choice of what was stopped.
    """
    failed = failed_trials(trials)
    forecasts = forecast_accuracies(trials[trials["in_space"]]).dropna()
    return pd.concat([pd.Series(FAILED_ACCURACY, index=trials.index[failed]), forecasts])


def _joined(sample: Sample, trials: "pd.DataFrame", accuracies: "pd.Series[float]") -> Sample:
    response = pd.concat([sample.response, accuracies])
    return Sample(pd.concat([sample.trials, trials.loc[accuracies.index]]), response)


def _is_pooled(sample: Sample, regression: Regression | None, spec: StudySpec) -> bool:
    return len(sample.trials) >= enough_to_pool(spec) and not (regression is not None and regression.is_exact)


def _explained(
    sample: Sample, regression: Regression | None, spec: StudySpec, *, pool: bool
) -> tuple[Effects | None, Mapping[str, Value]]:
    """Return the effects on a response, and what they are compared with; no effects where they cannot be told."""
    if _is_pooled(sample, regression, spec):
        values = sample.response.to_numpy().astype(np.float64)
        design = build_design(sample.trials, spec, Coding.EFFECTIVE)
        if design.of_parameter and np.ptp(values) > 1e-12 * float(np.abs(values).max()):
            return _pooled(design, sample, spec, is_shrunk=pool), design.reference
    if regression is None:
        return None, {}
    effects = {
        name: _fitted(name, spec.space.free[name], regression)
        for name in regression.reference
        if name in spec.space.free
    }
    return effects, regression.reference


def _fitted(parameter: str, distribution: Distribution, regression: Regression) -> dict[Value, Effect]:
    """Return the effects of a parameter's values in a regression."""
    effects: dict[Value, Effect] = {regression.reference[parameter]: Effect()}
    rows = [row for row in regression.coefficients if row.parameter == parameter]
    if isinstance(distribution, Range):
        if rows:
            effects[distribution.high] = Effect.from_coefficient(rows[0], regression.df_resid).times(span(distribution))
        return effects
    found = {row.value: Effect.from_coefficient(row, regression.df_resid) for row in rows if row.value is not None}
    return {**effects, **found}


def span(distribution: Range) -> float:
    """Return the distance from a range's lower to its upper end, in powers of ten where it is logarithmic."""
    low, high = float(distribution.low), float(distribution.high)
    return math.log10(high / low) if distribution.log else high - low


def _pooled(design: Design, sample: Sample, spec: StudySpec, *, is_shrunk: bool) -> Effects:
    response, widen = sample.response.to_numpy().astype(np.float64), 1.0
    columns = design.of_parameter
    groups = build_groups({name: _indicators(name, columns[name], design, sample) for name in columns})
    if not is_shrunk:
        response, widen = tame(groups, response)
    variances = estimate_variances(groups, response)
    judged = [name for name in columns if name in spec.space.free and name in design.reference]
    told = {name: [column for column in columns[name] if _is_told(design, groups, name, column)] for name in judged}
    fitted = {
        name: contrasts(groups, response, name, design.matrix[:, told[name]], variances, widen)
        for name in judged
        if told[name]
    }
    known = {name: one for name, one in fitted.items() if one is not None}
    slopes = [name for name in known if isinstance(spec.space.free[name], Range)]
    pooled = shrink(known, slopes) if is_shrunk and known else {}
    found = {name: {design.reference[name]: Effect()} for name in judged}
    for name, one in known.items():
        made = _as_effects(one, pooled.get(name))
        found[name] |= _by_value(name, [design.columns[column].value for column in told[name]], made, spec)
    return _holm(found, design.reference)


def _indicators(name: str, columns: list[int], design: Design, sample: Sample) -> Matrix:
    """Return a mark for every value of a parameter, the reference's too, or the slope of a range."""
    marks = design.matrix[:, columns]
    if any(design.columns[column].value is None for column in columns):
        return np.asarray(marks / max(float(marks.std()), 1e-300))
    reference = (sample.trials[effective(name)] == design.reference[name]).to_numpy().astype(np.float64)
    return np.column_stack([marks, reference])


def _is_told(design: Design, groups: Groups, name: str, column: int) -> bool:
    """Return whether a value does not always change together with another parameter's values."""
    if len(design.matrix) >= 2 * len(design.columns):
        return bool(np.all(np.abs(design.null_space[column]) < 1e-8))
    mark = design.matrix[:, column] - design.matrix[:, column].mean()
    for other, columns in groups.columns.items():
        if other == name:
            continue
        theirs = groups.matrix[:, columns]
        beyond = mark - theirs @ np.linalg.lstsq(theirs, mark, rcond=None)[0]
        if beyond @ beyond < NOTHING_NEW * (mark @ mark):
            return False
    return True


def _as_effects(found: Contrasts, shrunk: Shrunk | None) -> list[Effect]:
    p, reach = found.p, stats.t.ppf(0.975, found.df) * found.error
    estimate, low, high = found.estimate, found.estimate - reach, found.estimate + reach
    if shrunk is not None:
        estimate, low, high = shrunk.mean, shrunk.low, shrunk.high
    # Without a robust error a single trial decides, and nothing is certain.
    alone = np.isnan(found.robust_error)
    return [
        Effect(float(estimate[i]), float(low[i]), float(high[i]), float(p[i]), math.nan if alone[i] else 1.0)
        for i in range(len(p))
    ]


def _by_value(name: str, values: list[Value | None], effects: list[Effect], spec: StudySpec) -> dict[Value, Effect]:
    distribution = spec.space.free[name]
    if isinstance(distribution, Range):
        return {distribution.high: effects[0].times(span(distribution))}
    return {value: effect for value, effect in zip(values, effects, strict=True) if value is not None}


def _holm(effects: Effects, reference: Mapping[str, Value]) -> Effects:
    """Adjust p family-wise; where a single trial decides it stays 1."""
    keys = list(_keys(effects, reference))
    holm = dict(zip(keys, adjusted_p([effects[name][value].p for name, value in keys])[0], strict=True))
    return {
        name: {
            value: replace(one, p_holm=1.0 if math.isnan(one.p_holm) else holm.get((name, value), 1.0))
            for value, one in values.items()
        }
        for name, values in effects.items()
    }


def _with_q(energy: Effects, accuracy: Effects, reference: Mapping[str, Value]) -> tuple[Effects, Effects]:
    """Adjust the p of all values of both responses together, family-wise and for false discoveries."""
    both = energy, accuracy
    keys = [(which, *key) for which, effects in enumerate(both) for key in _keys(effects, reference)]
    ps = [both[which][name][value].p for which, name, value in keys]
    holm, bh = (dict(zip(keys, adjusted, strict=True)) for adjusted in adjusted_p(ps))
    first, second = (
        {
            name: {
                value: replace(one, q=bh[which, name, value], p_holm=max(one.p_holm, holm[which, name, value]))
                if (which, name, value) in bh
                else one
                for value, one in values.items()
            }
            for name, values in effects.items()
        }
        for which, effects in enumerate(both)
    )
    return first, second


def _keys(effects: Effects, reference: Mapping[str, Value]) -> Iterable[tuple[str, Value]]:
    for name, values in effects.items():
        yield from ((name, value) for value in values if value != reference[name])
