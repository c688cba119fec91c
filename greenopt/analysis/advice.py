"""Advice on values for least energy at no loss of accuracy, with its confidence and the trials to run next.

A value is advised if it takes least energy, as estimated, among those that are neither shown to be less accurate than
the parameter's most accurate value nor estimated to lose more than `MARGIN` against the baseline's. All effects are
those of the regressions with inert parameters modelled as such; intervals are the wider of the plain and the robust.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from greenopt.analysis.design import left_out_words
from greenopt.analysis.next_trials import choose_next, questions_of
from greenopt.analysis.no_advice import no_advice
from greenopt.analysis.recommend import Expectation, expect, recommend
from greenopt.analysis.recommend_text import format_prediction, format_recommendation
from greenopt.analysis.regression import Regressions
from greenopt.analysis.results import (
    FOUND,
    MARGIN,
    Advice,
    Coding,
    Coefficient,
    Recommendation,
    Regression,
    Response,
    ValueAdvice,
)
from greenopt.formatting import significant
from greenopt.spec import Distribution, Range, StudySpec, Value
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import doubtful_trials

CONFIDENCES = SETTLED, LIKELY, TRADE_OFF, NEGLIGIBLE, OPEN = "settled", "likely", "trade_off", "no_matter", "open"
NEXT_TRIALS = 6
SLIGHTLY_MORE = math.log(1.05)
"""Energy that more accuracy may cost, as a log ratio."""
HARDLY = math.log(1.1)
"""A change of energy that is not worth a choice, as a log ratio."""
BEYOND_CHANCE = 5
"""Degrees of freedom left over by an exact fit from which on it is no coincidence."""


@dataclass(frozen=True)
class Effect:
    """A value against the baseline's: an estimate and its 95 % interval; `p` is the larger of plain and robust."""

    estimate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    p: float = 1.0
    p_holm: float = 1.0

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


def advise(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> Advice:
    """Advice from a study's regressions; it says why where there is none to give."""
    energy = regressions.fitted.get(Response.LOG_ENERGY_WH, {}).get(Coding.EFFECTIVE)
    if energy is None:
        key = Response.LOG_ENERGY_WH, Coding.EFFECTIVE
        why = no_advice(trials, spec, regressions.refused[key], regressions.needed.get(key))
        return Advice((why,), (), None, (), "")
    accuracy = regressions.fitted.get(Response.ACCURACY, {}).get(Coding.EFFECTIVE)
    why_no_accuracy = regressions.refused.get((Response.ACCURACY, Coding.EFFECTIVE), "")
    values = [
        _advised(parameter, distribution, energy, accuracy)
        for parameter, distribution in spec.space.free.items()
        if parameter in energy.reference
    ]
    values.sort(key=lambda advice: (CONFIDENCES.index(advice.confidence), advice.energy_ratio))
    chosen = {advice.parameter: advice.value for advice in values if advice.confidence in (SETTLED, LIKELY)}
    setting = {**spec.space.baseline, **chosen}
    tried = _tried_settings(trials, spec)
    doubtful = doubtful_trials(spec, trials[trials["state"] == TrialState.COMPLETE].to_dict(orient="records"))
    expected = expect(trials, spec)
    recommended = None if expected is None else recommend(expected, setting, chosen, doubtful)
    following = _following(expected, recommended, values, setting, tried, spec)
    forecasts = () if expected is None else tuple(expected.predict(one) for one in following)
    sentences = [
        *_sentences(values),
        *_not_judged(energy, trials, spec),
        *_together(setting, values, tried, None if expected is None else expected.ratio(setting, spec.space.baseline)),
        *(format_recommendation(recommended) if recommended is not None else ()),
        *_doubtful(doubtful),
        *_cautions(energy, accuracy, why_no_accuracy),
    ]
    advised = setting if recommended is None else recommended.setting
    toml = as_toml(following, [format_prediction(forecast) for forecast in forecasts])
    return Advice(tuple(sentences), tuple(values), advised, tuple(following), toml, forecasts, recommended)


def _effects(
    parameter: str, distribution: Distribution, reference: Value, regression: Regression
) -> dict[Value, Effect]:
    """Return the effect of each value; for a range, of its upper end against its lower end."""
    effects: dict[Value, Effect] = {reference: Effect()}
    rows = [row for row in regression.coefficients if row.parameter == parameter]
    if isinstance(distribution, Range):
        low, high = float(distribution.low), float(distribution.high)
        span = math.log10(high / low) if distribution.log else high - low
        if rows:
            effects[distribution.high] = Effect.from_coefficient(rows[0], regression.df_resid).times(span)
        return effects
    return {
        **effects,
        **{row.value: Effect.from_coefficient(row, regression.df_resid) for row in rows if row.value is not None},
    }


def _advised(
    parameter: str, distribution: Distribution, energy: Regression, accuracy: Regression | None
) -> ValueAdvice:
    reference = energy.reference[parameter]
    costs = _effects(parameter, distribution, reference, energy)
    gains: dict[Value, Effect] = {}
    if accuracy is not None and accuracy.reference.get(parameter) == reference:
        gains = _effects(parameter, distribution, reference, accuracy)
    allowed = [value for value in costs if distribution.holds(value) and _keeps_accuracy(value, gains)]
    value = min(allowed or [reference], key=lambda candidate: costs[candidate].estimate)
    cost, gain = costs[value], gains.get(value)
    confidence = _confidence(cost, gain)
    is_told = distribution.size <= len(costs) or (isinstance(distribution, Range) and len(costs) > 1)
    if (
        confidence == OPEN
        and is_told
        and all(abs(bound) < HARDLY for other in costs.values() for bound in (other.low, other.high))
    ):
        confidence = NEGLIGIBLE
    return ValueAdvice(
        parameter=parameter,
        value=value,
        baseline=reference,
        energy_ratio=math.exp(min(cost.estimate, 700.0)),
        energy_low=_exp(cost.low),
        energy_high=_exp(cost.high),
        accuracy_change=gain.estimate if gain else None,
        accuracy_low=gain.low if gain else None,
        accuracy_high=gain.high if gain else None,
        confidence=confidence,
        text=_format_advice(parameter, value, reference, cost, gain, confidence)
        if len(costs) > 1
        else _untold(parameter),
    )


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf


def _keeps_accuracy(value: Value, gains: Mapping[Value, Effect]) -> bool:
    """Return whether a value's accuracy allows advising it."""
    if value not in gains:
        return not gains
    best = max(gains, key=lambda candidate: gains[candidate].estimate)
    if value == best:
        return True
    ours, theirs = gains[value], gains[best]
    # Both are compared with the same reference: intervals that do not meet are a difference beyond doubt.
    return ours.estimate >= -MARGIN and not ours.high < theirs.low


def _confidence(cost: Effect, gain: Effect | None) -> str:
    """Rate the confidence that a value beats the baseline's in energy, or in accuracy at similar energy."""
    saves, gains = cost.estimate < 0, gain is not None and gain.estimate > 0
    holds = gain is not None and gain.low >= -MARGIN
    if saves and cost.p_holm < FOUND and holds:
        return SETTLED
    if gain is not None and gains and gain.p_holm < FOUND and cost.high <= SLIGHTLY_MORE:
        return SETTLED
    if gain is not None and gains and gain.p < FOUND and not saves and cost.p < FOUND:
        return TRADE_OFF
    if saves and cost.p < FOUND and (gain is None or gain.estimate >= -MARGIN):
        return LIKELY
    return LIKELY if gain is not None and gains and gain.p < FOUND and cost.estimate <= SLIGHTLY_MORE else OPEN


def _format_advice(
    parameter: str, value: Value, reference: Value, cost: Effect, gain: Effect | None, confidence: str
) -> str:
    if value == reference:
        return f"{parameter}: keep {reference}; no other value is estimated to take less energy at no loss of accuracy"
    energy = f"{_percent(cost.estimate)} energy ({_percent(cost.low)} to {_percent(cost.high)})"
    points = "accuracy could not be judged"
    if gain is not None:
        points = f"accuracy {gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    head = f"{parameter}: {value} instead of {reference}: {energy}, {points}"
    if confidence == TRADE_OFF:
        return f"{head}; a trade-off between accuracy and energy"
    return f"{head}; {confidence}{': ' if confidence != SETTLED else ''}{'; '.join(_doubts(cost, gain, confidence))}"


def _untold(parameter: str) -> str:
    return f"{parameter}: in these trials its values always change together with those of other parameters"


def _doubts(cost: Effect, gain: Effect | None, confidence: str) -> list[str]:
    """Return why an effect is not settled."""
    if confidence == SETTLED:
        return []
    found = []
    if cost.p >= FOUND:
        for_accuracy = gain is not None and gain.estimate > 0 and gain.p < FOUND
        found.append(f"{'chosen for its accuracy; ' if for_accuracy else ''}its energy may be no different")
    elif cost.p_holm >= FOUND:
        found.append("its energy differs, but not after correction for all values compared")
    if gain is None:
        found.append("accuracy is not known")
    elif gain.low < -MARGIN:
        found.append(f"more than {MARGIN:g} of accuracy may be lost")
    return found


def _percent(log_ratio: float) -> str:
    change = 100 * (_exp(log_ratio) - 1)
    return f"{change:+.0f} %" if abs(change) >= 10 else f"{change:+.1f} %"


def _sentences(values: Sequence[ValueAdvice]) -> list[str]:
    if not values:
        return ["No advice: no parameter takes several values in these trials."]
    sure = [advice.text for advice in values if advice.confidence == SETTLED]
    likely = [advice.text for advice in values if advice.confidence == LIKELY]
    likely += [advice.text for advice in values if advice.confidence == TRADE_OFF]
    undecided, idle = (
        ", ".join(advice.parameter for advice in values if advice.confidence == kind) for kind in (OPEN, NEGLIGIBLE)
    )
    head = [] if sure or likely else ["No value is shown to save energy at no loss of accuracy in these trials."]
    tail = [f"{idle}: every value's interval lies within 10 % of energy; choose by accuracy."] if idle else []
    tail += [f"Still undecided: {undecided}."] if undecided else []
    together = ", ".join(advice.parameter for advice in values if advice.text == _untold(advice.parameter))
    tail += [f"{together}: values always change together with others here; vary them apart."] if together else []
    return [*head, *sure, *likely, *tail]


def _not_judged(energy: Regression, trials: "pd.DataFrame", spec: StudySpec) -> list[str]:
    """Why nothing is said of a parameter that the study varies."""
    left = [name for name in spec.space.free if name not in energy.reference]
    chosen = trials[trials["trial"].isin(list(energy.fitted))]
    alike = [name for name in left if chosen[name].nunique() <= 1]
    varied = [left_out_words(name, int(chosen[name].nunique()), energy.n) for name in left if name not in alike]
    found = [f"Nothing can be said of {', '.join(alike)}: these trials have one value of it."] if alike else []
    return [*found, *(f"Nothing can be said of a parameter: {text}." for text in varied)]


def _together(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    tried: Mapping[tuple[Value, ...], int],
    expected: tuple[float, float, float] | None,
) -> list[str]:
    changed = [advice for advice in values if advice.value == setting[advice.parameter] != advice.baseline]
    if not changed:
        return []
    trial = tried.get(tuple(setting.values()))
    seen = "no trial has run it yet" if trial is None else f"trial {trial} has run it"
    if expected is None:
        ratio = math.prod(advice.energy_ratio for advice in changed)
        return [
            f"Together these choices are estimated to take {significant(ratio)} x the baseline's energy, if their "
            f"effects add up on the log scale; {seen}."
        ]
    most_likely, low, high = map(significant, expected)
    return [
        f"Together these choices are expected to take {most_likely} x the baseline's energy (95 %: {low} to {high}) by "
        f"a model of shrunk effects and interactions; {seen}."
    ]


def _doubtful(trials: Sequence[int]) -> list[str]:
    if not trials:
        return []
    named = ", ".join(map(str, trials[:8])) + (f" and {len(trials) - 8} more" if len(trials) > 8 else "")
    which = f"trial {named} is" if len(trials) == 1 else f"trials {named} is"
    return [
        f"The validation accuracy of {which} far above the test accuracy: none of them is advised, but the regressions "
        "have them."
    ]


def _cautions(energy: Regression, accuracy: Regression | None, why_no_accuracy: str) -> list[str]:
    found = []
    if accuracy is None:
        found.append(f"Accuracy could not be explained ({why_no_accuracy}): look at the accuracy of what you choose.")
    for regression in (energy, accuracy):
        if regression is None:
            continue
        strong = [f"{pair.first} with {pair.second}" for pair in regression.interactions if pair.p_holm < FOUND]
        if strong:
            found.append(
                f"In {regression.response} some effects depend on another parameter ({', '.join(strong[:3])}): judge "
                "those values together, not one by one."
            )
        if regression.is_exact:
            found.append(
                f"The settings explain {regression.response} of every trial to the last digit: intervals have no width."
            )
        if regression.cv_r_squared is None:
            found.append(
                f"Most trials alone have some value, so that their {regression.response} cannot be predicted from the "
                "others; treat the model with caution."
            )
        elif regression.cv_r_squared < 0.1:
            found.append(f"The model predicts {regression.response} poorly on held-out trials; treat it with caution.")
    return found


def _tried_settings(trials: "pd.DataFrame", spec: StudySpec) -> dict[tuple[Value, ...], int]:
    """Every completed setting -> the first trial that ran it."""
    complete = trials[trials["state"] == TrialState.COMPLETE]
    settings = complete[list(spec.space.distributions)].itertuples(index=False, name=None)
    found: dict[tuple[Value, ...], int] = {}
    for trial, setting in zip(complete["trial"], settings, strict=True):
        found.setdefault(setting, int(trial))
    return found


def _following(
    expected: Expectation | None,
    recommended: Recommendation | None,
    values: Sequence[ValueAdvice],
    setting: Mapping[str, Value],
    tried: Mapping[tuple[Value, ...], int],
    spec: StudySpec,
) -> list[dict[str, Value]]:
    """Return the settings to run next: the model's, if no trial has run it, then those that tell most."""
    if expected is None or recommended is None:
        return _next(setting, values, tried, spec)
    first = [recommended.proposed] if recommended.proposed_trial is None else []
    return choose_next(expected, questions_of(expected, values, (LIKELY, OPEN)), first)


def _next(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    tried: Mapping[tuple[Value, ...], int],
    spec: StudySpec,
) -> list[dict[str, Value]]:
    """Return the settings whose trials would settle most: the advised one, the baseline, and open alternatives."""
    candidates: list[dict[str, Value]] = [dict(setting), dict(spec.space.baseline)]
    unsettled = [advice for advice in values if advice.confidence in (LIKELY, OPEN)]
    unsettled.sort(key=lambda advice: advice.energy_low)
    for advice in unsettled:
        other = advice.baseline if advice.confidence == LIKELY else advice.value
        candidates.append({**setting, advice.parameter: other})
    fresh = [candidate for index, candidate in enumerate(candidates) if candidate not in candidates[:index]]
    return [candidate for candidate in fresh if tuple(candidate.values()) not in tried][:NEXT_TRIALS]


def as_toml(settings: Sequence[Mapping[str, Value]], expected: Sequence[str] = ()) -> str:
    """Format settings as `[[study.enqueue]]` tables of a study file, each with what is expected as a comment."""
    heads = [f"# expected: {text}\n[[study.enqueue]]" for text in expected] or ["[[study.enqueue]]"] * len(settings)
    tables = ("\n".join(f"{name} = {_toml(value)}" for name, value in setting.items()) for setting in settings)
    return "\n".join(f"{head}\n{table}\n" for head, table in zip(heads, tables, strict=True))


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
