"""Advice on values for least energy at no loss of accuracy, with its confidence and the trials to run next.

A value is advised if it takes least energy, as estimated, among those that are neither shown to be less accurate than
the parameter's most accurate value nor estimated to lose more than `MARGIN` against the baseline's. All effects are
those of `greenopt.analysis.evidence`, of completed trials and with failed ones as an accuracy of 0: a value is settled
only if both agree, and a setting with a value or pair whose trials have all failed is never advised.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from greenopt.analysis.design import left_out_words
from greenopt.analysis.evidence import Effect, Evidence, enough_to_pool, gather
from greenopt.analysis.failures import has_only_failed, tried_in_vain
from greenopt.analysis.next_trials import Question, choose_next
from greenopt.analysis.no_advice import no_advice
from greenopt.analysis.recommend import Expectation, expect, recommend
from greenopt.analysis.recommend_text import format_prediction, format_recommendation
from greenopt.analysis.regression import Regressions
from greenopt.analysis.results import (
    CLEAR_GAIN,
    CLEAR_SAVING,
    FOUND,
    MARGIN,
    Advice,
    Coding,
    Recommendation,
    Response,
    ValueAdvice,
)
from greenopt.formatting import format_toml, significant
from greenopt.gpu_models import without_model
from greenopt.spec import Distribution, Range, StudySpec, Value
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import doubtful_trials

CONFIDENCES = SETTLED, LIKELY, TRADE_OFF, HINT, NEGLIGIBLE, LITTLE, OPEN = (
    *("settled", "likely", "trade_off"),
    *("hint", "no_matter", "little_to_gain", "open"),
)
ADVISED, ASKED = (SETTLED, LIKELY), (LIKELY, HINT, OPEN)
NEXT_TRIALS = 6
ALL_FAILED = (
    "No whole setting is advised: with the baseline's other values it has a value or pair whose trials have all failed."
)
POOLED = (
    "Effects are partially pooled: while one parameter is judged, the others' effects count as random, as large as the "
    "trials show; changes of accuracy are drawn towards none as far as the trials leave it open."
)
SLIGHTLY_MORE = math.log(1.05)
"""Energy that more accuracy may cost, as a log ratio."""
HARDLY = math.log(1.1)
"""A change of energy that is not worth a choice, as a log ratio."""
SETTLED_BELOW = FOUND / 2
"""Adjusted p below which a value is settled: half, since its energy or its accuracy may settle it."""
NOTICED = 0.005
"""Difference of accuracy, as a fraction, below which no other value is named as more accurate."""
FALSE_DISCOVERIES = 0.1
"""Share of false ones among the values called likely."""


def advise(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> Advice:
    """Advice from a study's regressions; it says why where there is none to give."""
    evidence = gather(regressions, trials, spec)
    if evidence is None:
        return Advice((_no_advice(regressions, trials, spec),), (), None, (), "")
    values = [
        _with_condition(_advised(parameter, distribution, evidence), spec)
        for parameter, distribution in spec.space.free.items()
        if parameter in evidence.energy
    ]
    values.sort(key=lambda advice: (CONFIDENCES.index(advice.confidence), advice.energy_ratio))
    parts = tried_in_vain(trials, spec)
    setting = _setting(values, spec, parts)
    tried = _tried_settings(trials, spec)
    doubtful = doubtful_trials(spec, trials[trials["state"] == TrialState.COMPLETE].to_dict(orient="records"))
    expected = expect(trials, spec)
    kept = [one.parameter for one in values if one.confidence in ADVISED and setting.get(one.parameter) == one.value]
    recommended = None if expected is None else recommend(expected, setting, kept, doubtful, parts)
    following = _following(expected, recommended, values, setting, tried, spec, parts, evidence)
    forecasts = () if expected is None else tuple(expected.predict(one) for one in following)
    sentences = [
        *_sentences(values),
        *_not_judged(evidence, trials, spec),
        *_together(
            setting,
            values,
            tried.get(_key(setting, spec)),
            None if expected is None else expected.ratio(setting, spec.space.baseline),
        ),
        *(format_recommendation(recommended) if recommended is not None else ()),
        *_doubtful(doubtful),
        *_cautions(evidence),
    ]
    advised: Mapping[str, Value] | None = setting if recommended is None else recommended.setting
    if recommended is None and has_only_failed(setting, parts):
        sentences.append(ALL_FAILED)
        advised = None
    following = [without_model(one) for one in following]
    toml = as_toml(following, [format_prediction(forecast) for forecast in forecasts])
    return Advice(tuple(sentences), tuple(values), advised, tuple(following), toml, forecasts, recommended)


def _no_advice(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> str:
    key = Response.LOG_ENERGY_WH, Coding.EFFECTIVE
    needed, refused = regressions.needed.get(key), regressions.refused[key]
    if needed is not None:
        enough = enough_to_pool(spec)
        refused = f"{refused}; from {enough} trials on, effects can be pooled" if enough < needed else refused
        needed = min(needed, enough)
    return no_advice(trials, spec, refused, needed)


def _setting(values: Sequence[ValueAdvice], spec: StudySpec, parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the advised values together, the surest first, without a value or pair whose trials have all failed."""
    setting = dict(spec.space.baseline)
    for advice in values:
        changed = spec.space.whole({**setting, advice.parameter: advice.value})
        new = [part for part in parts if has_only_failed(changed, [part]) and not has_only_failed(setting, [part])]
        if advice.confidence in ADVISED and not new:
            setting = changed
    return setting


def _advised(parameter: str, distribution: Distribution, evidence: Evidence) -> ValueAdvice:
    reference = evidence.reference[parameter]
    costs = evidence.energy[parameter]
    gains = evidence.accuracy.get(parameter, {})
    all_gains = evidence.with_early.get(parameter, {})
    allowed = [
        value
        for value in costs
        if distribution.holds(value) and _keeps_accuracy(value, gains) and _keeps_accuracy(value, all_gains)
    ]
    value = min(allowed or [reference], key=lambda candidate: costs[candidate].estimate)
    cost, gain = costs[value], gains.get(value)
    confidence = _confidence(cost, gain)
    if evidence.has_early and gain is not None:
        confidence = _weaker(confidence, _confidence(cost, all_gains.get(value)))
    is_told = distribution.size <= len(costs) or (isinstance(distribution, Range) and len(costs) > 1)
    if (
        confidence == OPEN
        and is_told
        and all(abs(bound) < HARDLY for other in costs.values() for bound in (other.low, other.high))
    ):
        confidence = NEGLIGIBLE
    if confidence == OPEN and is_told and _offers_little(costs, all_gains or gains, reference):
        confidence = LITTLE
    best = _most_accurate(all_gains or gains)
    text = _format_advice(parameter, value, reference, cost, gain, confidence) if len(costs) > 1 else _untold(parameter)
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
        text=text + _format_most_accurate(best, value, reference, costs, all_gains or gains),
        most_accurate=best,
        most_accurate_change=None if best is None else (all_gains or gains)[best].estimate,
        most_accurate_energy_ratio=_exp(costs[best].estimate) if best is not None and best in costs else None,
    )


def _with_condition(advice: ValueAdvice, spec: StudySpec) -> ValueAdvice:
    """Return the advice on a parameter that not every setting has with its condition in words."""
    condition = spec.space.condition_text(advice.parameter)
    if not condition:
        return advice
    text = advice.text.removeprefix(f"{advice.parameter}: ")
    return replace(advice, text=f"{advice.parameter} (with {condition}): {text}")


def _offers_little(costs: Mapping[Value, Effect], gains: Mapping[Value, Effect], reference: Value) -> bool:
    """Return whether no value's 95 % intervals leave room for a clear saving at no loss, or for clear accuracy."""
    others = [value for value in costs if value != reference]
    return not any(_may_pay(costs[value], gains.get(value)) for value in others)


def _may_pay(cost: Effect, gain: Effect | None) -> bool:
    """Return whether a value may still save clearly at no loss, or be clearly more accurate."""
    return gain is None or gain.high >= CLEAR_GAIN or (cost.low <= CLEAR_SAVING and gain.high >= -MARGIN)


def _questions(values: Sequence[ValueAdvice], evidence: Evidence) -> list[Question]:
    """Return the contrasts that are open: the advised value's, and those of values that may still pay."""
    found = []
    for one in values:
        if one.confidence not in ASKED:
            continue
        gains = evidence.with_early.get(one.parameter) or evidence.accuracy.get(one.parameter, {})
        found += [
            Question(one.parameter, value, one.baseline)
            for value, cost in evidence.energy[one.parameter].items()
            if value != one.baseline
            and (one.value == value if one.confidence != OPEN else _may_pay(cost, gains.get(value)))
        ]
    return found


def _most_accurate(gains: Mapping[Value, Effect]) -> Value | None:
    return max(gains, key=lambda candidate: gains[candidate].estimate) if gains else None


def _format_most_accurate(
    best: Value | None, value: Value, reference: Value, costs: Mapping[Value, Effect], gains: Mapping[Value, Effect]
) -> str:
    """Format what the most accurate value would give; nothing where it is the advised one or no better."""
    if best is None or value not in gains or best not in costs or best == value:
        return ""
    if gains[best].estimate - gains[value].estimate < NOTICED:
        return ""
    against = f" against {reference}'s" if best != reference else ", the baseline's,"
    energy = f" at {_percent(costs[best].estimate)} energy" if best != reference else " at its own energy"
    return f"; most accurate is {best}: {gains[best].estimate:+.3f}{against}{energy}"


def _weaker(confidence: str, with_failed: str) -> str:
    """Return what holds both for completed trials and with those that failed."""
    rank = CONFIDENCES.index
    if TRADE_OFF in (confidence, with_failed) and confidence != with_failed:
        return OPEN
    return max(confidence, with_failed, key=rank)


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
    if saves and cost.p_holm < SETTLED_BELOW and holds:
        return SETTLED
    if gain is not None and gains and gain.p_holm < SETTLED_BELOW and cost.high <= SLIGHTLY_MORE:
        return SETTLED
    if gain is not None and gains and gain.p < FOUND and not saves and cost.p < FOUND:
        return TRADE_OFF
    keeps = gain is None or gain.estimate >= -MARGIN
    at_little = gain is not None and gains and cost.estimate <= SLIGHTLY_MORE
    if (saves and keeps and cost.q < FALSE_DISCOVERIES) or (gain and at_little and gain.q < FALSE_DISCOVERIES):
        return LIKELY
    is_hinted = (saves and keeps and cost.p < FOUND) or (gain is not None and at_little and gain.p < FOUND)
    return HINT if is_hinted else OPEN


def _format_advice(
    parameter: str, value: Value, reference: Value, cost: Effect, gain: Effect | None, confidence: str
) -> str:
    if value == reference:
        return f"{parameter}: keep {reference}; no other value is estimated to take less energy at no loss of accuracy"
    energy = f"{_percent(cost.estimate)} energy ({_percent(cost.low)} to {_percent(cost.high)})"
    points = "accuracy could not be judged"
    if gain is not None:
        points = f"accuracy {gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) against {reference}'s"
    head = f"{parameter}: {value} instead of {reference}: {energy}, {points}"
    if confidence == TRADE_OFF:
        return f"{head}; a trade-off between accuracy and energy"
    return f"{head}; {confidence}{': ' if confidence != SETTLED else ''}{'; '.join(_doubts(cost, gain, confidence))}"


_UNTOLD = "in these trials its values always change together with those of other parameters"


def _untold(parameter: str) -> str:
    return f"{parameter}: {_UNTOLD}"


def _doubts(cost: Effect, gain: Effect | None, confidence: str) -> list[str]:
    """Return why an effect is not settled."""
    if confidence == SETTLED:
        return []
    found = []
    if cost.p >= FOUND:
        for_accuracy = gain is not None and gain.estimate > 0 and gain.p < FOUND
        found.append(f"{'chosen for its accuracy; ' if for_accuracy else ''}its energy may be no different")
    elif cost.p_holm >= FOUND:
        among = " (one of so many would by chance)" if confidence == HINT else ""
        found.append(f"its energy differs, but not after correction for all values compared{among}")
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
    hints = [advice.text for advice in values if advice.confidence == HINT]
    undecided, idle, little = (
        ", ".join(advice.parameter for advice in values if advice.confidence == kind)
        for kind in (OPEN, NEGLIGIBLE, LITTLE)
    )
    head = [] if sure or likely else ["No value is shown to save energy at no loss of accuracy in these trials."]
    tail = [f"{idle}: every value's interval lies within 10 % of energy; choose by accuracy."] if idle else []
    if little:
        tail.append(
            f"{little}: little to gain: by their 95 % intervals no value saves 20 % of energy at no loss, or "
            f"gains {CLEAR_GAIN:g} of accuracy."
        )
    tail += [f"Still undecided: {undecided}."] if undecided else []
    together = ", ".join(one.parameter for one in values if one.text.endswith(_UNTOLD))
    tail += [f"{together}: values always change together with others here; vary them apart."] if together else []
    return [*head, *sure, *likely, *hints, *tail]


def _not_judged(evidence: Evidence, trials: "pd.DataFrame", spec: StudySpec) -> list[str]:
    """Why nothing is said of a parameter that the study varies."""
    left = [name for name in spec.space.free if name not in evidence.energy]
    chosen = trials[trials["trial"].isin(evidence.trials)]
    alike = [name for name in left if chosen[name].nunique() <= 1]
    varied = [left_out_words(name, int(chosen[name].nunique()), len(chosen)) for name in left if name not in alike]
    found = [f"Nothing can be said of {', '.join(alike)}: these trials have one value of it."] if alike else []
    return [*found, *(f"Nothing can be said of a parameter: {text}." for text in varied)]


def _together(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    trial: int | None,
    expected: tuple[float, float, float] | None,
) -> list[str]:
    changed = [advice for advice in values if advice.value == setting.get(advice.parameter) != advice.baseline]
    if not changed:
        return []
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


def _cautions(evidence: Evidence) -> list[str]:
    found = []
    if not evidence.accuracy:
        why = evidence.why_no_accuracy
        found.append(f"Accuracy could not be explained ({why}): look at the accuracy of what you choose.")
    if evidence.is_pooled:
        found.append(POOLED)
    for regression in evidence.regressions.values():
        strong = [f"{pair.first} with {pair.second}" for pair in regression.interactions if pair.is_clear]
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


_Key = tuple[Value | None, ...]


def _key(setting: Mapping[Any, Any], spec: StudySpec) -> _Key:
    """Return a setting's values in the order of the space; None of a parameter that it does not have."""
    had = spec.space.trimmed(setting)
    return tuple(had.get(name) for name in spec.space.distributions)


def _tried_settings(trials: "pd.DataFrame", spec: StudySpec) -> dict[_Key, int]:
    """Every completed setting -> the first trial that ran it."""
    complete = trials[trials["state"] == TrialState.COMPLETE]
    settings = complete[list(spec.space.distributions)].to_dict(orient="records")
    found: dict[_Key, int] = {}
    for trial, setting in zip(complete["trial"], settings, strict=True):
        found.setdefault(_key(setting, spec), int(trial))
    return found


def _following(
    expected: Expectation | None,
    recommended: Recommendation | None,
    values: Sequence[ValueAdvice],
    setting: Mapping[str, Value],
    tried: Mapping[_Key, int],
    spec: StudySpec,
    parts: Sequence[Mapping[str, Value]],
    evidence: Evidence,
) -> list[dict[str, Value]]:
    """Return the settings to run next: the model's, if no trial has run it, then those that tell most."""
    if expected is None or recommended is None:
        return _next(setting, values, tried, spec)
    first = [recommended.proposed] if recommended.proposed_trial is None else []
    return choose_next(expected, _questions(values, evidence), first, parts)


def _next(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    tried: Mapping[_Key, int],
    spec: StudySpec,
) -> list[dict[str, Value]]:
    """Return the settings whose trials would settle most: the advised one, the baseline, and open alternatives."""
    candidates: list[dict[str, Value]] = [dict(setting), dict(spec.space.baseline)]
    unsettled = [advice for advice in values if advice.confidence in (LIKELY, HINT, OPEN)]
    unsettled.sort(key=lambda advice: advice.energy_low)
    for advice in unsettled:
        other = advice.baseline if advice.confidence == LIKELY else advice.value
        candidates.append(spec.space.whole({**setting, advice.parameter: other}))
    fresh = [candidate for index, candidate in enumerate(candidates) if candidate not in candidates[:index]]
    return [candidate for candidate in fresh if _key(candidate, spec) not in tried][:NEXT_TRIALS]


def as_toml(settings: Sequence[Mapping[str, Value]], expected: Sequence[str] = ()) -> str:
    """Format settings as `[[study.enqueue]]` tables of a study file, each with what is expected as a comment."""
    heads = [f"# expected: {text}\n[[study.enqueue]]" for text in expected] or ["[[study.enqueue]]"] * len(settings)
    tables = ("\n".join(format_toml(name, value) for name, value in setting.items()) for setting in settings)
    return "\n".join(f"{head}\n{table}\n" for head, table in zip(heads, tables, strict=True))
